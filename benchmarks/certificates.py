"""Certifies every real scan in a folder beside the checkout, without manual work.

    taskset -c 0 python benchmarks/certificates.py [--scans ../shared/scans] [--keep FOLDER]

The shipped samples and three open shapes, made here, are certified too. Writes
benchmarks/certificates.md: the fraction that becomes simulation-ready and graspable, the time of
each, and every refusal with its message. The page's text from "Before and after" on is kept.
--keep writes the certificates to FOLDER.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import platform
import resource
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import trimesh

from r2s_envs_objects import samples
from r2s_envs_objects.commands.library import make_library
from r2s_envs_objects.object_folder import CERTIFICATE
from r2s_envs_objects.scan.scans import scans_in

#: Closed profiles (radius, height), mm: walls of 3 mm, the glass's of 2.
OPEN = {
    "bowl": [
        (0, 0), (30, 0), (48, 4), (63, 17), (72, 36), (75, 55),
        (72, 55), (69, 37), (60.5, 19), (46.5, 7), (30, 3), (0, 3),
    ],
    "cup": [(0, 0), (30, 0), (35, 90), (32, 90), (27, 3), (0, 3)],
    "wine_glass": [
        (0, 0), (33, 0), (33, 2), (20, 4), (6, 8), (4, 20), (4, 60), (5, 70), (12, 75), (25, 85),
        (33, 100), (36, 120), (34, 140), (30, 160), (28, 160), (32, 140), (34, 120), (31, 101),
        (23.5, 86.5), (11, 77.5), (0, 77),
    ],
}  # fmt: skip
ROOT = Path(__file__).resolve().parents[1]
KEPT = "## Before and after"  # written by hand, from here to the end
HEAD = """# Certificates: real scans, no manual step

`{command}` on {machine}, one scan at a time, nothing cached, pictures included. Ready:
repaired, compiles, lies still on a table. Graspable: the Panda lifts it, shakes it and holds it
for 5 s with at least one grasp; held: how many of the grasps tried. IoU and volume: of the
collision pieces' union against the scan; below 0.80 or beyond 10 % it collides as a solid lump, and
the verdict says so. Cost: physics steps/s over those of a box of its size. From above: the fraction
of sampled grasps that are reachable and in force closure. Seconds: CPU time of the whole command;
wall clock in brackets, on a shared machine.
"""


def main() -> None:
    """Certify, and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scans", type=Path, default=ROOT.parent / "shared" / "scans")
    parser.add_argument("--keep", type=Path, help="where to keep the certificates")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".md"))
    arguments = parser.parse_args()
    machine = platform.processor() or platform.machine()
    lines = [HEAD.format(command="python benchmarks/certificates.py", machine=machine)]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["R2S_CACHE_DIR"] = str(Path(folder) / "cache")
        for name, scans in everything(arguments.scans, Path(folder) / "shapes").items():
            output = (arguments.keep or Path(folder)) / name
            entries = [certified(scan, output) for scan in scans]
            lines += [f"\n## {name}\n", *summary(entries), "", *table(entries)]
    before = arguments.output.read_text(encoding="utf-8") if arguments.output.exists() else ""
    kept = "".join(before.partition(KEPT)[1:])
    text = "\n".join(lines) + "\n" + (f"\n{kept}" if kept else "")
    arguments.output.write_text(text, encoding="utf-8")
    print(arguments.output.read_text(encoding="utf-8"))


def everything(scans: Path, folder: Path) -> dict[str, list[Path]]:
    """The files of each table: real scans, damaged ones, the samples, open shapes in `folder`."""
    folder.mkdir()
    for name, profile in OPEN.items():
        mesh = trimesh.creation.revolve(np.array(profile) / 1000.0, sections=64)
        mesh.export(folder / f"{name}.stl")
    found = {name: scans_in(scans / name).paths for name in ("clean", "dirty")}
    return found | {
        "samples": [samples.path(name) for name in samples.names()],
        "open shapes": sorted(folder.iterdir()),
    }


def certified(scan: Path, output: Path) -> dict[str, Any]:
    """The library's entry of one scan, with its CPU time and the number of grasps that held."""
    print(f"  {scan.name}", flush=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with contextlib.redirect_stdout(io.StringIO()):
        (entry,) = make_library([scan], output, jobs=1)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    entry |= {"file": scan.name, "cpu_s": used, "held": ""}
    path = output / entry["folder"] / CERTIFICATE
    if path.exists():
        hold = json.loads(path.read_text()).get("checks", {}).get("hold", {})
        if "grasps_tried" in hold:
            entry["held"] = f"{hold['grasps_held']} of {hold['grasps_tried']}"
    return entry


def summary(entries: list[dict[str, Any]]) -> list[str]:
    """The counts, and the median and worst time."""
    count = len(entries)
    ready = sum(bool(entry["passed"]) for entry in entries)
    held = sum(bool(entry["passed"] and entry["graspable"]) for entry in entries)
    refused = sum(entry["verdict"] == "refused" for entry in entries)
    seconds = [entry["cpu_s"] for entry in entries if entry["verdict"] != "refused"]
    worst = max(entries, key=lambda entry: entry["cpu_s"])
    return [
        f"{ready} of {count} simulation-ready, {held} graspable, {refused} refused, "
        f"{count - ready - refused} not passed or failed. Median "
        f"{statistics.median(seconds):.1f} s, worst {worst['cpu_s']:.1f} s ({worst['file']})."
    ]


def table(entries: list[dict[str, Any]]) -> list[str]:
    """A row for each scan."""
    rows = [
        "| scan | verdict | unit | mass kg | pieces | IoU | volume | cost | from above "
        "| graspable | held | s |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for entry in entries:
        time = f"{entry['cpu_s']:.1f} ({entry['seconds']:.0f})"
        if entry["mass_kg"] is None:
            problem = entry["problem"].replace(entry["source"], "").lstrip(": ")
            rows.append(
                f"| {entry['file']} | {entry['verdict']}: {problem} | | | | | | | | | | {time} |"
            )
            continue
        verdict = entry["verdict"] if entry["passed"] else f"not ready: {entry['problem']}"
        off = "-" if entry["volume_error"] is None else f"{entry['volume_error']:+.0%}"
        overlap = "-" if entry["iou"] is None else f"{entry['iou']:.2f}"
        graspable = {True: "yes", False: "no", None: "-"}[entry["graspable"]]
        rows.append(
            f"| {entry['file']} | {verdict} | {entry['units']} | {entry['mass_kg']:.3g} "
            f"| {entry['pieces']} | {overlap} | {off} | {entry['cost_ratio']} "
            f"| {entry['grasp_share']:.1%} | {graspable} | {entry['held']} | {time} |"
        )
    return rows


if __name__ == "__main__":
    main()
