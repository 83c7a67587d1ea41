"""Manifests of the built-in cameras and renderers; imports neither JAX nor MuJoCo."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

from r2s_core.plugin import Plugin, option

Vector = tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class PinholeConfig:
    """A camera: where it is, and what it sees."""

    position: Vector = option(
        doc="m, in the frame of `mount`; with `mount: world` z is up and the robot's base at 0",
    )
    look_at: Vector | None = option(None, "the point that it looks at, m, in the same frame")
    up: Vector | None = option(
        None,
        "the direction that is upward in the image, in the same frame; default: z, on a mount x; "
        "the other of the two where the camera looks along it",
    )
    quaternion: tuple[float, float, float, float] | None = option(
        None, "instead of look_at: its orientation w, x, y, z; it looks along -z, and y is upward"
    )
    field_of_view: float = option(45.0, "vertical, degrees", minimum=1.0, maximum=170.0)
    size: tuple[int, int] | None = option(
        None,
        "[width, height], pixels; default: environment.camera_resolution",
        minimum=1,
        maximum=1024,
    )
    channels: tuple[Literal["rgb", "depth", "segmentation"], ...] = option(
        ("rgb",), "what it measures; each is an observation group of its own"
    )
    mount: str = option("world", "the body or site that carries it; world: it stands still")
    period: int = option(
        1,
        "control steps from one image to the next; an episode's start always has one",
        minimum=1,
        maximum=10_000,
    )
    depth_range: tuple[float, float] = option(
        (0.05, 10.0), "m, nearest and farthest distance that `depth` reports"
    )

    def __post_init__(self) -> None:
        if (self.look_at is None) == (self.quaternion is None):
            raise ValueError("give either look_at or quaternion")
        if self.up is not None and self.quaternion is not None:
            raise ValueError("up goes with look_at; the quaternion says it already")
        if not self.channels:
            raise ValueError("channels is empty; list some of rgb, depth, segmentation")
        if self.quaternion is not None and not 0.99 < math.hypot(*self.quaternion) < 1.01:
            raise ValueError(f"quaternion is {list(self.quaternion)}, which is not of length 1")


@dataclasses.dataclass(frozen=True)
class TaskCameraConfig:
    """The task's own camera of the same name; what is given here replaces its own."""

    field_of_view: float | None = option(None, "vertical, degrees", minimum=1.0, maximum=170.0)
    size: tuple[int, int] | None = option(
        None,
        "[width, height], pixels; default: environment.camera_resolution",
        minimum=1,
        maximum=1024,
    )
    channels: tuple[Literal["rgb", "depth", "segmentation"], ...] | None = option(
        None, "what it measures; each is an observation group of its own"
    )
    period: int | None = option(
        None,
        "control steps from one image to the next; an episode's start always has one",
        minimum=1,
        maximum=10_000,
    )
    depth_range: tuple[float, float] | None = option(
        None, "m, nearest and farthest distance that `depth` reports"
    )

    def __post_init__(self) -> None:
        if self.channels == ():
            raise ValueError("channels is empty; list some of rgb, depth, segmentation")


@dataclasses.dataclass(frozen=True)
class RaysConfig:
    """Options of the renderer `rays`."""

    threads: int = option(
        0, "CPU threads that cast the rays; 0 takes all cores", minimum=0, maximum=4096
    )


@dataclasses.dataclass(frozen=True)
class GlConfig:
    """Options of the renderer `gl`."""

    workers: int = option(
        0, "processes that draw; 0 starts as many as there are cores", minimum=0, maximum=1024
    )


@dataclasses.dataclass(frozen=True)
class WarpRendererConfig:
    """The renderer `warp` has no options."""


PINHOLE = Plugin(
    name="pinhole",
    kind="camera",
    summary="a camera without distortion, fixed in the world or to a body",
    target="r2s_core.cameras.pinhole:make",
    config=PinholeConfig,
)
TASK = Plugin(
    name="task",  # `r2s_core.camera.OF_TASK`, which would import NumPy
    kind="camera",
    summary="the task's own camera of this name, or with other channels, size, period or view",
    target="r2s_core.cameras.pinhole:of_task",
    config=TaskCameraConfig,
)
RAYS = Plugin(
    name="rays",
    kind="renderer",
    summary="rays cast in CPU threads and shaded; needs no graphics library; the default on a CPU",
    target="r2s_core.cameras.rays:make",
    config=RaysConfig,
)
GL = Plugin(
    name="gl",
    kind="renderer",
    summary="MuJoCo's OpenGL renderer in one process per core; draws textures; needs EGL or OSMesa",
    target="r2s_core.cameras.gl:make",
    config=GlConfig,
)
WARP = Plugin(
    name="warp",
    kind="renderer",
    summary="MuJoCo Warp's ray tracer, compiled into the run; for NVIDIA GPUs; draws textures",
    target="r2s_core.cameras.warp:make",
    config=WarpRendererConfig,
)
