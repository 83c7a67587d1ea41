"""What a robot is to this package."""

from __future__ import annotations

import dataclasses
from typing import Protocol

import numpy as np

from r2s_deploy.errors import DeployError

Array = np.ndarray


class RobotError(DeployError):
    """The robot does not answer, or answers what cannot be."""


@dataclasses.dataclass(frozen=True)
class RobotState:
    """What a robot measures in one of its cycles.

    time_s: on the robot's own clock. angles [n], rad; velocities [n], rad/s. fingers [2] and
    finger_velocities [2]: as the contract's numbers of the gripper have them.
    """

    time_s: float
    angles: Array
    velocities: Array
    fingers: Array
    finger_velocities: Array

    def check(self, joints: int) -> None:
        """Raises `RobotError` where these are not finite numbers of an arm of so many joints."""
        sizes = {"angles": joints, "velocities": joints, "fingers": 2, "finger_velocities": 2}
        for name, size in sizes.items():
            values = getattr(self, name)
            if np.shape(values) != (size,):
                raise RobotError(f"the robot sent {np.size(values)} {name}, not {size}")
            if not np.isfinite(values).all():
                raise RobotError(f"the robot sent {name} that are not finite numbers")
        if not np.isfinite(self.time_s):
            raise RobotError("the robot sent a time that is not a finite number")


class Robot(Protocol):
    """An arm with a gripper whose joints follow position targets.

    cycle_s: of its own control loop, in which it wants one target.
    """

    cycle_s: float

    def read(self) -> RobotState:
        """The present state; commands nothing."""
        ...

    def cycle(self, joint_targets: Array, finger_target: float) -> RobotState:
        """Command targets for one cycle, and wait for its end.

        joint_targets [n], rad. Raises `RobotError` where the robot does not answer in time.
        """
        ...

    def stop(self) -> None:
        """Hold where the arm is, the gripper as it is; must not raise."""
        ...
