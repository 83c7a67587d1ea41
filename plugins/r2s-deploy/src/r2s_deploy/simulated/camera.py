"""Cameras of the simulated robot, where those of training were: for rehearsals."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from r2s_deploy.bundle import Bundle, SeenBy
from r2s_deploy.camera import OPENCV_IN_MUJOCO, Frame, Intrinsics
from r2s_deploy.errors import NoImage
from r2s_deploy.eyes import Eye
from r2s_deploy.simulated.client import SimulatedRobot

_FINER = 4  # times as many pixels along a side as the policy's images have
_MOST = 512  # pixels of a side


def described(bundle: Bundle) -> dict[str, Any]:
    """What the server needs to know of a bundle's cameras, as plain values."""
    return {
        name: {
            "mount": seen.mount,
            **(seen.pose @ OPENCV_IN_MUJOCO).facts(),
            "field_of_view": seen.field_of_view,
            "size": _size(seen),
        }
        for name, seen in bundle.cameras.items()
    }


def _size(seen: SeenBy) -> list[int]:
    finer = max(1, min(_FINER, _MOST // max(seen.size)))
    return [finer * side for side in seen.size]


class SimulatedCamera:
    """One of them, as a `CameraSource`."""

    def __init__(
        self, robot: SimulatedRobot, name: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._robot, self._name, self._clock = robot, name, clock

    def frame(self) -> Frame:
        """See `CameraSource.frame`."""
        asked = self._clock()
        answer = self._robot.image(self._name)
        try:
            width, height = answer["size"]
            rgb = np.frombuffer(base64.b64decode(answer["rgb"]), np.uint8)
            depth = np.frombuffer(base64.b64decode(answer["depth"]), "<u2")
            return Frame(rgb.reshape(height, width, 3), asked, depth.reshape(height, width))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise NoImage(f"the simulated robot sent no image: {error}") from error


def eyes(bundle: Bundle, robot: SimulatedRobot) -> dict[str, Eye]:
    """For each camera of a bundle, after its first image, which takes the longest.

    Raises `RobotError` where nothing can be drawn.
    """
    found = {}
    for name, seen in bundle.cameras.items():
        width, height = _size(seen)
        intrinsics = Intrinsics.of_vertical_field((width, height), seen.field_of_view)
        found[name] = Eye(SimulatedCamera(robot, name), intrinsics)
        found[name].source.frame()
    return found
