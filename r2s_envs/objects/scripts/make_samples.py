"""Makes the sample scans: known solids, scanned by simulated depth cameras, then reconstructed.

    pip install scikit-image && python r2s_envs/objects/scripts/make_samples.py

Each solid stands on a table. Twelve depth cameras look at it from above and from the side. Every
pixel gets 0.8 mm of noise, 1 % of them a wrong depth; grazing pixels, random ones and those on
three glossy spots are lost. The images, with the table masked, are fused into a truncated signed
distance field (what was never seen free counts as solid), and its zero level where something was
seen is the scan: noisy, with holes and stray flakes, and cut off at the table, as no camera saw
the underside. Nothing is cleaned up.
"""

from __future__ import annotations

import json
from pathlib import Path

import mujoco
import numpy as np
import trimesh
from scipy.ndimage import map_coordinates
from shapes import SHAPES
from skimage.measure import marching_cubes

OUTPUT = Path(__file__).parents[1] / "src/r2s_envs_objects/samples"
PLY = ("carton", "can", "soap", "dumbbell", "mallet")  # the others are STL, so that both are met
VIEWS, PIXELS, FIELD_OF_VIEW, DISTANCE = 12, 160, np.radians(24.0), 0.40
NOISE, OUTLIERS, DROPOUT, GRAZING = 0.0008, 0.01, 0.02, 0.2
SPOTS, SPOT_RADIUS = 3, 0.005
VOXEL, TRUNCATION = 0.0026, 0.006
FREE_WEIGHT = 0.1
BASE = 0.012  # m, up to here unseen surface is closed down to the table, as a plane cut does
SEEN = 1.5  # observations that a piece of surface needs


def main() -> None:
    """Write every sample and truth.json."""
    truth = {}
    for seed, (name, make) in enumerate(SHAPES.items()):
        solid = make()
        depths, cameras = depth_images(solid, np.random.default_rng(seed))
        scan = fuse(depths, cameras, solid.bounds)
        path = OUTPUT / f"{name}.{'ply' if name in PLY else 'stl'}"
        scan.export(path)
        truth[name] = {
            "shape": " ".join((make.__doc__ or "").split()),
            "simulated": f"{VIEWS} depth views of {PIXELS} x {PIXELS} pixels, "
            f"{NOISE * 1000:g} mm noise, {OUTLIERS:.0%} outliers, {DROPOUT:.0%} dropouts, "
            f"{SPOTS} lost spots, underside unseen, {VOXEL * 1000:g} mm voxels",
            "volume_m3": float(solid.volume),
            "com_m": solid.center_mass.tolist(),
            "inertia_of_density_1_kgm2": solid.moment_inertia.tolist(),
            "extents_m": solid.extents.tolist(),
        }
        print(f"{path.name}: {len(scan.faces)} faces, {path.stat().st_size / 1024:.0f} KiB")
    (OUTPUT / "truth.json").write_text(json.dumps(truth, indent=1) + "\n")


def camera_poses() -> list[tuple[np.ndarray, np.ndarray]]:
    """Positions relative to the target, and rotations whose columns are right, up, backward."""
    poses = []
    for i in range(VIEWS):
        turn = 2.0 * np.pi * i / VIEWS * 5  # alternates sides
        height = np.radians((12.0, 35.0, 62.0)[i % 3])
        back = np.array(
            [np.cos(turn) * np.cos(height), np.sin(turn) * np.cos(height), np.sin(height)]
        )
        right = np.cross([0.0, 0.0, 1.0], back)
        right /= np.linalg.norm(right)
        poses.append((back * DISTANCE, np.stack([right, np.cross(back, right), back], axis=1)))
    return poses


def depth_images(solid: trimesh.Trimesh, rng: np.random.Generator):
    """Depth along the optical axis [V, P, P]: NaN where lost, inf where the table or nothing is.

    Also the cameras: (position, rotation) each.
    """
    spec = mujoco.MjSpec()
    # Coordinates as given: the compiler would otherwise centre the mesh.
    spec.add_mesh(
        name="solid",
        uservert=np.asarray(solid.vertices, np.float32).ravel(),
        userface=np.asarray(solid.faces, np.int32).ravel(),
        inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_EXACT,
    )
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname="solid")
    model = spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)

    spots = trimesh.sample.sample_surface(solid, SPOTS, seed=int(rng.integers(2**31)))[0]
    target = np.array([0.0, 0.0, solid.bounds[:, 2].mean()])
    grid = (np.arange(PIXELS) + 0.5) / PIXELS * 2.0 - 1.0
    x, y = np.meshgrid(grid * np.tan(FIELD_OF_VIEW / 2), -grid * np.tan(FIELD_OF_VIEW / 2))
    rays = np.stack([x, y, -np.ones_like(x)], axis=-1)
    depths, cameras = [], []
    for offset, rotation in camera_poses():
        position = target + offset
        world = rays @ rotation.T
        unit = np.linalg.norm(world, axis=-1, keepdims=True)
        hit = np.full(PIXELS**2, -1, np.int32)
        reach, normal = np.empty(PIXELS**2), np.empty(PIXELS**2 * 3)
        mujoco.mj_multiRay(
            model, data, position, (world / unit).ravel(), None, True, -1, hit, reach,
            normal, PIXELS**2, 10.0,
        )  # fmt: skip
        depth = np.where(hit >= 0, reach, np.inf).reshape(PIXELS, PIXELS) / unit[..., 0]
        on_solid = np.isfinite(depth)
        points = position + world * np.where(on_solid, depth, 0.0)[..., None]
        facing = np.abs((normal.reshape(world.shape) * world / unit).sum(axis=-1))
        depth = depth + rng.normal(0.0, NOISE, depth.shape)
        wrong = on_solid & (rng.random(depth.shape) < OUTLIERS)
        depth[wrong] += rng.uniform(-0.03, 0.03, int(wrong.sum()))
        lost = on_solid & ((rng.random(depth.shape) < DROPOUT) | (facing < GRAZING))
        for spot in spots:
            lost |= on_solid & (np.linalg.norm(points - spot, axis=-1) < SPOT_RADIUS)
        depth[lost] = np.nan
        depths.append(depth)
        cameras.append((position, rotation))
    return depths, cameras


def fuse(depths, cameras, bounds: np.ndarray) -> trimesh.Trimesh:
    """The surface of the fused signed distance where it was seen, cut at the table z = 0."""
    low = np.array([bounds[0, 0] - 0.012, bounds[0, 1] - 0.012, 0.0])
    count = np.ceil((bounds[1] + 0.012 - low) / VOXEL).astype(int)
    axes = [low[i] + VOXEL * np.arange(count[i]) for i in range(3)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    total, weight, surface_views = np.zeros((3, *count))
    for depth, (position, rotation) in zip(depths, cameras, strict=True):
        local = (points - position) @ rotation
        scale = PIXELS / 2 / np.tan(FIELD_OF_VIEW / 2) / -local[..., 2]
        column = np.round(local[..., 0] * scale + PIXELS / 2 - 0.5).astype(int)
        row = np.round(-local[..., 1] * scale + PIXELS / 2 - 0.5).astype(int)
        inside = (column >= 0) & (column < PIXELS) & (row >= 0) & (row < PIXELS)
        measured = depth[row.clip(0, PIXELS - 1), column.clip(0, PIXELS - 1)]
        signed = np.where(inside, measured, np.nan) + local[..., 2]
        # Comparisons with NaN are false: nothing is learnt behind a lost pixel. Free space counts
        # less, or it would eat into surfaces: behind them, beyond the truncation, nobody votes.
        surface, free = np.abs(signed) < TRUNCATION, signed >= TRUNCATION
        vote = surface + FREE_WEIGHT * free
        total += vote * np.where(vote > 0, np.minimum(signed, TRUNCATION), 0.0)
        weight += vote
        surface_views += surface
    field = np.where(weight > 0, total / np.maximum(weight, 1e-9), -TRUNCATION)
    # A layer of outside under the table; what it makes is pressed flat onto z = 0 below.
    field = np.concatenate([np.full_like(field[:, :, :1], TRUNCATION), field], axis=2)
    vertices, faces, _, _ = marching_cubes(field, 0.0)
    seen = map_coordinates(surface_views, (vertices - [0, 0, 1]).T, order=1, mode="nearest")
    vertices = low + (vertices - [0, 0, 1]) * VOXEL
    vertices[:, 2] = vertices[:, 2].clip(0.0)
    at_table = vertices[:, 2] < BASE
    kept = ((seen >= SEEN) | at_table)[faces].all(axis=1)
    return trimesh.Trimesh(vertices, faces[kept], process=False)


if __name__ == "__main__":
    main()
