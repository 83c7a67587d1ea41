"""Polygons and strips to triangles."""

from __future__ import annotations

import numpy as np

from r2s_envs_objects.asset import Floats, Ints

MOST_TRIED = 64  # polygons of more corners are fanned from their first, without a search


def triangulated(corners: Ints, counts: Ints, vertices: Floats) -> Ints:
    """Triangles [m, 3] of polygons, fanned out from a corner that sees all others if there is one.

    corners [k]: the polygons' vertices, one polygon after the other, all valid indices into
    vertices [n, 3]; counts [p]: corners of each. Polygons of fewer than three are dropped.
    """
    starts = np.cumsum(counts) - counts
    parts = [np.zeros((0, 3), np.int64)]
    for size in np.unique(counts[counts >= 3]).tolist():
        polygons = corners[starts[counts == size][:, None] + np.arange(size)]
        if 3 < size <= MOST_TRIED:
            polygons = _turned(polygons, vertices)
        parts.append(_fan(polygons).reshape(-1, 3))
    return np.concatenate(parts)


def _fan(polygons: Ints) -> Ints:
    """[p, size] -> [p, size - 2, 3]."""
    first = np.broadcast_to(polygons[:, :1], polygons[:, 2:].shape)
    return np.stack([first, polygons[:, 1:-1], polygons[:, 2:]], axis=2)


def _turned(polygons: Ints, vertices: Floats) -> Ints:
    """The polygons, concave ones rotated to begin with the first corner whose fan does not fold."""
    polygons = polygons.copy()
    folded = np.flatnonzero(_folds(polygons, vertices))
    for _ in range(polygons.shape[1] - 1):
        if not len(folded):
            break
        polygons[folded] = np.roll(polygons[folded], -1, axis=1)
        folded = folded[_folds(polygons[folded], vertices)]
    return polygons


def _folds(polygons: Ints, vertices: Floats) -> np.ndarray:
    """Whether a triangle of a polygon's fan faces against the polygon as a whole."""
    with np.errstate(invalid="ignore", over="ignore"):  # damaged coordinates are reported later
        a, b, c = np.moveaxis(vertices[_fan(polygons)], 2, 0)
        normals = np.cross(b - a, c - a)
        whole = normals.sum(axis=1, keepdims=True)
        return ((normals * whole).sum(axis=2) < -1e-9 * (whole * whole).sum(axis=2)).any(axis=1)


def strips(indices: Ints) -> Ints:
    """Triangles [m, 3] of triangle strips [k] separated by -1; every second one is flipped."""
    index = np.arange(len(indices))
    begins = np.where(np.r_[-1, indices[:-1]] == -1, index, 0)
    place = index - np.maximum.accumulate(begins)  # within its strip
    a, b, c = indices[:-2], indices[1:-1], indices[2:]
    faces = np.stack([np.where(place[:-2] % 2, b, a), np.where(place[:-2] % 2, a, b), c], axis=1)
    sound = (a != -1) & (b != -1) & (c != -1)
    sound &= (a != b) & (b != c) & (c != a)  # repeated corners only join stretches of a strip
    return faces[sound]
