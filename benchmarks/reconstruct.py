"""Measures `r2s object reconstruct`: known shapes under simulated cameras, and real clouds.

    python benchmarks/reconstruct.py [--scans ../shared/scans] [--open3d PYTHON]

--open3d: an interpreter with Open3D installed, to compare with; not one of r2s's dependencies.
The sample shapes need scikit-image.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import trimesh
from depth_cameras import View, fused, intrinsics, scan
from PIL import Image
from scipy.spatial import KDTree

from r2s_core.errors import AssetError
from r2s_envs_objects.reconstruct import source
from r2s_envs_objects.reconstruct.cloud import PointCloud
from r2s_envs_objects.reconstruct.pipeline import reconstruct
from r2s_envs_objects.reconstruct.segment import split_scene

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "r2s_envs/objects/scripts"))
SCANNED = ("ycb_cracker_box.stl", "ycb_banana.ply", "ycb_power_drill.stl", "ycb_mug.obj",
           "gso_dino.obj", "gso_utensil_holder.ply", "ycb_mustard_bottle.obj",
           "gso_boat_shoe.ply", "gso_hammer.stl", "ycb_bowl.ply", "ycb_large_clamp.ply",
           "ycb_foam_brick.stl", "ycb_tomato_soup_can.stl")  # fmt: skip
COUNTS_PER_METRE = 10_000
SAMPLES = 30_000
BASE = 0.001  # m above the table, below which surfaces are not compared: they were not seen
HEAD = """# Point clouds and depth images to meshes

`python benchmarks/reconstruct.py --open3d PYTHON` on {machine}. CPU seconds, one core, reading
files included. Simulated: 12 views of 200 x 200 pixels from 12, 35 and 62 degrees above a table,
0.8 mm noise, 1 % outliers, grazing pixels lost, underside unseen. Volume: error against the true
solid. Chamfer: mean of both directions, mm, without the underside; about 0.3 mm of it is the
distance between random samples. Unseen: fraction of the surface with no points near.

* depth folder: 16-bit PNG, poses and masks, as `r2s object reconstruct FOLDER --support 0`.
* bare cloud: the same points as a PLY file without normals or viewpoints, table not given.
* Open3D: Poisson of depth 7 (0.20, 903 MB) with normals oriented to the *known* viewpoints, cut at
  the *known* table. In brackets: before the cut.
"""


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scans", type=Path, default=ROOT.parent / "shared" / "scans")
    parser.add_argument("--open3d", metavar="PYTHON", help="interpreter that has open3d")
    parser.add_argument("--shapes", nargs="*", help="only these of the simulated shapes")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".md"))
    arguments = parser.parse_args()
    lines = [HEAD.format(machine=platform.processor() or platform.machine())]
    lines += ["\n## Simulated scans\n", simulated_table(arguments)]
    if arguments.scans.is_dir():
        lines += ["\n## Real sensors\n", real_table(arguments.scans)]
    arguments.output.write_text("\n".join(lines) + "\n")
    print(arguments.output.read_text())


def solids(scans: Path) -> dict[str, trimesh.Trimesh]:
    """Closed shapes standing on z = 0, m."""
    from shapes import SHAPES  # pyright: ignore[reportMissingImports]

    found = {name: make() for name, make in SHAPES.items()}
    for name in SCANNED if scans.is_dir() else ():
        mesh = trimesh.load(scans / "clean" / name, force="mesh")
        assert isinstance(mesh, trimesh.Trimesh)
        parts = mesh.split(only_watertight=False)
        body = max(parts, key=lambda part: part.area)
        low, high = body.bounds
        body.apply_translation([-(low + high)[0] / 2, -(low + high)[1] / 2, -low[2]])
        found[Path(name).stem] = body
    return found


def simulated_table(arguments: argparse.Namespace) -> str:
    """Every known shape, from depth images, as a bare cloud, and by Open3D."""
    rows = [
        "| shape | depth folder: volume | Chamfer | unseen | s | bare cloud: volume | Chamfer | s "
        "| Open3D: volume | Chamfer | s |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    open3d = arguments.open3d
    for index, (name, solid) in enumerate(solids(arguments.scans).items()):
        if arguments.shapes and name not in arguments.shapes:
            continue
        views = scan([solid], np.random.default_rng(index))
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            write_depth_folder(folder, views)
            points, viewpoints = fused(views)
            trimesh.PointCloud(points).export(folder / "cloud.ply")
            np.savez(folder / "cloud.npz", points=points, viewpoints=viewpoints)
            cells = [name, *ours(folder, solid, True), *ours(folder / "cloud.ply", solid, False)]
            cells += theirs(folder, open3d, solid) if open3d else [""] * 3
        rows.append(f"| {' | '.join(cells)} |")
        print(rows[-1], flush=True)
    return "\n".join(rows)


def write_depth_folder(folder: Path, views: list[View]) -> None:
    """Save the views in the documented format."""
    matrix, frames = intrinsics(), []
    for index, view in enumerate(views):
        counts = np.clip(np.rint(view.depth * COUNTS_PER_METRE), 0, 65535).astype(np.uint16)
        Image.fromarray(counts).save(folder / f"{index:03d}.png")
        mask = (view.on_object * 255).astype(np.uint8)
        Image.fromarray(mask).save(folder / f"{index:03d}_mask.png")
        frames.append(
            {
                "depth": f"{index:03d}.png",
                "mask": f"{index:03d}_mask.png",
                "camera_to_world": view.camera_to_world.tolist(),
            }
        )
    lens = dict(zip(("fx", "fy", "cx", "cy"), matrix[[0, 1, 0, 1], [0, 1, 2, 2]], strict=True))
    settings = {"depth_scale": 1 / COUNTS_PER_METRE, "intrinsics": lens, "frames": frames}
    (folder / "cameras.json").write_text(json.dumps(settings))


def ours(path: Path, solid: trimesh.Trimesh, table_known: bool) -> list[str]:
    """Volume error, Chamfer distance, seconds; with a known table also the unseen fraction."""
    start = time.process_time()
    try:
        cloud, _ = source.read(path, "m", None)
        result = reconstruct(cloud, path.name, support=0.0 if table_known else None)
    except AssetError as error:
        return [str(error), *[""] * (3 if table_known else 2)]
    seconds = time.process_time() - start
    kind = "" if result.kind == "closed" else f" ({result.kind})"
    cells = [f"{result.volume / solid.volume - 1.0:+.1%}{kind}"]
    cells.append(f"{chamfer(result.vertices, result.faces, solid):.2f}")
    cells += [f"{result.unseen:.0%}"] if table_known else []
    return [*cells, f"{seconds:.1f}"]


def theirs(folder: Path, python: str, solid: trimesh.Trimesh) -> list[str]:
    """The same for Open3D's mesh, cut at z = 0."""
    script, result = Path(__file__).with_name("open3d_poisson.py"), folder / "open3d.npz"
    command = [python, str(script), str(folder / "cloud.npz"), str(result)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with np.load(result) as file:
        mesh = trimesh.Trimesh(file["vertices"], file["faces"], process=False)
        seconds = float(file["seconds"])
    plane = np.array([0.0, 0.0, 1.0]), np.zeros(3)
    sliced = trimesh.intersections.slice_faces_plane(mesh.vertices, mesh.faces, *plane)
    cut = trimesh.Trimesh(sliced[0], sliced[1], process=False)
    # Tetrahedra with a corner in the plane of the cut: the cut's lid adds nothing.
    corners = cut.vertices[cut.faces]
    volume = np.linalg.det(corners).sum() / 6.0
    error, uncut = volume / solid.volume - 1.0, mesh.volume / solid.volume - 1.0
    distance = chamfer(np.asarray(cut.vertices), np.asarray(cut.faces), solid)
    return [f"{error:+.1%} ({uncut:+.0%})", f"{distance:.2f}", f"{seconds:.1f}"]


def chamfer(vertices: np.ndarray, faces: np.ndarray, solid: trimesh.Trimesh) -> float:
    """Mean distance of the surfaces above the table, both ways, mm."""
    clouds = []
    for mesh in (trimesh.Trimesh(vertices, faces, process=False), solid):
        points = trimesh.sample.sample_surface(mesh, SAMPLES, seed=0)[0]
        clouds.append(points[points[:, 2] > BASE])
    there, back = (KDTree(a).query(b)[0] for a, b in (clouds, clouds[::-1]))
    return float(there.mean() + back.mean()) / 2 * 1000


def real_table(scans: Path) -> str:
    """The results for the real clouds and depth images."""
    rows = [
        "| source | objects | kind | size mm | volume cm3 | fit mm | s | said |",
        "|---|---|---|---|---|---|---|---|",
    ]
    cases = [(path, False) for path in sorted((scans / "clouds").iterdir())]
    cases += [(path, True) for path, _ in cases if "scene" in path.name]
    cases += [(scans / "rgbd", False), (scans / "dirty" / "lying_pcd_header.pcd", False)]
    for path, segment in cases:
        start = time.process_time()
        name = path.name + (" --segment" if segment else "")
        try:
            cloud, _ = source.read(path, "auto", None)
            parts: list[PointCloud] = [cloud]
            if segment:
                parts = split_scene(cloud, np.array([0.0, 0.0, 1.0]), path.name).objects
            support = 0.0 if segment else None
            results = [reconstruct(part, path.name, support=support) for part in parts]
        except AssetError as error:
            message = str(error).replace(str(path), "").lstrip(": ")
            rows.append(f"| {name} | | | | | | | refused: {message} |")
            continue
        seconds = time.process_time() - start
        for result in results:
            size = " x ".join(f"{1000 * x:.0f}" for x in np.ptp(result.vertices, axis=0))
            said = "; ".join(f.what for f in result.findings if f.severity == "warning") or "-"
            rows.append(
                f"| {name} | {len(results)} | {result.kind} | {size} | {result.volume * 1e6:.0f} "
                f"| {result.fit * 1000:.2f} | {seconds:.1f} | {said} |"
            )
    return "\n".join(rows)


if __name__ == "__main__":
    main()
