"""The first part of the pipeline: from a file's content to a closed solid with its mass."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from r2s_core.errors import AssetError
from r2s_envs_objects.asset import Finding, Floats, Ints
from r2s_envs_objects.behaviour.upright import up_axis_findings
from r2s_envs_objects.mesh.columns import thickness
from r2s_envs_objects.mesh.decompose import decimate, simplify
from r2s_envs_objects.mesh.inertia import check_inertia, mass_of, volume_integrals
from r2s_envs_objects.mesh.repair import close_merged, in_metres, merge_vertices
from r2s_envs_objects.mesh.topology import is_watertight
from r2s_envs_objects.options import ObjectOptions
from r2s_envs_objects.scan import load
from r2s_envs_objects.scan.resolution import on_a_map
from r2s_envs_objects.scan.units import METRES, metres_per_unit, stated_unit

THIN, WARN_THIN = 0.002, 0.15  # m, a thin wall; fraction of the surface with thin walls
PAPER = 0.0001  # m, thinner than any real wall of a scan
WORKING_FACES = 300_000
FAR = 2.0  # of the object's size, from the origin to its middle


class Solid(NamedTuple):
    """A closed surface in metres, z up, its origin at the centre of mass."""

    vertices: Floats  # [n, 3]
    faces: Ints  # [m, 3], wound outward, at most `visual_faces`; may no longer be watertight
    watertight: bool  # before decimation
    full_faces: int
    volume: float  # m3
    mass: float  # kg
    mass_range: tuple[float, float]
    inertia: Floats  # [3, 3] kg m2 about the centre of mass
    from_file: Floats  # [4, 4] file coordinates -> `vertices`'
    unit: str  # of the file
    was_watertight: bool
    was_faces: int
    findings: list[Finding]


def solidify(data: bytes, suffix: str, label: str, options: ObjectOptions) -> Solid:
    """Parse and repair a file's content; AssetError if it is not a solid that can be used."""
    vertices, faces, findings = load.parse(data, suffix, label)
    vertices, faces = merge_vertices(vertices, faces)
    was_faces, was_watertight = len(faces), is_watertight(faces)
    vertices, faces, thinned = _at_most(WORKING_FACES, vertices, faces)
    findings += thinned
    vertices, faces, repairs = close_merged(vertices, faces, label, options.max_filled)
    extents = np.ptp(vertices, axis=0) * options.scale
    x, y, z = extents.tolist()
    stated = stated_unit(data, suffix)
    mapped = on_a_map(vertices.min(axis=0), vertices.max(axis=0))
    unit, notes = metres_per_unit((x, y, z), options.units, stated, label, mapped)
    factor, turn = METRES[unit] * options.scale, up_to_z(options.up)
    findings += in_metres(repairs, factor) + notes + _origin_findings(vertices, factor)
    vertices = (vertices * factor) @ turn.T

    volume, com, unit_inertia = volume_integrals(vertices, faces)
    mass, mass_range, notes = mass_of(volume, options, label)
    vertices = vertices - com
    inertia = unit_inertia * (mass / volume)
    check_inertia(inertia, label)
    findings += notes
    # Mass properties use every face; everything else uses the visual mesh.
    few_vertices, few_faces, notes = simplify(vertices, faces, options.visual_faces)
    findings += notes + _thin_findings(few_vertices, few_faces, label)
    findings += up_axis_findings(few_vertices @ turn, few_faces, options.up)
    from_file = np.eye(4)
    from_file[:3, :3], from_file[:3, 3] = turn * factor, -com
    return Solid(
        few_vertices,
        few_faces,
        is_watertight(faces),
        len(faces),
        volume,
        mass,
        mass_range,
        inertia,
        from_file,
        unit,
        was_watertight,
        was_faces,
        findings,
    )


def _at_most(limit: int, vertices: Floats, faces: Ints) -> tuple[Floats, Ints, list[Finding]]:
    """A surface of at most `limit` faces: more are finer than any scanner and exhaust memory."""
    few_vertices, few = decimate(vertices, faces, limit)
    if few is faces:
        return vertices, faces, []
    what = f"{len(faces)} faces: decimated to {len(few)} before all other steps"
    return few_vertices, few, [Finding(what, repaired=True, code="reduced")]


def up_to_z(up: str) -> Floats:
    """The rotation [3, 3] that takes the file's up axis to +z."""
    third = np.zeros(3)
    third["xyz".index(up[-1])] = -1.0 if up.startswith("-") else 1.0
    first = np.array([0.0, 1.0, 0.0] if up.endswith("x") else [1.0, 0.0, 0.0])
    return np.stack([first, np.cross(third, first), third])


def _origin_findings(vertices: Floats, factor: float) -> list[Finding]:
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    away = float(np.linalg.norm((low + high) / 2.0))
    if away <= FAR * float((high - low).max()):
        return []
    what = f"lies {away * factor:.2f} m from the file's origin: moved to its centre of mass"
    return [Finding(what, repaired=True, code="origin")]


def _thin_findings(vertices: Floats, faces: Ints, label: str) -> list[Finding]:
    walls, areas = thickness(vertices, faces)
    if not len(walls):
        return []
    order = np.argsort(walls)
    reached = np.cumsum(areas[order]) / areas.sum()
    typical = float(walls[order][np.searchsorted(reached, 0.5)])
    if typical < PAPER:
        raise AssetError(
            f"{label}: a sheet, {typical * 1e6:.2g} micrometres thick over most of its surface; "
            "scan the object from all sides"
        )
    share = float(areas[walls < THIN].sum() / areas.sum())
    if share < WARN_THIN:
        return []
    what = f"thin walls: {share:.0%} of the surface has under {THIN * 1000:.0f} mm behind it "
    what += f"(half of it under {typical * 1000:.2g} mm), about as deep as contacts penetrate"
    return [Finding(what, "warning", code="thin")]
