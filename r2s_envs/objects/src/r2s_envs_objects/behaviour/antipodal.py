"""How well a parallel gripper can hold an object: antipodal grasps, sampled over its surface."""

from __future__ import annotations

import dataclasses

import numpy as np

from r2s_core.gripper import Gripper
from r2s_envs_objects.asset import Floats, GraspPose, Ints
from r2s_envs_objects.mesh.decompose import decimate
from r2s_envs_objects.mesh.lines import Pinches, Surface, passages, pinches, sample, surface_of

SAMPLES = 1500
FRICTION = 0.5  # coefficient of the cones in which both contacts must lie
NARROWEST = 0.002  # m; thinner is lost in a scan's noise
FROM_ABOVE = np.radians(60.0)  # largest angle of an approach from above to the vertical
APPROACHES = 8
TABLE_CLEARANCE = 0.002  # m under the fingertips
GOOD, HARD = 0.10, 0.01  # least fraction of the samples graspable from above for each grade
MOST_GRASPS = 12

_FACES = 4000  # of the surface on which grasps are searched
_OBSTACLES = 3000  # points of the surface that fingers and palm must keep clear of
_ROOMS = (0.003, 0.01, np.inf)  # m beside each contact to which the fingers may be opened
_AT_ONCE = 16  # grasps: arrays of so many times _OBSTACLES stay in a core's cache
_LEVER = 0.05  # m off the centre of mass at which a grasp's score has fallen to 1/e
_COSINE = 1.0 / np.hypot(1.0, FRICTION)


@dataclasses.dataclass(frozen=True)
class Graspability:
    """share: fraction of the sampled surface points with a grasp in force closure that is reachable
    from above; anywhere: from any of the approaches. grasps: vertical, best first.
    """

    share: float
    anywhere: float
    grasps: tuple[GraspPose, ...]

    @property
    def grade(self) -> str:
        """good, hard, poor or none."""
        return grade(self.share)


def grade(share: float) -> str:
    """The grade of a fraction of grasps from above: good, hard, poor or none."""
    if share <= 0.0:
        return "none"
    return "good" if share >= GOOD else "hard" if share >= HARD else "poor"


def graspability(vertices: Floats, faces: Ints, gripper: Gripper) -> Graspability:
    """The grasps of a closed mesh, vertices [n, 3] in m, at rest on the plane under its lowest.

    The origin is the centre of mass. Deterministic: the sampling is seeded.
    """
    surface = surface_of(*decimate(vertices, faces, _FACES))
    obstacles, _ = sample(surface, _OBSTACLES, seed=1)
    floor = float(vertices[:, 2].min())
    origins, start = sample(surface, SAMPLES)
    directions = _within_cone(-surface.normals[start])
    found = pinches(passages(surface, origins, directions), gripper.finger_thickness)
    found = _squeezed(surface, directions, found, gripper)
    # A line may have several pinches; the one that counts begins at the sampled point.
    found = found.select(found.entry == start[found.line])
    closing = directions[found.line]
    middle = origins[found.line] + closing * ((found.start + found.end) / 2.0)[:, None]
    width = found.end - found.start
    above, clear = _reachable(obstacles, middle, closing, width, floor, gripper)
    grasps = _vertical(surface, obstacles, middle[above], closing[above], floor, gripper)
    return Graspability(float(above.sum() / SAMPLES), float(clear.sum() / SAMPLES), grasps)


def _within_cone(axes: Floats) -> Floats:
    """Unit directions [k, 3], sampled uniformly in the friction cones about the axes [k, 3]."""
    rng = np.random.default_rng(2)
    cosine = rng.uniform(_COSINE, 1.0, len(axes))
    sine, turn = np.sqrt(1.0 - cosine**2), rng.uniform(0.0, 2.0 * np.pi, len(axes))
    first, second = _perpendicular(axes)
    aside = np.cos(turn)[:, None] * first + np.sin(turn)[:, None] * second
    return cosine[:, None] * axes + sine[:, None] * aside


def _perpendicular(axes: Floats) -> tuple[Floats, Floats]:
    """Two unit vectors [k, 3] each, perpendicular to unit axes [k, 3] and to each other."""
    least = np.eye(3)[np.abs(axes).argmin(axis=1)]
    first = np.asarray(np.cross(axes, least), np.float64)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    return first, np.asarray(np.cross(axes, first), np.float64)


def _squeezed(surface: Surface, directions: Floats, found: Pinches, gripper: Gripper) -> Pinches:
    """The pinches that fit the gripper's opening and whose line lies in both friction cones."""
    width, closing = found.end - found.start, directions[found.line]
    fits = (width >= NARROWEST) & (width <= gripper.widest)
    entering = -np.einsum("ij,ij->i", closing, surface.normals[found.entry])
    leaving = np.einsum("ij,ij->i", closing, surface.normals[found.exit])
    return found.select(fits & (np.minimum(entering, leaving) >= _COSINE - 1e-9))


def _reachable(
    obstacles: Floats,
    middle: Floats,
    closing: Floats,
    width: Floats,
    floor: float,
    gripper: Gripper,
) -> tuple[np.ndarray, np.ndarray]:
    """Which grasps [g] are reachable from above, and which from any of the approaches."""
    down = np.array([0.0, 0.0, -1.0]) + closing[:, 2:] * closing
    steep = np.linalg.norm(down, axis=1)
    down = np.where(steep[:, None] > 1e-6, down / np.maximum(steep, 1e-6)[:, None], 0.0)
    down[steep <= 1e-6] = [1.0, 0.0, 0.0]  # closing vertically: every approach is level
    aside = np.cross(down, closing)
    above, clear = np.zeros(len(middle), bool), np.zeros(len(middle), bool)
    for turn in np.arange(APPROACHES) * (2.0 * np.pi / APPROACHES):
        approach = np.cos(turn) * down + np.sin(turn) * aside
        free = _has_room(obstacles, middle, closing, approach, width, gripper)
        clear |= free
        steep_enough = approach[:, 2] <= -np.cos(FROM_ABOVE) + 1e-9
        lowest = _lowest(middle, closing, approach, width, gripper)
        above |= free & steep_enough & (lowest >= floor)
    return above, clear


def _lowest(
    middle: Floats, closing: Floats, approach: Floats, width: Floats, gripper: Gripper
) -> Floats:
    """Height [g], m, of the hand's lowest point, on a fingertip or the palm, less a clearance."""
    across = np.abs(np.cross(approach, closing)[:, 2])
    spread = np.abs(closing[:, 2])
    tips = gripper.pad_half_height * approach[:, 2] - gripper.finger_half_width * across
    tips = tips - (width / 2.0 + gripper.finger_thickness) * spread
    wide, deep, _ = gripper.palm
    palm = -gripper.palm_clearance * approach[:, 2] - wide * spread - deep * across
    return middle[:, 2] + np.minimum(tips, palm) - TABLE_CLEARANCE


def _has_room(
    obstacles: Floats,
    middle: Floats,
    closing: Floats,
    approach: Floats,
    width: Floats,
    gripper: Gripper,
) -> np.ndarray:
    """bool [g]: whether palm and fingers, opened just enough or wide, clear the points [k, 3]."""
    axes = (closing, np.cross(approach, closing), approach)
    (wide, deep, high), reach = gripper.palm, gripper.palm_clearance
    free = np.zeros(len(middle), bool)
    for start in range(0, len(middle), _AT_ONCE):
        few = slice(start, start + _AT_ONCE)
        u, v, w = (
            axis[few] @ obstacles.T - np.einsum("ij,ij->i", middle[few], axis[few])[:, None]
            for axis in axes
        )
        u, v = np.abs(u), np.abs(v)
        palm = (u < wide) & (v < deep) & (w <= -reach) & (w > -reach - high)
        beside = (v < gripper.finger_half_width) & (w > -reach) & (w < gripper.pad_half_height)
        blocked = palm.any(axis=1)
        fingers = np.ones_like(blocked)
        for room in _ROOMS:
            inner = np.minimum(width[few] / 2.0 + room, gripper.opening / 2.0)[:, None]
            hits = beside & (u > inner) & (u < inner + gripper.finger_thickness)
            fingers &= hits.any(axis=1)
        free[few] = ~(blocked | fingers)
    return free


def _vertical(
    surface: Surface,
    obstacles: Floats,
    middle: Floats,
    closing: Floats,
    floor: float,
    gripper: Gripper,
) -> tuple[GraspPose, ...]:
    """The best vertical grasps near those found, all different.

    The closing direction is made horizontal. Grasps through the centre of mass are searched too,
    since an object does not swing in them.
    """
    level = closing * [1.0, 1.0, 0.0]
    length = np.linalg.norm(level, axis=1)
    middle, level = middle[length > 0.5], level[length > 0.5] / length[length > 0.5, None]
    top = float(surface.vertices[:, 2].max())
    lowest = gripper.pad_half_height + TABLE_CLEARANCE
    heights = np.linspace(floor + lowest, top - 0.002, 9)
    yaw, height = (grid.ravel() for grid in np.meshgrid(np.arange(72) * np.pi / 72, heights))
    origins = np.concatenate([middle, np.stack([0.0 * height, 0.0 * height, height], axis=1)])
    central = np.stack([np.cos(yaw), np.sin(yaw), 0.0 * yaw], axis=1)
    directions = np.concatenate([level, central])
    found = pinches(passages(surface, origins, directions), gripper.finger_thickness)
    found = _squeezed(surface, directions, found, gripper)
    closing, width = directions[found.line], found.end - found.start
    middle = origins[found.line] + closing * ((found.start + found.end) / 2.0)[:, None]
    approach = np.broadcast_to([0.0, 0.0, -1.0], middle.shape)
    keep = middle[:, 2] - gripper.pad_half_height >= floor + TABLE_CLEARANCE
    keep &= _has_room(obstacles, middle, closing, approach, width, gripper)
    cosines = np.einsum("ij,ij->i", closing, surface.normals[found.exit])
    cosines = np.minimum(cosines, -np.einsum("ij,ij->i", closing, surface.normals[found.entry]))
    square = (cosines - _COSINE) / (1.0 - _COSINE)
    lever = np.linalg.norm(middle[:, :2], axis=1) / _LEVER
    score = (0.5 + 0.5 * square) * np.exp(-(lever**2))
    return _distinct(middle[keep], closing[keep], width[keep], score[keep])


def _distinct(
    middle: Floats, closing: Floats, width: Floats, score: Floats
) -> tuple[GraspPose, ...]:
    """The best-scoring grasps, each at least 1 cm or 20 degrees from all better ones."""
    chosen: list[int] = []
    for index in np.argsort(-score, kind="stable"):
        near = np.linalg.norm(middle[chosen] - middle[index], axis=1) < 0.01
        alike = np.abs(closing[chosen] @ closing[index]) > np.cos(np.radians(20.0))
        if not (near & alike).any():
            chosen.append(int(index))
        if len(chosen) == MOST_GRASPS:
            break
    return tuple(_pose(middle[i], closing[i], width[i], score[i]) for i in chosen)


def _pose(middle: Floats, closing: Floats, width: float, score: float) -> GraspPose:
    x, y, z = map(float, middle)
    yaw = float(np.arctan2(closing[1], closing[0]) % np.pi)
    return GraspPose((x, y, z), yaw, float(width), float(score))
