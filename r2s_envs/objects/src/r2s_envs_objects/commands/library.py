"""`r2s object library`: certifies all scans of a folder into a library of objects."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from r2s_core.errors import AssetError
from r2s_core.system import files
from r2s_core.system.text import printable
from r2s_envs_objects.guard.crew import Crew
from r2s_envs_objects.object_folder import LUMP, recover, unwritable
from r2s_envs_objects.scan.scans import Scans, names_of, scans_in
from r2s_envs_objects.scan.source import absolute

INDEX = "library.json"
#: The fields of a certificate that go into the index.
_KEPT = (
    "name", "source", "verdict", "passed", "graspable", "problem", "units", "size_m", "volume_m3",
    "mass_kg", "mass_range_kg", "friction_range", "pieces", "iou", "volume_error", "cost_ratio",
    "grasp_share", "robot", "reservations", "content_hash", "asset_sha256",
)  # fmt: skip


def main(args: argparse.Namespace) -> int:
    """Make the library and print its table; returns the exit status that `--help` documents."""
    scans = scans_in(args.folder)
    jobs = args.jobs or _cores()
    count = len(scans.paths)
    _say(f"{count} scans, {min(jobs, count)} at a time, into {args.output}")
    for line in _skipped(scans):
        _say(f"  {line}")
    entries = make_library(scans.paths, args.output, jobs, _options(args), args.folder)
    _say("\n" + "\n".join(_table(entries)))
    _write_index(absolute(args.output), entries)
    _say(f"\n{_count(entries)}; {args.output / INDEX}")
    done = [entry for entry in entries if entry["verdict"] != "refused"]
    return 0 if done and all(entry["passed"] for entry in done) else 1


def _say(text: str) -> None:
    print(printable(text, lines=True), flush=True)


def _skipped(scans: Scans) -> list[str]:
    """The files of the folder that are not scans of their own."""
    lines = {
        "no scans": scans.others,
        "further meshes of the same objects": [str(path) for path in scans.spare],
    }
    return [
        f"{what}: {', '.join(names[:8])}{' ...' if len(names) > 8 else ''}"
        for what, names in lines.items()
        if names
    ]


def _cores() -> int:
    """The processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def make_library(
    scans: Sequence[Path],
    output: Path,
    jobs: int,
    options: Sequence[str] = (),
    folder: Path = Path(),
) -> list[dict[str, Any]]:
    """Fix every scan in a separate process, `jobs` at a time; return an index entry for each.

    options: arguments of `r2s object fix` for all. folder: where the scans were found.
    A failing scan does not affect the others. AssetError if the library cannot be written.
    """
    output = absolute(output)
    _check_output(output)
    names, crew = names_of(scans, folder), Crew(options)
    with ThreadPoolExecutor(jobs) as pool:
        pending = {
            pool.submit(_entry, crew, scan, output, name): number
            for number, (scan, name) in enumerate(zip(scans, names, strict=True))
        }
        try:
            for number, future in enumerate(as_completed(pending), start=1):
                entry = future.result()
                _say(
                    f"[{number}/{len(scans)}] {entry['folder'] or entry['source']}: {_news(entry)}"
                )
        except BaseException:  # Ctrl-C: running jobs are ended, waiting ones are not started
            pool.shutdown(wait=False, cancel_futures=True)
            crew.dismiss()
            raise
        finally:
            recover(output)  # from the killed ones
    entries = {number: future.result() for future, number in pending.items()}
    return [entries[number] for number in range(len(scans))]


def _check_output(output: Path) -> None:
    """AssetError if no library can be written; checked first, since the work takes minutes."""
    index = output / INDEX
    try:
        output.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(index):
            known = files.read_json(index, limit=64 * files.MIB, what="a library", error=AssetError)
            if not isinstance(known, dict) or "objects" not in known:
                raise AssetError(f"{index}: was not written by r2s; name another folder with -o")
        tempfile.TemporaryFile(dir=output).close()
    except OSError as error:
        raise unwritable(output, error) from error


def _entry(crew: Crew, scan: Path, output: Path, name: str | AssetError) -> dict[str, Any]:
    """The result for a scan, as an entry of the index."""
    if isinstance(name, AssetError):
        return _failure(scan, None, str(name)) | {"seconds": 0.0}
    start = time.perf_counter()
    facts = crew.fix(scan, output / name)
    seconds = round(time.perf_counter() - start, 1)
    if isinstance(facts, str):
        return _failure(scan, name, facts) | {"seconds": seconds}
    entry = {key: facts.get(key) for key in _KEPT}
    return entry | {"folder": name, "earlier": facts["earlier"], "seconds": seconds}


def _failure(scan: Path, folder: str | None, problem: str) -> dict[str, Any]:
    entry: dict[str, Any] = dict.fromkeys(_KEPT)
    known = {"name": scan.stem, "source": str(scan), "verdict": "failed", "passed": False}
    return entry | known | {"problem": problem, "folder": folder, "earlier": None}


def _news(entry: dict[str, Any]) -> str:
    """The verdict, and what happened to an earlier object of that name."""
    if entry["verdict"] == "failed":
        return f"failed: {entry['problem']}"
    if not entry["earlier"]:
        return entry["verdict"]
    does = "the folder still holds" if entry["verdict"] == "refused" else "replaces"
    return f"{entry['verdict']}; {does} the object made of {entry['earlier']}"


def _write_index(output: Path, index: list[dict[str, Any]]) -> None:
    try:
        files.write_json(output / INDEX, {"format": 1, "objects": index})
    except OSError as error:
        raise unwritable(output / INDEX, error) from error


def _options(args: argparse.Namespace) -> list[str]:
    """The arguments of `cli.shaping`, back as text."""
    options = [
        f"--{name}={value}"
        for name in ("units", "up", "scale", "max-filled", "material", "density", "max-pieces",
                     "max-hull-vertices", "robot")
        if (value := getattr(args, name.replace("-", "_"))) is not None
    ]  # fmt: skip
    return [*options, *["--force"] * args.force, *["--no-pictures"] * (not args.pictures)]


def _count(entries: list[dict[str, Any]]) -> str:
    ready = sum(bool(entry["passed"]) for entry in entries)
    held = sum(bool(entry["passed"] and entry["graspable"]) for entry in entries)
    refused = sum(entry["verdict"] == "refused" for entry in entries)
    text = f"{ready} of {len(entries)} simulation-ready, {held} of them graspable"
    if lumps := sum(map(_is_lump, entries)):
        text += f", {lumps} of them as a solid lump"
    return f"{text}, {refused} refused" if refused else text


def _is_lump(entry: dict[str, Any]) -> bool:
    return any(text.startswith(LUMP) for text in entry["reservations"] or ())


def _table(entries: list[dict[str, Any]]) -> list[str]:
    rows = [("NAME", "VERDICT", "SIZE mm", "MASS kg", "PIECES", "IOU", "GRASPABLE", "TIME s", "")]
    rows += [_row(entry) for entry in entries]
    widths = [max(len(row[i]) for row in rows) for i in range(8)]
    return [
        "  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[8]]).rstrip()
        for row in rows
    ]


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    verdict = entry["verdict"]
    if entry["passed"]:
        verdict = "solid lump" if _is_lump(entry) else "ready"
    size = "x".join(f"{1000 * side:.0f}" for side in entry["size_m"] or ())
    mass = "" if entry["mass_kg"] is None else f"{entry['mass_kg']:.3g}"
    overlap = "" if entry["iou"] is None else f"{entry['iou']:.2f}"
    graspable = {True: "yes", False: "no", None: ""}[entry["graspable"]]
    return (
        entry["folder"] or entry["name"], verdict, size, mass, str(entry["pieces"] or ""), overlap,
        graspable, f"{entry['seconds']:.0f}",
        entry["problem"] or "; ".join(entry["reservations"] or ()),
    )  # fmt: skip
