"""From a policy's targets, 20 times a second, to a path that a robot can follow in every cycle."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from r2s_deploy.errors import DeployError

Array = np.ndarray
#: Where a robot's description has none: of a Franka arm, rad/s^2 and rad/s^3.
ACCELERATION, JERK = 10.0, 5000.0
_BANDWIDTH = 125.0  # rad/s, of the servos in training: 20 Hz
_FASTEST = 250.0  # rad/s, of the filter
_STABLE = 0.5  # cycles' share of its time constant


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
        slower, self._fastest = _slower(speed), min(_FASTEST, _STABLE / cycle_s)
        self._rate = min(self._fastest, 1.0 / slower) if slower > 0.0 else self._fastest
        self.position = np.array(angles, float)
        self.velocity = np.zeros_like(self.position)
        self.acceleration = np.zeros_like(self.position)

    def step(self, target: Array) -> Array:
        """The reference [n], rad, of the next cycle on the way to `target` [n]."""
        limits = self._limits
        wanted = np.clip(target, limits.low, limits.high)
        # The velocity from which the distance that is left can still be braked.
        left = wanted - self.position
        brake = np.sqrt(2.0 * limits.acceleration * np.abs(left))
        fastest = np.minimum(limits.velocity, brake)
        return self._approach(np.clip(0.5 * self._rate * left, -fastest, fastest), self._rate)

    def brake(self) -> Array:
        """The reference [n], rad, of the next cycle on the way to rest."""
        return self._approach(np.zeros_like(self.velocity), self._fastest)

    def _approach(self, velocity: Array, rate: float) -> Array:
        limits, dt = self._limits, self._dt
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


class TimeOptimal:
    """The fastest path within the limits (Berscheid & Kröger 2021), by the library Ruckig.

    Its jerk, unlike the filter's, is bounded on the whole way, and all joints arrive together. In
    slow motion a target takes as much longer to reach as the arm is slower than in training.
    """

    def __init__(self, limits: Limits, cycle_s: float, speed: float, angles: Array) -> None:
        """As of `Smoother`. Raises `DeployError` where Ruckig is not installed."""
        try:
            import ruckig
        except ModuleNotFoundError as error:
            raise DeployError(
                "this path needs Ruckig: pip install ruckig, or r2s-deploy[ruckig]"
            ) from error
        self._limits, size = limits, len(angles)
        self._planner = ruckig.Ruckig(size, cycle_s)
        self._now, self._next = ruckig.InputParameter(size), ruckig.OutputParameter(size)
        self._error = ruckig.RuckigError
        self._velocity_control = ruckig.ControlInterface.Velocity
        self._now.current_position = list(map(float, angles))
        self._now.max_velocity = limits.velocity.tolist()
        self._now.max_acceleration = limits.acceleration.tolist()
        self._now.max_jerk = limits.jerk.tolist()
        self._now.minimum_duration = 2.0 * _slower(speed) or None
        self._wanted: Array | None = None
        self.position = np.array(angles, float)

    @property
    def velocity(self) -> Array:
        """Of the reference, rad/s."""
        return np.array(self._now.current_velocity)

    def step(self, target: Array) -> Array:
        """As of `Smoother`."""
        wanted = np.clip(target, self._limits.low, self._limits.high)
        if self._wanted is None or not np.array_equal(wanted, self._wanted):
            self._now.target_position = wanted.tolist()
            self._wanted = wanted
        return self._follow()

    def brake(self) -> Array:
        """As of `Smoother`."""
        self._now.control_interface = self._velocity_control
        self._now.minimum_duration = None
        self._now.target_velocity = [0.0] * len(self.position)
        return self._follow()

    def _follow(self) -> Array:
        try:
            self._planner.update(self._now, self._next)
        except self._error as error:
            raise DeployError(f"Ruckig finds no path: {str(error).strip()[:200]}") from error
        self._next.pass_to_input(self._now)
        self.position = np.array(self._next.new_position)
        return self.position.copy()


def _slower(speed: float) -> float:
    """s, by which a response is longer at a share `speed` of full speed."""
    return 1.0 / (speed * _BANDWIDTH) - 1.0 / _BANDWIDTH


#: By the name that --path has.
PATHS: Mapping[str, type[Smoother] | type[TimeOptimal]] = {
    "filter": Smoother,
    "ruckig": TimeOptimal,
}
