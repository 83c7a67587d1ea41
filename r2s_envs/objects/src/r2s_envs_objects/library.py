"""`r2s object library`: all scans of a folder made into a library of certified objects."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from r2s_core.errors import AssetError
from r2s_core.worker import python_command
from r2s_envs_objects.source import SUFFIXES

INDEX = "library.json"
SECONDS = 600.0  # for one scan, upon which it is given up
_R2S = ("-m", "r2s_core")
_CERTIFICATE = "certificate.json"
#: What of a certificate goes into the index.
_KEPT = (
    "name", "source", "verdict", "passed", "graspable", "problem", "units", "size_m", "volume_m3",
    "mass_kg", "mass_range_kg", "friction_range", "pieces", "iou", "cost_ratio", "grasp_share",
    "content_hash", "asset_sha256",
)  # fmt: skip


def main(args: argparse.Namespace) -> int:
    """Make the library and print its table; the exit status as `--help` documents it."""
    scans, others = scans_in(args.folder)
    jobs = args.jobs or _cores()
    print(f"{len(scans)} scans, {min(jobs, len(scans))} at a time, into {args.output}")
    if others:
        print(f"  no scans: {', '.join(others[:8])}{' ...' if len(others) > 8 else ''}")
    entries = make_library(scans, args.output, jobs, _options(args))
    print("\n" + "\n".join(_table(entries)))
    print(f"\n{_count(entries)}; {args.output / INDEX}")
    done = [entry for entry in entries if entry["verdict"] != "refused"]
    return 0 if done and all(entry["passed"] for entry in done) else 1


def _cores() -> int:
    """The processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def scans_in(folder: Path) -> tuple[list[Path], list[str]]:
    """The scans of a folder, sorted, and the names of what else is there; AssetError if none."""
    if not folder.is_dir():
        raise AssetError(f"{folder}: no such folder; name one with scans in it")
    files = sorted(path for path in folder.iterdir() if path.is_file())
    scans = [path for path in files if path.suffix.lower() in SUFFIXES]
    if not scans:
        raise AssetError(f"{folder}: no scans in it; put {', '.join(SUFFIXES)} files there")
    return scans, [path.name for path in files if path not in scans]


def make_library(
    scans: Sequence[Path], output: Path, jobs: int, options: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Fix every scan in a process of its own, `jobs` at a time; the index, in the scans' order.

    options: arguments of `r2s object fix` for all. Whatever one scan does, the others go on.
    """
    stems = Counter(path.stem for path in scans)
    names = [p.stem if stems[p.stem] == 1 else f"{p.stem}_{p.suffix[1:].lower()}" for p in scans]
    crew = _Crew(options)
    with ThreadPoolExecutor(jobs) as pool:
        pending = {
            pool.submit(crew.fix, scan, output / name): name
            for scan, name in zip(scans, names, strict=True)
        }
        try:
            for number, future in enumerate(as_completed(pending), start=1):
                entry = future.result()
                print(f"[{number}/{len(scans)}] {pending[future]}: {entry['verdict']}", flush=True)
        except BaseException:  # Ctrl-C: what runs is ended, what waits is not begun
            pool.shutdown(wait=False, cancel_futures=True)
            crew.dismiss()
            for name in names:
                _tidy(output / name)
            raise
    entries = {name: future.result() for future, name in pending.items()}
    index = [{**entries[name], "folder": name} for name in names]
    _write_index(output, index)
    return index


class _Crew:
    """The processes at work."""

    def __init__(self, options: Sequence[str]) -> None:
        self._options = tuple(options)
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()

    def fix(self, scan: Path, folder: Path) -> dict[str, Any]:
        """What became of a scan: an entry of the index."""
        start = time.perf_counter()
        # One thread each: there are as many processes as there are cores.
        one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        process = subprocess.Popen(
            python_command(*_R2S, "object", "fix", str(scan), "-o", str(folder), *self._options),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=os.environ | one,
            start_new_session=True,  # to be ended together with what it has started
        )
        with self._lock:
            self._running.add(process)
        try:
            problem = _problem(process)
        finally:
            with self._lock:
                self._running.discard(process)
        seconds = round(time.perf_counter() - start, 1)
        if problem:
            # An earlier object of that name would pass for this one.
            shutil.rmtree(folder, ignore_errors=True)
            _tidy(folder)
            return _failure(scan, problem) | {"seconds": seconds}
        facts = json.loads((folder / _CERTIFICATE).read_text(encoding="utf-8"))
        return {key: facts.get(key) for key in _KEPT} | {"seconds": seconds}

    def dismiss(self) -> None:
        """End every process at work."""
        with self._lock:
            for process in self._running:
                _kill(process)


def _problem(process: subprocess.Popen[str]) -> str | None:
    """Wait for it; why there is no certificate, if there is none."""
    try:
        told = process.communicate(timeout=SECONDS)[1].strip().splitlines()
    except subprocess.TimeoutExpired:
        _kill(process)
        process.communicate()
        return f"took more than {SECONDS:.0f} s; decimate or clean the scan first"
    if process.returncode < 0:
        return f"its process was ended by {signal.Signals(-process.returncode).name}"
    if process.returncode > 1 or told:
        return told[-1] if told else f"its process ended with status {process.returncode}"
    return None


def _kill(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def _tidy(folder: Path) -> None:
    """Remove what a process that was ended has left of the folder that it was filling."""
    for left in folder.parent.glob(f".{folder.name}-*"):
        shutil.rmtree(left, ignore_errors=True)


def _failure(scan: Path, problem: str) -> dict[str, Any]:
    entry: dict[str, Any] = dict.fromkeys(_KEPT)
    known = {"name": scan.stem, "source": str(scan), "verdict": "failed", "passed": False}
    return entry | known | {"problem": problem}


def _write_index(output: Path, index: list[dict[str, Any]]) -> None:
    partial = output / f".{INDEX}.part"
    partial.write_text(json.dumps({"format": 1, "objects": index}, indent=2) + "\n")
    partial.replace(output / INDEX)


def _options(args: argparse.Namespace) -> list[str]:
    """The arguments of `cli.shaping` as text again."""
    options = [
        f"--{name}={value}"
        for name in ("units", "up", "scale", "material", "density", "max-pieces",
                     "max-hull-vertices")
        if (value := getattr(args, name.replace("-", "_"))) is not None
    ]  # fmt: skip
    return [*options, *["--force"] * args.force, *["--no-pictures"] * (not args.pictures)]


def _count(entries: list[dict[str, Any]]) -> str:
    ready = sum(bool(entry["passed"]) for entry in entries)
    held = sum(bool(entry["passed"] and entry["graspable"]) for entry in entries)
    refused = sum(entry["verdict"] == "refused" for entry in entries)
    text = f"{ready} of {len(entries)} simulation-ready, {held} of them graspable"
    return f"{text}, {refused} refused" if refused else text


def _table(entries: list[dict[str, Any]]) -> list[str]:
    rows = [("NAME", "VERDICT", "SIZE mm", "MASS kg", "PIECES", "IOU", "GRASPABLE", "TIME s", "")]
    rows += [_row(entry) for entry in entries]
    widths = [max(len(row[i]) for row in rows) for i in range(8)]
    return [
        "  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[8]]).rstrip()
        for row in rows
    ]


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    verdict = "ready" if entry["passed"] else entry["verdict"]
    size = "x".join(f"{1000 * side:.0f}" for side in entry["size_m"] or ())
    mass = "" if entry["mass_kg"] is None else f"{entry['mass_kg']:.3g}"
    overlap = "" if entry["iou"] is None else f"{entry['iou']:.2f}"
    graspable = {True: "yes", False: "no", None: ""}[entry["graspable"]]
    return (
        entry["folder"], verdict, size, mass, str(entry["pieces"] or ""), overlap, graspable,
        f"{entry['seconds']:.0f}", entry["problem"] or "",
    )  # fmt: skip
