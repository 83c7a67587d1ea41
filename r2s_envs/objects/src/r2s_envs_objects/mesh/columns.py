"""What lies inside a closed surface, measured along a grid of parallel rays.

Unlike a boolean operation this needs no clean surface: where a scan intersects itself, the
winding number along the rays shows it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from r2s_envs_objects.asset import Floats, Ints

RAYS = 96  # along the longer side of the silhouette
CHUNK = 2_000_000  # ray-triangle pairs tested at once
#: Offsets of the rays, irrational so that they miss the lines on which scans' coordinates lie.
PHASE = (0.4142135623730951, 0.6180339887498949)


class Grid(NamedTuple):
    """Rays along an axis, through the cells of a rectangle perpendicular to it."""

    axis: int
    low: Floats  # [2] corner of the rectangle
    cell: float  # side of a square cell
    shape: tuple[int, int]


class Crossings(NamedTuple):
    """Where rays cross a surface, ordered by ray and then along it."""

    ray: Ints  # [k]
    along: Floats  # [k] coordinate on the axis
    step: Ints  # [k] what is added to the winding number: +1 inward, -1 outward
    slant: Floats  # [k] |cosine| between ray and surface normal
    winding: Ints  # [k] after the crossing


def grid_over(vertices: Floats, axis: int, rays: int = RAYS) -> Grid:
    """The rays that cover a surface's silhouette along an axis."""
    across = [i for i in range(3) if i != axis]
    low, high = vertices[:, across].min(axis=0), vertices[:, across].max(axis=0)
    cell = max(float((high - low).max()) / rays, 1e-300)
    width, height = (max(1, int(n)) for n in np.ceil((high - low) / cell))
    return Grid(axis, low, cell, (width, height))


def crossings(vertices: Floats, faces: Ints, grid: Grid) -> Crossings:
    """Where the grid's rays cross a surface; rays that do not exit again are dropped."""
    across = [i for i in range(3) if i != grid.axis]
    flat = (vertices[:, across] - grid.low) / grid.cell - PHASE  # ray (i, j) is at (i, j)
    corners, depth = flat[faces], vertices[:, grid.axis][faces]
    first = np.maximum(np.ceil(corners.min(axis=1)).astype(np.int64), 0)
    last = np.minimum(np.floor(corners.max(axis=1)).astype(np.int64), np.array(grid.shape) - 1)
    spans = np.maximum(last - first + 1, 0)
    counts = spans.prod(axis=1)
    normal = _normals(vertices, faces)
    ends = np.cumsum(counts)
    parts, start = [], 0
    while start < len(faces):
        base = ends[start - 1] if start else 0
        stop = max(int(np.searchsorted(ends, base + CHUNK, side="right")), start + 1)
        some = np.arange(start, stop)[counts[start:stop] > 0]
        parts.append(_hits(some, first, spans, counts, corners, depth, grid))
        start = stop
    owner, ray, along = (np.concatenate(column) for column in zip(*parts, strict=True))
    outward = normal[owner, grid.axis]
    order = np.lexsort((along, ray))
    ray, along, outward = ray[order], along[order], outward[order]
    step = np.where(outward < 0.0, 1, -1)
    balance = np.bincount(ray, step, minlength=1)
    sound = balance[ray] == 0.0
    ray, along, step, slant = ray[sound], along[sound], step[sound], np.abs(outward[sound])
    return Crossings(ray, along, step, slant, np.cumsum(step))


def _normals(vertices: Floats, faces: Ints) -> Floats:
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    normal = np.cross(b - a, c - a)
    return normal / np.maximum(np.linalg.norm(normal, axis=1), 1e-300)[:, None]


def _hits(some: Ints, first: Ints, spans: Ints, counts: Ints, corners, depth, grid: Grid):
    """(face, ray, coordinate) of each crossing of a ray with one of some faces."""
    owner = np.repeat(some, counts[some])
    nth = np.arange(len(owner)) - np.repeat(np.cumsum(counts[some]) - counts[some], counts[some])
    cell = first[owner] + np.stack(np.divmod(nth, spans[owner, 1]), axis=1)
    a, b, c = (corners[owner, i] - cell for i in range(3))
    weights = np.stack([_cross(b, c), _cross(c, a), _cross(a, b)], axis=1)
    total = weights.sum(axis=1)
    hit = (np.sign(weights) == np.sign(total)[:, None]).all(axis=1) & (total != 0.0)
    owner, cell, weights = owner[hit], cell[hit], weights[hit] / total[hit, None]
    along = np.einsum("ij,ij->i", weights, depth[owner])
    return owner, cell[:, 0] * grid.shape[1] + cell[:, 1], along


def _cross(a: Floats, b: Floats) -> Floats:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


class Interior(NamedTuple):
    """volume: enclosed at least once; overlap: the fraction of it enclosed more than once;
    inverted: volume with the winding reversed, as a fraction of the same."""

    volume: float
    overlap: float
    inverted: float


def interior(vertices: Floats, faces: Ints) -> Interior:
    """How often space is enclosed by a closed surface that may intersect itself."""
    grid = grid_over(vertices, _shortest(vertices))
    c = crossings(vertices, faces, grid)
    length = np.diff(c.along, append=c.along[-1:]) * (c.winding != 0)
    once = length[c.winding > 0].sum()
    if once == 0.0:
        return Interior(0.0, 0.0, 0.0)
    twice, wrong = length[c.winding > 1].sum(), length[c.winding < 0].sum()
    return Interior(float(once) * grid.cell**2, float(twice / once), float(wrong / once))


def intersection_over_union(a: list[tuple[Floats, Ints]], b: tuple[Floats, Ints]) -> float:
    """Overlap of the union of convex meshes with a solid, each (vertices, outward faces)."""
    everything = np.concatenate([b[0], *(vertices for vertices, _ in a)])
    grid = grid_over(everything, _shortest(everything))
    sides = [[crossings(*mesh, grid) for mesh in a], [crossings(*b, grid)]]
    rays, along, steps = [], [], []
    for side, parts in enumerate(sides):
        for part in parts:
            rays.append(part.ray)
            along.append(part.along)
            steps.append(np.eye(2, dtype=np.int64)[side] * part.step[:, None])
    ray, place, step = np.concatenate(rays), np.concatenate(along), np.concatenate(steps)
    order = np.lexsort((place, ray))
    inside = np.cumsum(step[order], axis=0) > 0
    length = np.diff(place[order], append=0.0) * inside.any(axis=1)
    union = length.sum()
    return float(length[inside.all(axis=1)].sum() / union) if union > 0.0 else 0.0


def thickness(vertices: Floats, faces: Ints) -> tuple[Floats, Floats]:
    """Thickness [k] of the wall behind points spread over the surface, and each one's area [k].

    Each is a ray's path length through the solid times the cosine to the surface normal, which is
    exact for a wall.
    """
    walls, areas = [], []
    for axis in range(3):
        grid = grid_over(vertices, axis)
        c = crossings(vertices, faces, grid)
        if len(c.ray) < 2:
            continue
        way = np.diff(c.along)
        solid = (c.winding[:-1] == 1) & (c.step[:-1] == 1) & (c.step[1:] == -1)
        for slant in (c.slant[:-1], c.slant[1:]):
            facing = solid & (slant > 0.577)  # steeper ones are measured along another axis
            walls.append((way * slant)[facing])
            areas.append(grid.cell**2 / slant[facing])
    if not walls:
        return np.zeros(0), np.zeros(0)
    return np.concatenate(walls), np.concatenate(areas)


def _shortest(vertices: Floats) -> int:
    return int(np.ptp(vertices, axis=0).argmin())
