"""The narrowest vertical grasp of an object at rest, for a parallel gripper."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from r2s_core import registry
from r2s_core.gripper import Gripper
from r2s_envs_objects.asset import Finding, Floats, Ints


@functools.cache
def gripper_of(robot: str) -> Gripper:
    """The gripper of an installed robot; PluginError where there is none of that name."""
    return registry.build_robot(robot).gripper


class Grasp(NamedTuple):
    """Pads close along the horizontal direction `yaw`, `height` above the centre of mass."""

    width: float  # m, what the opening must span
    yaw: float  # rad in [0, pi)
    height: float  # m
    offset: float  # m along `yaw`, from the centre of mass to the middle of what is spanned


def narrowest_grasp(vertices: Floats, faces: Ints, gripper: Gripper) -> Grasp:
    """The yaw at which a hand from above needs the smallest opening over the centre of mass.

    vertices [n, 3] in m, in the resting pose about the centre of mass. The pads go to the height
    of the centre of mass, or as far down as the palm allows on tall objects. The opening must
    span all of the object that lies between the fingers as they come down.
    """
    height = max(0.0, float(vertices[:, 2].max()) - gripper.palm_clearance)
    points = surface_points(vertices, faces)
    points = points[points[:, 2] >= height - gripper.pad_half_height, :2]
    best = Grasp(np.inf, 0.0, height, 0.0)
    for yaw in np.radians(np.arange(0.0, 180.0, 2.0)):
        along = points @ (np.cos(yaw), np.sin(yaw))
        across = points @ (-np.sin(yaw), np.cos(yaw))
        between = along[np.abs(across) <= gripper.finger_half_width]
        if not len(between):
            continue  # nothing under the hand: a ring's hole
        low, high = float(between.min()), float(between.max())
        if high - low < best.width - 1e-6:
            best = Grasp(high - low, float(yaw), height, (low + high) / 2.0)
    return best


def payload_findings(mass: float, gripper: Gripper) -> list[Finding]:
    """A warning where `mass`, kg, exceeds the robot's payload."""
    if mass <= gripper.payload:
        return []
    limit = f"{gripper.payload:g} kg with its {gripper.name}"
    what = f"{mass:.3g} kg is more than the robot lifts ({limit}); check mass and units"
    return [Finding(what, "warning", code="heavy")]


def surface_points(vertices: Floats, faces: Ints, spacing: float = 0.003) -> Floats:
    """Points [k, 3] on every face at most about `spacing` m apart, the vertices included."""
    corners = vertices[faces]
    longest = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1)
    steps = np.clip(np.ceil(longest / spacing), 1, 200).astype(int)
    chunks = []
    for n in np.unique(steps):
        i, j = np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij")
        keep = i + j <= n
        weights = np.stack([i[keep], j[keep], n - i[keep] - j[keep]], axis=1) / n
        chunks.append(np.einsum("wk,fkd->fwd", weights, corners[steps == n]).reshape(-1, 3))
    return np.concatenate(chunks)
