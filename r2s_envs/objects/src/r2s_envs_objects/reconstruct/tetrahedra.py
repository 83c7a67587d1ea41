"""The level surface of a field on a grid, by marching tetrahedra: always closed and manifold."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from r2s_envs_objects.asset import Floats, Ints

NEAREST = 1e-3  # of the range: least distance of crossings from nodes, or triangles would collapse

#: Corners of a cube by bits x, y, z; six tetrahedra around its diagonal, wound alike.
_CORNERS = np.array(list(itertools.product((0, 1), repeat=3)))


def _tetrahedra() -> Ints:
    rows = []
    for order in itertools.permutations(range(3)):
        corner, path = np.zeros(3, int), [0]
        for axis in order:
            corner[axis] = 1
            path.append(int(corner @ (4, 2, 1)))
        a, b, c, d = _CORNERS[path]
        if np.linalg.det(np.stack([b - a, c - a, d - a])) < 0.0:
            path[2], path[3] = path[3], path[2]
        rows.append(path)
    return np.array(rows)


def _cases() -> list[list[list[tuple[int, int]]]]:
    """For each of 16 patterns of inside corners: triangles of edges, wound outward."""
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], float)
    cases = []
    for pattern in range(16):
        inside = [i for i in range(4) if pattern >> i & 1]
        outside = [i for i in range(4) if not pattern >> i & 1]
        if len(inside) == 2:
            (a, b), (c, d) = inside, outside
            ring = [(a, c), (a, d), (b, d), (b, c)]
            triangles = [[ring[0], ring[1], ring[2]], [ring[0], ring[2], ring[3]]]
        elif inside and outside:
            triangles = [[(i, o) for i in inside for o in outside]]
        else:
            triangles = []
        for triangle in triangles:
            p, q, r = (corners[list(edge)].mean(axis=0) for edge in triangle)
            outward = corners[outside].mean(axis=0) - corners[inside].mean(axis=0)
            if np.cross(q - p, r - p) @ outward < 0.0:
                triangle.reverse()
        cases.append(triangles)
    return cases


_TETRAHEDRA, _CASES = _tetrahedra(), _cases()


def level_surface(field: NDArray[np.float32], level: float) -> tuple[Floats, Ints]:
    """Vertices [n, 3] in index coordinates and outward faces [m, 3] of {field > level}.

    Closed if the field stays below the level on the outer faces of the grid.
    """
    values = field.astype(np.float64) - level
    least = NEAREST * max(float(np.abs(values).max()), 1e-12)
    values = np.where(values > 0.0, np.maximum(values, least), np.minimum(values, -least))
    inside = values > 0.0
    views = [inside[tuple(slice(c, n - 1 + c) for c, n in zip(corner, inside.shape, strict=True))]
             for corner in _CORNERS]  # fmt: skip
    mixed = np.logical_or.reduce(views) & ~np.logical_and.reduce(views)
    cubes = np.argwhere(mixed)
    strides = np.array([inside.shape[1] * inside.shape[2], inside.shape[2], 1])
    nodes = (cubes @ strides)[:, None] + _CORNERS @ strides
    tetrahedra = nodes[:, _TETRAHEDRA].reshape(-1, 4)
    pattern = inside.ravel()[tetrahedra] @ (1, 2, 4, 8)
    edges = [
        tetrahedra[pattern == case][:, np.array(triangle)]
        for case, triangles in enumerate(_CASES)
        for triangle in triangles
    ]
    return _vertices(np.concatenate(edges), values.ravel(), inside.shape)


def _vertices(edges: Ints, values: Floats, shape: tuple[int, ...]) -> tuple[Floats, Ints]:
    """One vertex for each crossed edge [m, 3, 2], where the linear field is zero."""
    key = edges.min(axis=-1) * len(values) + edges.max(axis=-1)
    unique, faces = np.unique(key.ravel(), return_inverse=True)
    a, b = unique // len(values), unique % len(values)
    part = values[a] / (values[a] - values[b])
    start, end = (np.stack(np.unravel_index(i, shape), axis=1) for i in (a, b))
    return start + part[:, None] * (end - start), faces.reshape(-1, 3)
