"""Finds the convention of a depth folder's poses and depth scale: the one under which views agree.

Exporters differ in the direction of a pose, in its camera axes and unit, and in whether
`depth_scale` multiplies or divides. Under each reading the points of one view fall somewhere in
the others, whose depth images confirm them there or see through them.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

from r2s_core.errors import AssetError
from r2s_envs_objects.asset import Finding, Floats
from r2s_envs_objects.reconstruct.depth import DepthView

VIEWS, SAMPLES = 12, 150  # views on which agreement is scored; points of each
#: A point is confirmed within these fractions of its depth, and counts more within the smaller
#: ones: good cameras distinguish similar readings, and poor ones need the wide tolerance.
TOLERANCES, PIXELS = np.array([0.005, 0.01, 0.02, 0.03]), 1.0  # plus this many pixel widths
#: A reading's score: the fraction of points confirmed, minus half the fraction seen through, minus
#: CHANGE per change, so that unlikely combinations do not win narrowly. A score above GOOD will do;
#: the documented reading stays unless another is BETTER by this, with this MARGIN to all others.
CHANGE, GOOD, BETTER, MARGIN = 0.04, 0.06, 0.05, 0.05
CONTRADICTED = 0.3  # fraction of the points seen through above which poses are surely wrong
SILENT, MANY = 0.05, 4  # surely wrong too: a smaller fraction confirmed among at least MANY views
STEADY, ON_THE_SPOT = 0.95, 0.05  # cosine of turns without travel; travel as fraction of the depth
NEAREST, FARTHEST = 0.02, 10.0  # m, plausible depth of the nearer pixels

_BODY = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]])
#: Factors that convert poses of other camera axes to OpenCV's.
AXES = {
    "": np.eye(4),
    "OpenGL axes (the camera looks along -z, y up)": np.diag([1.0, -1.0, -1.0, 1.0]),
    "PyTorch3D axes (x left, y up)": np.diag([-1.0, -1.0, 1.0, 1.0]),
    "body axes (x forward, z up)": _BODY,
}
DIRECTIONS = ("", "world-to-camera", "transposed rotations", "transposed world-to-camera rotations")
UNITS = {1.0: "", 0.001: "positions in millimetres", 0.01: "positions in centimetres"}
SCALES = (0.001, 0.0001, 0.0002, 0.00025)  # m per count, of common cameras


@dataclasses.dataclass(frozen=True)
class Reading:
    """scale: m per count. unit: m per unit of the positions."""

    scale: float
    direction: str = ""
    axes: str = ""
    unit: float = 1.0

    def apply(self, view: DepthView) -> DepthView:
        """The documented reading's view, converted to this reading."""
        pose = view.camera_to_world.copy()
        if "transposed" in self.direction:
            pose[:3, :3] = pose[:3, :3].T
        if "world-to-camera" in self.direction:
            pose = np.linalg.inv(pose)
        pose = pose @ AXES[self.axes]
        pose[:3, 3] *= self.unit
        return dataclasses.replace(view, scale=self.scale, camera_to_world=pose)

    def changes(self, documented: float) -> list[str]:
        """What this reading changes; `documented` is the depth scale as given."""
        scale = "" if self.scale == documented else f"a depth_scale of {self.scale:.4g}"
        return [what for what in (self.direction, self.axes, UNITS[self.unit], scale) if what]


def settled(views: list[DepthView], label: str) -> tuple[list[DepthView], list[Finding]]:
    """The views with the poses and scale under which the images agree, and what was changed.

    views: with poses and scale as documented. AssetError if the depths are implausible, the views
    contradict each other under every reading, or two readings do equally well.
    """
    scale = views[0].scale
    near = np.median([np.quantile(v.counts[v.counts > 0], 0.1) for v in views if v.counts.any()])
    sizes = [r for r in _sizes(scale) if NEAREST <= r.scale * near <= FARTHEST]
    if not sizes:
        raise AssetError(
            f"{label}: its depths are about {near * scale:.3g} m with a `depth_scale` of "
            f"{scale:.4g}; give the metres of one count, such as 0.001 for millimetres"
        )
    chosen = [views[i] for i in np.unique(np.linspace(0, len(views) - 1, VIEWS).astype(int))]
    sampled = [_sample(view) for view in chosen]
    if len(chosen) == 1:
        return _lone(views, sizes[0], scale, near, label)
    documented = Reading(scale)
    scores = {documented: agreement(chosen, sampled)} if documented in sizes else {}
    if documented not in scores or scores[documented][0] < 1.0 - BETTER - CHANGE:
        for reading in _readings(sizes):
            applied = [reading.apply(view) for view in chosen]
            if reading == documented or not _spins(applied, near):
                scores[reading] = agreement(applied, sampled)
    score = {
        reading: sure - against / 2.0 - CHANGE * len(reading.changes(scale))
        for reading, (sure, against) in scores.items()
    }
    best = max(score, key=lambda r: score[r])  # the first of equals has the fewest changes
    if documented in score and score[best] < score[documented] + BETTER:
        best = documented
    if score[best] < GOOD:
        return _doubtful(views, scores.get(documented), label)
    if best == documented:
        return views, [Finding(f"{scores[best][0]:.0%} of the points are confirmed by other views")]
    name = " and ".join(best.changes(scale))
    rivals = [r for r in score if score[r] > score[best] - MARGIN and not _same(r, best, chosen)]
    if rivals:
        other = " and ".join(rivals[0].changes(scale)) or "documented"
        raise AssetError(
            f"{label}: its poses do not agree with its depth images as documented; read as {name}, "
            f"or as {other}, they do equally well; write them as `r2s object reconstruct --help` "
            "has them"
        )
    now = scores.get(documented, (0.0, 0.0))[0]
    what = f"the views do not agree as documented (other views confirm {now:.0%} of the points), "
    what += f"but do ({scores[best][0]:.0%}) with {name}, which was used; correct cameras.json"
    return [best.apply(view) for view in views], [Finding(what, "warning", repaired=True)]


def _lone(
    views: list[DepthView], size: Reading, scale: float, near: float, label: str
) -> tuple[list[DepthView], list[Finding]]:
    """A single view confirms nothing: only an inverse depth scale shows, by implausible depths."""
    if size == Reading(scale):
        return views, []
    if not np.isclose(size.scale * scale, 1.0):
        raise AssetError(
            f"{label}: its depths are about {near * scale:.3g} m with a `depth_scale` of "
            f"{scale:.4g}; give the metres of one count, such as 0.001 for millimetres"
        )
    what = f"a depth_scale of {scale:.4g} would mean depths of {near * scale:.3g} m: its inverse "
    what += "was used; write that into cameras.json"
    return [size.apply(view) for view in views], [Finding(what, "warning", repaired=True)]


def _doubtful(
    views: list[DepthView], documented: tuple[float, float] | None, label: str
) -> tuple[list[DepthView], list[Finding]]:
    """No reading agrees: an error if the views contradict each other, else a warning."""
    sure, against = documented or (0.0, 1.0)
    if against > CONTRADICTED or (len(views) >= MANY and sure < SILENT):
        raise AssetError(
            f"{label}: its views contradict each other however the poses are read (as documented, "
            f"{sure:.0%} of the points are confirmed by other views and {against:.0%} are seen "
            "through); check poses, intrinsics and depth_scale"
        )
    what = f"only {sure:.0%} of the points are confirmed by other views: they hardly overlap, or "
    what += "poses, intrinsics or depth_scale are wrong"
    return views, [Finding(what, "warning")]


def _sizes(scale: float) -> list[Reading]:
    """Scales and units, the documented one first, then by the number of changes."""
    scales = list(dict.fromkeys((scale, 1.0 / scale, scale / 1000.0, *SCALES)))
    scales = [s for i, s in enumerate(scales) if not np.isclose(scales[:i], s, atol=0.0).any()]
    pairs = sorted(itertools.product(scales, UNITS), key=lambda p: (p[0] != scale) + (p[1] != 1.0))
    return [Reading(scale, unit=unit) for scale, unit in pairs]


def _readings(sizes: list[Reading]) -> list[Reading]:
    """All readings, except those that differ only by the scale of the whole world."""
    distinct: list[Reading] = []
    for size in sizes:
        ratio = size.scale / size.unit
        if not any(np.isclose(ratio, other.scale / other.unit, atol=0.0) for other in distinct):
            distinct.append(size)
    return [
        dataclasses.replace(size, direction=direction, axes=axes)
        for size, direction, axes in itertools.product(distinct, DIRECTIONS, AXES)
    ]


def _spins(views: list[DepthView], near: float) -> bool:
    """Whether the camera turns on the spot, which cannot scan an object but fits any images."""
    poses = np.stack([view.camera_to_world for view in views])
    moved = float(np.ptp(poses[:, :3, 3], axis=0).max())
    cosine = (np.einsum("nij,ij->n", poses[:, :3, :3], poses[0, :3, :3]) - 1.0) / 2.0
    turned = cosine.min() < STEADY
    return bool(turned) and moved < ON_THE_SPOT * near * views[0].scale


def _same(one: Reading, other: Reading, views: list[DepthView]) -> bool:
    """Whether two readings give the same relative motion of the cameras."""

    def motions(reading: Reading) -> Floats:
        poses = np.stack([reading.apply(view).camera_to_world for view in views])
        poses[:, :3, 3] /= reading.scale
        return np.linalg.inv(poses[0]) @ poses

    return np.allclose(motions(one), motions(other), rtol=1e-3, atol=1e-3)


def _sample(view: DepthView) -> tuple[np.ndarray, np.ndarray]:
    row, column = np.nonzero(view.counts)
    chosen = np.random.default_rng(0).permutation(len(row))[:SAMPLES]
    return row[chosen], column[chosen]


def agreement(
    views: list[DepthView], sampled: list[tuple[np.ndarray, np.ndarray]]
) -> tuple[float, float]:
    """Fractions of the sampled pixels (row, column) that another view confirms, or sees through.

    A view confirms a point if it has about the point's depth there (partly, if not within all
    TOLERANCES), and sees through it if it has more. If it has less, the point is hidden, which is
    no evidence.
    """
    points = np.concatenate(
        [view.world(*pixels) for view, pixels in zip(views, sampled, strict=True)]
    )
    owner = np.repeat(np.arange(len(views)), [len(row) for row, _ in sampled])
    confirmed, through = np.zeros(len(points)), np.zeros(len(points), bool)
    for index, view in enumerate(views):
        inverse = np.linalg.inv(view.camera_to_world)
        seen = points @ inverse[:3, :3].T + inverse[:3, 3]
        lens = view.intrinsics
        with np.errstate(all="ignore"):
            u = np.rint(seen[:, 0] / seen[:, 2] * lens[0, 0] + lens[0, 2])
            v = np.rint(seen[:, 1] / seen[:, 2] * lens[1, 1] + lens[1, 2])
            height, width = view.counts.shape
            inside = (seen[:, 2] > 0.0) & (u >= 0) & (u < width) & (v >= 0) & (v < height)
        inside &= owner != index
        depth = view.counts[v[inside].astype(int), u[inside].astype(int)] * view.scale
        off = depth / seen[inside, 2] - 1.0
        allowed = TOLERANCES + PIXELS / lens[0, 0]
        sure = (np.abs(off)[:, None] <= allowed).mean(axis=1)
        confirmed[inside] = np.maximum(confirmed[inside], sure)
        through[inside] |= (depth > 0.0) & (off > allowed[-1])
    return float(confirmed.mean()), float((through & (confirmed == 0.0)).mean())
