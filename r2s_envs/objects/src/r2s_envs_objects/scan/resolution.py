"""What a file's numbers still resolve: far from the origin, few of their digits are the object's.

Coordinates on a map have seven digits before the point; float32 has seven in all.
"""

from __future__ import annotations

import numpy as np

from r2s_core.errors import AssetError
from r2s_envs_objects.asset import Finding, Floats

FAR = 50.0  # object sizes from the origin, nearer than which nothing is lost
RELIEF, COVERED = 0.3, 0.8  # a relief's most height over width; of its rectangle, what it covers
CELLS = 24  # across, in which the heights of a relief hardly vary
FEWEST, FEW = 25.0, 200.0  # steps of the numbers along an extent: refused, warned of below
ON_A_MAP = 100_000.0  # from the origin, farther than which coordinates are a map's


def on_a_map(low: Floats, high: Floats) -> bool:
    """Whether bounds [3], [3] are those of a map's grid, whose unit is the metre."""
    away = float(np.abs(low + high).max()) / 2.0
    return away >= ON_A_MAP and away >= FAR * float((high - low).max())


def is_relief(points: Floats) -> bool:
    """Whether points [n, 3] are a wide, low surface of one height each place: land from the air."""
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
    """A warning where points [n, 3] sit on a coarse grid; AssetError where it spoils the shape."""
    extents, away = np.ptp(points, axis=0), np.abs(points).max(axis=0)
    far = np.flatnonzero(away > FAR * extents.max())
    steps = {axis: _step(points[:, axis]) for axis in far.tolist()}
    coarse = {axis: step for axis, step in steps.items() if extents[axis] < FEW * step}
    if not coarse:
        return []
    axis = min(coarse, key=lambda axis: extents[axis] / coarse[axis])
    what = (
        f"lies {away[axis]:.7g} from the origin of its coordinates, where its numbers are exact to "
        f"{coarse[axis]:.2g} only, and spans {extents[axis]:.2g} there"
    )
    if extents[axis] < FEWEST * coarse[axis]:
        raise AssetError(
            f"{label}: {what}: its shape is lost; move the scan to the origin before you export it"
        )
    what += "; move the scan to the origin before you export it"
    return [Finding(what, "warning", code="coarse")]


def _step(values: Floats) -> float:
    """The distance of neighbouring numbers that the file can hold, of values [n] on an axis."""
    step = 0.0
    with np.errstate(over="ignore"):
        if (values.astype(np.float32) == values).all():
            step = float(np.spacing(np.float32(np.abs(values).max())))
    distinct = np.unique(values)
    # As text with few digits: all are multiples of a power of ten, and fill its grid.
    for power in range(6, -7, -1):
        counts = np.round(distinct * 10.0**-power)
        if np.allclose(counts * 10.0**power, distinct, rtol=1e-12, atol=0.0):
            levels = np.ptp(counts) + 1.0
            if len(distinct) > levels / 2.0 and len(values) > 30.0 * levels:
                step = max(step, 10.0**power)
            break
    return step
