"""Whether an object looks as if the wrong axis of its file was declared to be up.

Files are z-up or y-up, and do not say which. The sides are compared: which would hold water, and
which has a flat base to stand on. Nothing is rotated; the result is only reported.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import generate_binary_structure, maximum_filter, minimum_filter
from scipy.spatial import ConvexHull, QhullError

from r2s_envs_objects.asset import Finding, Floats, Ints
from r2s_envs_objects.mesh.columns import crossings, grid_over
from r2s_envs_objects.mesh.hull import hull_mesh
from r2s_envs_objects.mesh.inertia import volume_integrals

SIDES = ("z", "y", "x", "-z", "-y", "-x")
RAYS = 64  # along the longer side of the view from above
LEVEL = 0.015  # largest unevenness of a base, as a fraction of the object's height
#: Least volume of water in a hollow side, as a fraction of the convex hull's. Mugs and bowls hold
#: 0.45 to 0.85, and under 0.1 on any other side. Then its least ratio to the other sides.
HOLLOW, HOLDS_MORE = 0.2, 2.0
#: Fractions of the silhouette that the base covers: the most at which an object counts as lying (a
#: lying can has 0.16), the least of a base, and that of an unambiguous one.
LYING, BASE, PLAIN = 0.2, 0.2, 0.6
#: Least ratio of a suggested base to those on other axes: for a usual axis, for one upside down.
NEARLY, CLEARLY = 0.7, 2.0


def up_axis_findings(vertices: Floats, faces: Ints, up: str) -> list[Finding]:
    """A warning where the shape suggests that another axis than `up` points up.

    vertices [n, 3]: in the file's axes, about the centre of mass. A mallet also stands on its head,
    so a base alone is evidence only for the usual axes: y, z and, if unambiguous, -y and -z.
    """
    points = hull_mesh(vertices)[0]
    hollow = 1.0 - volume_integrals(vertices, faces)[0] / ConvexHull(points).volume
    if hollow >= HOLLOW:  # no side can hold more
        holds = {side: held_share(vertices, faces, side) for side in SIDES}
        best = max(SIDES, key=lambda side: holds[side])
        others = max(holds[side] for side in SIDES if side != best)
        if holds[best] >= HOLLOW and (best == up or holds[best] < HOLDS_MORE * others):
            return []
        if holds[best] >= HOLLOW:
            what = f"its hollow side does not face up: it would with its {best} axis"
            return [_finding(what, best)]
    base = {side: base_share(points, side) for side in SIDES}
    if base[up] > LYING:
        return []
    usual = [side for side in ("y", "z") if side != up and base[side] >= BASE]
    turned = [side for side in ("-y", "-z") if side != up and base[side] >= PLAIN]
    for side in (*usual, *turned):
        # The opposite side does not count as a rival: a can has two equal bases.
        rivals = max(base[s] for s in SIDES if s[-1] != side[-1])
        flipped = base[side[1:] if side in turned else f"-{side}"]
        ahead = CLEARLY if side in turned else NEARLY
        # A small base with an equal on the opposite side is no evidence: a mallet lies on either
        # face of its head.
        alone = base[side] >= PLAIN or base[side] >= 2.0 * flipped
        if alone and base[side] >= max(ahead * rivals, flipped / 2.0):
            what = f"it does not lie on a flat side; it would stand on one with its {side} axis"
            return [_finding(what, side)]
    return []


def _finding(what: str, side: str) -> Finding:
    option = f"--up={side}" if side.startswith("-") else f"--up {side}"
    what += f" up: if that is right, pass {option} (`up: {side}` in a configuration)"
    return Finding(what, "warning", code="up-axis")


def base_share(points: Floats, up: str) -> float:
    """The fraction of an object's silhouette from above that its flat base covers, 0 to 1.

    points [n, 3]: the convex hull's vertices about the centre of mass. 0 where the centre of mass
    is not over the base, so that it would tip.
    """
    axis, sign = _axis(up)
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


def held_share(vertices: Floats, faces: Ints, up: str) -> float:
    """The volume of water that an object holds, over that of its convex hull.

    vertices [n, 3], faces [m, 3]: a closed surface.
    """
    axis, sign = _axis(up)
    grid = grid_over(vertices, axis, RAYS)
    hits = crossings(vertices, faces, grid)
    top = np.full(grid.shape[0] * grid.shape[1], -np.inf)
    np.maximum.at(top, hits.ray, hits.along * sign)
    top = np.pad(top.reshape(grid.shape), 1, constant_values=-np.inf)
    top = np.where(np.isfinite(top), top, maximum_filter(top, 3))  # missed rays are not leaks
    ground = float((vertices[:, axis] * sign).min())
    top = np.maximum(np.pad(top, 1, constant_values=-np.inf), ground)
    flow = generate_binary_structure(2, 1)
    water = np.where(np.pad(np.zeros(np.subtract(top.shape, 2), bool), 1, constant_values=True),
                     ground, top.max())  # fmt: skip
    while True:  # water drains to the level of its lowest neighbour, from the border inwards
        lower = np.maximum(top, np.minimum(water, minimum_filter(water, footprint=flow)))
        if np.array_equal(lower, water):
            break
        water = lower
    return float((water - top).sum() * grid.cell**2 / ConvexHull(vertices).volume)


def _axis(up: str) -> tuple[int, float]:
    return "xyz".index(up[-1]), -1.0 if up.startswith("-") else 1.0
