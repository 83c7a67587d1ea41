"""Whether an object looks as if it stood on the side that its file calls down."""

from __future__ import annotations

import numpy as np
from scipy.spatial import ConvexHull, QhullError

from r2s_envs_objects.asset import Finding, Floats

LEVEL = 0.015  # of the object's height, the unevenness that a base may have
NO_BASE, BASE = 0.02, 0.4  # share of the silhouette that the base covers: none, a plain one
SIDES = ("z", "y", "x", "-z", "-y", "-x")


def base_share(points: Floats, up: str) -> float:
    """How much of an object's silhouette from above its flat base covers, 0 to 1.

    points [n, 3]: the convex hull's vertices about the centre of mass. 0 where the centre of mass
    is not over the base, so that it would tip over.
    """
    axis, sign = "xyz".index(up[-1]), -1.0 if up.startswith("-") else 1.0
    height = points[:, axis] * sign
    across = np.delete(points, axis, axis=1)
    base = across[height < height.min() + LEVEL * np.ptp(height)]
    try:
        hull = ConvexHull(base)
        silhouette = ConvexHull(across)
    except (QhullError, ValueError):  # a point or an edge is no base
        return 0.0
    stands = bool((hull.equations[:, 2] < 0.0).all())  # the centre of mass, at 0, is inside
    return float(hull.volume / silhouette.volume) if stands else 0.0


def up_axis_findings(points: Floats, up: str) -> list[Finding]:
    """A warning where another side than the one called down is the base, beyond doubt."""
    if base_share(points, "z") > NO_BASE:  # the points have been turned: their up is z
        return []
    others = {side: base_share(points, side) for side in SIDES if side != "z"}
    best = max(others, key=lambda side: others[side])
    if others[best] < BASE:
        return []
    what = "no flat base below; it would stand with its "
    what += f"{best} axis up" if up == "z" else f"{best} axis up (after `up={up}`)"
    what += f": if the file means that, set `up` to {best}" if up == "z" else ": check `up`"
    return [Finding(what, "warning", code="up-axis")]
