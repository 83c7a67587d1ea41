"""Simulated depth cameras around an object on a table, for `reconstruct.py`.

Like r2s_envs/objects/scripts/make_samples.py, but for objects of any size, and with images and
poses kept, so that they can be written as a depth folder.
"""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np
import trimesh

VIEWS, PIXELS, FIELD_OF_VIEW = 12, 200, np.radians(30.0)
NOISE, OUTLIERS, GRAZING = 0.0008, 0.01, 0.15
OUTLIER_RANGE = 0.03  # m


@dataclasses.dataclass
class View:
    """depth [P, P] along the axis, m, 0 where lost; on_object [P, P]; camera_to_world [4, 4].

    The camera looks along its +z, x to the right of the image and y down.
    """

    depth: np.ndarray
    on_object: np.ndarray
    camera_to_world: np.ndarray


def intrinsics() -> np.ndarray:
    """[3, 3] of every view."""
    focal = PIXELS / 2 / np.tan(FIELD_OF_VIEW / 2)
    return np.array([[focal, 0, PIXELS / 2 - 0.5], [0, focal, PIXELS / 2 - 0.5], [0, 0, 1.0]])


def scan(solids: list[trimesh.Trimesh], rng: np.random.Generator) -> list[View]:
    """Views from twelve sides, from 12, 35 and 62 degrees above the table z = 0."""
    spec = mujoco.MjSpec()
    for i, solid in enumerate(solids):
        spec.add_mesh(
            name=f"solid{i}",
            uservert=np.asarray(solid.vertices, np.float32).ravel(),
            userface=np.asarray(solid.faces, np.int32).ravel(),
            inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL,
        )
        spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname=f"solid{i}")
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=[5, 5, 1])
    model = spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    corners = np.concatenate([solid.bounds for solid in solids])
    low, high = corners.min(axis=0), corners.max(axis=0)
    target = (low + high) / 2
    distance = 0.6 * float(np.linalg.norm(high - low)) / np.tan(FIELD_OF_VIEW / 2)
    return [_view(model, data, target, distance, i, rng) for i in range(VIEWS)]


def _view(model, data, target, distance, index, rng) -> View:
    turn = 2.0 * np.pi * index / VIEWS * 5
    height = np.radians((12.0, 35.0, 62.0)[index % 3])
    back = np.array([np.cos(turn) * np.cos(height), np.sin(turn) * np.cos(height), np.sin(height)])
    right = np.cross([0.0, 0.0, 1.0], back)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(right, back), -back], axis=1)
    pose[:3, 3] = target + distance * back
    rays = rays_of(intrinsics(), PIXELS, PIXELS)
    world = rays @ pose[:3, :3].T
    unit = np.linalg.norm(world, axis=-1, keepdims=True)
    count = PIXELS**2
    hit, reach, normal = np.full(count, -1, np.int32), np.empty(count), np.empty(count * 3)
    mujoco.mj_multiRay(
        model, data, pose[:3, 3], (world / unit).ravel(), None, True, -1, hit, reach, normal,
        count, 10.0,
    )  # fmt: skip
    on_something = (hit >= 0).reshape(PIXELS, PIXELS)
    depth = np.where(on_something, reach.reshape(PIXELS, PIXELS) / unit[..., 0], 0.0)
    facing = np.abs((normal.reshape(world.shape) * world / unit).sum(axis=-1))
    depth = depth + on_something * rng.normal(0.0, NOISE, depth.shape)
    wrong = on_something & (rng.random(depth.shape) < OUTLIERS)
    depth[wrong] += rng.uniform(-OUTLIER_RANGE, OUTLIER_RANGE, int(wrong.sum()))
    depth[facing < GRAZING] = 0.0
    on_object = (hit >= 0) & (hit < model.ngeom - 1)
    return View(depth, on_object.reshape(PIXELS, PIXELS), pose)


def rays_of(matrix: np.ndarray, height: int, width: int) -> np.ndarray:
    """Directions [height, width, 3] of the pixels in the camera's frame, z = 1."""
    column, row = np.meshgrid(np.arange(width), np.arange(height))
    x = (column - matrix[0, 2]) / matrix[0, 0]
    y = (row - matrix[1, 2]) / matrix[1, 1]
    return np.stack([x, y, np.ones_like(x)], axis=-1)


def fused(views: list[View]) -> tuple[np.ndarray, np.ndarray]:
    """Points [n, 3] on objects of all views, and from where each was seen [n, 3]."""
    rays = rays_of(intrinsics(), PIXELS, PIXELS)
    points, origins = [], []
    for view in views:
        kept = view.on_object & (view.depth > 0.0)
        local = rays[kept] * view.depth[kept][:, None]
        points.append(local @ view.camera_to_world[:3, :3].T + view.camera_to_world[:3, 3])
        origins.append(np.broadcast_to(view.camera_to_world[:3, 3], points[-1].shape))
    return np.concatenate(points), np.concatenate(origins)
