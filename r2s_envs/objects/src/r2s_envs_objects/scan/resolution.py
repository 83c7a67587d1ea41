"""Numerical resolution of a file's coordinates: far from the origin few digits are left for shape.

Map coordinates have seven digits before the point; float32 has seven in all.
"""

from __future__ import annotations

import numpy as np

from r2s_core.errors import AssetError
from r2s_envs_objects.asset import Finding, Floats

FAR = 50.0  # object sizes from the origin within which no precision is lost
RELIEF, COVERED = 0.3, 0.8  # of a relief: most height over width; least cover of its rectangle
CELLS = 24  # across, in each of which a relief's heights hardly vary
FEWEST, FEW = 25.0, 200.0  # numerical steps along an extent: below, an error; a warning
ON_A_MAP = 100_000.0  # distance from the origin beyond which coordinates are a map's


def on_a_map(low: Floats, high: Floats) -> bool:
    """Whether bounds [3], [3] are map coordinates, whose unit is the metre."""
    away = float(np.abs(low + high).max()) / 2.0
    return away >= ON_A_MAP and away >= FAR * float((high - low).max())


def is_relief(points: Floats) -> bool:
    """Whether points [n, 3] are a wide, low height field, such as land seen from the air."""
    order = np.argsort(np.ptp(points, axis=0))
    height, narrow, wide = (points[:, axis] - points[:, axis].min() for axis in order)
    if height.max() > RELIEF * narrow.max():
        return False
    cell = wide.max() / CELLS
    places = np.floor(wide / cell) * 2 * CELLS + np.floor(narrow / cell)
    _, place = np.unique(places, return_inverse=True)
    low, high = np.full(place.max() + 1, np.inf), np.zeros(place.max() + 1)
    np.minimum.at(low, place, height)
    np.maximum.at(high, place, height)
    covered = len(low) * cell**2 > COVERED * wide.max() * narrow.max()
    return bool(covered and np.median(high - low) < 0.25 * height.max())


def resolution_findings(points: Floats, label: str) -> list[Finding]:
    """A warning if points [n, 3] lie on a coarse grid; AssetError if that destroys the shape."""
    extents, away = np.ptp(points, axis=0), np.abs(points).max(axis=0)
    far = np.flatnonzero(away > FAR * extents.max())
    steps = {axis: _step(points[:, axis]) for axis in far.tolist()}
    coarse = {axis: step for axis, step in steps.items() if extents[axis] < FEW * step}
    if not coarse:
        return []
    axis = min(coarse, key=lambda axis: extents[axis] / coarse[axis])
    what = (
        f"lies {away[axis]:.7g} from the origin of its coordinates, where its numbers are exact "
        f"only to {coarse[axis]:.2g}, and spans {extents[axis]:.2g} there"
    )
    if extents[axis] < FEWEST * coarse[axis]:
        raise AssetError(
            f"{label}: {what}: its shape is lost; move the scan to the origin before exporting it"
        )
    what += "; move the scan to the origin before exporting it"
    return [Finding(what, "warning", code="coarse")]


def _step(values: Floats) -> float:
    """The numerical step of a file's values [n] on an axis."""
    step = 0.0
    with np.errstate(over="ignore"):
        if (values.astype(np.float32) == values).all():
            step = float(np.spacing(np.float32(np.abs(values).max())))
    distinct = np.unique(values)
    # Text with few digits: all values are multiples of a power of ten, and fill its grid.
    for power in range(6, -7, -1):
        counts = np.round(distinct * 10.0**-power)
        if np.allclose(counts * 10.0**power, distinct, rtol=1e-12, atol=0.0):
            levels = np.ptp(counts) + 1.0
            if len(distinct) > levels / 2.0 and len(values) > 30.0 * levels:
                step = max(step, 10.0**power)
            break
    return step
