"""Measures the object pipeline: time, fidelity, and what the collision pieces cost in physics.

    python benchmarks/objects.py [--scans ../shared/scans] [--output benchmarks/objects.md]

Truth is known for the sample scans. Their Chamfer distance needs scikit-image, which makes the
true solids (r2s_envs/objects/scripts/shapes.py); without it that column stays empty.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from pathlib import Path

import numpy as np
import trimesh
from scipy.spatial import KDTree

from r2s_core.errors import AssetError
from r2s_envs_objects import ObjectAsset, ObjectOptions, load_object, samples
from r2s_envs_objects.behaviour.cost import cost_ratio, cpu_seconds
from r2s_envs_objects.behaviour.grasp import gripper_of, surface_points
from r2s_envs_objects.commands.doctor import check
from r2s_envs_objects.guard import sandbox

ROOT = Path(__file__).resolve().parents[1]
HEAD = """# Objects: time, fidelity, cost

`python benchmarks/objects.py` on {machine}. Times are CPU seconds of all processes, which a busy
host hardly affects. Load: from the raw file, in a running worker (its start takes {startup:.1f} s,
once); cached: the same again. IoU: overlap of the convex pieces' union with the closed scan; p95:
95th percentile of the distance between their surfaces. Cost: physics steps/s of two 10 N pads
squeezing the object, over the same with a box of its size (8 ms, elliptic cones, impratio 10); 1 is
as fast as a box, and a few tenths are random: the contacts that form differ from hull to hull.
"""

#: Damaged scan -> the clean one it was made from.
ORIGINALS = {
    "banana_holes_dups_mixed_winding.ply": "ycb_banana.ply",
    "brick_inside_out.stl": "ycb_foam_brick.stl",
    "can_nan_inf.ply": "ycb_tomato_soup_can.stl",
    "mustard_mm_floaters.stl": "ycb_mustard_bottle.obj",
}
UNITS = {"m": 1.0, "mm": 1000.0, "cm": 100.0, "inch": 1 / 0.0254}


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scans", type=Path, default=ROOT.parent / "shared" / "scans")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".md"))
    arguments = parser.parse_args()
    machine = platform.processor() or platform.machine()
    lines = [HEAD.format(machine=machine, startup=startup_seconds())]
    lines += ["\n## Sample scans against what was scanned\n", sample_table()]
    lines += ["\n## Hull budget on `sample:bottle`\n", budget_table()]
    if arguments.scans.is_dir():
        for folder in ("clean", "dirty"):
            lines += [f"\n## `scans/{folder}`\n", scan_table(arguments.scans / folder)]
        lines += ["\n## Volume and inertia against the closed original\n"]
        lines += [truth_table(arguments.scans), "\n## `units: auto` on every clean scan\n"]
        lines += [units_table(arguments.scans)]
    arguments.output.write_text("\n".join(lines) + "\n")
    print(arguments.output.read_text())


def processor_seconds() -> float:
    """CPU time of this process and of the workers that read files for it."""
    total = cpu_seconds()
    for worker in sandbox._idle:
        stat = Path(f"/proc/{worker.process.pid}/stat").read_text().rpartition(")")[2].split()
        # Its own, user and system, and that of its finished children.
        total += sum(map(int, stat[11:15])) / os.sysconf("SC_CLK_TCK")
    return total


def startup_seconds() -> float:
    """The start of a worker, which the first file of a process pays for."""
    path = str(samples.path("bottle"))
    times = []
    for _ in range(2):
        start = processor_seconds()
        check(path, ObjectOptions())
        times.append(processor_seconds() - start)
    return times[0] - times[1]


def timed(source: str | Path, options: ObjectOptions) -> tuple[ObjectAsset, float, float]:
    """The asset, and the seconds of a first and of a second load."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["R2S_CACHE_DIR"] = folder
        start = processor_seconds()
        load_object(source, options)
        between = processor_seconds()
        asset = load_object(source, options)
        return asset, between - start, processor_seconds() - between


def sample_table() -> str:
    """Volume, inertia and surface of each sample against its truth."""
    truth = json.loads((samples.FOLDER / "truth.json").read_text())
    rows = [
        "| sample | load s | cached s | pieces (vertices) | IoU | volume | inertia, worst axis "
        "| Chamfer mm | 95 % mm | cost |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, true in truth.items():
        asset, first, second = timed(f"sample:{name}", ObjectOptions())
        inertia = np.linalg.eigvalsh(asset.inertia) / (asset.mass / asset.volume)
        worst = np.abs(inertia / np.linalg.eigvalsh(true["inertia_of_density_1_kgm2"]) - 1.0).max()
        volume = asset.volume / true["volume_m3"] - 1.0
        rows.append(
            f"| {name} | {first:.2f} | {second:.3f} | {counts(asset)} | {asset.iou:.2f} "
            f"| {volume:+.1%} | {worst:.1%} | {chamfer(asset, name)} | {cost_ratio(asset):.2f} |"
        )
    return "\n".join(rows)


def budget_table() -> str:
    """Overlap and cost with fewer hull vertices."""
    rows = ["| max_hull_vertices | used | IoU | cost |", "|---|---|---|---|"]
    for budget in (16, 24, 32, 48, 64):
        asset, _, _ = timed("sample:bottle", ObjectOptions(max_hull_vertices=budget))
        rows.append(f"| {budget} | {counts(asset)} | {asset.iou:.2f} | {cost_ratio(asset):.2f} |")
    return "\n".join(rows)


def scan_table(folder: Path) -> str:
    """Every file of a folder: loaded (forced, if only too wide for the gripper) or refused."""
    rows = [
        "| file | load s | cached s | volume cm3 | pieces (vertices) | IoU | p95 mm | grasp mm "
        "| cost | verdict |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    times = []
    for path in sorted(folder.iterdir()):
        start = processor_seconds()
        try:
            asset, first, second = timed(path, ObjectOptions(force=True))
        except AssetError as error:
            message = str(error).replace(str(path), "").lstrip(": ")
            seconds = processor_seconds() - start
            rows.append(f"| {path.name} | {seconds:.2f} | | | | | | | | refused: {message} |")
            continue
        times.append(first)
        notes = [f.what for f in asset.findings if f.severity == "warning"]
        if asset.grasp_width > gripper_of(asset.robot).widest:
            notes.insert(0, "refused unless forced: too wide for the gripper")
        verdict = "; ".join(notes) or "ok"
        rows.append(
            f"| {path.name} | {first:.2f} | {second:.3f} | {asset.volume * 1e6:.1f} "
            f"| {counts(asset)} | {asset.iou:.2f} | {asset.surface_p95 * 1000:.1f} "
            f"| {asset.grasp_width * 1000:.0f} | {cost_ratio(asset):.2f} | {verdict} |"
        )
    rows.append(f"\nLoaded files: median {np.median(times):.1f} s, worst {max(times):.1f} s.")
    return "\n".join(rows)


def truth_table(scans: Path) -> str:
    """Volume and inertia of the repaired scan, against trimesh's of the closed original."""
    rows = ["| file | volume | inertia, worst axis |", "|---|---|---|"]
    pairs = [(path, path) for path in sorted((scans / "clean").iterdir())]
    pairs += [(scans / "dirty" / k, scans / "clean" / v) for k, v in ORIGINALS.items()]
    for path, original in pairs:
        report = check(str(path), ObjectOptions(density=1000.0))
        body = closed(original)
        mine = np.linalg.eigvalsh(report["inertia_kgm2"]) / 1000.0
        worst = np.abs(mine / np.linalg.eigvalsh(body.moment_inertia) - 1.0).max()
        volume = report["volume_m3"] / body.volume - 1.0
        rows.append(f"| {path.name} | {volume:+.2%} | {worst:.2%} |")
    return "\n".join(rows)


def closed(path: Path) -> trimesh.Trimesh:
    """The largest part of a scan according to trimesh, independent of our repair."""
    mesh = trimesh.load(path, force="mesh", process=True)
    assert isinstance(mesh, trimesh.Trimesh)
    body = max(mesh.split(only_watertight=False), key=lambda part: part.area)
    assert isinstance(body, trimesh.Trimesh)
    body.fill_holes()
    return body


def units_table(scans: Path) -> str:
    """What `units: auto` decides on every clean scan, saved in each unit."""
    rows = ["| in | right | asks | wrong |", "|---|---|---|---|"]
    for unit, factor in UNITS.items():
        verdicts = []
        for path in sorted((scans / "clean").iterdir()):
            mesh = trimesh.load(path, force="mesh", process=False)
            assert isinstance(mesh, trimesh.Trimesh)
            with tempfile.TemporaryDirectory() as folder:
                copy = Path(folder) / path.name
                mesh.apply_scale(factor).export(copy)
                try:
                    verdicts.append(check(str(copy), ObjectOptions())["units"] == unit)
                except AssetError as error:
                    verdicts.append("asks" if "which may be" in str(error) else False)
        counted = [sum(v is kind or v == kind for v in verdicts) for kind in (True, "asks", False)]
        rows.append(f"| {unit} | {' | '.join(map(str, counted))} |")
    return "\n".join(rows)


def counts(asset: ObjectAsset) -> str:
    """Number of pieces, and of their vertices."""
    return f"{len(asset.pieces)} ({sum(len(p) for p in asset.pieces)})"


def chamfer(asset: ObjectAsset, name: str) -> str:
    """Mean and 95th percentile, both ways, of the distance between scan and true surface."""
    sys.path.insert(0, str(ROOT / "r2s_envs/objects/scripts"))
    try:
        from shapes import SHAPES  # pyright: ignore[reportMissingImports]
    except ImportError:
        return "| "
    solid = SHAPES[name]()
    true = np.asarray(solid.vertices) @ asset.scan_to_body[:3, :3].T + asset.scan_to_body[:3, 3]
    clouds = [
        surface_points(true, np.asarray(solid.faces), 0.0007),
        surface_points(asset.visual_vertices, asset.visual_faces, 0.0007),
    ]
    there, back = (KDTree(a).query(b)[0] for a, b in (clouds, clouds[::-1]))
    far = max(np.percentile(there, 95), np.percentile(back, 95))
    return f"{(there.mean() + back.mean()) / 2 * 1000:.2f} | {far * 1000:.2f}"


if __name__ == "__main__":
    main()
