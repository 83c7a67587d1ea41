"""The distance between two surfaces."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.spatial import KDTree

from r2s_envs_objects.asset import Floats, Ints
from r2s_envs_objects.mesh.topology import used_vertices

SAMPLES = 20_000  # points on a reference surface; distances to it are exact near each of them
PROBES = 5_000  # points whose distance to a surface is measured, plus at least as many corners
MAX_PROBES = 20_000
NEIGHBOURS, MANY = 6, 100
MORE = 200  # points, at least, that are measured against many
PER_FACE = 10_000  # most points on one face


def areas_of(vertices: Floats, faces: Ints) -> Floats:
    """Area of each face [m]."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    return np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2.0


def sample_surface(vertices: Floats, faces: Ints, count: int) -> tuple[Floats, Ints]:
    """At least `count` points spread evenly by area, and along slivers, and their faces."""
    area = areas_of(vertices, faces)
    corners = vertices[faces]
    longest = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1)
    # By area alone slivers would get no points; by length alone they could get nearly all.
    spacing = max(float(np.sqrt(area.sum() / count)), float(longest.sum()) / (4 * count), 1e-100)
    each = np.ceil(np.maximum(area / spacing**2, longest / spacing))
    each = np.clip(each, 1, PER_FACE).astype(np.int64)
    owner = np.repeat(np.arange(len(faces)), each)
    nth = np.arange(len(owner)) - np.repeat(np.cumsum(each) - each, each)
    # The R2 sequence covers each face evenly, and is deterministic.
    u, v = (0.5 + nth * 0.7548776662466927) % 1.0, (0.5 + nth * 0.5698402909980532) % 1.0
    u, v = np.where(u + v > 1.0, 1.0 - u, u), np.where(u + v > 1.0, 1.0 - v, v)
    a, b, c = (vertices[faces[owner, i]] for i in range(3))
    return a + u[:, None] * (b - a) + v[:, None] * (c - a), owner


def probes(vertices: Floats, faces: Ints) -> Floats:
    """Points on a surface from which to measure: spread over it, and corners; a limited number."""
    corners = used_vertices(faces)
    corners = vertices[corners[:: len(corners) // MAX_PROBES + 1]]
    if len(faces) > MAX_PROBES:  # one by one along the summed area
        area = np.cumsum(areas_of(vertices, faces))
        at = (np.arange(PROBES) + 0.5) / PROBES * area[-1]
        faces = faces[np.minimum(np.searchsorted(area, at), len(faces) - 1)]
    return np.concatenate([sample_surface(vertices, faces, PROBES)[0], corners])


class Surface:
    """A triangle surface to measure distances to."""

    def __init__(self, vertices: Floats, faces: Ints) -> None:
        self.vertices, self.faces = vertices, faces
        points, self.owner = sample_surface(vertices, faces, SAMPLES)
        corners = np.unique(faces, return_index=True)
        self.owner = np.concatenate([self.owner, corners[1] // 3])
        self.tree = KDTree(np.concatenate([points, vertices[corners[0]]]))

    def distance(self, points: Floats) -> Floats:
        """Distance [n] from each point [n, 3] to the surface.

        Measured to the triangles of the nearest samples: an upper bound. Among slivers these may
        not include the nearest triangle, so where the distance is largest, more are tried.
        """
        distance = self._to_nearest(points, NEIGHBOURS)
        rough = np.ones(len(points), bool)
        while len(points) and rough[np.argmax(distance)]:  # until the largest is exact
            large = np.argsort(np.where(rough, distance, -1.0))[-max(MORE, len(points) // 20) :]
            distance[large] = self._to_nearest(points[large], MANY)
            rough[large] = False
        return distance

    def _to_nearest(self, points: Floats, count: int) -> Floats:
        k = min(count, self.tree.n)
        nearest = self.tree.query(points, k=k)[1].reshape(len(points), k)
        triangles = self.vertices[self.faces[self.owner[nearest]]]
        flat = to_triangles(np.repeat(points, k, axis=0), triangles.reshape(-1, 3, 3))
        return flat.reshape(len(points), k).min(axis=1)


def to_triangles(points: Floats, triangles: Floats) -> Floats:
    """Distance [n] from each point [n, 3] to its triangle [n, 3, 3], which may be degenerate."""
    best = np.full(len(points), np.inf)
    for i, j in ((0, 1), (1, 2), (2, 0)):
        start, along = triangles[:, i], triangles[:, j] - triangles[:, i]
        squared = np.maximum(np.einsum("ij,ij->i", along, along), 1e-300)
        t = np.clip(np.einsum("ij,ij->i", points - start, along) / squared, 0.0, 1.0)
        best = np.minimum(best, np.linalg.norm(points - start - t[:, None] * along, axis=1))
    a, b, c = triangles[:, 0], triangles[:, 1], triangles[:, 2]
    normal = np.cross(b - a, c - a)
    length = np.linalg.norm(normal, axis=1)
    unit = normal / np.maximum(length, 1e-300)[:, None]
    within = length > 0.0
    for start, end in ((a, b), (b, c), (c, a)):
        side = np.einsum("ij,ij->i", np.cross(end - start, points - start), unit)
        within &= side >= 0.0
    height = np.abs(np.einsum("ij,ij->i", points - a, unit))
    return np.where(within, np.minimum(best, height), best)


def farthest(vertices: Floats, faces: Ints, reference: Surface) -> float:
    """The largest distance from a surface's points to the reference; 0 without faces."""
    return float(reference.distance(probes(vertices, faces)).max()) if len(faces) else 0.0


class Deviation(NamedTuple):
    """Distances between two surfaces, both ways: the largest (Hausdorff), the 95th percentile."""

    hausdorff: float
    p95: float


def deviation(
    vertices: Floats, faces: Ints, other_vertices: Floats, other_faces: Ints
) -> Deviation:
    """The distance between two surfaces, in the unit of the vertices."""
    there = Surface(other_vertices, other_faces).distance(probes(vertices, faces))
    back = Surface(vertices, faces).distance(probes(other_vertices, other_faces))
    return Deviation(
        max(float(there.max()), float(back.max())),
        max(float(np.percentile(there, 95)), float(np.percentile(back, 95))),
    )
