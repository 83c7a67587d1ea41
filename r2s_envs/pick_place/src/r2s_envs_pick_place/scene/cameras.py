"""The cameras that a policy sees with unless it is given others."""

from __future__ import annotations

from collections.abc import Mapping

from r2s_core.camera import Camera, Vector, looking_at
from r2s_core.robot import Robot

_UP: Vector = (0.0, 0.0, 1.0)
#: From the centre of the work area, m: the camera, and what it looks at.
_FRONT: tuple[Vector, Vector] = (0.65, 0.0, 0.75), (0.0, 0.0, 0.19)
_FRONT_FIELD = 34.0  # degrees
#: In the frame of the grip, which approaches along z and closes along y, m. The camera is ahead of
#: the hand; "up" in its image is away from the hand, so that the fingers come in from below.
_WRIST: tuple[Vector, Vector] = (0.085, 0.0, -0.07), (0.038, 0.0, 0.03)
_WRIST_UP: Vector = (1.0, 0.0, 0.0)
_WRIST_FIELD = 75.0  # degrees


def default_cameras(robot: Robot) -> Mapping[str, Camera]:
    """`front`, opposite the robot, sees its work area; `wrist`, at the hand, sees the fingers.

    Both are placed by what every robot has: its workspace and the site between its pads.
    """
    x, y = robot.workspace
    position, target = ((x + dx, y + dy, z) for dx, dy, z in _FRONT)
    return {
        "front": Camera(position, looking_at(position, target, _UP), _FRONT_FIELD),
        "wrist": Camera(_WRIST[0], looking_at(*_WRIST, _WRIST_UP), _WRIST_FIELD, mount=robot.grip),
    }
