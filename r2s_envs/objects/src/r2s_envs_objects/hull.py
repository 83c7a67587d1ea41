"""Convex hulls with few vertices."""

from __future__ import annotations

import fast_simplification
import numpy as np
from scipy.spatial import ConvexHull

from r2s_envs_objects.asset import Floats, Ints


def hull_mesh(points: Floats) -> tuple[Floats, Ints]:
    """The convex hull of points [n, 3] as vertices [k, 3] and outward faces [m, 3]."""
    hull = ConvexHull(points)
    renumber = np.full(len(points), -1)
    renumber[hull.vertices] = np.arange(len(hull.vertices))
    vertices, faces = points[hull.vertices], renumber[hull.simplices]
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    inward = np.einsum("ij,ij->i", np.cross(b - a, c - a), hull.equations[:, :3]) < 0.0
    faces[inward] = faces[inward][:, ::-1]
    return vertices, faces


def hull_volume(points: Floats) -> float:
    """Volume of the convex hull of points [n, 3]."""
    return float(ConvexHull(points).volume)


def reduce_hull(points: Floats, max_vertices: int) -> Floats:
    """Vertices [k, 3], k <= max_vertices, of a hull like that of points [n, 3], same volume.

    Taking a subset of the vertices, as MuJoCo's own limit does, only ever shrinks the hull (by 7
    to 11 % at 32). Collapsing edges by their quadric error moves vertices to where the planes
    meet, and what is then left of the error is scaled away about the centre.
    """
    vertices, faces = hull_mesh(points)
    volume = hull_volume(vertices)
    reduced, target = vertices, 2 * max_vertices - 4  # faces of a triangulated hull
    centre = vertices.mean(axis=0)
    unit = float(np.ptp(vertices, axis=0).max())
    while len(reduced) > max_vertices:
        collapsed, _ = fast_simplification.simplify(
            ((vertices - centre) / unit).astype(np.float32),
            faces.astype(np.int32),
            target_count=target,
        )
        collapsed = collapsed.astype(np.float64) * unit + centre
        if len(collapsed) < 4 or target < 4:
            return _support_points(vertices, max_vertices)
        reduced = hull_mesh(collapsed)[0]
        target -= 2
    if reduced is vertices:
        return vertices
    centre = reduced.mean(axis=0)
    return centre + (reduced - centre) * (volume / hull_volume(reduced)) ** (1 / 3)


def _support_points(vertices: Floats, count: int) -> Floats:
    """The extreme vertices in `count` even directions."""
    i = np.arange(count) + 0.5
    polar, turn = np.arccos(1.0 - 2.0 * i / count), np.pi * (1.0 + 5.0**0.5) * i
    directions = np.stack(
        [np.cos(turn) * np.sin(polar), np.sin(turn) * np.sin(polar), np.cos(polar)]
    )
    return vertices[np.unique((vertices @ directions).argmax(axis=0))]
