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

    return _blobs(parts, 0.0015, np.array([0.05, 0.03, 0.08]))


def can() -> trimesh.Trimesh:
    """A drink can, 56 mm across and 88 mm tall, narrowed at both ends."""
    radius = [0.0215, 0.0240, 0.0272, 0.0280, 0.0280, 0.0280, 0.0262, 0.0240, 0.0232]
    height = [0.0000, 0.0015, 0.0060, 0.0110, 0.0420, 0.0740, 0.0820, 0.0865, 0.0880]
    return _loft(np.array([[h, r, r, 2.0] for h, r in zip(height, radius, strict=True)]))


def soap() -> trimesh.Trimesh:
    """A bar of soap, 88 x 54 x 30 mm, rounded all around."""
    height = 0.030 * (1.0 - np.cos(np.linspace(0.0, np.pi, 14))) / 2.0
    bulge = np.maximum(1.0 - np.abs(height / 0.015 - 1.0) ** 3.0, 0.0) ** (1.0 / 3.0)
    share = 0.72 + 0.28 * bulge
    return _loft(
        np.array([[h, 0.044 * k, 0.027 * k, 3.0] for h, k in zip(height, share, strict=True)])
    )


def pear() -> trimesh.Trimesh:
    """A pear, about 60 x 60 x 84 mm, standing on a flat of its round bottom."""
    parts = [((0.0, 0.0, 0.026), (0.030, 0.030, 0.030)), ((0.004, 0.0, 0.064), (0.016,) * 3)]
    return _blobs(parts, 0.006, np.array([0.04, 0.04, 0.095]))


def dumbbell() -> trimesh.Trimesh:
    """A toy dumbbell that lies on the table, 104 mm long: two balls of 42 mm and a bar."""
    parts = [
        ((-0.031, 0.0, 0.0195), (0.021,) * 3),
        ((0.031, 0.0, 0.0195), (0.021,) * 3),
        ((0.0, 0.0, 0.0195), (0.034, 0.010, 0.010)),
    ]
    return _blobs(parts, 0.0015, np.array([0.06, 0.03, 0.05]))


def cheese() -> trimesh.Trimesh:
    """A wedge of cheese, 84 x 50 x 42 mm, its edges rounded by 3 mm."""

    def distance(p: np.ndarray) -> np.ndarray:
        x, y, z = p[..., 0] + 0.036, np.abs(p[..., 1]), p[..., 2]
        slope = np.hypot(0.025, 0.084)
        side = (0.084 * y - 0.025 * x) / slope
        return np.maximum.reduce([side, x - 0.084, z - 0.042, -z])

    return _from_distance(distance, np.array([0.055, 0.03, 0.045]), rounding=0.003)


def mallet() -> trimesh.Trimesh:
    """A wooden mallet that lies on the table: head 34 x 62 x 32 mm, handle 22 mm across."""

    def distance(p: np.ndarray) -> np.ndarray:
        x, y, z = p[..., 0], p[..., 1], p[..., 2]
        head = np.maximum.reduce([np.abs(x + 0.035) - 0.017, np.abs(y) - 0.031, z - 0.032, -z])
        handle = np.maximum(np.hypot(y, z - 0.014) - 0.011, np.abs(x - 0.025) - 0.045)
        return np.minimum(head, handle)

    return _from_distance(distance, np.array([0.075, 0.036, 0.036]), rounding=0.002)


#: The order is that of the random seeds of their scans.
SHAPES = {
    "bottle": bottle,
    "carton": carton,
    "duck": duck,
    "can": can,
    "soap": soap,
    "pear": pear,
    "dumbbell": dumbbell,
    "cheese": cheese,
    "mallet": mallet,
}


def _blobs(parts, softness: float, half: np.ndarray) -> trimesh.Trimesh:
    """Ellipsoids (centre, semi-axes; m) joined smoothly, standing on a flat cut at z = 0."""

    def distance(p: np.ndarray) -> np.ndarray:
        total = np.zeros(p.shape[:-1])
        for centre, axes in parts:
            r = np.linalg.norm((p - centre) / axes, axis=-1)
            total += np.exp(-(r - 1.0) * min(axes) / softness)
        return np.maximum(-softness * np.log(np.maximum(total, 1e-30)), -p[..., 2])

    return _from_distance(distance, half)


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
