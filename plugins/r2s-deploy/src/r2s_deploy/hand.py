"""Where the hand was, for cameras that it carries."""

from __future__ import annotations

import collections

import numpy as np

from r2s_deploy.arm import Arm
from r2s_deploy.errors import NoPose
from r2s_deploy.transform import Transform

Array = np.ndarray
_KEPT = 2000  # states: two seconds of a robot's cycles
_FAR_S = 0.05  # from the nearest measurement


class HandTrack:
    """The grip's pose in the base's frame, at times of the last seconds."""

    def __init__(self, arm: Arm) -> None:
        self._arm = arm
        self._past: collections.deque[tuple[float, Array]] = collections.deque(maxlen=_KEPT)

    def add(self, time_s: float, angles: Array) -> None:
        """The joints' angles [n], rad, at a time, s, by the clock of the images."""
        self._past.append((time_s, angles))

    def __call__(self, time_s: float) -> Transform:
        """The pose at a time; raises `NoPose` where nothing was measured near it."""
        past = list(self._past)
        times = np.array([time for time, _ in past])
        if not past or np.abs(times - time_s).min() > _FAR_S:
            raise NoPose("the image is of a time at which the arm was not measured")
        after = int(np.clip(np.searchsorted(times, time_s), 1, max(len(past) - 1, 1)))
        (t0, q0), (t1, q1) = past[after - 1], past[min(after, len(past) - 1)]
        share = 0.0 if t1 <= t0 else float(np.clip((time_s - t0) / (t1 - t0), 0.0, 1.0))
        posture = self._arm.posture(q0 + share * (q1 - q0))
        return Transform(posture.rotation, posture.position)
