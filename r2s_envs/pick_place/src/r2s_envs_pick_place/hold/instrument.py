"""The hold test: grasp an object, lift it, shake and hold it, and measure slip and penetration.

It validates the scene's contact settings (a grip may neither creep nor sink into the object) and
tells of an object whether this gripper can hold it, and by which grasp.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable

import mujoco
import numpy as np
from scipy.spatial import ConvexHull

from r2s_core.backends.silence import silenced
from r2s_core.robot import Robot
from r2s_envs_pick_place.hold.rig import Rig, motion
from r2s_envs_pick_place.scene import build as scene

_APPROACH_S, _CLOSE_S, _LIFT_S, _SETTLE_S = 1.0, 0.6, 1.0, 0.3
_LIFT_HEIGHT = 0.15
_LOST = 0.05  # m, slip in the hand beyond which the object counts as lost
_ROOM = 0.006  # m of the opening that a grasp leaves free
_CLEARANCE = 0.004  # between the fingertips and the table, m


@dataclasses.dataclass(frozen=True)
class Grasp:
    """A grasp from above, in world axes: where the pads close, and about which yaw.

    position [3] m; yaw rad: zero closes the fingers along world x.
    """

    position: tuple[float, float, float]
    yaw: float = 0.0


@dataclasses.dataclass(frozen=True)
class Shake:
    """The hand swings sideways (world y), then up and down, along a sine in each.

    amplitude m, of the commanded motion; frequency Hz; seconds of each. The default commands
    4.7 m/s2, half of gravity, at the turning points; the arm's servos follow only part of it.
    """

    amplitude: float = 0.03
    frequency: float = 2.0
    seconds: float = 1.5


#: Called with a caption and the world's qpos at that moment.
Film = Callable[[str, np.ndarray], None]


@dataclasses.dataclass(frozen=True)
class HoldReport:
    """What was measured; lengths in m, angles in rad, forces in N.

    held: both pads still touch the object at the end, and it has not been lost.
    slip, tilt: the most that the object moved and turned in the hand while it was held still.
    lift_slip: how far it moved in the hand during the lift. shake_slip: the most that it moved
    during the shake. shake_amplitude: m, how far the hand actually swung to either side.
    opening: between the pads at the end.
    penetration: greatest depth of a pad inside the object while holding; closing_penetration:
    the same while the gripper closed and lifted. force: greatest normal force on one pad while
    holding. finger_overlap: greatest overlap of the pads' faces at any time.
    """

    grasp: Grasp
    held: bool
    slip: float
    tilt: float
    lift_slip: float
    penetration: float
    closing_penetration: float
    force: float
    finger_overlap: float
    shake_slip: float = 0.0
    shake_amplitude: float = 0.0
    opening: float = 0.0


@silenced()
def hold(
    model: mujoco.MjModel,
    robot: Robot,
    grasp: Grasp,
    seconds: float = 5.0,
    shake: Shake | None = None,
    approach: float = 0.0,
    film: Film | None = None,
) -> HoldReport:
    """Grasp the object where the keyframe `home` puts it, lift it, and hold it for `seconds`.

    model: a compiled `build_scene` with this robot; it is stepped as the task would step it.
    shake: between lift and hold. approach: m from above which the open hand comes down first,
    which may push the object; 0 starts around it.
    """
    film = film or (lambda caption, qpos: None)
    rig = Rig(model, robot)
    position = np.array(grasp.position)
    grasping = rig.solve(position, grasp.yaw)
    lifted = rig.solve(position + np.array([0.0, 0.0, _LIFT_HEIGHT]), grasp.yaw)

    above = rig.solve(position + np.array([0.0, 0.0, approach]), grasp.yaw)
    rig.start(above)
    if approach:
        film("about to grasp", rig.qpos)
        rig.move(above, grasping, closed=False, seconds=_APPROACH_S)
    rig.move(grasping, grasping, closed=True, seconds=_CLOSE_S)
    film("grasped", rig.qpos)
    grasped = rig.object_in_hand()
    rig.move(grasping, lifted, closed=True, seconds=_LIFT_S)
    rig.move(lifted, lifted, closed=True, seconds=_SETTLE_S)
    film("lifted", rig.qpos)
    closing_penetration = rig.penetration
    in_hand = rig.object_in_hand()
    lift_slip = motion(grasped, in_hand)[0]
    shaken = _shake(rig, lifted, grasp, shake, film) if shake else (0.0, 0.0)

    rig.penetration = rig.force = 0.0
    start = rig.object_in_hand()
    slip = tilt = 0.0
    for _ in range(round(seconds / 0.1)):
        rig.move(lifted, lifted, closed=True, seconds=0.1)
        offset, angle = motion(start, rig.object_in_hand())
        slip, tilt = max(slip, offset), max(tilt, angle)
    film(f"after {seconds:g} s of holding", rig.qpos)
    return HoldReport(
        grasp=grasp,
        held=rig.holds() and max(slip, shaken[0]) < _LOST,
        slip=slip,
        tilt=tilt,
        lift_slip=lift_slip,
        penetration=rig.penetration,
        closing_penetration=closing_penetration,
        force=rig.force,
        finger_overlap=rig.overlap,
        shake_slip=shaken[0],
        shake_amplitude=shaken[1],
        opening=rig.opening,
    )


def _shake(
    rig: Rig, lifted: np.ndarray, grasp: Grasp, shake: Shake, film: Film
) -> tuple[float, float]:
    """Swing the hand; how far the object moved in it, and how far the hand swung, m."""
    centre = np.array(grasp.position) + np.array([0.0, 0.0, _LIFT_HEIGHT])
    start, slip, swing = rig.object_in_hand(), 0.0, 0.0
    steps = round(shake.seconds / rig.model.opt.timestep)
    phases = 2 * np.pi * shake.frequency * rig.model.opt.timestep * np.arange(1, steps + 1)
    for axis, name in ((1, "shaken sideways"), (2, "shaken up and down")):
        end = centre.copy()
        end[axis] += shake.amplitude
        reach = rig.solve(end, grasp.yaw, from_now=True) - lifted
        places = []
        for index, phase in enumerate(phases):
            rig.step(lifted + np.sin(phase) * reach, closed=True)
            places.append(float(rig.grip[axis]))
            slip = max(slip, motion(start, rig.object_in_hand())[0])
            if index == steps // 2:
                film(name, rig.qpos)
        swing = max(swing, np.ptp(places[steps // 2 :]) / 2)
        rig.move(lifted, lifted, closed=True, seconds=_SETTLE_S)
    return slip, float(swing)


def candidate_grasps(
    shape: scene.SceneObject, robot: Robot, heights: int = 5, per_height: int = 4
) -> list[Grasp]:
    """Grasps from above that the open gripper fits around, the object as the keyframe puts it.

    At each height the gripper closes along the directions in which the object's section is
    locally narrowest, since two parallel faces touch it opposite each other there. Empty if the
    object is too wide everywhere.
    """
    origin = np.array([*robot.workspace, -shape.bounds[0, 2]])
    top = float(np.ptp(shape.bounds[:, 2]))
    lowest = robot.gripper.pad_below_grip + _CLEARANCE
    levels = np.unique(np.linspace(lowest, max(lowest, top - 0.01), heights).round(4))
    yaws = np.arange(90) * np.pi / 90
    closing = np.stack([np.cos(yaws), -np.sin(yaws)])
    grasps = []
    for height in levels:
        section = _section(shape, float(height - origin[2]))
        if len(section) == 0:
            continue
        spans = section @ closing
        widths = np.ptp(spans, axis=0)
        narrowest = (widths <= np.roll(widths, 1)) & (widths <= np.roll(widths, -1))
        fitting = np.flatnonzero(narrowest & (widths < robot.gripper.opening - _ROOM))
        for index in fitting[np.argsort(widths[fitting])][:per_height]:
            direction = closing[:, index]
            across = np.array([direction[1], -direction[0]])
            middle = (spans[:, index].min() + spans[:, index].max()) / 2 * direction
            # Along the pads, as near the centre of mass as possible, so that it does not swing.
            x, y = origin[:2] + middle + (np.asarray(shape.com)[:2] @ across) * across
            grasps.append(Grasp((float(x), float(y), float(height)), float(yaws[index])))
    return grasps


def _section(shape: scene.SceneObject, height: float) -> np.ndarray:
    """Points [n, 2] that span the object's cross-section at z = `height`, body frame."""
    corners = np.array(list(itertools.product((-1.0, 1.0), repeat=3)))
    points = [np.empty((0, 2))]
    for piece in shape.pieces or (corners * shape.box,):
        triangles = ConvexHull(piece).simplices
        start, end = piece[triangles].reshape(-1, 3), piece[np.roll(triangles, 1, 1)].reshape(-1, 3)
        crossing = (start[:, 2] <= height) != (end[:, 2] <= height)
        start, end = start[crossing], end[crossing]
        share = (height - start[:, 2:]) / (end[:, 2:] - start[:, 2:])
        points.append((start + share * (end - start))[:, :2])
    return np.concatenate(points)


def best_hold(
    shape: scene.SceneObject,
    options: scene.SceneOptions | None = None,
    grasps: Iterable[Grasp] | None = None,
    seconds: float = 5.0,
) -> HoldReport:
    """The report of the grasp, among those tried, that holds with the least slip."""
    options = options or scene.SceneOptions()
    robot, model = options.robot, scene.build_scene([shape], options).compile()
    grasps = grasps or candidate_grasps(shape, robot)
    reports = [hold(model, robot, grasp, seconds) for grasp in grasps]
    return min(reports, key=lambda report: (not report.held, report.slip))
