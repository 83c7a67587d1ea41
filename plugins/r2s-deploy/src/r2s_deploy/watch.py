"""What stops a robot: each check raises `Stopped` with a reason."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter

import numpy as np

from r2s_deploy.bundle import Bundle
from r2s_deploy.errors import DeployError

Array = np.ndarray
_EARLY_S = 0.05  # that a time may lie ahead: rounding of its clock
_FOLLOWS = 0.1  # of the way to where it was sent, that a joint moves in a control step
_SLOW_CLOCK = 0.7  # of this computer's


class Stopped(DeployError):
    """The robot was stopped; the message says why."""


@dataclasses.dataclass(frozen=True)
class Guard:
    """When to stop.

    late_s: by how much a control step may take too long at full speed; as much more as the robot is
    slower. cycle_s: how long one of the robot's cycles may take. silent_s: for how long the robot's
    clock may stand still. stale_s: how old a pose of the object may be, and image_s: an image.
    table_m: the lowest that the grip may be, in the base's frame. reach_m: how far from the middle
    of the workspace, horizontally. jump_rad: how far a joint may be from where it was commanded.
    held_rad, held_s: how far, and for how long without moving. unfamiliar: how many standard
    deviations of training a number may be off, and patience: for how many control steps in a row.
    """

    late_s: float = 0.05
    cycle_s: float = 0.2
    silent_s: float = 0.2
    stale_s: float = 0.5
    image_s: float = 0.2
    table_m: float = -0.02
    reach_m: float = 0.55
    jump_rad: float = 0.5
    held_rad: float = 0.03
    held_s: float = 0.5
    unfamiliar: float = 8.0
    patience: int = 5


class Watch:
    """Checks one episode; counts what was near to a stop."""

    def __init__(self, bundle: Bundle, guard: Guard) -> None:
        self._bundle, self.guard = bundle, guard
        self._unfamiliar = 0
        self._before: Array | None = None  # angles at the last control step's end
        self._held = np.zeros(bundle.law.arm.size)  # s, since each joint moved where it was sent
        self._told_s, self._silent = math.nan, 0.0  # the robot's clock, and how long it stood still
        self.farthest: Counter[str] = Counter()  # standard deviations, by number

    def state(self, angles: Array, commanded: Array | None) -> None:
        """The arm is within its limits, and where it was sent."""
        joints, arm = self._bundle.robot["joints"], self._bundle.law.arm
        low, high = arm.low, arm.high
        outside = np.flatnonzero((angles < low - 0.01) | (angles > high + 0.01))
        if len(outside):
            i = int(outside[0])
            raise Stopped(
                f"{joints['names'][i]} is at {angles[i]:.3f} rad, outside of its limits "
                f"{low[i]:.3f} to {high[i]:.3f}"
            )
        if commanded is None:
            return
        off = np.abs(angles - commanded)
        if off.max() > self.guard.jump_rad:
            i = int(off.argmax())
            raise Stopped(
                f"{joints['names'][i]} is {off[i]:.2f} rad from where it was commanded: the arm "
                "jumped, was held, or hit something"
            )

    def held(self, angles: Array, commanded: Array, step_s: float) -> None:
        """At the end of a control step of `step_s`: the arm comes nearer to where it was sent."""
        before, self._before = self._before, angles
        if before is None:
            return
        off = np.abs(angles - commanded)
        stuck = (off > self.guard.held_rad) & (np.abs(angles - before) < _FOLLOWS * off)
        self._held = np.where(stuck, self._held + step_s, 0.0)
        # Two steps at least, of which one may be that of a contact's first touch.
        if self._held.max() >= max(self.guard.held_s, 2.0 * step_s):
            i = int(self._held.argmax())
            raise Stopped(
                f"{self._bundle.robot['joints']['names'][i]} has been {off[i]:.2f} rad from where "
                f"it was commanded for {self._held[i]:.1f} s and does not move: the arm is held, "
                "or against something"
            )

    def cycle(self, took_s: float) -> None:
        """One of the robot's cycles took so long."""
        if took_s > self.guard.cycle_s:
            raise Stopped(
                f"one of the robot's cycles took {1000 * took_s:.0f} ms: the robot, or this "
                "computer, is too slow"
            )

    def clock(self, time_s: float, cycle_s: float) -> None:
        """After each cycle: the robot's clock goes on."""
        before, self._told_s = self._told_s, time_s
        if time_s < before:
            raise Stopped(f"the robot's clock went back from {before:.3f} to {time_s:.3f} s")
        self._silent = self._silent + cycle_s if time_s == before else 0.0
        if self._silent > self.guard.silent_s:
            raise Stopped(
                f"the robot has sent the same time, {time_s:.3f} s, for {self._silent:.2f} s: what "
                "it sends is old"
            )

    def pace(self, robot_s: float, step_s: float) -> None:
        """In a control step of `step_s` the robot's clock went on by `robot_s`."""
        if robot_s < _SLOW_CLOCK * step_s:
            raise Stopped(
                f"the robot's clock went on by {1000 * robot_s:.0f} ms in a control step of "
                f"{1000 * step_s:.0f} ms: what it sends gets older and older"
            )

    def outputs(self, action: Array, targets: Array, finger: float) -> None:
        """What the policy decided can be sent to a robot."""
        if not all(np.isfinite(values).all() for values in (action, targets, finger)):
            raise Stopped("the policy gave numbers that are not finite")

    def place(self, grip: Array) -> None:
        """The grip is within the workspace."""
        x, y = self._bundle.robot["workspace"]
        away = float(np.hypot(grip[0] - x, grip[1] - y))
        if grip[2] < self.guard.table_m or away > self.guard.reach_m:
            raise Stopped(
                f"the grip is at {np.round(grip, 3).tolist()} m, outside of the workspace"
            )

    def inputs(self, numbers: Array) -> None:
        """What the policy is about to read is like what it read in training."""
        if not np.isfinite(numbers).all():
            i = int(np.flatnonzero(~np.isfinite(numbers))[0])
            raise Stopped(f"{self._bundle.numbers[i].name} is not a finite number")
        if not len(numbers):
            return
        off = self._bundle.unfamiliar(numbers)
        worst = int(off.argmax())
        name = self._bundle.numbers[worst].name
        self.farthest[name] = max(self.farthest[name], round(float(off[worst]), 2))  # type: ignore[assignment]
        self._unfamiliar = self._unfamiliar + 1 if off[worst] > self.guard.unfamiliar else 0
        if self._unfamiliar > self.guard.patience:
            raise Stopped(
                f"{name} is {off[worst]:.0f} standard deviations from what the policy read in "
                "training: the scene is not one that it knows"
            )

    def pose(self, age_s: float) -> None:
        """The object's pose is of now."""
        _of_now("the object's pose", age_s, self.guard.stale_s)

    def image(self, age_s: float) -> None:
        """The image is of now."""
        _of_now("the newest image", age_s, self.guard.image_s)

    def late(self, behind_s: float, speed: float) -> None:
        """The control step ended in time."""
        if behind_s > self.guard.late_s / speed:
            raise Stopped(
                f"a control step took {1000 * behind_s:.0f} ms too long, and [guard] late_s allows "
                f"{1000 * self.guard.late_s / speed:.0f}: this computer, or the robot, is too slow"
            )


def _of_now(what: str, age_s: float, most_s: float) -> None:
    if age_s > most_s:
        raise Stopped(f"{what} is {age_s:.2f} s old")
    if not age_s >= -_EARLY_S:  # NaN included
        raise Stopped(f"{what} is from {-age_s:.2f} s ahead: its clock is not this computer's")
