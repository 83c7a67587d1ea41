"""From a policy's targets, 20 times a second, to a path that a robot can follow in every cycle."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

Array = np.ndarray
#: Where a robot's description has none: of a Franka arm, rad/s^2 and rad/s^3.
ACCELERATION, JERK = 10.0, 5000.0
_BANDWIDTH = 125.0  # rad/s, of the servos in training: 20 Hz
_FASTEST = 250.0  # rad/s, of the filter


@dataclasses.dataclass(frozen=True)
class Limits:
    """Of each joint [n]: rad/s, rad/s^2, rad/s^3, and positions, rad."""

    velocity: Array
    acceleration: Array
    jerk: Array
    low: Array
    high: Array

    @staticmethod
    def of(robot: Mapping[str, Any], speed: float) -> Limits:
        """From `robot.json`, for a share `speed` of full speed: slower motion of the same path has
        velocities, accelerations and jerks smaller by its first, second and third power."""
        joints = robot["joints"]
        count = len(joints["names"])
        acceleration = np.array(joints.get("max_acceleration", [ACCELERATION] * count), float)
        jerk = np.array(joints.get("max_jerk", [JERK] * count), float)
        return Limits(
            velocity=speed * np.array(joints["max_speed"], float),
            acceleration=acceleration,
            jerk=jerk,
            low=np.array(joints["low"], float),
            high=np.array(joints["high"], float),
        )


class Smoother:
    """A critically damped second-order filter whose velocity, acceleration and jerk are limited.

    At full speed it is as fast as it may be; in slow motion it moves as the arm did in training,
    slower: the servos of training answer a target within a third of a control step.
    """

    def __init__(self, limits: Limits, cycle_s: float, speed: float, angles: Array) -> None:
        """angles [n]: where the path begins, at rest. speed: in (0, 1]."""
        self._limits, self._dt = limits, cycle_s
        slower = 1.0 / (speed * _BANDWIDTH) - 1.0 / _BANDWIDTH  # s; what the servos do not add
        self._rate = min(_FASTEST, 1.0 / slower) if slower > 0.0 else _FASTEST
        self.position = np.array(angles, float)
        self.velocity = np.zeros_like(self.position)
        self.acceleration = np.zeros_like(self.position)

    def step(self, target: Array) -> Array:
        """The reference [n], rad, of the next cycle on the way to `target` [n]."""
        limits, dt, rate = self._limits, self._dt, self._rate
        wanted = np.clip(target, limits.low, limits.high)
        # The velocity from which the distance that is left can still be braked.
        left = wanted - self.position
        brake = np.sqrt(2.0 * limits.acceleration * np.abs(left))
        fastest = np.minimum(limits.velocity, brake)
        velocity = np.clip(0.5 * rate * left, -fastest, fastest)
        push = np.clip(
            2.0 * rate * (velocity - self.velocity), -limits.acceleration, limits.acceleration
        )
        change = limits.jerk * dt
        self.acceleration = np.clip(push, self.acceleration - change, self.acceleration + change)
        self.velocity = np.clip(
            self.velocity + self.acceleration * dt, -limits.velocity, limits.velocity
        )
        self.position = np.clip(self.position + self.velocity * dt, limits.low, limits.high)
        return self.position.copy()
