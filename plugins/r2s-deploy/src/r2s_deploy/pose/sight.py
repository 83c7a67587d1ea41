"""The object's pose from tags or a board that a camera sees."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import numpy as np

from r2s_deploy.camera import CameraSource, Frame, Image, Intrinsics
from r2s_deploy.errors import DeployError, NoImage, NoPose
from r2s_deploy.pose.opencv import cv2
from r2s_deploy.pose.pnp import Solution, solve
from r2s_deploy.pose.source import Clock, ObjectPose
from r2s_deploy.pose.target import Target
from r2s_deploy.transform import Transform, vector

#: Where a camera is: fixed, or on the robot's hand, whose place at a time (s) the robot knows.
Placement = Transform | Callable[[float], Transform]
_EARLY_S = 0.02  # that a frame's time may lie ahead: rounding of its clock
_DECIDED = 9.0  # how much larger the chi-square of the second best pose must be: 3 sigma


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a sighting must keep to, or there is no pose.

    age_s: since the image was taken.
    reprojection_px: root mean square over corners.
    position_std_m, rotation_std_deg: as in `ObjectPose`.
    ambiguity_deg: between two poses that explain the image equally well; the better one is taken
      where they differ by less.
    """

    age_s: float = 0.2
    reprojection_px: float = 0.5
    position_std_m: float = 0.01
    rotation_std_deg: float = 10.0
    ambiguity_deg: float = 5.0


@dataclasses.dataclass(frozen=True)
class Upright:
    """The object's axis [3] points upward in the base's frame, within so many degrees.

    For objects that stand on a table: of two mirrored poses one is mostly out of the question.
    """

    within_deg: float = 20.0
    axis: tuple[float, float, float] = (0.0, 0.0, 1.0)

    def __post_init__(self) -> None:
        if not np.linalg.norm(vector(self.axis, 3, "axis")) > 0.0 or not self.within_deg > 0.0:
            raise DeployError("give an axis that is not 0, and degrees above 0")

    def holds(self, object_in_base: Transform) -> bool:
        up = (object_in_base.rotation @ self.axis)[2] / np.linalg.norm(self.axis)
        return bool(up >= np.cos(np.radians(self.within_deg)))


class TagPose:
    """A `PoseSource` that looks for a target, anew in each image; it remembers nothing."""

    follows = True

    def __init__(
        self,
        camera: CameraSource,
        intrinsics: Intrinsics,
        target: Target,
        camera_in_base: Placement,
        *,
        limits: Limits | None = None,
        upright: Upright | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        """camera_in_base: the camera's pose in the base's frame (`extrinsics` measures it). Its
        error comes on top of the standard deviations that poses have."""
        self._camera = camera
        self._intrinsics = intrinsics
        self._target = target
        self._camera_in_base = camera_in_base
        self._limits = limits or Limits()
        self._upright = upright
        self._clock = clock

    def pose(self) -> ObjectPose:
        """From the camera's newest image; raises `NoPose` with the reason."""
        try:
            frame = self._camera.frame()
        except NoImage as error:
            raise NoPose(f"no image: {error}") from None
        age = self._clock() - frame.time_s
        if not -_EARLY_S <= age <= self._limits.age_s:
            raise NoPose(
                f"the newest image is {age:.2f} s old and may be {self._limits.age_s:g}"
                if age > 0.0
                else f"the newest image is from {-age:.2f} s ahead: its clock is not time.monotonic"
            )
        return self.in_frame(frame)

    def in_frame(self, frame: Frame) -> ObjectPose:
        """In an image of any age; raises `NoPose` with the reason."""
        base = self._camera_in_base
        placed = base(frame.time_s) if callable(base) else base
        found = locate(
            frame.image, self._target, self._intrinsics, self._limits, self._upright, placed
        )
        return ObjectPose(
            placed @ found.pose,
            frame.time_s,
            found.position_std_m,
            found.rotation_std_deg,
            found.rms_px,
        )


def locate(
    image: Image,
    target: Target,
    intrinsics: Intrinsics,
    limits: Limits | None = None,
    upright: Upright | None = None,
    camera_in_base: Transform | None = None,
) -> Solution:
    """The target in one image: its pose in the camera's frame. `upright` needs `camera_in_base`.

    Raises `NoPose` with the reason.
    """
    sighting = target.find(to_gray(image, intrinsics), intrinsics)
    solutions = solve(sighting, intrinsics)
    if upright:
        placed = camera_in_base or Transform.identity()
        solutions = [x for x in solutions if upright.holds(placed @ x.pose)]
        if not solutions:
            raise NoPose(
                f"the object is not upright within {upright.within_deg:g} degrees; is the camera's "
                "place, or the tag's on the object, another one?"
            )
    return _only(solutions, sighting.std_px, limits or Limits())


def _only(solutions: list[Solution], std_px: float, limits: Limits) -> Solution:
    """The best one; raises `NoPose` where it is not good enough, or not the only one."""
    if not solutions:
        raise NoPose("no pose before the camera explains the corners")
    best = solutions[0]
    if best.rms_px > limits.reprojection_px:
        raise NoPose(
            f"the corners are {best.rms_px:.2f} pixels from where any pose puts them, and may "
            f"be {limits.reprojection_px:g}: the image is blurred, the print is bent, sizes or "
            "places of tags are wrong, or the intrinsics are another camera's"
        )
    for rival in solutions[1:]:
        angle = best.pose.angle_to(rival.pose)
        lead = (rival.squares - best.squares) / std_px**2
        if lead < _DECIDED and angle > limits.ambiguity_deg:
            raise NoPose(
                f"two poses {angle:.0f} degrees apart explain the image equally well: look at "
                "the tag more from the side or from nearer, use a larger one or more of them, "
                "or say that the object is upright"
            )
    for name, value, limit, unit in (
        ("position", 1e3 * best.position_std_m, 1e3 * limits.position_std_m, "mm"),
        ("orientation", best.rotation_std_deg, limits.rotation_std_deg, "degrees"),
    ):
        if not value <= limit:
            raise NoPose(
                f"the {name} is uncertain by {value:.1f} {unit} (standard deviation) and may "
                f"be by {limit:g}: the tag is too small, too far away or too blurred"
            )
    return best


def to_gray(image: Image, camera: Intrinsics) -> Image:
    """uint8[H, W] of an image in grey or colour; `DeployError` for one of another size or type."""
    width, height = camera.size
    if image.dtype != np.uint8 or image.shape not in ((height, width), (height, width, 3)):
        raise DeployError(
            f"the camera gives {image.dtype}{list(image.shape)} and was calibrated for "
            f"uint8[{height}, {width}, 3] or uint8[{height}, {width}]"
        )
    return (
        image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
    )
