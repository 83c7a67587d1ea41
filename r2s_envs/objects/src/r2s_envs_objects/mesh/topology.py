"""Adjacency and winding of triangles, and the boundaries of a surface."""

from __future__ import annotations

import itertools

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from r2s_envs_objects.asset import Ints


def used_vertices(faces: Ints) -> Ints:
    """The sorted indices of the vertices that faces use."""
    used = np.zeros(int(faces.max(initial=-1)) + 1, bool)
    used[faces] = True
    return np.flatnonzero(used)


def half_edges(faces: Ints) -> Ints:
    """Directed edges [3 m, 2]; row k belongs to face k % m."""
    return np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])


def _edge_ids(edges: Ints) -> Ints:
    """One number per undirected edge, the same both ways: quicker to sort than pairs."""
    low, high = edges.min(axis=1), edges.max(axis=1)
    return low * (int(edges.max(initial=0)) + 1) + high


def adjacency(faces: Ints) -> tuple[Ints, Ints, np.ndarray]:
    """Pairs of faces that share an edge of exactly two faces, and whether their windings agree."""
    edges = half_edges(faces)
    face_of = np.tile(np.arange(len(faces)), 3)
    forward = edges[:, 0] < edges[:, 1]
    ids = _edge_ids(edges)
    order = np.argsort(ids, kind="stable")
    starts = np.flatnonzero(np.diff(ids[order], prepend=-1))
    count = np.diff(starts, append=len(ids))
    first, second = (order[starts[count == 2] + k] for k in (0, 1))
    return face_of[first], face_of[second], forward[first] != forward[second]


def components(count: int, a: Ints, b: Ints) -> tuple[int, np.ndarray]:
    """The number of connected components of `count` nodes with edges a[k]-b[k], and each node's."""
    graph = coo_matrix((np.ones(len(a), bool), (a, b)), shape=(count, count))
    return connected_components(graph, directed=False)


def is_watertight(faces: Ints) -> bool:
    """Whether every edge belongs to two faces wound alike."""
    edges = half_edges(faces)
    ids = _edge_ids(edges)
    forward = edges[:, 0] < edges[:, 1]
    there, back = np.sort(ids[forward]), np.sort(ids[~forward])
    return bool(np.array_equal(there, back) and (np.diff(there) > 0).all())


def flips(faces: Ints) -> np.ndarray:
    """Which faces [m] to flip so that neighbours agree; each connected part follows its majority.

    Every face is taken twice, as it is and flipped, and joined to the neighbour that it agrees
    with: of the two connected halves of this double cover, one is the solution.
    """
    a, b, agree = adjacency(faces)
    m = len(faces)
    flipped_b = np.where(agree, b, b + m)
    plain_b = np.where(agree, b + m, b)
    _, part = components(2 * m, np.r_[a, a + m], np.r_[flipped_b, plain_b])
    # Of a face's two copies, keep the one in the half with more unflipped faces.
    popularity = np.bincount(part[:m], minlength=part.max() + 1)
    as_is, turned = part[:m], part[m:]
    tie = (popularity[turned] == popularity[as_is]) & (turned < as_is)
    return (popularity[turned] > popularity[as_is]) | tie


def flipped(faces: Ints, which: np.ndarray) -> Ints:
    """The faces, those in `which` flipped."""
    faces = faces.copy()
    faces[which] = faces[which][:, ::-1]
    return faces


def boundary_loops(faces: Ints) -> list[Ints]:
    """Closed loops of the directed edges without an opposite, each as its vertices in order."""
    edges = half_edges(faces)
    ids, first, inverse = np.unique(_edge_ids(edges), return_index=True, return_inverse=True)
    sign = np.where(edges[:, 0] < edges[:, 1], 1, -1)
    net = np.bincount(inverse.ravel(), sign, minlength=len(ids)).astype(int)
    ends = np.sort(edges[first[net != 0]], axis=1)
    outgoing: dict[int, list[int]] = {}
    for (low, high), excess in zip(ends.tolist(), net[net != 0].tolist(), strict=True):
        start, end = (low, high) if excess > 0 else (high, low)
        outgoing.setdefault(start, []).extend([end] * abs(excess))
    loops = []
    starts = iter(list(outgoing))  # finding the first key of a shrinking dict gets ever slower
    start = next(starts, None)
    while outgoing:
        while start not in outgoing:
            start = next(starts)
        path = [start]
        seen = {path[0]: 0}
        while True:
            following = outgoing[path[-1]]
            end = following.pop()
            if not following:
                del outgoing[path[-1]]
            if end in seen:  # a simple loop is closed; the edges that led to it are put back
                closing = seen[end]
                loops.append(np.array(path[closing:]))
                for u, v in itertools.pairwise(path[: closing + 1]):
                    outgoing.setdefault(u, []).append(v)
                break
            seen[end] = len(path)
            path.append(end)
    return loops
