"""Which sides of an object the points show."""

from __future__ import annotations

import numpy as np

from r2s_envs_objects.asset import Floats
from r2s_envs_objects.reconstruct.grid import Samples

DIRECTIONS = 24
#: A side is missing if less than this share of the opposite side's projected area faces it.
MISSING = 0.4


def opposite_share(samples: Samples, direction: Floats) -> float:
    """Projected area that faces against a unit direction [3], over that which faces along it.

    On a closed surface of any shape both are equal.
    """
    flow = samples.normals @ direction * samples.areas
    along, against = flow[flow > 0.0].sum(), -flow[flow < 0.0].sum()
    return float(against / max(along, 1e-12))


def worst_side(samples: Samples) -> tuple[float, float]:
    """The least `opposite_share` of all horizontal directions, and its azimuth, rad."""
    turns = 2.0 * np.pi * np.arange(DIRECTIONS) / DIRECTIONS
    sides = np.stack([np.cos(turns), np.sin(turns), np.zeros(DIRECTIONS)], axis=1)
    shares = [opposite_share(samples, -side) for side in sides]
    worst = int(np.argmin(shares))
    return shares[worst], float(turns[worst])


def underside_missing(samples: Samples) -> bool:
    """Whether almost nothing faces down, as for an object scanned where it stood."""
    return opposite_share(samples, np.array([0.0, 0.0, 1.0])) < MISSING
