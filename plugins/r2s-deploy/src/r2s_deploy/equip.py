"""From a cell's file to running cameras and a source of the object's pose."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np

from r2s_deploy.bundle import Bundle
from r2s_deploy.camera import Intrinsics
from r2s_deploy.cell import SIMULATED, Cell
from r2s_deploy.errors import DeployError
from r2s_deploy.eyes import Eye, turn_to
from r2s_deploy.hand import HandTrack
from r2s_deploy.pose.source import ManualPose, PoseSource
from r2s_deploy.transform import Transform

_ENTERED_S = 300.0  # that a pose entered by hand holds, unless the hand moves the object


def place(robot: Any, cell: Cell, bundle: Bundle) -> None:
    """A simulated robot begins where episodes do, with the object where it was said to be."""
    if cell.kind == SIMULATED:
        entered, thing = cell.thing.entered, None
        if entered is not None:
            thing = np.concatenate([entered.translation, entered.quaternion])
        robot.reset(np.array(bundle.robot["joints"]["ready"]), thing)


class Cameras:
    """The cell's cameras: opened where they are used, and closed with `stack`."""

    def __init__(
        self, bundle: Bundle, cell: Cell, robot: Any, track: HandTrack, stack: ExitStack
    ) -> None:
        self._bundle, self._cell, self._robot = bundle, cell, robot
        self._track, self._stack = track, stack
        self._opened: dict[str, Any] = {}

    def eyes(self) -> dict[str, Eye]:
        """Those that the policy sees with."""
        wanted = {image.camera for image in self._bundle.images}
        return {name: self._eye(name) for name in wanted if name in self._cell.cameras}

    def source(self, name: str) -> tuple[Any, Intrinsics, Transform | Callable[[float], Transform]]:
        """The running camera, its lens, and where it is in the base's frame: for tags."""
        from r2s_deploy.pose.placement import CameraPlace

        at = self._cell.cameras[name]
        if at.lens is None or at.place is None:
            raise DeployError(f"the camera {name} is simulated, and sees no tags")
        place = CameraPlace.load(at.place)
        if place.mount == "base":
            return self._open(name), Intrinsics.load(at.lens), place.pose
        return self._open(name), Intrinsics.load(at.lens), lambda t: self._track(t) @ place.pose

    def _eye(self, name: str) -> Eye:
        at, seen = self._cell.cameras[name], self._bundle.cameras[name]
        if at.device == SIMULATED:
            from r2s_deploy.simulated.camera import eyes

            if self._cell.kind != SIMULATED:
                raise DeployError(f"the camera {name} is of a simulated robot, and this is none")
            return eyes(self._bundle, self._robot)[name]
        from r2s_deploy.pose.placement import CameraPlace

        assert at.lens is not None
        assert at.place is not None
        place = CameraPlace.load(at.place)
        if (place.mount == "base") != (seen.mount == "world"):
            raise DeployError(
                f"{at.place}: the camera {name} is fixed to the {place.mount}, and was on "
                f"{'the hand' if place.mount == 'base' else 'a stand'} in training"
            )
        turn, away, angle = turn_to(seen, place.pose, name)
        print(
            f"camera {name}: {1000 * away:.0f} mm from where it was in training; it looks "
            f"{angle:.1f} degrees elsewhere, which is turned back"
        )
        return Eye(self._open(name), Intrinsics.load(at.lens), turn)

    def _open(self, name: str) -> Any:
        if name not in self._opened:
            from r2s_deploy.webcam import Webcam

            device = self._cell.cameras[name].device
            self._opened[name] = self._stack.enter_context(Webcam(device))
        return self._opened[name]


def poses(cell: Cell, robot: Any, cameras: Cameras) -> PoseSource | None:
    """How the cell knows where the object is; None: it does not.

    Raises `DeployError` where what it needs for that is missing.
    """
    thing = cell.thing
    if thing.pose == "tracker":
        from r2s_deploy.simulated import SimulatedTracker

        return SimulatedTracker(robot, time.monotonic)
    if thing.pose == "tags":
        from r2s_deploy.pose.sight import TagPose, Upright
        from r2s_deploy.pose.target import Tag, Tags

        tags = Tags([Tag(tag.id, tag.size_m, tag.in_object) for tag in thing.tags])
        upright = None if thing.upright_deg is None else Upright(within_deg=thing.upright_deg)
        camera, lens, place = cameras.source(thing.camera)
        return TagPose(camera, lens, tags, place, upright=upright)
    if thing.entered is None:
        return None
    entered = thing.entered
    return ManualPose(entered.translation, entered.quaternion, valid_s=_ENTERED_S)
