"""The contract: a pose of the object, how far it can be trusted, and who gives it."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from typing import Protocol

from numpy.typing import ArrayLike

from r2s_deploy.errors import DeployError, NoPose
from r2s_deploy.transform import Floats, Transform

Clock = Callable[[], float]  # s, as time.monotonic


@dataclasses.dataclass(frozen=True, eq=False)
class ObjectPose:
    """The object's frame in the frame of the robot's base.

    pose: `object_in_base`.
    time_s: when the object was there (the middle of the exposure, as well as the camera tells it),
      by `time.monotonic`.
    position_std_m: standard deviation of the position along its most uncertain direction.
    rotation_std_deg: that of the rotation about its most uncertain axis.
    reprojection_px: root mean square over corners of how far the pose puts them from where the
      image has them; None where no image was used.
    """

    pose: Transform
    time_s: float
    position_std_m: float
    rotation_std_deg: float
    reprojection_px: float | None = None

    @property
    def position(self) -> Floats:
        """float64[3], m."""
        return self.pose.translation

    @property
    def quaternion(self) -> Floats:
        """float64[4], w, x, y, z, with w >= 0."""
        return self.pose.quaternion


class PoseSource(Protocol):
    """Something that knows where the object is.

    follows: whether its pose is of where the object is now, wherever that was moved.
    """

    follows: bool

    def pose(self) -> ObjectPose:
        """Where the object is now, from what is known without waiting.

        Raises `NoPose` with the reason where there is none, or none that can be trusted: never
        returns a pose that is older than the source allows.
        """
        ...


class ManualPose:
    """A pose entered by hand, for a first try.

    It does not follow the object: once the robot has touched it, the pose is wrong. So it holds
    for `valid_s` from when it was entered, and then there is none until `enter` is called again.
    """

    follows = False

    def __init__(
        self,
        position: ArrayLike,
        quaternion: ArrayLike = (1.0, 0.0, 0.0, 0.0),
        *,
        position_std_m: float = 0.005,
        rotation_std_deg: float = 5.0,
        valid_s: float = 30.0,
        clock: Clock = time.monotonic,
    ) -> None:
        """position [3], m, and quaternion [4], w, x, y, z: the object's frame in the base's.

        position_std_m, rotation_std_deg: how well they were measured.
        Raises `DeployError` for what is no pose.
        """
        for name, value in (
            ("position_std_m", position_std_m),
            ("rotation_std_deg", rotation_std_deg),
            ("valid_s", valid_s),
        ):
            if not (math.isfinite(value) and value > 0.0):
                raise DeployError(f"{name} is {value}; give a number above 0")
        self._std = (position_std_m, rotation_std_deg)
        self._valid_s = valid_s
        self._clock = clock
        self.enter(position, quaternion)

    def enter(self, position: ArrayLike, quaternion: ArrayLike = (1.0, 0.0, 0.0, 0.0)) -> None:
        """The object is here now."""
        self._pose = Transform.of(position, quaternion)
        self._entered_s = self._clock()

    def pose(self) -> ObjectPose:
        """The pose that was entered, at the present time; raises `NoPose` after `valid_s`."""
        now = self._clock()
        age = now - self._entered_s
        if age > self._valid_s:
            raise NoPose(
                f"the object's pose was entered {age:.1f} s ago and holds for {self._valid_s:g} s; "
                "enter it again"
            )
        return ObjectPose(self._pose, now, *self._std)
