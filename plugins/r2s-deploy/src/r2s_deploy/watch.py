"""What stops a robot: each check raises `Stopped` with a reason."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np

from r2s_deploy.bundle import Bundle
from r2s_deploy.errors import DeployError

Array = np.ndarray


class Stopped(DeployError):
    """The robot was stopped; the message says why."""


@dataclasses.dataclass(frozen=True)
class Guard:
    """When to stop.

    late_s: by how much a control step may take too long at full speed; as much more as the robot is
    slower. stale_s: how old a pose of the object may
    be, and image_s: an image.
    table_m: the lowest that the grip may be, in the base's frame. reach_m: how far from the
    middle of the workspace, horizontally. jump_rad: how far a joint may be from where it was
    commanded. unfamiliar: how many standard deviations of training a number may be off, and
    patience: for how many control steps in a row.
    """

    late_s: float = 0.02
    stale_s: float = 0.5
    image_s: float = 0.2
    table_m: float = -0.02
    reach_m: float = 0.55
    jump_rad: float = 0.5
    unfamiliar: float = 8.0
    patience: int = 5


class Watch:
    """Checks one episode; counts what was near to a stop."""

    def __init__(self, bundle: Bundle, guard: Guard) -> None:
        self._bundle, self.guard = bundle, guard
        self._unfamiliar = 0
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
        if age_s > self.guard.stale_s:
            raise Stopped(f"the object's pose is {age_s:.2f} s old")

    def image(self, age_s: float) -> None:
        """The image is of now."""
        if age_s > self.guard.image_s:
            raise Stopped(f"the newest image is {age_s:.2f} s old")

    def late(self, behind_s: float, speed: float) -> None:
        """The control step ended in time."""
        if behind_s > self.guard.late_s / speed:
            raise Stopped(
                f"a control step took {1000 * behind_s:.0f} ms too long: this computer, or the "
                "robot, is too slow"
            )
