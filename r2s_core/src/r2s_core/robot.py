"""A robot as a plugin: an arm with a parallel gripper, and its addresses in a model's arrays.

A task takes names from the robot and addresses from its `Slots`, and hard-codes neither. Nothing
here needs JAX.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import mujoco
import numpy as np

from r2s_core.gripper import Gripper as Gripper

#: Bits of `contype` and `conaffinity`: what may touch what. A robot's geoms have a `contype` and
#: the world's geoms the `conaffinity`, so that a robot never collides with itself. The pads touch
#: objects only: "pad against anything" is then "pad against object" for their contact sensors.
ARM_CONTACT, PAD_CONTACT, OBJECT_CONTACT = 1, 2, 4
#: MuJoCo's minimum friction, for geoms whose friction the other geom should decide. C MuJoCo
#: replaces zero by it; MJX divides by the given value, so that zero becomes NaN.
NO_FRICTION = 1e-5
COLLISION_GROUP = 3  #: of geoms that are not drawn
VISUAL_GROUP = 2  #: of geoms that are drawn, as is every group below 3
#: Makes a geom visual only.
NOT_PHYSICAL = {"contype": 0, "conaffinity": 0, "mass": 0.0, "group": VISUAL_GROUP}


@dataclasses.dataclass(frozen=True)
class Pace:
    """How far one control step moves for an action of 1, and how far targets may lead, m and rad.

    max_lead: joint targets stay within this distance of the joint angles, since a target that runs
    ahead of the arm winds up. It also bounds the speed, to about max_lead * frequency /
    (2 * damping ratio) of the servos.
    """

    ee: float = 0.05
    ee_yaw: float = 0.2
    joint: float = 0.1
    max_lead: float = 0.2


def sum_of_fingers(fingers: Any) -> Any:
    """The opening of two fingers that each slide from 0, closed: [..., 2] -> [...], m."""
    return fingers[..., 0] + fingers[..., 1]


@dataclasses.dataclass(frozen=True, eq=False)
class Robot:
    """An arm with a parallel gripper, its base at the origin, its front along x.

    name: the plugin's. title: for display.
    add: puts bodies, joints, servos, the site `grip` and the collision geoms into a spec, gravity
      compensated. Each joint in `arm_joints` and `finger_joints` has a position servo of its own
      name, in that order, and these are the robot's only actuators. Arm joints are hinges at the
      origins of their bodies, in a chain. Servos leave their damping explicit.
    dress: adds visual geoms to the same spec, and nothing that affects the physics.
    sketch: the same with 10 to 20 primitives, for cameras that policies see with, since each image
      costs time in proportion to the geoms; materials named as in `dress`. None: `dress`.
    dress_officially: the same with the manufacturer's meshes; raises R2SError where there are none.
    arm_joints [n], finger_joints [2]: names. Generic ones (joint1, ..., finger_joint1, ...) let one
      configuration of randomizers fit all robots.
    home [n]: angles of the keyframe `home`. ready [n]: the grip 0.15 to 0.3 m above `workspace`,
      pointing straight down, its x axis ahead, away from limits and singularities. rad.
    open_joints: every joint of the gripper at its position when open, by name.
    finger_targets: a finger servo's targets for closing and for opening. They may lie beyond the
      joint's range, so that a closing finger presses. Neither is 0, which means "no target yet".
    opening: finger joints [..., 2] -> distance between the pads [...], m; for JAX and NumPy arrays.
    max_speed [n]: the manufacturer's limit of each arm joint, rad/s.
    workspace [2]: x and y of the centre of the work area on the table, m.
    grip: the site midway between the pads, not rotated in its body: z approaches, y closes.
    pads: the geoms that touch a held object.
    """

    name: str
    title: str
    add: Callable[[mujoco.MjSpec], None]
    dress: Callable[[mujoco.MjSpec], None]
    arm_joints: tuple[str, ...]
    home: tuple[float, ...]
    ready: tuple[float, ...]
    open_joints: Mapping[str, float]
    finger_targets: tuple[float, float]
    gripper: Gripper
    max_speed: tuple[float, ...]
    finger_joints: tuple[str, str] = ("finger_joint1", "finger_joint2")
    opening: Callable[[Any], Any] = sum_of_fingers
    dress_officially: Callable[[mujoco.MjSpec], None] | None = None
    sketch: Callable[[mujoco.MjSpec], None] | None = None
    workspace: tuple[float, float] = (0.5, 0.0)
    pace: Pace = Pace()
    grip: str = "grip"
    pads: tuple[str, str] = ("left_pad", "right_pad")

    @property
    def action_names(self) -> Mapping[str, tuple[str, ...]]:
        """Names of the action's components under each control law, each in [-1, 1]."""
        joints = tuple(f"joint{i}" for i in range(1, len(self.arm_joints) + 1))
        return {
            "ee_delta": ("ee_x", "ee_y", "ee_z", "ee_yaw", "gripper"),
            "joint": (*joints, "left_finger", "right_finger"),
        }

    def spec(self) -> mujoco.MjSpec:
        """The robot alone in a world."""
        spec = mujoco.MjSpec()
        self.add(spec)
        return spec

    def qpos(self, model: mujoco.MjModel, arm: tuple[float, ...]) -> np.ndarray:
        """float64[nq]: the model's `qpos0` with the arm's joints at `arm` [n], the gripper open."""
        qpos = model.qpos0.copy()
        positions = dict(zip(self.arm_joints, arm, strict=True)) | dict(self.open_joints)
        for name, position in positions.items():
            qpos[model.joint(name).qposadr[0]] = position
        return qpos

    def ctrl(self, arm: Any, closed: bool) -> np.ndarray:
        """float64[n + 2]: targets of the servos."""
        return np.append(arm, [self.finger_targets[0 if closed else 1]] * 2)


@dataclasses.dataclass(frozen=True, eq=False)
class Slot:
    """The addresses of some values in arrays [..., n]."""

    index: Any  # a slice, or int[k]

    @staticmethod
    def at(addresses: Any) -> Slot:
        """A slice where the addresses are contiguous, which is faster than a gather."""
        first, count = int(addresses[0]), len(addresses)
        if np.array_equal(addresses, np.arange(first, first + count)):
            return Slot(slice(first, first + count))
        return Slot(np.asarray(addresses))

    def __call__(self, values: Any) -> Any:
        """The values [..., k]."""
        return values[..., self.index]

    def put(self, values: Any, new: Any) -> Any:
        """A copy of `values` with `new` [..., k] at these addresses; JAX and NumPy arrays."""
        if hasattr(values, "at"):
            return values.at[..., self.index].set(new)
        copy = np.array(values)
        copy[..., self.index] = new
        return copy


@dataclasses.dataclass(frozen=True, eq=False)
class FreeJoint:
    """The addresses of a free joint, used as in `joint.position(view.qpos)`.

    position [3], quaternion [4], pose [7] of qpos; velocity [3], angular_velocity [3], motion [6]
    of qvel.
    """

    position: Slot
    quaternion: Slot
    pose: Slot
    velocity: Slot
    angular_velocity: Slot
    motion: Slot

    @staticmethod
    def of(model: mujoco.MjModel, name: str) -> FreeJoint:
        joint = model.joint(name)
        qpos = np.arange(7) + joint.qposadr[0]
        qvel = np.arange(6) + joint.dofadr[0]
        parts = (qpos[:3], qpos[3:], qpos, qvel[:3], qvel[3:], qvel)
        return FreeJoint(*map(Slot.at, parts))


@dataclasses.dataclass(frozen=True, eq=False)
class Slots:
    """The addresses of a robot's joints in a model's arrays, used as in `slots.arm(view.qpos)`.

    arm [n], fingers [2] of qpos; arm_velocity, finger_velocity of qvel; arm_targets,
    finger_targets of ctrl. grip: the site's index. hand: the index of the body that has it.
    """

    arm: Slot
    fingers: Slot
    arm_velocity: Slot
    finger_velocity: Slot
    arm_targets: Slot
    finger_targets: Slot
    grip: int
    hand: int

    @staticmethod
    def of(model: mujoco.MjModel, robot: Robot) -> Slots:
        arm = [model.joint(name) for name in robot.arm_joints]
        fingers = [model.joint(name) for name in robot.finger_joints]
        grip = model.site(robot.grip).id
        return Slots(
            arm=Slot.at([joint.qposadr[0] for joint in arm]),
            fingers=Slot.at([joint.qposadr[0] for joint in fingers]),
            arm_velocity=Slot.at([joint.dofadr[0] for joint in arm]),
            finger_velocity=Slot.at([joint.dofadr[0] for joint in fingers]),
            arm_targets=Slot.at([model.actuator(name).id for name in robot.arm_joints]),
            finger_targets=Slot.at([model.actuator(name).id for name in robot.finger_joints]),
            grip=grip,
            hand=int(model.site_bodyid[grip]),
        )
