"""Convex pieces of shapes with hollows: cut fine, then merged where that fills the least.

A bowl's wall bends within the width of a single convex piece, so that a few pieces fill its
hollow. CoACD spends its budget on concavity depth; here each cut and merge is judged by the total
volume of all hulls. Pieces that are too thick where a wall bends can be pressed thinner.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from manifold3d import Manifold
from scipy.spatial import ConvexHull, QhullError

from r2s_envs_objects.asset import Floats, Ints
from r2s_envs_objects.mesh.inertia import volume_integrals

CELLS = 384  # of the fine cut
_FINE = 0.02  # of the volume: no more cuts once the hulls exceed the solid by less than this
_TOUCH = 1e-5  # m between the boxes of neighbours
_SLIVER = 1e-7  # of the volume: what rounding leaves in a cut


class Piece(NamedTuple):
    """Hull vertices [k, 3]; volume of the hull; volume and centroid [3] of the solid inside."""

    points: Floats
    hull: float
    volume: float
    centroid: Floats

    def pressed(self, amount: float) -> Floats:
        """Hull vertices, pressed together along the piece's thinnest direction.

        amount: 0 keeps them; at 1 the hull has the volume of the solid inside.
        """
        share = min(self.volume / self.hull, 1.0) ** amount
        normals = ConvexHull(self.points).equations[:, :3]
        thin = normals[np.ptp(self.points @ normals.T, axis=0).argmin()]
        return self.points + np.outer((share - 1.0) * (self.points - self.centroid) @ thin, thin)


def shell_pieces(solid: Manifold, counts: Iterable[int]) -> dict[int, list[Piece]]:
    """The convex pieces of a closed solid by their number, for those of `counts` that occur."""
    cells = [piece for part in _cut(solid) if (piece := _piece(part))]
    return _merge(cells, set(counts)) if cells else {}


def _cut(solid: Manifold) -> list[Manifold]:
    """Halved repeatedly across its length, always where the hull exceeds the solid the most."""
    least = _SLIVER * solid.volume()
    spare = [(-_spare(solid), 0, solid)]
    number, total = 1, -spare[0][0]
    while len(spare) < CELLS and total > _FINE * solid.volume():
        excess, _, part = heapq.heappop(spare)
        total += excess
        points = _points(part)
        axis = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)[2][0]
        along = points @ axis
        middle = float(along.min() + along.max()) / 2.0
        for half in part.split_by_plane(tuple(axis), middle):
            for piece in half.decompose():
                if piece.volume() > least:
                    heapq.heappush(spare, (-_spare(piece), number, piece))
                    total += _spare(piece)
                    number += 1
    return [part for _, _, part in spare]


def _points(solid: Manifold) -> Floats:
    return np.asarray(solid.to_mesh().vert_properties, np.float64)[:, :3]


def _spare(solid: Manifold) -> float:
    return max(_hull(_points(solid))[1] - solid.volume(), 0.0)


def _hull(points: Floats) -> tuple[Floats, float]:
    """Vertices [k, 3] of the hull and its volume; none where the points span no volume."""
    try:
        hull = ConvexHull(points)
    except (QhullError, ValueError):
        return points[:0], 0.0
    return points[hull.vertices], float(hull.volume)


def _piece(solid: Manifold) -> Piece | None:
    mesh = solid.to_mesh()
    vertices = np.asarray(mesh.vert_properties, np.float64)[:, :3]
    points, hull = _hull(vertices)
    if hull <= 0.0:
        return None
    faces: Ints = np.asarray(mesh.tri_verts).astype(np.int64)
    return Piece(points, hull, solid.volume(), volume_integrals(vertices, faces)[1])


def _merge(cells: list[Piece], counts: set[int]) -> dict[int, list[Piece]]:
    """Merge neighbouring cells, the cheapest pair first; the pieces at each of `counts`."""
    pieces = dict(enumerate(cells))
    neighbours: dict[int, set[int]] = {i: set() for i in pieces}
    low = np.array([piece.points.min(axis=0) for piece in cells]) - _TOUCH
    high = np.array([piece.points.max(axis=0) for piece in cells]) + _TOUCH
    mergers: list[tuple[float, int, int]] = []

    def consider(i: int, j: int) -> None:
        neighbours[i].add(j)
        neighbours[j].add(i)
        together = _hull(np.concatenate([pieces[i].points, pieces[j].points]))[1]
        heapq.heappush(mergers, (together - pieces[i].hull - pieces[j].hull, i, j))

    for i in pieces:
        near = ((low <= high[i]) & (high >= low[i])).all(axis=1)
        for j in np.flatnonzero(near[:i]).tolist():
            consider(i, j)
    found = {}
    while True:
        if len(pieces) in counts:
            found[len(pieces)] = list(pieces.values())
        while mergers and not (mergers[0][1] in pieces and mergers[0][2] in pieces):
            heapq.heappop(mergers)
        if not mergers or len(pieces) <= min(counts):
            return found
        _, i, j = heapq.heappop(mergers)
        new, beside = len(neighbours), (neighbours[i] | neighbours[j]) - {i, j}
        pieces[new], neighbours[new] = _union(pieces.pop(i), pieces.pop(j)), set()
        for k in beside & pieces.keys():
            consider(k, new)


def _union(a: Piece, b: Piece) -> Piece:
    points, hull = _hull(np.concatenate([a.points, b.points]))
    volume = a.volume + b.volume
    centroid = (a.volume * a.centroid + b.volume * b.centroid) / volume
    return Piece(points, hull, volume, centroid)
