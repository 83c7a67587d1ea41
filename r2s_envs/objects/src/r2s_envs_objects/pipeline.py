"""From a file's content to a simulation-ready object: the stages in order, without the cache.

Whoever is given a file calls `loader.load_object`, which has this done in another process.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from r2s_envs_objects import load
from r2s_envs_objects.asset import Finding, Floats, ObjectAsset, RestingPose
from r2s_envs_objects.decompose import convex_pieces, decimate
from r2s_envs_objects.grasp import narrowest_grasp
from r2s_envs_objects.inertia import check_inertia, mass_of, volume_integrals
from r2s_envs_objects.materials import friction_of
from r2s_envs_objects.options import ObjectOptions
from r2s_envs_objects.repair import close_surface
from r2s_envs_objects.rest import flatten_base, settle
from r2s_envs_objects.units import metres_per_unit


def prepared(data: bytes, options: dict[str, Any], **arguments: Any) -> dict[str, Any]:
    """`prepare` as `sandbox` calls it: its options as a dict, the asset as arrays."""
    return prepare(data, options=ObjectOptions(**options), **arguments).to_arrays()


def prepare(data: bytes, suffix: str, label: str, options: ObjectOptions, key: str) -> ObjectAsset:
    """All stages on a file's content, without the cache."""
    vertices, faces, findings = load.parse(data, suffix, label)
    vertices, faces, repairs = close_surface(vertices, faces, label)
    findings += repairs
    extent = float(np.ptp(vertices, axis=0).max()) * options.scale
    unit, notes = metres_per_unit(extent, options.units, label)
    findings += notes
    turn, factor = _up_to_z(options.up), unit * options.scale
    vertices = (vertices * factor) @ turn.T
    findings = [dataclasses.replace(f, moved=f.moved * factor) for f in findings]

    volume, com, unit_inertia = volume_integrals(vertices, faces)
    mass, mass_range, notes = mass_of(volume, options, label)
    friction, friction_range = friction_of(options.material, options.friction)
    findings += notes
    vertices = vertices - com
    inertia = unit_inertia * (mass / volume)
    check_inertia(inertia, label)
    # Mass properties came from every face; the rest needs no more than the eye does.
    vertices, faces = decimate(vertices, faces, options.visual_faces)
    pieces, iou, surface_p95, notes = convex_pieces(vertices, faces, volume, options)
    findings += notes

    rotation, still = settle(pieces, mass, inertia)
    findings += _resting_findings(rotation, still)
    vertices = vertices @ rotation.T
    pieces, moved = flatten_base([piece @ rotation.T for piece in pieces])
    if moved > 0.0:
        findings.append(Finding("uneven base flattened", repaired=True, moved=moved))
    transform = np.eye(4)
    transform[:3, :3], transform[:3, 3] = rotation @ turn * factor, -rotation @ com
    grasp = narrowest_grasp(vertices, faces)
    return ObjectAsset(
        name="",
        source="",
        content_hash=key,
        visual_vertices=vertices,
        visual_faces=faces,
        pieces=pieces,
        mass=mass,
        com=np.zeros(3),
        inertia=rotation @ inertia @ rotation.T,
        mass_range=mass_range,
        friction=friction,
        friction_range=friction_range,
        size=np.ptp(vertices, axis=0),
        volume=volume,
        resting_qpos=RestingPose(-float(min(p[:, 2].min() for p in pieces)), (1.0, 0.0, 0.0, 0.0)),
        grasp_width=grasp.width,
        grasp_yaw=grasp.yaw,
        grasp_height=grasp.height,
        grasp_offset=grasp.offset,
        scan_to_body=transform,
        iou=iou,
        surface_p95=surface_p95,
        findings=tuple(findings),
    )


def _up_to_z(up: str) -> Floats:
    """The rotation [3, 3] that takes the file's up axis to +z."""
    third = np.zeros(3)
    third["xyz".index(up[-1])] = -1.0 if up.startswith("-") else 1.0
    first = np.array([0.0, 1.0, 0.0] if up.endswith("x") else [1.0, 0.0, 0.0])
    return np.stack([first, np.cross(third, first), third])


def _resting_findings(rotation: Floats, still: bool) -> list[Finding]:
    findings = []
    tilt = float(np.degrees(np.arccos(np.clip(rotation[2, 2], -1.0, 1.0))))
    if tilt > 5.0:
        what = f"does not stand as it was scanned: comes to rest turned by {tilt:.0f} degrees"
        findings.append(Finding(what, "warning"))
    if not still:
        findings.append(Finding("still rolls after 6 s on a flat table", "warning"))
    return findings
