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
_LAG = 0.08  # s, of servos, where a robot's description has no gains
_FASTEST = 250.0  # rad/s, of the filter
_STABLE = 0.5  # cycles' share of its time constant


@dataclasses.dataclass(frozen=True)
class Limits:
    """Of each joint [n]: rad/s, rad/s^2, rad/s^3, and positions, rad. slower: the share of full
    speed at which a path is followed: the same path has velocities, accelerations and jerks smaller
    by its first, second and third power. Braking may use `acceleration` and `jerk` whole. lag [n],
    s: by how much training's servos are behind a target that moves, their damping over their
    stiffness; it is part of that path."""

    velocity: Array
    acceleration: Array
    jerk: Array
    low: Array
    high: Array
    slower: float = 1.0
    lag: Array | float = _LAG

    @staticmethod
    def of(robot: Mapping[str, Any], slower: float = 1.0) -> Limits:
        """From `robot.json`."""
        joints = robot["joints"]
        count, servos = len(joints["names"]), robot.get("servos", {})
        lag: Array | float = _LAG
        if {"kp", "kd"} <= servos.keys():
            lag = np.array(servos["kd"], float) / np.array(servos["kp"], float)
        return Limits(
            velocity=np.array(joints["max_speed"], float),
            acceleration=np.array(joints.get("max_acceleration", [ACCELERATION] * count), float),
            jerk=np.array(joints.get("max_jerk", [JERK] * count), float),
            low=np.array(joints["low"], float),
            high=np.array(joints["high"], float),
            slower=slower,
            lag=lag,
        )

    @property
    def missing_lag(self) -> Array | float:
        """s, by which slower servos would be later than a robot's own."""
        return self.lag * (1.0 / self.slower - 1.0)


class Smoother:
    """A critically damped second-order filter whose velocity, acceleration and jerk are limited.

    At full speed it is as fast as it may be; in slow motion it does the same, slower, and adds the
    lag that slower servos would have. (A policy has learned with that lag: its targets are ahead of
    where it wants the arm.)
    """

    def __init__(self, limits: Limits, cycle_s: float, angles: Array) -> None:
        """angles [n]: where the path begins, at rest."""
        self._limits, self._dt = limits, cycle_s
        self._fastest = min(_FASTEST, _STABLE / cycle_s)
        slower = limits.slower
        # The filter is two of its time constants behind a target that moves.
        self._rate = 1.0 / (1.0 / (slower * self._fastest) + 0.5 * limits.missing_lag)
        self._velocity = slower * limits.velocity
        self._acceleration = slower**2 * limits.acceleration
        self._jerk = slower**3 * limits.jerk
        self.position = np.array(angles, float)
        self.velocity = np.zeros_like(self.position)
        self.acceleration = np.zeros_like(self.position)

    def step(self, target: Array) -> Array:
        """The reference [n], rad, of the next cycle on the way to `target` [n]."""
        wanted = np.clip(target, self._limits.low, self._limits.high)
        # The velocity from which the distance that is left can still be braked.
        left = wanted - self.position
        brake = np.sqrt(2.0 * self._acceleration * np.abs(left))
        fastest = np.minimum(self._velocity, brake)
        velocity = np.clip(0.5 * self._rate * left, -fastest, fastest)
        return self._approach(velocity, self._rate, self._acceleration, self._jerk)

    def brake(self) -> Array:
        """The reference [n], rad, of the next cycle on the way to rest."""
        whole, rest = self._limits, np.zeros_like(self.velocity)
        return self._approach(rest, self._fastest, whole.acceleration, whole.jerk)

    def _approach(self, velocity: Array, rate: Array | float, most: Array, jerk: Array) -> Array:
        dt = self._dt
        push = np.clip(2.0 * rate * (velocity - self.velocity), -most, most)
        change = jerk * dt
        self.acceleration = np.clip(push, self.acceleration - change, self.acceleration + change)
        self.velocity = np.clip(
            self.velocity + self.acceleration * dt, -self._velocity, self._velocity
        )
        low, high = self._limits.low, self._limits.high
        self.position = np.clip(self.position + self.velocity * dt, low, high)
        return self.position.copy()


class TimeOptimal:
    """The fastest path within the limits (Berscheid & Kröger 2021), by the library Ruckig.

    Its jerk, unlike the filter's, is bounded on the whole way, and all joints arrive together. In
    slow motion a target takes as much longer to reach as the arm is slower than in training.
    """

    def __init__(self, limits: Limits, cycle_s: float, angles: Array) -> None:
        """As of `Smoother`. Raises `DeployError` where Ruckig is not installed."""
        try:
            import ruckig
        except ModuleNotFoundError as error:
            raise DeployError(
                "this path needs Ruckig: pip install ruckig, or r2s-deploy[ruckig]"
            ) from error
        self._limits, size, slower = limits, len(angles), limits.slower
        self._planner = ruckig.Ruckig(size, cycle_s)
        self._now, self._next = ruckig.InputParameter(size), ruckig.OutputParameter(size)
        self._error = ruckig.RuckigError
        self._velocity_control = ruckig.ControlInterface.Velocity
        self._now.current_position = list(map(float, angles))
        self._now.max_velocity = (slower * limits.velocity).tolist()
        self._now.max_acceleration = (slower**2 * limits.acceleration).tolist()
        self._now.max_jerk = (slower**3 * limits.jerk).tolist()
        self._now.minimum_duration = float(np.max(limits.missing_lag)) or None
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
        self._now.max_acceleration = self._limits.acceleration.tolist()
        self._now.max_jerk = self._limits.jerk.tolist()
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


#: By the name that --path has.
PATHS: Mapping[str, type[Smoother] | type[TimeOptimal]] = {
    "filter": Smoother,
    "ruckig": TimeOptimal,
}
