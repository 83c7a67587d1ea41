"""The solids that `make_samples.py` scans: closed meshes, so their volume and inertia are known."""

from __future__ import annotations

import numpy as np
import trimesh
from skimage.measure import marching_cubes


def bottle() -> trimesh.Trimesh:
    """A squeeze bottle, 52 x 37 x 105 mm: oval body, soft shoulders, a round cap."""
    # height, half width, half depth (m), exponent of the superellipse (2: ellipse)
    rings = np.array(
        [
            [0.0000, 0.0230, 0.0155, 2.6],
            [0.0015, 0.0245, 0.0170, 2.6],
            [0.0050, 0.0256, 0.0181, 2.6],
            [0.0200, 0.0260, 0.0185, 2.6],
            [0.0450, 0.0257, 0.0182, 2.6],
            [0.0650, 0.0250, 0.0177, 2.5],
            [0.0780, 0.0232, 0.0167, 2.4],
            [0.0860, 0.0200, 0.0153, 2.2],
            [0.0920, 0.0160, 0.0138, 2.0],
            [0.0950, 0.0135, 0.0130, 2.0],
            [0.1030, 0.0122, 0.0122, 2.0],
            [0.1045, 0.0110, 0.0110, 2.0],
            [0.1050, 0.0095, 0.0095, 2.0],
        ]
    )
    return _loft(rings)


def carton() -> trimesh.Trimesh:
    """A small milk carton with a gable roof, 48 x 48 x 98 mm, its edges rounded by 3 mm."""

    def distance(p: np.ndarray) -> np.ndarray:
        x, y, z = np.abs(p[..., 0]), np.abs(p[..., 1]), p[..., 2]
        body = np.maximum.reduce([x - 0.024, y - 0.024, z - 0.098, -z])
        slope = np.hypot(0.024, 0.026)
        roof = (0.026 * (x - 0.024) + 0.024 * (z - 0.066)) / slope
        ridge = np.maximum(x - 0.004, z - 0.098)
        return np.maximum(body, np.minimum(roof, ridge))

    return _from_distance(distance, np.array([0.026, 0.026, 0.1]), rounding=0.003)


def duck() -> trimesh.Trimesh:
    """A bath toy, about 62 x 46 x 68 mm: body, head, beak and tail, not convex."""
    parts = [  # centre, semi-axes (m)
        ((0.0, 0.0, 0.014), (0.029, 0.022, 0.019)),
        ((0.009, 0.0, 0.041), (0.0175, 0.0165, 0.0175)),
        ((0.026, 0.0, 0.040), (0.008, 0.008, 0.0045)),
        ((-0.026, 0.0, 0.023), (0.010, 0.010, 0.008)),
    ]

    def distance(p: np.ndarray) -> np.ndarray:
        # Ellipsoids joined smoothly, standing on a flat cut at z = 0.
        total = np.zeros(p.shape[:-1])
        for centre, axes in parts:
            r = np.linalg.norm((p - centre) / axes, axis=-1)
            total += np.exp(-(r - 1.0) * min(axes) / 0.0015)
        return np.maximum(-0.0015 * np.log(np.maximum(total, 1e-30)), -p[..., 2])

    return _from_distance(distance, np.array([0.05, 0.03, 0.08]))


SHAPES = {"bottle": bottle, "carton": carton, "duck": duck}


def _loft(rings: np.ndarray, around: int = 96) -> trimesh.Trimesh:
    """A closed surface through superelliptic rings (height, half width, half depth, exponent)."""
    angle = np.linspace(0.0, 2.0 * np.pi, around, endpoint=False)
    c, s = np.cos(angle), np.sin(angle)
    power = 2.0 / rings[:, 3:4]
    x = rings[:, 1:2] * np.sign(c) * np.abs(c) ** power
    y = rings[:, 2:3] * np.sign(s) * np.abs(s) ** power
    z = np.broadcast_to(rings[:, :1], x.shape)
    hubs = [[0.0, 0.0, rings[0, 0]], [0.0, 0.0, rings[-1, 0]]]
    vertices = np.concatenate([np.stack([x, y, z], axis=-1).reshape(-1, 3), hubs])
    i = np.arange(around)
    j, last, bottom = (i + 1) % around, (len(rings) - 1) * around, len(rings) * around
    faces = [np.stack([np.full(around, bottom), j, i], axis=1)]
    for k in range(len(rings) - 1):
        low, high = k * around, (k + 1) * around
        faces.append(np.stack([low + i, low + j, high + j], axis=1))
        faces.append(np.stack([low + i, high + j, high + i], axis=1))
    faces.append(np.stack([np.full(around, bottom + 1), last + i, last + j], axis=1))
    return trimesh.Trimesh(vertices, np.concatenate(faces), process=False)


def _from_distance(distance, half: np.ndarray, rounding: float = 0.0) -> trimesh.Trimesh:
    """The zero level of a function of points [..., 3], sampled every 0.75 mm in a box."""
    step = 0.00075
    low = np.array([-half[0], -half[1], -0.004])
    high = np.array([half[0], half[1], half[2] + 0.004])
    axes = [np.arange(a, b, step) for a, b in zip(low, high, strict=True)]
    values = distance(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1))
    if rounding:
        # Shrunk and grown again by true distances: every convex edge becomes an arc.
        from scipy.ndimage import distance_transform_edt

        inner = values < -rounding
        values = np.asarray(distance_transform_edt(~inner, sampling=step)) - rounding
        values[inner] = -rounding
    vertices, faces, _, _ = marching_cubes(values, 0.0, spacing=(step,) * 3)
    mesh = trimesh.Trimesh(vertices + low, faces, process=False)
    return mesh if mesh.volume > 0 else trimesh.Trimesh(mesh.vertices, mesh.faces[:, ::-1])
