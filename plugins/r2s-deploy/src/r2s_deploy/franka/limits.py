"""What Franka arms allow, and whether targets keep to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from r2s_deploy.robot import RobotError

Array = np.ndarray
_MARGIN = 0.02  # rad, to a joint's limits: franka-rs refuses targets beyond it
_ROUNDING = 1.02  # on the highest speed


class Model(NamedTuple):
    """A kind of arm: its limits [7], rad and rad/s, as its manufacturer gives them."""

    title: str
    low: Array
    high: Array
    max_speed: Array

    def check_target(self, targets: Array, finger_target: float) -> None:
        """That they are numbers, and within the joints' limits."""
        if targets.shape != (7,):
            raise RobotError(f"{targets.size} joint targets for a Franka, which has 7")
        if not (np.isfinite(targets).all() and np.isfinite(finger_target)):
            raise RobotError("a target is not a finite number")
        low, high = self.low + _MARGIN, self.high - _MARGIN
        outside = np.flatnonzero((targets < low) | (targets > high))
        if len(outside):
            i = int(outside[0])
            raise RobotError(
                f"the target {targets[i]:.3f} rad of joint {i + 1} is outside of what a "
                f"{self.title} allows, {low[i]:.3f} to {high[i]:.3f}"
            )

    def check_step(self, step: Array, seconds: float, speed: float) -> None:
        """That targets which move by `step` [7], rad, keep to a share `speed` of the highest
        speed, whatever computed them."""
        rates = np.abs(step) / seconds
        allowed = speed * _ROUNDING * self.max_speed
        i = int((rates - allowed).argmax())
        if rates[i] > allowed[i]:
            raise RobotError(
                f"the target of joint {i + 1} moves at {rates[i]:.2f} rad/s, and "
                f"{allowed[i]:.2f} are {speed:.0%} of its highest speed: give FrankaRobot the "
                "speed of the run"
            )


#: By the version of the protocol that the arm speaks.
MODELS: Mapping[int, Model] = {
    5: Model(
        "Panda",
        np.array([-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973]),
        np.array([2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973]),
        np.array([2.175, 2.175, 2.175, 2.175, 2.61, 2.61, 2.61]),
    ),
    10: Model(
        "FR3",
        np.array([-2.7437, -1.7837, -2.9007, -3.0421, -2.8065, 0.5445, -3.0159]),
        np.array([2.7437, 1.7837, 2.9007, -0.1518, 2.8065, 4.5169, 3.0159]),
        np.array([2.62, 2.62, 2.62, 2.62, 5.26, 4.18, 5.26]),
    ),
}


def check_described(described: Mapping[str, Any]) -> None:
    """That a bundle's `robot.json` describes a Franka; raises `RobotError` where it does not.

    A Panda and an FR3 pass for each other, since their links are the same.
    """
    joints, name = described["joints"], described.get("title", "another robot")
    count = len(joints["names"])
    if count != 7:
        raise RobotError(f"the bundle is for {name}, of {count} joints; a Franka has 7")
    limits = np.array([joints["low"], joints["high"]], float)
    if not any(np.abs(limits - (m.low, m.high)).max() < 0.05 for m in MODELS.values()):
        raise RobotError(f"the bundle is for {name}, whose joints' limits are not a Franka's")
