"""What a policy reads, from what a robot measures.

Each quantity of a contract's inputs is a function of `Sensed`, the measurements of one moment. The
same as the task computes in training; a test holds the two together.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from r2s_deploy import rotation
from r2s_deploy.arm import Arm, Fingers, Posture

Array = np.ndarray
_HAND_DOWN = np.array([0.0, 1.0, 0.0, 0.0])
_UPRIGHT = np.array([1.0, 0.0, 0.0, 0.0])
#: Of fingers that something stops, m/s: they close at ten times this, and measurements err by a
#: tenth of it.
_STILL = 0.02
_NOTHING, _LOOKS_OPEN = 0.002, 0.98  # an opening that holds nothing, m, and a share of the widest


class Quantity(NamedTuple):
    """What a contract may say of a vector that a policy reads.

    size: its components; 0: as many as the arm has joints. units: of each, or of all. source: what
    it comes from on a robot. frame: whose axes. privileged: only a simulator knows it; estimate:
    what it can be guessed from then. or_units: that a robot may have instead.
    """

    size: int
    units: tuple[str, ...]
    source: str
    frame: str = ""
    privileged: bool = False
    estimate: str = ""
    or_units: tuple[str, ...] = ()


_ARM, _HAND, _FINGERS, _POSE = "joint encoders", "kinematics", "gripper", "object pose"
_HIDDEN = "simulator"
#: Everything that `quantities` gives, and what else a contract may name.
QUANTITIES: Mapping[str, Quantity] = {
    "ee_position": Quantity(3, ("m",), _HAND, "base"),
    "ee_quaternion": Quantity(4, ("1",), _HAND, "base"),
    "ee_velocity": Quantity(3, ("m/s",), _HAND, "base"),
    "ee_yaw_rate": Quantity(1, ("rad/s",), _HAND, "base"),
    "joint_angles": Quantity(0, ("rad",), _ARM),
    "joint_velocities": Quantity(0, ("rad/s",), _ARM),
    "target_minus_angle": Quantity(0, ("rad",), "controller"),
    "fingers": Quantity(2, ("m",), _FINGERS, or_units=("rad",)),
    "finger_velocities": Quantity(2, ("m/s",), _FINGERS, or_units=("rad/s",)),
    "goal": Quantity(3, ("m",), "goal", "base"),
    "object_position": Quantity(3, ("m",), _POSE, "base"),
    "object_quaternion": Quantity(4, ("1",), _POSE, "base"),
    "ee_to_object": Quantity(3, ("m",), _POSE, "base"),
    "object_to_goal": Quantity(3, ("m",), _POSE, "base"),
    "object_axes_in_gripper": Quantity(9, ("1",), _POSE, "gripper"),
    "grasp_point_in_gripper": Quantity(3, ("m",), _POSE, "gripper"),
    "grasp_turn": Quantity(3, ("rad", "1", "1"), _POSE, "gripper"),
    "object_size": Quantity(3, ("m",), "object"),
    "object_reach": Quantity(26, ("m",), "object"),
    "object_velocity": Quantity(3, ("m/s",), _HIDDEN, "base", privileged=True),
    "object_angular_velocity": Quantity(3, ("rad/s",), _HIDDEN, "base", privileged=True),
    "contact": Quantity(3, ("1",), _HIDDEN, privileged=True, estimate=_FINGERS),
    "lifted_before": Quantity(1, ("1",), _HIDDEN, privileged=True),
}


def size_of(quantity: str, joints: int) -> int:
    """The number of its components, for an arm of so many joints."""
    return QUANTITIES[quantity].size or joints


class Grip(NamedTuple):
    """What a gripper tells of what it holds. holds: the fingers were told to close and hardly move
    before they are closed. on_nothing: they are closed."""

    told_to_close: bool
    holds: bool
    on_nothing: bool

    @staticmethod
    def of(own: Fingers, fingers: Array, velocities: Array, finger_target: float | None) -> Grip:
        """From the fingers' positions and velocities [2], and what they were commanded last."""
        opening = own.opening_of(fingers)
        closing = finger_target is not None and finger_target == own.closed
        still = bool(np.abs(velocities).max() < _STILL)
        between = _NOTHING < opening < _LOOKS_OPEN * own.opening
        return Grip(closing, closing and still and between, closing and opening <= _NOTHING)


@dataclasses.dataclass(frozen=True)
class Sensed:
    """Measurements of one moment, SI units and radians, in the robot's base frame.

    angles, velocities [n]: of the joints. fingers, finger_velocities [2]. joint_targets [n] and
    finger_target: commanded last; None: nothing was. object_position [3] and object_quaternion
    [4]: of the object's body frame, see `object.json`. goal [3].
    """

    arm: Arm
    angles: Array
    velocities: Array
    fingers: Array
    finger_velocities: Array
    joint_targets: Array | None = None
    finger_target: float | None = None
    object_position: Array | None = None
    object_quaternion: Array | None = None
    goal: Array | None = None
    object: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def posture(self) -> Posture:
        """Where the arm is."""
        return self.arm.posture(self.angles)

    @property
    def grip(self) -> Grip:
        """What the gripper seems to hold."""
        return Grip.of(self.arm.fingers, self.fingers, self.finger_velocities, self.finger_target)


def quantities(sensed: Sensed) -> dict[str, Array]:
    """Every quantity that follows from what was measured, by name."""
    s, posture = sensed, sensed.posture
    twist = posture.jacobian @ s.velocities
    found = {
        "ee_position": posture.position,
        "ee_quaternion": rotation.nearest_sign(posture.quaternion, _HAND_DOWN),
        "ee_velocity": twist[:3],
        "ee_yaw_rate": twist[5:],
        "joint_angles": s.angles,
        "joint_velocities": s.velocities,
        "fingers": s.fingers,
        "finger_velocities": s.finger_velocities,
        "contact": _contact(s),
    }
    # In training servos have a target of 0 until they are given another.
    targets = 0.0 if s.joint_targets is None else s.joint_targets
    found["target_minus_angle"] = targets - s.angles
    if s.goal is not None:
        found["goal"] = s.goal
    if s.object_position is not None and s.object_quaternion is not None:
        found |= _of_object(s, posture, s.object_position, s.object_quaternion)
    known = {"object_size": "size", "object_reach": "reach"}
    return found | {n: np.array(s.object[key]) for n, key in known.items() if key in s.object}


def _of_object(s: Sensed, posture: Posture, place: Array, quat: Array) -> dict[str, Array]:
    turn, gripper = rotation.to_matrix(quat), posture.rotation
    found = {
        "object_position": place,
        "object_quaternion": rotation.nearest_sign(quat, _UPRIGHT),
        "ee_to_object": place - posture.position,
        "object_axes_in_gripper": (gripper.T @ turn).ravel(),
    }
    if s.goal is not None:
        found["object_to_goal"] = s.goal - place
    if "grasp_point" in s.object:
        point = place + turn @ np.array(s.object["grasp_point"])
        found["grasp_point_in_gripper"] = gripper.T @ (point - posture.position)
        across, along, _ = gripper.T @ (turn @ np.array(s.object["closing_direction"]))
        size = along * along + across * across + 1e-9
        cos, sin = (along * along - across * across) / size, 2 * along * across / size
        found["grasp_turn"] = np.array([0.5 * np.arctan2(sin, cos), cos, sin])
    return found


def _contact(s: Sensed) -> Array:
    """A guess of whether the pads touch, and whether something is held."""
    held = float(s.grip.holds)
    return np.array([held, held, held])
