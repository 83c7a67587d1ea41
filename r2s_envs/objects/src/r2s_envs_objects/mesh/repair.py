"""From the triangles of a scan to one closed, outward surface."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from r2s_core.errors import AssetError
from r2s_envs_objects.asset import Finding, Floats, Ints
from r2s_envs_objects.mesh.columns import interior
from r2s_envs_objects.mesh.inertia import volume_integrals
from r2s_envs_objects.mesh.measure import Surface, areas_of, farthest
from r2s_envs_objects.mesh.parts import largest_part, seam_findings
from r2s_envs_objects.mesh.table import without_table
from r2s_envs_objects.mesh.topology import boundary_loops, flipped, flips, used_vertices

MERGE_TOLERANCE = 1e-6  # of the bounding box's diagonal
WARN_FILLED, MAX_FILLED = 0.02, 0.25  # fraction of the area that closing the holes adds
MIN_FULLNESS = 0.002  # volume over that of the bounding box, below which it is a sheet
WARN_OVERLAP, MAX_OVERLAP = 0.005, 0.20  # fraction of the volume enclosed more than once


def close_surface(
    vertices: Floats, faces: Ints, label: str, max_filled: float = MAX_FILLED
) -> tuple[Floats, Ints, list[Finding]]:
    """One closed surface, wound outward, of a scan's largest component.

    vertices [n, 3] in any unit (moved distances in findings are in that unit), faces [m, 3].
    AssetError if too little is left, too much would be added, or no volume is enclosed.
    """
    return close_merged(*merge_vertices(vertices, faces), label, max_filled)


def close_merged(
    vertices: Floats, faces: Ints, label: str, max_filled: float = MAX_FILLED
) -> tuple[Floats, Ints, list[Finding]]:
    """`close_surface` for the result of `merge_vertices`."""
    findings: list[Finding] = []
    faces = _drop_degenerate(vertices, faces, findings)
    if len(faces) < 4:
        raise AssetError(f"{label}: {len(faces)} usable faces enclose nothing; scan it again")
    faces, table = without_table(vertices, faces)
    findings += table
    faces = largest_part(vertices, faces, label, findings)
    faces = _consistent_winding(faces, findings)
    vertices, faces = fill_holes(vertices, faces, label, findings, max_filled)
    vertices, faces = compact(vertices, faces)
    volume, _, _ = volume_integrals(vertices, faces)
    # A sheet is flat in its principal axes, which need not be those of the bounding box.
    extents = np.ptp((vertices - vertices.mean(0)) @ _principal_axes(vertices), axis=0)
    if extents.min() <= 1e-4 * extents.max() or abs(volume) < MIN_FULLNESS * extents.prod():
        raise AssetError(
            f"{label}: a flat or open sheet without volume; scan the object from all sides"
        )
    if volume < 0.0:
        faces = faces[:, ::-1]
        findings.append(Finding("inside out: turned", "warning", repaired=True, code="inside-out"))
    _check_overlap(vertices, faces, label, findings)
    findings += seam_findings(vertices, faces)
    return vertices, faces, findings


def _principal_axes(vertices: Floats) -> Floats:
    return np.linalg.svd(np.cov(vertices.T))[0]


def merge_vertices(vertices: Floats, faces: Ints) -> tuple[Floats, Ints]:
    """Join vertices that lie within a tolerance, as every STL needs."""
    used = used_vertices(faces)
    low = vertices[used].min(axis=0)
    step = max(float(np.linalg.norm(np.ptp(vertices[used], axis=0))) * MERGE_TOLERANCE, 1e-300)
    keys = np.round((vertices[used] - low) / step).astype(np.int64)
    # Each axis has at most 1e6 steps, so that three fit into one integer.
    keys = (keys[:, 0] << 42) + (keys[:, 1] << 21) + keys[:, 2]
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    renumber = np.full(len(vertices), -1)
    renumber[used] = inverse.ravel()
    return vertices[used][first], renumber[faces]


def compact(vertices: Floats, faces: Ints) -> tuple[Floats, Ints]:
    """Drop the vertices that no face uses."""
    used = used_vertices(faces)
    renumber = np.full(len(vertices), -1)
    renumber[used] = np.arange(len(used))
    return vertices[used], renumber[faces]


def _drop_degenerate(vertices: Floats, faces: Ints, findings: list[Finding]) -> Ints:
    ordered = np.sort(faces, axis=1)
    distinct = (np.diff(ordered, axis=1) > 0).all(axis=1)
    gone, faces, ordered = faces[~distinct], faces[distinct], ordered[distinct]
    if len(gone) and len(faces):
        moved = farthest(vertices, gone, Surface(vertices, faces))
        what = f"{len(gone)} degenerate face{'s' * (len(gone) > 1)} dropped"
        findings.append(Finding(what, repaired=True, moved=moved, code="degenerate"))
    order = np.lexsort(ordered.T)
    same = (np.diff(ordered[order], axis=0) == 0).all(axis=1)
    again = np.zeros(len(faces), bool)
    again[order[1:][same]] = True  # the sort is stable: the first of equal ones is kept
    if again.any():
        what = f"{int(again.sum())} duplicate face{'s' * (int(again.sum()) > 1)} dropped"
        findings.append(Finding(what, repaired=True, code="duplicate"))
    return faces[~again]


def _consistent_winding(faces: Ints, findings: list[Finding]) -> Ints:
    flip = flips(faces)
    if not flip.any():
        return faces
    what = f"{int(flip.sum())} faces were wound against their neighbours: flipped"
    findings.append(Finding(what, repaired=True, code="winding"))
    return flipped(faces, flip)


def fill_holes(
    vertices: Floats, faces: Ints, label: str, findings: list[Finding], max_filled: float
) -> tuple[Floats, Ints]:
    """Close every boundary loop by a fan to its centroid; AssetError if that adds too much."""
    loops = boundary_loops(faces)
    if not loops:
        return vertices, faces
    before = areas_of(vertices, faces).sum()
    new_vertices, new_faces = [], []
    for loop in loops:
        if len(loop) == 3:
            new_faces.append(loop[::-1][None])
            continue
        hub = np.full(len(loop), len(vertices) + len(new_vertices))
        new_vertices.append(vertices[loop].mean(axis=0))
        new_faces.append(np.stack([np.roll(loop, -1), loop, hub], axis=1))
    filling, scanned = np.concatenate(new_faces), vertices
    vertices = np.concatenate([vertices, np.array(new_vertices).reshape(-1, 3)])
    share = areas_of(vertices, filling).sum() / before
    holes = f"{len(loops)} hole{'s' * (len(loops) > 1)}"
    if share > max_filled:
        enough = math.ceil(share * 100.0 + 1e-9) / 100.0
        allow = f", or allow it with `max_filled: {enough:g}`" if enough <= 1.0 else ""
        raise AssetError(
            f"{label}: closing its {holes} would add {share:.0%} of the surface (limit "
            f"{max_filled:.0%}); scan the missing sides{allow}"
        )
    closed = np.concatenate([faces, filling])
    note = Finding(
        f"{holes} closed, {share:.2%} of the surface",
        "warning" if share > WARN_FILLED else "info",
        repaired=True,
        moved=farthest(vertices, filling, Surface(scanned, faces)),
        volume_change=_volume_change(vertices, faces, closed),
        code="holes",
    )
    findings.append(note)
    return vertices, closed


def _volume_change(vertices: Floats, before: Ints, after: Ints) -> float:
    """Relative change; an open surface is taken to enclose what it spans with the mean vertex."""
    old, new = volume_integrals(vertices, before)[0], volume_integrals(vertices, after)[0]
    return float(new / old - 1.0) if old else 0.0


def _check_overlap(vertices: Floats, faces: Ints, label: str, findings: list[Finding]) -> None:
    """A finding if the surface intersects itself, AssetError if too much of it does."""
    inside = interior(vertices, faces)
    share = max(inside.overlap, inside.inverted)
    if share > MAX_OVERLAP:
        raise AssetError(
            f"{label}: its surface intersects itself: {share:.0%} of its volume is enclosed "
            "twice or inside out (scanned twice and fused?); clean it in a mesh editor"
        )
    if share > WARN_OVERLAP:
        what = f"the surface intersects itself: {share:.1%} of the volume counts twice"
        if inside.inverted > inside.overlap:
            what = f"the surface intersects itself: {share:.1%} of the volume is inside out"
        findings.append(Finding(what, "warning", code="self-intersection"))


def in_metres(findings: list[Finding], factor: float) -> list[Finding]:
    """The findings with the distances of a surface whose unit is `factor` metres."""
    return [dataclasses.replace(f, moved=f.moved * factor) for f in findings]
