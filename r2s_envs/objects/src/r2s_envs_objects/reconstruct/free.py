"""Free space: what was seen to be empty between a point and the camera that saw it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from r2s_envs_objects.asset import Floats
from r2s_envs_objects.reconstruct.grid import Field, Grid

MAX_RAYS = 60_000
CHUNK = 5_000  # rays at once
STAND_OFF = 2.5  # cells in front of a point that are uncertain because of its noise
WEIGHT, VOTES = 0.3, 2  # weight with which a node is pulled outside; rays that must agree


def free_space(points: Floats, viewpoints: Floats) -> Callable[[Grid], Field]:
    """Weights of a grid's nodes for being empty, from points [n, 3] and their viewpoints [n, 3].

    Keeps cups hollow and gaps open, where normals alone are ambiguous.
    """
    chosen = np.random.default_rng(0).permutation(len(points))[:MAX_RAYS]
    starts = points[chosen]
    towards = viewpoints[chosen] - starts
    distance = np.linalg.norm(towards, axis=1, keepdims=True)
    towards = towards / np.maximum(distance, 1e-12)

    def votes(grid: Grid) -> Field:
        shape = np.array(grid.shape)
        count = np.zeros(int(shape.prod()), np.int64)
        strides = np.array([shape[1] * shape[2], shape[2], 1])
        for first in range(0, len(starts), CHUNK):
            part = slice(first, first + CHUNK)
            reach = _exit_distance(grid, starts[part], towards[part])
            reach = np.minimum(reach, distance[part, 0])
            along = np.arange(STAND_OFF * grid.step, max(float(reach.max()), 0.0), grid.step)
            inside = along[None, :] < reach[:, None]
            ray, step = np.nonzero(inside)
            at = starts[part][ray] + along[step][:, None] * towards[part][ray]
            node = np.rint((at - grid.low) / grid.step).astype(np.int64)
            node = node[((node >= 0) & (node < shape)).all(axis=1)]
            count += np.bincount(node @ strides, minlength=len(count))
        weight = WEIGHT * np.minimum(count, 4 * VOTES) * (count >= VOTES)
        return weight.astype(np.float32).reshape(grid.shape)

    return votes


def _exit_distance(grid: Grid, starts: Floats, towards: Floats) -> Floats:
    """The distance [n] at which each ray leaves the grid."""
    high = grid.low + grid.step * np.array(grid.cells)
    with np.errstate(divide="ignore", invalid="ignore"):
        far = np.where(towards > 0.0, high - starts, grid.low - starts) / towards
    return np.nan_to_num(far, nan=np.inf, posinf=np.inf).min(axis=1)
