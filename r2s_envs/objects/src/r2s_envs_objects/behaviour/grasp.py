"""The narrowest vertical grasp of an object at rest, for a parallel gripper."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from r2s_envs_objects.asset import Floats, Ints

OPENING = 0.08  # m, the Panda's hand
WIDEST = OPENING - 0.004  # m; 2 mm of room at each finger
FINGER_HALF_WIDTH = 0.011  # m
PAD_HALF_HEIGHT = 0.009  # m
REACH = 0.035  # m from the middle of the pads to the palm


class Grasp(NamedTuple):
    """Pads close along the horizontal direction `yaw`, `height` above the centre of mass."""

    width: float  # m, what the opening must span
    yaw: float  # rad in [0, pi)
    height: float  # m
    offset: float  # m along `yaw`, from the centre of mass to the middle of what is spanned


def narrowest_grasp(vertices: Floats, faces: Ints) -> Grasp:
    """The yaw in which a hand from above needs the smallest opening over the centre of mass.

    vertices [n, 3] in m, in the resting pose about the centre of mass. The pads go to the height
    of the centre of mass, or as far down as the palm allows on tall objects. The opening must
    span all of the object that lies between the fingers as they come down.
    """
    height = max(0.0, float(vertices[:, 2].max()) - REACH)
    points = surface_points(vertices, faces)
    points = points[points[:, 2] >= height - PAD_HALF_HEIGHT, :2]
    best = Grasp(np.inf, 0.0, height, 0.0)
    for yaw in np.radians(np.arange(0.0, 180.0, 2.0)):
        along = points @ (np.cos(yaw), np.sin(yaw))
        across = points @ (-np.sin(yaw), np.cos(yaw))
        between = along[np.abs(across) <= FINGER_HALF_WIDTH]
        if not len(between):
            continue  # nothing under the hand: a ring's hole
        low, high = float(between.min()), float(between.max())
        if high - low < best.width - 1e-6:
            best = Grasp(high - low, float(yaw), height, (low + high) / 2.0)
    return best


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
