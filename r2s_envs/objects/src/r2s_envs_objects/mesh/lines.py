"""Where straight lines pass through a closed surface, and where a gripper could pinch it.

A line crosses a triangle if it passes all its edges on the same side (Plücker coordinates): one
matrix product decides for all lines and edges at once, and since neighbours share the result for
their common edge, no line slips through between them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from r2s_envs_objects.asset import Floats, Ints

_CHUNK = 2_000_000  # line-edge pairs at a time: 16 MB


class Surface(NamedTuple):
    """A closed triangle mesh: vertices [n, 3] m, faces [m, 3], outward unit normals [m, 3]."""

    vertices: Floats
    faces: Ints
    normals: Floats


class Hits(NamedTuple):
    """Passages of lines through a surface, sorted by line, then by distance along it; all [k]."""

    line: Ints
    distance: Floats  # m from the line's origin, along its direction
    face: Ints
    leaving: np.ndarray  # bool: from the inside to the outside


class Pinches(NamedTuple):
    """Segments of lines from an entry to an exit with free space beyond both; all [k]."""

    line: Ints
    start: Floats  # m along the line
    end: Floats
    entry: Ints  # faces
    exit: Ints

    def select(self, keep: np.ndarray) -> Pinches:
        """Those for which `keep`, bool [k], is True."""
        return Pinches(
            self.line[keep], self.start[keep], self.end[keep], self.entry[keep], self.exit[keep]
        )


def surface_of(vertices: Floats, faces: Ints) -> Surface:
    """The mesh without zero-area faces, with its normals."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    normals = np.cross(b - a, c - a)
    length = np.linalg.norm(normals, axis=1)
    sound = length > 1e-14
    return Surface(vertices, faces[sound], normals[sound] / length[sound, None])


def sample(surface: Surface, count: int, seed: int = 0) -> tuple[Floats, Ints]:
    """Points [count, 3] sampled over the surface by area, and their faces [count]; seeded."""
    rng = np.random.default_rng(seed)
    a, b, c = (surface.vertices[surface.faces[:, i]] for i in range(3))
    area = np.cumsum(np.linalg.norm(np.cross(b - a, c - a), axis=1))
    face = np.searchsorted(area, (np.arange(count) + rng.random(count)) / count * area[-1])
    face = np.minimum(face, len(area) - 1)
    u, v = rng.random((2, count, 1))
    u, v = np.where(u + v > 1.0, 1.0 - u, u), np.where(u + v > 1.0, 1.0 - v, v)
    return a[face] + u * (b - a)[face] + v * (c - a)[face], face


def passages(surface: Surface, origins: Floats, directions: Floats) -> Hits:
    """All passages of the lines, origins [l, 3] m and unit directions [l, 3], both ways."""
    vertices, faces, normals = surface
    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges, index = np.unique(np.sort(ends, axis=1), axis=0, return_inverse=True)
    flipped = (ends[:, 0] > ends[:, 1]).reshape(3, -1)
    index = index.reshape(3, -1)
    start, end = vertices[edges[:, 0]], vertices[edges[:, 1]]
    plucker = np.concatenate([np.cross(start, end), end - start], axis=1).T
    found = []
    step = max(1, _CHUNK // len(edges))
    for first in range(0, len(origins), step):
        o, d = origins[first : first + step], directions[first : first + step]
        left = np.concatenate([d, np.cross(o, d)], axis=1) @ plucker > 0.0
        side = [left[:, index[k]] ^ flipped[k] for k in range(3)]
        line, face = np.nonzero((side[0] & side[1] & side[2]) | ~(side[0] | side[1] | side[2]))
        found.append((line + first, face))
    line, face = (np.concatenate(parts) for parts in zip(*found, strict=True))
    slope = np.einsum("ij,ij->i", directions[line], normals[face])
    grazing = np.abs(slope) < 1e-9
    line, face, slope = line[~grazing], face[~grazing], slope[~grazing]
    offset = vertices[faces[face, 0]] - origins[line]
    distance = np.einsum("ij,ij->i", offset, normals[face]) / slope
    order = np.lexsort([distance, line])
    return Hits(line[order], distance[order], face[order], slope[order] > 0.0)


def pinches(hits: Hits, free: float) -> Pinches:
    """Each entry with `free` m of empty space before it, to the nearest exit with as much after.

    What lies between may be hollow: two prongs closer together than a finger are gripped as one.
    """
    line, distance = hits.line, hits.distance
    gap = np.where(np.diff(line) == 0, np.diff(distance), np.inf)
    before, behind = np.append(np.inf, gap), np.append(gap, np.inf)
    entries = np.flatnonzero(~hits.leaving & (before >= free))
    exits = np.flatnonzero(hits.leaving & (behind >= free))
    if not len(exits):
        entries = entries[:0]
    place = np.searchsorted(exits, entries)
    entries, place = entries[place < len(exits)], place[place < len(exits)]
    ends = exits[place]
    same = line[ends] == line[entries]
    entries, ends = entries[same], ends[same]
    return Pinches(
        line[entries], distance[entries], distance[ends], hits.face[entries], hits.face[ends]
    )
