"""Whether an object looks as if another axis of its file than the one called up points up.

Files are z-up or y-up, and do not say which. Judged is by comparison: which side would hold water,
and which has a flat base to stand on. Nothing is turned; what is found is only said.
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
LEVEL = 0.015  # of the object's height, the unevenness that a base may have
#: What a hollow side holds is a share of the convex hull's volume. Mugs and bowls: 0.45 to 0.85,
#: and under 0.1 on any other side.
HOLLOW, HOLDS_MORE = 0.2, 2.0
#: Shares of the silhouette that the base covers: the most where one cannot speak of standing (a can
#: that lies has 0.16), the least of a base, and that of a plain one.
LYING, BASE, PLAIN = 0.2, 0.2, 0.6
#: How a suggested base compares at least with those on other axes: a usual one, one upside down.
NEARLY, CLEARLY = 0.7, 2.0


def up_axis_findings(vertices: Floats, faces: Ints, up: str) -> list[Finding]:
    """A warning where another side than `up` is the upper one, as far as the shape can tell.

    vertices [n, 3]: in the file's axes, about the centre of mass. A mallet stands on its head
    too, hence a base alone speaks for the usual axes only: y, z, and plainly theirs upside down.
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
        # Upside down no less stable is no argument: a can has two such sides.
        rivals = max(base[s] for s in SIDES if s[-1] != side[-1])
        flipped = base[side[1:] if side in turned else f"-{side}"]
        ahead = CLEARLY if side in turned else NEARLY
        # A small base matched upside down is none: so lies a mallet, on either face of its head.
        alone = base[side] >= PLAIN or base[side] >= 2.0 * flipped
        if alone and base[side] >= max(ahead * rivals, flipped / 2.0):
            what = f"it lies on no flat side; it would stand on one with its {side} axis"
            return [_finding(what, side)]
    return []


def _finding(what: str, side: str) -> Finding:
    option = f"--up={side}" if side.startswith("-") else f"--up {side}"
    what += f" up: if the file means that, say so with {option} (`up: {side}` in a configuration)"
    return Finding(what, "warning", code="up-axis")


def base_share(points: Floats, up: str) -> float:
    """How much of an object's silhouette from above its flat base covers, 0 to 1.

    points [n, 3]: the convex hull's vertices about the centre of mass. 0 where the centre of mass
    is not over the base, so that it would tip over.
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
    """The volume of water that stays on an object, over that of its convex hull.

    vertices [n, 3], faces [m, 3]: a closed surface.
    """
    axis, sign = _axis(up)
    grid = grid_over(vertices, axis, RAYS)
    hits = crossings(vertices, faces, grid)
    top = np.full(grid.shape[0] * grid.shape[1], -np.inf)
    np.maximum.at(top, hits.ray, hits.along * sign)
    top = np.pad(top.reshape(grid.shape), 1, constant_values=-np.inf)
    top = np.where(np.isfinite(top), top, maximum_filter(top, 3))  # rays that missed are no leaks
    ground = float((vertices[:, axis] * sign).min())
    top = np.maximum(np.pad(top, 1, constant_values=-np.inf), ground)
    flow = generate_binary_structure(2, 1)
    water = np.where(np.pad(np.zeros(np.subtract(top.shape, 2), bool), 1, constant_values=True),
                     ground, top.max())  # fmt: skip
    while True:  # it sinks to what its lowest neighbour leaves, from the border inwards
        lower = np.maximum(top, np.minimum(water, minimum_filter(water, footprint=flow)))
        if np.array_equal(lower, water):
            break
        water = lower
    return float((water - top).sum() * grid.cell**2 / ConvexHull(vertices).volume)


def _axis(up: str) -> tuple[int, float]:
    return "xyz".index(up[-1]), -1.0 if up.startswith("-") else 1.0
