"""The builders of the cameras `pinhole` and `task`."""

from __future__ import annotations

import dataclasses

from r2s_core.camera import Camera, default_up, looking_at
from r2s_core.cameras.plugins import PinholeConfig, TaskCameraConfig

_DEFAULT_SIZE = (64, 64)


def make(config: PinholeConfig) -> Camera:
    """Raises ConfigError where its directions leave the orientation open."""
    quaternion = config.quaternion
    if config.look_at is not None:
        up = config.up or default_up(config.position, config.look_at, config.mount)
        quaternion = looking_at(config.position, config.look_at, up)
    assert quaternion is not None  # the options have one of the two
    return Camera(
        position=config.position,
        quaternion=quaternion,
        field_of_view=config.field_of_view,
        size=config.size or _DEFAULT_SIZE,
        channels=config.channels,
        mount=config.mount,
        period=config.period,
        depth_range=config.depth_range,
    )


def of_task(own: Camera, config: TaskCameraConfig) -> Camera:
    """The task's camera `own`, with what the options give in place of its own."""
    given = {n: v for n, v in vars(config).items() if v is not None}
    return dataclasses.replace(own, **given)
