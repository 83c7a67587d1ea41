"""Cameras as data: where each one is, what it sees of a scene, and the observations it gives.

Imports neither JAX nor MuJoCo. A pixel's ray leaves the camera through the pixel's centre; row 0 is
at the top. As in MuJoCo a camera looks along its negative z axis, its x axis to the right.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from r2s_core.errors import ConfigError
from r2s_core.policy_export import ArraySpec

Channel = Literal["rgb", "depth", "segmentation"]
CHANNELS: tuple[Channel, ...] = ("rgb", "depth", "segmentation")
WORLD = "world"
OF_TASK = "task"  # the camera plugin that starts from the task's own camera
#: Of MuJoCo's geom groups, those that cameras see; see `r2s_core.robot.VISUAL_GROUP`.
DRAWN_GROUPS = np.array([1, 1, 1, 0, 0, 0], np.uint8)
LARGEST = 1024  # pixels of a side
_MOST_DEPTH = 65.535  # m, what uint16 millimetres hold
_PARALLEL = math.cos(math.radians(5.0))

Vector = tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class Camera:
    """A pinhole camera, fixed in the world or to a body.

    mount: the body or site that carries it, by name; "world": none does.
    position [3], m, and quaternion [4]: in the mount's frame.
    field_of_view: vertical, degrees. size: (width, height), pixels.
    channels: each is an observation group:
      "rgb": NAME, uint8[H, W, 3].
      "depth": NAME_depth, uint16[H, W, 1], mm along the viewing direction; 0: nothing is seen, or
        it is farther than `depth_range`.
      "segmentation": NAME_segmentation, uint8[H, W, 1], the number of the seen body plus one, so 1
        is what is fixed in the world; 0: nothing is seen.
    period: control steps from one image to the next; an episode's start always has one.
    depth_range: (nearest, farthest), m, that "depth" reports.
    """

    position: Vector
    quaternion: tuple[float, float, float, float]
    field_of_view: float = 45.0
    size: tuple[int, int] = (64, 64)
    channels: tuple[Channel, ...] = ("rgb",)
    mount: str = WORLD
    period: int = 1
    depth_range: tuple[float, float] = (0.05, 10.0)

    def __post_init__(self) -> None:
        for name, size in (("position", 3), ("quaternion", 4), ("size", 2), ("depth_range", 2)):
            if len(getattr(self, name)) != size:
                raise ConfigError(f"{name} is {getattr(self, name)}; give {size} numbers")
        if not isinstance(self.mount, str):
            raise ConfigError(f"mount is {self.mount!r}; give the name of a body or site")
        finite = (*self.position, *self.quaternion, self.field_of_view, *self.depth_range)
        if not np.isfinite(finite).all():
            raise ConfigError("a camera's position, orientation and ranges must be finite numbers")
        if not 1.0 <= self.field_of_view <= 170.0:
            raise ConfigError(
                f"field_of_view is {self.field_of_view:g}; give degrees from 1 to 170"
            )
        if not all(_whole(side) and 1 <= side <= LARGEST for side in self.size):
            raise ConfigError(
                f"size is {list(self.size)}; give [width, height] in pixels, each from 1 to "
                f"{LARGEST:,}"
            )
        if not self.channels:
            raise ConfigError(f"channels is empty; list some of {_KNOWN}")
        if twice := [name for name in self.channels if self.channels.count(name) > 1]:
            raise ConfigError(f"channels names {twice[0]} twice; name it once")
        if unknown := [name for name in self.channels if name not in CHANNELS]:
            raise ConfigError(f"there is no channel '{unknown[0]}'; there are {_KNOWN}")
        if not _whole(self.period) or self.period < 1:
            raise ConfigError(f"period is {self.period}; give control steps from 1")
        near, far = self.depth_range
        if not 0.0 < near < far <= _MOST_DEPTH:
            raise ConfigError(
                f"depth_range is {[near, far]}; give the nearest and the farthest distance in m, "
                f"above 0 and at most {_MOST_DEPTH}"
            )
        if not 0.99 < float(np.linalg.norm(self.quaternion)) < 1.01:
            raise ConfigError(f"quaternion is {list(self.quaternion)}, which is not of length 1")

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width), as arrays have it."""
        return self.size[1], self.size[0]

    def groups(self, name: str) -> dict[str, ArraySpec]:
        """The observation groups of this camera under a name, in the order of `CHANNELS`."""
        every = {"rgb": (3, "uint8"), "depth": (1, "uint16"), "segmentation": (1, "uint8")}
        images = {group: every[channel] for group, channel in self.channels_of(name).items()}
        return {g: ArraySpec((*self.shape, depth), dtype) for g, (depth, dtype) in images.items()}

    def channels_of(self, name: str) -> dict[str, Channel]:
        """What each of these groups measures."""
        groups = {"rgb": name, "depth": f"{name}_depth", "segmentation": f"{name}_segmentation"}
        return {groups[channel]: channel for channel in CHANNELS if channel in self.channels}

    def facts(self) -> dict[str, Any]:
        """Every field as plain numbers, texts and lists."""
        return {
            "position": [float(x) for x in self.position],
            "quaternion": [float(x) for x in self.quaternion],
            "field_of_view": float(self.field_of_view),
            "size": [int(side) for side in self.size],
            "channels": list(self.channels),
            "mount": self.mount,
            "period": int(self.period),
            "depth_range": [float(x) for x in self.depth_range],
        }


_KNOWN = ", ".join(CHANNELS)


def _whole(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def default_up(position: Sequence[float], target: Sequence[float], mount: str) -> Vector:
    """The direction upward in the image where none is given: z, on a mount x, or the other of the
    two where the camera looks along it."""
    z, x = (0.0, 0.0, 1.0), (1.0, 0.0, 0.0)
    first, second = (z, x) if mount == WORLD else (x, z)
    return second if _along(np.subtract(position, target), first) else first


def _along(direction: Any, other: Sequence[float]) -> bool:
    size = float(np.linalg.norm(direction) * np.linalg.norm(other))
    return abs(float(np.dot(direction, other))) > _PARALLEL * size


def looking_at(position: Sequence[float], target: Sequence[float], up: Sequence[float]) -> Any:
    """Quaternion [4] of a camera at `position` that looks at `target`, both [3] in the mount's
    frame, with the direction `up` [3] upward in its image.

    Raises `ConfigError` where these directions leave it open.
    """
    backward = np.subtract(position, target).astype(float)
    distance, height = float(np.linalg.norm(backward)), float(np.linalg.norm(up))
    if distance < 1e-9:
        raise ConfigError("look_at is the camera's own position; give the point that it looks at")
    if height < 1e-9 or _along(backward, up):
        raise ConfigError(
            f"up is {list(map(float, up))}, along the viewing direction; give the direction that "
            "is upward in the image"
        )
    z = backward / distance
    x = np.cross(up, z)
    x /= np.linalg.norm(x)
    return tuple(_quaternion(np.column_stack([x, np.cross(z, x), z])))


def _quaternion(matrix: np.ndarray) -> list[float]:
    """Of a rotation matrix [3, 3]; w >= 0. By its largest component (Shepperd 1978)."""
    m, trace = matrix, float(np.trace(matrix))
    squares = np.array([trace, *(2.0 * np.diag(m) - trace)]) + 1.0  # 4 w^2, 4 x^2, ...
    products = np.array(
        [
            [squares[0], m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]],
            [m[2, 1] - m[1, 2], squares[1], m[1, 0] + m[0, 1], m[0, 2] + m[2, 0]],
            [m[0, 2] - m[2, 0], m[1, 0] + m[0, 1], squares[2], m[2, 1] + m[1, 2]],
            [m[1, 0] - m[0, 1], m[0, 2] + m[2, 0], m[2, 1] + m[1, 2], squares[3]],
        ]
    )
    row = products[int(squares.argmax())]
    row = row / np.linalg.norm(row)
    return [float(part) for part in (row if row[0] >= 0 else -row)]
