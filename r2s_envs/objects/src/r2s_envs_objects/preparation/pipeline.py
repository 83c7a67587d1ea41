"""From a file's content to a simulation-ready object: the stages in order, without the cache.

Callers use `loader.load_object`, which runs this in another process.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from r2s_core.gripper import Gripper
from r2s_envs_objects.asset import Finding, Floats, ObjectAsset, RestingPose
from r2s_envs_objects.behaviour.antipodal import graspability
from r2s_envs_objects.behaviour.grasp import narrowest_grasp, payload_findings
from r2s_envs_objects.behaviour.poses import resting_poses
from r2s_envs_objects.behaviour.rest import flatten_base, settle
from r2s_envs_objects.materials import friction_of
from r2s_envs_objects.mesh.decompose import convex_pieces
from r2s_envs_objects.options import ObjectOptions
from r2s_envs_objects.preparation.solid import solidify
from r2s_envs_objects.store.arrays import to_arrays


def prepared(
    data: bytes, options: dict[str, Any], gripper: dict[str, Any], **arguments: Any
) -> dict[str, Any]:
    """`prepare` in the form that `sandbox` calls: options and gripper as dicts, asset as arrays."""
    made = prepare(data, options=ObjectOptions(**options), gripper=Gripper(**gripper), **arguments)
    return to_arrays(made)


def prepare(
    data: bytes, suffix: str, label: str, options: ObjectOptions, gripper: Gripper, key: str
) -> ObjectAsset:
    """All stages on a file's content, without the cache; gripper: that of `options.robot`."""
    solid = solidify(data, suffix, label, options)
    volume, mass, inertia = solid.volume, solid.mass, solid.inertia
    findings = solid.findings + payload_findings(mass, gripper)
    friction, friction_range = friction_of(options.material, options.friction)
    vertices, faces = solid.vertices, solid.faces
    pieces, iou, _, surface_p95, notes = convex_pieces(vertices, faces, volume, options)
    findings += notes

    rotation, still = settle(pieces, mass, inertia)
    findings += _resting_findings(rotation, still)
    vertices = vertices @ rotation.T
    pieces, moved = flatten_base([piece @ rotation.T for piece in pieces])
    if moved > 0.0:
        findings.append(Finding("uneven base flattened", repaired=True, moved=moved, code="base"))
    turned = np.eye(4)
    turned[:3, :3] = rotation
    inertia = rotation @ inertia @ rotation.T
    grasp = narrowest_grasp(vertices, faces, gripper)
    sampled = graspability(vertices, faces, gripper)
    return ObjectAsset(
        name="",
        source="",
        content_hash=key,
        robot=options.robot,
        visual_vertices=vertices,
        visual_faces=faces,
        pieces=pieces,
        mass=mass,
        com=np.zeros(3),
        inertia=inertia,
        mass_range=solid.mass_range,
        friction=friction,
        friction_range=friction_range,
        size=np.ptp(vertices, axis=0),
        volume=volume,
        resting_qpos=RestingPose(-float(min(p[:, 2].min() for p in pieces)), (1.0, 0.0, 0.0, 0.0)),
        grasp_width=grasp.width,
        grasp_yaw=grasp.yaw,
        grasp_height=grasp.height,
        grasp_offset=grasp.offset,
        scan_to_body=turned @ solid.from_file,
        iou=iou,
        surface_p95=surface_p95,
        findings=tuple(findings),
        resting_poses=resting_poses(pieces, mass, inertia),
        grasps=sampled.grasps,
        grasp_share=sampled.share,
    )


def _resting_findings(rotation: Floats, still: bool) -> list[Finding]:
    findings = []
    tilt = float(np.degrees(np.arccos(np.clip(rotation[2, 2], -1.0, 1.0))))
    if tilt > 5.0:
        what = f"does not stand as it was scanned: comes to rest rotated by {tilt:.0f} degrees"
        findings.append(Finding(what, "warning", code="tips-over"))
    if not still:
        findings.append(Finding("still rolls after 6 s on a flat table", "warning", code="rolls"))
    return findings
