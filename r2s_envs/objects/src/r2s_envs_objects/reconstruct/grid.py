"""A screened Poisson problem on a regular grid of nodes, solved from coarse to fine.

The unknown is chi: 1 inside the object, 0 outside; its gradient is minus the points' normals times
their density, and it is 0.5 at the points themselves (Kazhdan and Hoppe 2013). Where a camera saw
through, chi is pulled to 0. The outer faces of the grid are outside.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import LinearOperator, cg

from r2s_envs_objects.asset import Floats

Field = NDArray[np.float32]
ITERATIONS = 60
TOLERANCE = 1e-3
COARSEST = 16  # cells of the longest side on the first level


@dataclasses.dataclass(frozen=True, eq=False)
class Samples:
    """Oriented points: points, normals [n, 3] m; areas [n] m2 that each represents."""

    points: Floats
    normals: Floats
    areas: Floats


@dataclasses.dataclass(frozen=True, eq=False)
class Grid:
    """Nodes at low + step * index; cells per axis are multiples of 2 ** (levels - 1)."""

    low: Floats
    step: float
    cells: tuple[int, int, int]
    levels: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Nodes per axis."""
        return (self.cells[0] + 1, self.cells[1] + 1, self.cells[2] + 1)

    def coarser(self, times: int) -> Grid:
        """Every 2 ** times-th node."""
        factor = 2**times
        x, y, z = (count // factor for count in self.cells)
        return dataclasses.replace(self, step=self.step * factor, cells=(x, y, z))

    def nodes(self) -> Floats:
        """Positions [nx, ny, nz, 3], m."""
        axes = [self.low[i] + self.step * np.arange(self.shape[i]) for i in range(3)]
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def make_grid(low: Floats, high: Floats, step: float, margin: int, below: int) -> Grid:
    """A grid around a box [3], [3], with `margin` more cells on all sides, `below` underneath."""
    before = np.array([margin, margin, below])
    cells = np.ceil((high - low) / step).astype(int) + before + margin
    levels = 1
    while cells.max() / 2**levels >= COARSEST:
        levels += 1
    unit = 2 ** (levels - 1)
    x, y, z = (int(-(-count // unit) * unit) for count in cells)
    return Grid(low - before * step, step, (x, y, z), levels)


def solve(
    grid: Grid, samples: Samples, screening: float, free: Callable[[Grid], Field] | None
) -> Field:
    """chi at the nodes [nx, ny, nz] of the finest grid.

    screening: weight of the points' positions relative to their normals. free: for the grid of a
    level, the weight >= 0 of each node for having been seen empty.
    """
    chi: Field | None = None
    for times in reversed(range(grid.levels)):
        level = grid.coarser(times)
        chi = np.zeros(level.shape, np.float32) if chi is None else _refined(chi)
        seen = None if free is None else free(level)
        chi = _solve_level(level, samples, screening, seen, chi)
    assert chi is not None
    return chi


def _solve_level(
    level: Grid, samples: Samples, screening: float, free: Field | None, chi: Field
) -> Field:
    q = (samples.points - level.low) / level.step
    weight = samples.areas / level.step**2
    at_points = interpolation(q, level.shape)
    pull = csr_matrix(at_points.T.multiply(screening * weight).astype(np.float32))
    target = 0.5 * pull.sum(axis=1).A1.reshape(level.shape)  # pyright: ignore[reportAttributeAccessIssue]
    for axis in range(3):
        shift = np.zeros(3)
        shift[axis] = 0.5
        shape = tuple(n - (i == axis) for i, n in enumerate(level.shape))
        flow = interpolation(q - shift, shape).T @ (-weight * samples.normals[:, axis])
        target -= _backward(flow.reshape(shape).astype(np.float32), axis)
    inner = np.zeros(level.shape, np.float32)
    inner[1:-1, 1:-1, 1:-1] = 1.0

    def apply(x: Field) -> Field:
        y = sum(-_backward(np.diff(x, axis=axis), axis) for axis in range(3))
        y += (pull @ (at_points @ x.ravel())).reshape(x.shape)
        if free is not None:
            y += free * x
        return y * inner

    return _solved(apply, target.astype(np.float32) * inner, chi * inner)


def _backward(flow: Field, axis: int) -> Field:
    """Divergence along an axis of values on the edges between nodes: minus `np.diff` transposed."""
    zero = np.zeros_like(np.take(flow, [0], axis=axis))
    return np.diff(flow, axis=axis, prepend=zero, append=zero)


def _solved(apply: Callable[[Field], Field], right: Field, start: Field) -> Field:
    """x with apply(x) = right, for a positive definite `apply`; as near as `ITERATIONS` come."""
    shape = (right.size, right.size)
    operator: Any = LinearOperator  # whose stub knows the base class's arguments alone
    linear = operator(shape, lambda x: apply(x.reshape(right.shape)).ravel(), dtype=np.float32)
    x, _ = cg(linear, right.ravel(), start.ravel(), rtol=TOLERANCE, maxiter=ITERATIONS)
    return x.reshape(right.shape)


def _refined(chi: Field) -> Field:
    """Twice as many cells along each axis; linear in between."""
    for axis in range(3):
        coarse = np.moveaxis(chi, axis, 0)
        fine = np.empty((2 * len(coarse) - 1, *coarse.shape[1:]), np.float32)
        fine[::2] = coarse
        fine[1::2] = 0.5 * (coarse[1:] + coarse[:-1])
        chi = np.ascontiguousarray(np.moveaxis(fine, 0, axis))
    return chi


def interpolation(q: Floats, shape: tuple[int, ...]) -> csr_matrix:
    """The sparse matrix [n, nodes] that reads a field at index coordinates q [n, 3], linearly."""
    last = np.array(shape) - 1
    q = np.clip(q, 0.0, last)
    base = np.minimum(q.astype(np.int64), last - 1)
    part = q - base
    strides = np.array([shape[1] * shape[2], shape[2], 1])
    columns, values = [], []
    for corner in np.ndindex(2, 2, 2):
        columns.append((base + corner) @ strides)
        values.append(np.where(corner, part, 1.0 - part).prod(axis=1))
    starts = np.arange(0, 8 * len(q) + 1, 8)
    data = np.stack(values, axis=1).astype(np.float32).ravel()
    return csr_matrix(
        (data, np.stack(columns, axis=1).ravel(), starts), shape=(len(q), int(np.prod(shape)))
    )
