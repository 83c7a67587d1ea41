"""Finds and cuts away the patch of table on which an object was scanned."""

from __future__ import annotations

import numpy as np
from scipy.spatial import ConvexHull, QhullError

from r2s_envs_objects.asset import Finding, Floats, Ints
from r2s_envs_objects.mesh.measure import areas_of
from r2s_envs_objects.mesh.topology import boundary_loops

FLAT = 0.01  # of the patch's width: largest deviation from its plane
WIDER = 1.5  # least area inside the rim of a table, in footprints of the object
COVERED = 0.25  # least fraction of the area inside the rim that the patch covers
HIGH = 0.05  # of the patch's width: least height of an object


def without_table(vertices: Floats, faces: Ints) -> tuple[Ints, list[Finding]]:
    """The faces [m, 3] without the flat patch around the object, and findings.

    The patch is the part in the plane of the widest open rim, if that rim is flat, encloses much
    more than the object's footprint, and everything else is on the side that the patch faces. If
    there is none, or it is unclear, all faces are returned.
    """
    loops = boundary_loops(faces)
    if not loops:
        return faces, []
    rim = vertices[max(loops, key=lambda loop: float(np.ptp(vertices[loop], axis=0).max()))]
    middle = rim.mean(axis=0)
    axes = np.linalg.svd(rim - middle, full_matrices=False)[2]
    if len(axes) < 3:
        return faces, []
    width = float(np.ptp(rim @ axes[0]))
    height = (vertices - middle) @ axes[2]
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    normals = np.cross(b - a, c - a)
    area = areas_of(vertices, faces)
    upright = np.abs(normals @ axes[2]) > 0.9 * 2.0 * area
    flat = upright & (np.abs(height[faces]) < FLAT * width).all(axis=1)
    rest = faces[~flat]
    if np.abs((rim - middle) @ axes[2]).max() > FLAT * width or not flat.any() or not len(rest):
        return faces, []
    side = 1.0 if (normals[flat] @ axes[2]).sum() > 0.0 else -1.0
    above = side * height[np.unique(rest)]
    if above.min() < -2.0 * FLAT * width or above.max() < HIGH * width:
        return faces, []
    inside = _hull_area(rim @ axes[:2].T)
    footprint = _hull_area(vertices[np.unique(rest)] @ axes[:2].T)
    if inside < WIDER * footprint or area[flat].sum() < COVERED * inside:
        return faces, []
    what = (
        f"stands on a patch of table, {area[flat].sum() / area.sum():.0%} of the surface: cut off"
    )
    return rest, [Finding(what, "warning", repaired=True, code="table")]


def _hull_area(points: Floats) -> float:
    try:
        return float(ConvexHull(points).volume)
    except QhullError:
        return 0.0
