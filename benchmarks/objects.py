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
from scipy.spatial import KDTree

from r2s_core.errors import AssetError
from r2s_envs_objects import ObjectAsset, ObjectOptions, load_object, samples
from r2s_envs_objects.cost import cost_ratio, cpu_seconds
from r2s_envs_objects.grasp import WIDEST, surface_points

ROOT = Path(__file__).resolve().parents[1]
HEAD = """# Objects: time, fidelity, cost

`python benchmarks/objects.py` on {machine}. Times are processor seconds of all threads, which a
busy host changes little. Load: from the raw file; cached: the same again. IoU: overlap of the
convex pieces' union with the closed scan. Cost: physics steps/s of two 10 N pads squeezing the
object, over the same with a box of its size (8 ms, elliptic cones, impratio 10); 1 is as fast as
a box, and a few tenths are chance: the contacts that form differ from hull to hull.
"""


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scans", type=Path, default=ROOT.parent / "shared" / "scans")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".md"))
    arguments = parser.parse_args()
    lines = [HEAD.format(machine=f"{platform.processor() or platform.machine()}")]
    lines += ["\n## Sample scans against what was scanned\n", sample_table()]
    lines += ["\n## Hull budget on `sample:bottle`\n", budget_table()]
    if arguments.scans.is_dir():
        for folder in ("clean", "dirty"):
            lines += [f"\n## `scans/{folder}`\n", scan_table(arguments.scans / folder)]
    arguments.output.write_text("\n".join(lines) + "\n")
    print(arguments.output.read_text())


def timed(source: str | Path, options: ObjectOptions) -> tuple[ObjectAsset, float, float]:
    """The asset, and the seconds of a first and of a second load."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["R2S_CACHE_DIR"] = folder
        start = cpu_seconds()
        load_object(source, options)
        between = cpu_seconds()
        asset = load_object(source, options)
        return asset, between - start, cpu_seconds() - between


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
            f"| {name} | {first:.2f} | {second:.3f} | {counts(asset)} | {iou(asset)} "
            f"| {volume:+.1%} | {worst:.1%} | {chamfer(asset, name)} | {cost_ratio(asset):.2f} |"
        )
    return "\n".join(rows)


def budget_table() -> str:
    """What fewer hull vertices lose and gain."""
    rows = ["| max_hull_vertices | used | IoU | cost |", "|---|---|---|---|"]
    for budget in (16, 24, 32, 48, 64):
        asset, _, _ = timed("sample:bottle", ObjectOptions(max_hull_vertices=budget))
        rows.append(f"| {budget} | {counts(asset)} | {iou(asset)} | {cost_ratio(asset):.2f} |")
    return "\n".join(rows)


def scan_table(folder: Path) -> str:
    """Every file of a folder: loaded (forced, where only the gripper objects) or refused."""
    rows = [
        "| file | load s | cached s | volume cm3 | pieces (vertices) | IoU | grasp mm | cost "
        "| verdict |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for path in sorted(folder.iterdir()):
        start = cpu_seconds()
        try:
            asset, first, second = timed(path, ObjectOptions(force=True))
        except AssetError as error:
            message = str(error).replace(str(path), "").lstrip(": ")
            seconds = cpu_seconds() - start
            rows.append(f"| {path.name} | {seconds:.2f} | | | | | | | refused: {message} |")
            continue
        notes = [f.what for f in asset.findings if f.severity == "warning"]
        if asset.grasp_width > WIDEST:
            notes.insert(0, "refused unless forced: too wide for the gripper")
        verdict = "; ".join(notes) or "ok"
        rows.append(
            f"| {path.name} | {first:.2f} | {second:.3f} | {asset.volume * 1e6:.1f} "
            f"| {counts(asset)} | {iou(asset)} | {asset.grasp_width * 1000:.0f} "
            f"| {cost_ratio(asset):.2f} | {verdict} |"
        )
    return "\n".join(rows)


def counts(asset: ObjectAsset) -> str:
    """Number of pieces, and of their vertices."""
    return f"{len(asset.pieces)} ({sum(len(p) for p in asset.pieces)})"


def iou(asset: ObjectAsset) -> str:
    """What the pipeline found, or a dash where the scan touches itself."""
    for finding in asset.findings:
        _, _, value = finding.what.partition("intersection over union ")
        if value:
            return value
    return "-"


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
