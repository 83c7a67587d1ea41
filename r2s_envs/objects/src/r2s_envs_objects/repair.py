"""From the triangles of a scan to one closed, outward surface."""

from __future__ import annotations

import itertools

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from r2s_core.errors import AssetError
from r2s_envs_objects.asset import Finding, Floats, Ints
from r2s_envs_objects.inertia import volume_integrals

MERGE_TOLERANCE = 1e-6  # of the bounding box's diagonal
WARN_STRAY, MAX_STRAY = 0.02, 0.30  # share of the area outside the largest component
MAX_FILLED = 0.25  # share of the area that closing the holes may invent
MIN_FULLNESS = 0.002  # volume over that of the bounding box, below which it is a sheet


def close_surface(vertices: Floats, faces: Ints, label: str) -> tuple[Floats, Ints, list[Finding]]:
    """One closed surface, wound outward, of a scan's largest component.

    vertices [n, 3] in any unit (moved distances in findings are in that unit), faces [m, 3].
    AssetError where too little is left, too much would be invented, or no volume is enclosed.
    """
    findings: list[Finding] = []
    vertices, faces = merge_vertices(vertices, faces)
    faces = _drop_degenerate(faces, findings)
    if len(faces) < 4:
        raise AssetError(f"{label}: {len(faces)} usable faces enclose nothing; scan it again")
    faces = _largest_component(vertices, faces, label, findings)
    faces = consistent_winding(faces, findings)
    vertices, faces = fill_holes(vertices, faces, label, findings)
    vertices, faces = compact(vertices, faces)
    volume, _, _ = volume_integrals(vertices, faces)
    # A sheet is flat in its own axes, which the bounding box need not show.
    extents = np.ptp((vertices - vertices.mean(0)) @ _principal_axes(vertices), axis=0)
    if extents.min() <= 1e-4 * extents.max() or abs(volume) < MIN_FULLNESS * extents.prod():
        raise AssetError(
            f"{label}: a flat or open sheet without volume; scan the object from all sides"
        )
    if volume < 0.0:
        faces = faces[:, ::-1]
        findings.append(Finding("inside out: turned", "warning", repaired=True))
    return vertices, faces, findings


def _principal_axes(vertices: Floats) -> Floats:
    return np.linalg.svd(np.cov(vertices.T))[0]


def merge_vertices(vertices: Floats, faces: Ints) -> tuple[Floats, Ints]:
    """Join vertices that lie within a tolerance, as every STL needs."""
    used = np.unique(faces)
    low = vertices[used].min(axis=0)
    step = max(float(np.linalg.norm(np.ptp(vertices[used], axis=0))) * MERGE_TOLERANCE, 1e-300)
    keys = np.round((vertices[used] - low) / step).astype(np.int64)
    _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    renumber = np.full(len(vertices), -1)
    renumber[used] = inverse.ravel()
    return vertices[used][first], renumber[faces]


def compact(vertices: Floats, faces: Ints) -> tuple[Floats, Ints]:
    """Drop the vertices that no face uses."""
    used, inverse = np.unique(faces, return_inverse=True)
    return vertices[used], inverse.reshape(-1, 3)


def _drop_degenerate(faces: Ints, findings: list[Finding]) -> Ints:
    distinct = (np.diff(np.sort(faces, axis=1), axis=1) > 0).all(axis=1)
    if not distinct.all():
        what = f"{int((~distinct).sum())} degenerate faces dropped"
        findings.append(Finding(what, repaired=True))
    faces = faces[distinct]
    _, first = np.unique(np.sort(faces, axis=1), axis=0, return_index=True)
    if len(first) < len(faces):
        what = f"{len(faces) - len(first)} duplicate faces dropped"
        findings.append(Finding(what, repaired=True))
    return faces[np.sort(first)]


def half_edges(faces: Ints) -> Ints:
    """Directed edges [3 m, 2]; row k belongs to face k % m."""
    return np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])


def _adjacency(faces: Ints) -> tuple[Ints, Ints, np.ndarray]:
    """Pairs of faces that share an edge of exactly two faces, and if their windings agree."""
    edges = half_edges(faces)
    face_of = np.tile(np.arange(len(faces)), 3)
    forward = edges[:, 0] < edges[:, 1]
    _, label, count = np.unique(
        np.sort(edges, axis=1), axis=0, return_inverse=True, return_counts=True
    )
    order = np.argsort(label.ravel(), kind="stable")
    starts = np.cumsum(count) - count
    first, second = (order[starts[count == 2] + k] for k in (0, 1))
    return face_of[first], face_of[second], forward[first] != forward[second]


def _components(count: int, a: Ints, b: Ints) -> tuple[int, np.ndarray]:
    graph = coo_matrix((np.ones(len(a), bool), (a, b)), shape=(count, count))
    return connected_components(graph, directed=False)


def areas_of(vertices: Floats, faces: Ints) -> Floats:
    """Area of each face [m]."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    return np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2.0


def _largest_component(vertices: Floats, faces: Ints, label: str, findings: list[Finding]) -> Ints:
    # Edges of three and more faces do not connect: flaps stuck to the body come off as strays.
    a, b, _ = _adjacency(faces)
    count, component = _components(len(faces), a, b)
    if count == 1:
        return faces
    area = np.bincount(component, areas_of(vertices, faces), minlength=count)
    largest = int(area.argmax())
    body = faces[component == largest]
    hollow = [k for k in range(count) if k != largest and area[k] > MAX_STRAY * area[largest]]
    hollow = [k for k in hollow if _is_inner_shell(vertices, faces[component == k], body)]
    if hollow:
        findings.append(Finding("inner surface dropped: taken as solid", "warning", repaired=True))
        area[hollow] = 0.0
    stray = 1.0 - area[largest] / area.sum()
    if stray > MAX_STRAY:
        raise AssetError(
            f"{label}: {stray:.0%} of its surface is outside the largest of {count} parts: "
            "several objects, or one scanned twice; keep one in a mesh editor"
        )
    if others := count - 1 - len(hollow):
        severity = "warning" if stray > WARN_STRAY else "info"
        what = f"{others} stray parts dropped, {stray:.2%} of the surface"
        findings.append(Finding(what, severity, repaired=True))
    return body


def _is_inner_shell(vertices: Floats, faces: Ints, body: Ints) -> bool:
    """Whether a closed part lies within the bounds of the body, as a cavity's surface does."""
    inner, outer = vertices[np.unique(faces)], vertices[np.unique(body)]
    within = (inner.min(0) > outer.min(0)).all() and (inner.max(0) < outer.max(0)).all()
    return bool(within) and not boundary_loops(consistent_winding(faces, []))


def consistent_winding(faces: Ints, findings: list[Finding]) -> Ints:
    """Flip faces until neighbours agree; each connected part as a whole stays as most of it was.

    Every face is taken twice, as it is and flipped, and joined to the neighbour that it agrees
    with: of the two connected halves of this double cover, one is the answer.
    """
    a, b, agree = _adjacency(faces)
    m = len(faces)
    flipped_b = np.where(agree, b, b + m)
    plain_b = np.where(agree, b + m, b)
    _, part = _components(2 * m, np.r_[a, a + m], np.r_[flipped_b, plain_b])
    # Of a face's two copies keep the one in the half to which more unflipped faces belong.
    popularity = np.bincount(part[:m], minlength=part.max() + 1)
    as_is, turned = part[:m], part[m:]
    tie = (popularity[turned] == popularity[as_is]) & (turned < as_is)
    flip = (popularity[turned] > popularity[as_is]) | tie
    if flip.any():
        what = f"{int(flip.sum())} faces were wound against their neighbours: turned"
        findings.append(Finding(what, repaired=True))
        faces = faces.copy()
        faces[flip] = faces[flip][:, ::-1]
    return faces


def boundary_loops(faces: Ints) -> list[Ints]:
    """Closed loops of the directed edges without an opposite, each as its vertices in order."""
    edges = half_edges(faces)
    unique, inverse = np.unique(np.sort(edges, axis=1), axis=0, return_inverse=True)
    sign = np.where(edges[:, 0] < edges[:, 1], 1, -1)
    net = np.bincount(inverse.ravel(), sign, minlength=len(unique)).astype(int)
    outgoing: dict[int, list[int]] = {}
    for (low, high), excess in zip(unique[net != 0], net[net != 0], strict=True):
        start, end = (int(low), int(high)) if excess > 0 else (int(high), int(low))
        outgoing.setdefault(start, []).extend([end] * abs(int(excess)))
    loops = []
    while outgoing:
        path = [next(iter(outgoing))]
        seen = {path[0]: 0}
        while True:
            ends = outgoing[path[-1]]
            end = ends.pop()
            if not ends:
                del outgoing[path[-1]]
            if end in seen:  # a simple loop is closed; what led to it goes back
                start = seen[end]
                loops.append(np.array(path[start:]))
                for u, v in itertools.pairwise(path[: start + 1]):
                    outgoing.setdefault(u, []).append(v)
                break
            seen[end] = len(path)
            path.append(end)
    return loops


def fill_holes(
    vertices: Floats, faces: Ints, label: str, findings: list[Finding]
) -> tuple[Floats, Ints]:
    """Close every boundary loop by a fan to its centroid; AssetError if that invents too much."""
    loops = boundary_loops(faces)
    if not loops:
        return vertices, faces
    before = areas_of(vertices, faces).sum()
    new_vertices, new_faces, reach = [], [], 0.0
    for loop in loops:
        if len(loop) == 3:
            new_faces.append(loop[::-1][None])
            continue
        centre = vertices[loop].mean(axis=0)
        reach = max(reach, float(np.linalg.norm(vertices[loop] - centre, axis=1).max()))
        hub = np.full(len(loop), len(vertices) + len(new_vertices))
        new_vertices.append(centre)
        new_faces.append(np.stack([np.roll(loop, -1), loop, hub], axis=1))
    filling = np.concatenate(new_faces)
    vertices = np.concatenate([vertices, np.array(new_vertices).reshape(-1, 3)])
    share = areas_of(vertices, filling).sum() / before
    if share > MAX_FILLED:
        raise AssetError(
            f"{label}: closing its {len(loops)} holes would invent {share:.0%} of the surface; "
            "scan the missing sides"
        )
    severity = "warning" if share > WARN_STRAY else "info"
    what = f"{len(loops)} holes closed, {share:.2%} of the surface"
    findings.append(Finding(what, severity, repaired=True, moved=reach))
    return vertices, np.concatenate([faces, filling])
