"""Invariants of every object: files are untrusted, and must not break the physics."""

from __future__ import annotations

import math

import numpy as np

from r2s_envs_objects.asset import ObjectAsset
from r2s_envs_objects.materials import implausible

PIECES, PIECE_VERTICES = 256, 1024  # at most; ours have 128 and 256
VERTICES, FACES = 2_000_000, 4_000_000  # of the visual mesh, at most
LARGEST, THINNEST = 100.0, 1e-6  # m; THINNEST: least thickness of a solid
HEAVIEST = 10_000.0  # kg
_COMPACT = 0.03  # least radius of gyration, of the longest side; that of a ball is 0.32
_SHAPES = {"com": (3,), "size": (3,), "inertia": (3, 3), "scan_to_body": (4, 4)}


def require_sound(asset: ObjectAsset) -> ObjectAsset:
    """The asset; ValueError, saying what is wrong, if it cannot be an object's."""
    _require_arrays(asset)
    _require_mesh(asset)
    _require_mass(asset)
    _require_poses(asset)
    return asset


def _require(holds: bool | np.bool_, what: str) -> None:
    if not holds:
        raise ValueError(what)


def _require_arrays(asset: ObjectAsset) -> None:
    points = [asset.visual_vertices, *asset.pieces]
    shaped = [getattr(asset, name) for name in _SHAPES]
    shapes = "arrays of other shapes than an object's"
    _require(all(a.ndim == 2 and a.shape[1] == 3 for a in [*points, asset.visual_faces]), shapes)
    _require(all(a.shape == s for a, s in zip(shaped, _SHAPES.values(), strict=True)), shapes)
    types = "arrays of other types than an object's"
    _require(all(a.dtype == np.float64 for a in [*points, *shaped]), types)
    _require(asset.visual_faces.dtype == np.int64, types)
    values = "values that no object has"
    _require(all(np.isfinite(a).all() for a in [*points, *shaped]), values)
    _require(all(np.abs(a).max(initial=0.0) <= LARGEST for a in [*points, asset.com]), values)
    _require((asset.size > 0.0).all(), values)


def _require_mesh(asset: ObjectAsset) -> None:
    _require(0 < len(asset.pieces) <= PIECES, f"not 1 to {PIECES} pieces")
    solid = (4 <= len(p) <= PIECE_VERTICES and _thickness(p) >= THINNEST for p in asset.pieces)
    _require(all(solid), "a piece without volume, or of too many vertices")
    vertices, faces = asset.visual_vertices, asset.visual_faces
    _require(4 <= len(vertices) <= VERTICES and 4 <= len(faces) <= FACES, "no mesh for pictures")
    _require(_thickness(vertices) >= THINNEST, "a flat mesh for pictures")
    _require(faces.min() >= 0 and faces.max() < len(vertices), "a face without its vertices")
    matrix = asset.scan_to_body
    turns = np.linalg.det(matrix[:3, :3]) > 0.0 and np.array_equal(matrix[3], [0, 0, 0, 1])
    _require(turns, "scan_to_body: no rotation, scale and shift")


def _thickness(points: np.ndarray) -> float:
    """m: the extent of points [n, 3] in their thinnest direction."""
    spread = np.cov(points.T)
    return math.sqrt(max(float(np.linalg.eigvalsh(spread)[0]), 0.0))


def _require_mass(asset: ObjectAsset) -> None:
    _require(0.0 < asset.mass <= HEAVIEST and asset.volume > 0.0, "values that no object has")
    for name in ("mass_range", "friction_range"):
        low, high = getattr(asset, name)
        _require(0.0 < low <= high, f"{name}: not from a smaller to a larger number above 0")
    _require(asset.friction > 0.0, "friction: not above 0")
    inertia = asset.inertia
    _require(
        np.allclose(inertia, inertia.T, atol=1e-6 * np.abs(inertia).max()), "inertia: not symmetric"
    )
    low, middle, high = np.linalg.eigvalsh(inertia)
    _require(low > 0.0 and low + middle >= high * (1.0 - 1e-6), "inertia: of no solid")
    why = implausible(asset.mass, asset.volume)
    _require(why is None, f"mass: {why}")
    gyration = math.sqrt(high / asset.mass) / float(asset.size.max())
    _require(_COMPACT <= gyration <= 1.0, "inertia: not that of its mass and size")


def _require_poses(asset: ObjectAsset) -> None:
    for pose in (asset.resting_qpos, *asset.resting_poses):
        unit = math.isclose(math.hypot(*pose.quat), 1.0, abs_tol=1e-3)
        _require(unit and 0.0 < pose.height <= LARGEST, "a resting pose that is none")
        _require(0.0 <= pose.probability <= 1.0, "a probability that is none")
    _require(0.0 <= asset.grasp_share <= 1.0, "grasp_share: not 0 to 1")
    grips = (asset.grasp_width, asset.grasp_height, asset.grasp_offset, asset.grasp_across)
    _require(all(abs(length) <= LARGEST for length in grips), "a grasp beyond the object")
