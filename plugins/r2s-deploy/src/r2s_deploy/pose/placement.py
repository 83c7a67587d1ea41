"""Where a camera is: in the base's frame if it is fixed, in the hand's if the hand carries it.

`by_known_place` needs a board whose place in the base's frame has been measured, `by_hand_eye` only
that the robot knows where its hand is (Park & Martin 1994, by OpenCV).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from r2s_deploy.camera import read_json, write_json
from r2s_deploy.errors import CalibrationError, DeployError
from r2s_deploy.pose.opencv import cv2, rotation_vector, transform
from r2s_deploy.transform import Transform, mean

View = TypeVar("View")
Mount = Literal["base", "hand"]
FORMAT = "r2s-camera-place/1"
_FEWEST_VIEWS = 6
_LEAST_TURN_DEG = 8.0  # root mean square, about the second axis


@dataclasses.dataclass(frozen=True, eq=False)
class CameraPlace:
    """pose: the camera's, in the frame of `mount`.

    residuals: by view, how far (m) and turned (degrees) the board seems from its mean place.
    position_std_m, rotation_std_deg: of `pose`, by leaving out each view in turn (jackknife); NaN
      where there is but one.
    """

    pose: Transform
    mount: Mount
    residuals: dict[str, tuple[float, float]]
    position_std_m: float
    rotation_std_deg: float

    def save(self, path: Path) -> None:
        """As JSON, in one replacement."""
        stds = (self.position_std_m, self.rotation_std_deg)
        facts = {
            "format": FORMAT,
            "mount": self.mount,
            **self.pose.facts(),
            "residuals": {name: list(value) for name, value in self.residuals.items()},
            "std": [value if math.isfinite(value) else None for value in stds],
        }
        write_json(path, facts)

    @classmethod
    def load(cls, path: Path) -> CameraPlace:
        """Raises `CalibrationError` for a file that is missing, damaged or not sound."""
        facts = read_json(path, FORMAT)
        try:
            pose = Transform.of(facts["position"], facts["quaternion"])
            residuals = {str(k): _pair(v) for k, v in facts["residuals"].items()}
            stds = [math.nan if value is None else float(value) for value in facts["std"]]
            position_std, rotation_std = stds
            mount = facts["mount"]
        except (
            ArithmeticError,
            KeyError,
            TypeError,
            ValueError,
            AttributeError,
            DeployError,
        ) as error:
            raise CalibrationError(f"{path} is damaged ({error}); calibrate again") from None
        if mount not in ("base", "hand"):
            raise CalibrationError(f"{path} is damaged: mount is {mount!r}, not base or hand")
        return cls(pose, mount, residuals, position_std, rotation_std)


def _pair(value: Any) -> tuple[float, float]:
    distance, angle = value
    return float(distance), float(angle)


@dataclasses.dataclass(frozen=True, eq=False)
class KnownView:
    """A view of a board (`sight.locate` finds its pose) that is at a known place."""

    board_in_camera: Transform
    board_in_base: Transform


@dataclasses.dataclass(frozen=True, eq=False)
class HandView:
    """A view of a board, and where the robot's hand was, while both stood still.

    The board is on the hand where the camera is fixed, and fixed where the camera is on the hand.
    """

    board_in_camera: Transform
    hand_in_base: Transform


def by_known_place(
    views: Mapping[str, KnownView], *, most_m: float = 0.005, most_deg: float = 2.0
) -> CameraPlace:
    """A fixed camera's place, from one or more views of boards at known places.

    Residuals are of the board in the base's frame. Raises `CalibrationError` where there is no
    view, or one disagrees with the others by more than `most_m` or `most_deg`.
    """
    if not views:
        raise CalibrationError("there are no views of a board at a known place")

    def solve(some: Mapping[str, KnownView]) -> Transform:
        return mean([x.board_in_base @ x.board_in_camera.inverse() for x in some.values()])

    def residuals(place: Transform) -> dict[str, tuple[float, float]]:
        return {
            name: _between(place @ view.board_in_camera, view.board_in_base)
            for name, view in views.items()
        }

    return _placed(views, "base", solve, residuals, most_m, most_deg)


def by_hand_eye(
    views: Mapping[str, HandView], mount: Mount, *, most_m: float = 0.005, most_deg: float = 2.0
) -> CameraPlace:
    """The camera's place, from at least six views between which the hand turned about two axes.

    Residuals are of the board in the frame of what holds it. Raises `CalibrationError` where views
    are too few or too similar, or one disagrees with the others by more than `most_m` or
    `most_deg`.
    """
    if len(views) < _FEWEST_VIEWS:
        raise CalibrationError(f"there are {len(views)} views; at least {_FEWEST_VIEWS} are needed")
    first = next(iter(views.values())).hand_in_base
    turns = [rotation_vector(first.inverse() @ x.hand_in_base) for x in views.values()]
    spread = np.linalg.svd(turns, compute_uv=False) / math.sqrt(len(turns))
    if (turn := math.degrees(spread[1])) < _LEAST_TURN_DEG:
        raise CalibrationError(
            f"the hand turned too little, or about one axis only ({turn:.1f} degrees about a "
            f"second one, root mean square; {_LEAST_TURN_DEG:g} are needed): turn it by 20 degrees "
            "or more about two axes"
        )

    def board_in_holder(view: HandView, place: Transform) -> Transform:
        hand = view.hand_in_base
        holder_in_base = place if mount == "base" else hand @ place
        board_in_base = holder_in_base @ view.board_in_camera
        return hand.inverse() @ board_in_base if mount == "base" else board_in_base

    def solve(some: Mapping[str, HandView]) -> Transform:
        return _hand_eye(list(some.values()), mount)

    def residuals(place: Transform) -> dict[str, tuple[float, float]]:
        held = {name: board_in_holder(view, place) for name, view in views.items()}
        middle = mean(list(held.values()))
        return {name: _between(pose, middle) for name, pose in held.items()}

    return _placed(views, mount, solve, residuals, most_m, most_deg)


def _hand_eye(views: list[HandView], mount: Mount) -> Transform:
    """The camera in the frame of `mount`: OpenCV solves for a camera on the hand, and for a fixed
    one where the base is seen from the hand."""
    hands = [x.hand_in_base if mount == "hand" else x.hand_in_base.inverse() for x in views]
    boards = [x.board_in_camera for x in views]
    rotation, translation = cv2.calibrateHandEye(
        [x.rotation for x in hands],
        [x.translation for x in hands],
        [x.rotation for x in boards],
        [x.translation for x in boards],
        method=cv2.CALIB_HAND_EYE_PARK,
    )
    return transform(cv2.Rodrigues(rotation)[0], translation)


def _placed(
    views: Mapping[str, View],
    mount: Mount,
    solve: Callable[[Mapping[str, View]], Transform],
    residuals: Callable[[Transform], dict[str, tuple[float, float]]],
    most_m: float,
    most_deg: float,
) -> CameraPlace:
    pose = solve(views)
    off = residuals(pose)
    worst = max(off, key=lambda name: max(off[name][0] / most_m, off[name][1] / most_deg))
    distance, angle = off[worst]
    if not (distance <= most_m and angle <= most_deg):
        raise CalibrationError(
            f"view {worst} disagrees with the others by {1e3 * distance:.1f} mm and {angle:.1f} "
            f"degrees ({1e3 * most_m:g} and {most_deg:g} are allowed): the board slipped, "
            "something moved when the image was taken, its sizes are wrong, or a pose is another "
            "image's"
        )
    return CameraPlace(pose, mount, off, *_jackknife(views, solve))


def _jackknife(
    views: Mapping[str, View], solve: Callable[[Mapping[str, View]], Transform]
) -> tuple[float, float]:
    """Standard deviations of the solution's position, m, and orientation, degrees."""
    if len(views) < 2:
        return math.nan, math.nan
    some = [solve({k: v for k, v in views.items() if k != name}) for name in views]
    middle = mean(some)
    scale = math.sqrt(len(views) - 1)
    distances, angles = zip(*(_between(x, middle) for x in some), strict=True)
    return scale * float(np.sqrt(np.mean(np.square(distances)))), scale * float(
        np.sqrt(np.mean(np.square(angles)))
    )


def _between(one: Transform, other: Transform) -> tuple[float, float]:
    return one.distance_to(other), one.angle_to(other)
