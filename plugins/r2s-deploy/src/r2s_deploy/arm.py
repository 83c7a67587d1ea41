"""An arm's kinematics and the control laws from actions to joint targets.

The same as the laws that a policy is trained with, from the constants in a bundle's `contract.json`
and `robot.json`; a test holds the two together.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from r2s_deploy import rotation

Array = np.ndarray
_DOWN = np.array([0.0, 0.0, -1.0])


@dataclasses.dataclass(frozen=True)
class Posture:
    """Where joint angles put the arm, in the base's frame.

    position [3], m, of the grip; quaternion [4] and rotation [3, 3] of the hand: z approaches, y
    closes. jacobian [6, n]: velocity of the grip, linear and angular, by joint velocity.
    """

    position: Array
    quaternion: Array
    rotation: Array
    jacobian: Array


@dataclasses.dataclass(frozen=True)
class Fingers:
    """A parallel gripper: the targets of its servos, and what is seen of them.

    opening: distance between the pads when open, m. table [k, 2]: positions of the fingers, and the
    distance then, m.
    """

    closed: float
    opened: float
    opening: float
    table: Array

    def opening_of(self, fingers: Array) -> float:
        """The distance between the pads, m, from the fingers' positions [2]."""
        return float(np.interp(np.mean(fingers), self.table[:, 0], self.table[:, 1]))


@dataclasses.dataclass(frozen=True)
class Arm:
    """An arm of n hinge joints in a chain, each about its link's z axis; see `robot.json`.

    offsets [n + 1, 3], m, and turns [n + 1, 4]: of each link in the one before, last the hand's.
    grip [3], m: in the hand. low, high [n]: joint limits, rad.
    """

    offsets: Array
    turns: Array
    grip: Array
    low: Array
    high: Array
    fingers: Fingers

    @staticmethod
    def of(robot: Mapping[str, Any]) -> Arm:
        """From the content of `robot.json`."""
        chain, joints, gripper = robot["chain"], robot["joints"], robot["gripper"]
        fingers = Fingers(
            gripper["closed_target"],
            gripper["open_target"],
            gripper["opening"],
            np.array(gripper["opening_of_fingers"], float),
        )
        return Arm(
            offsets=np.array(chain["offsets"], float),
            turns=np.array(chain["turns"], float),
            grip=np.array(chain["grip"], float),
            low=np.array(joints["low"], float),
            high=np.array(joints["high"], float),
            fingers=fingers,
        )

    @property
    def size(self) -> int:
        """The number of joints, n."""
        return len(self.low)

    def posture(self, angles: Array) -> Posture:
        """Forward kinematics of joint angles [n], rad."""
        position, quat = np.zeros(3), np.array([1.0, 0.0, 0.0, 0.0])
        origins, axes = np.empty((self.size, 3)), np.empty((self.size, 3))
        for i, (offset, turn) in enumerate(zip(self.offsets, self.turns, strict=True)):
            position = position + rotation.to_matrix(quat) @ offset
            quat = rotation.multiply(quat, turn)
            if i < self.size:
                origins[i], axes[i] = position, rotation.to_matrix(quat)[:, 2]
                quat = rotation.multiply(quat, rotation.about_z(angles[i]))
        matrix = rotation.to_matrix(quat)
        position = position + matrix @ self.grip
        jacobian = np.concatenate([np.cross(axes, position - origins), axes], axis=1).T
        return Posture(position, quat, matrix, jacobian)


@dataclasses.dataclass(frozen=True)
class Law:
    """From a policy's action to targets of the joints and the fingers, in each control step.

    constants: the contract's `control`.
    """

    arm: Arm
    constants: Mapping[str, Any]

    def targets(
        self, action: Array, angles: Array, fingers: Array, finger_target: float | None
    ) -> tuple[Array, float]:
        """Joint targets [n], rad, and the fingers' common target.

        Args:
          action: the policy's, [A], in [-1, 1]. angles [n], fingers [2]: as measured.
          finger_target: the one of the control step before; None: there was none.
        """
        return LAWS[self.constants["law"]](self, np.asarray(action), angles, fingers, finger_target)

    def step(self, posture: Posture, angles: Array, twist: Array) -> Array:
        """Joint motion [n], rad, that moves the grip by `twist` [6], m and rad: damped least
        squares (Wampler 1986) with a pull to the posture of rest in the null space."""
        c, jacobian = self.constants, posture.jacobian
        pull = c["posture_gain"] * (np.array(c["posture"]) - angles)
        gram = jacobian @ jacobian.T + c["damping"] * np.eye(6)
        step = pull + jacobian.T @ np.linalg.solve(gram, twist - jacobian @ pull)
        return step * min(1.0, c["max_lead"] / (np.abs(step).max() + 1e-6))

    def clip(self, targets: Array, angles: Array) -> Array:
        """Joint targets within the joints' limits and the lead over the angles."""
        lead = self.constants["max_lead"]
        targets = np.clip(targets, angles - lead, angles + lead)
        return np.clip(targets, self.arm.low, self.arm.high)

    def gripper(self, command: float, fingers: Array, before: float | None) -> float:
        """The fingers' target: a command within +-threshold leaves what was commanded before."""
        own, threshold = self.arm.fingers, self.constants["gripper_threshold"]
        if abs(command) > threshold:
            return own.opened if command > 0 else own.closed
        if before is not None:
            return before
        looks_open = own.opening_of(fingers) > self.constants["looks_open"] * own.opening
        return own.opened if looks_open else own.closed


def _ee_delta(
    law: Law, action: Array, angles: Array, fingers: Array, before: float | None
) -> tuple[Array, float]:
    """Motion x y z, yaw, gripper; the approach axis is kept pointing down."""
    c, posture = law.constants, law.arm.posture(angles)
    turn = np.cross(posture.rotation[:, 2], _DOWN)
    turn[2] += action[3] * c["ee_yaw_step"]
    twist = np.concatenate([action[:3] * c["ee_step"], turn])
    targets = law.clip(angles + law.step(posture, angles, twist), angles)
    return targets, law.gripper(float(action[4]), fingers, before)


def _joint(
    law: Law, action: Array, angles: Array, fingers: Array, before: float | None
) -> tuple[Array, float]:
    """Motion of each joint, then the fingers; what moves nothing is pulled to the posture."""
    n, posture = law.arm.size, law.arm.posture(angles)
    step = action[:n] * law.constants["joint_step"] + law.step(posture, angles, np.zeros(6))
    return law.clip(angles + step, angles), law.gripper(float(np.mean(action[n:])), fingers, before)


#: By the name that `control.law` has in a contract.
LAWS: Mapping[str, Callable[..., tuple[Array, float]]] = {"ee_delta": _ee_delta, "joint": _joint}
