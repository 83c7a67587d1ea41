"""A whole little task for tests of `r2s demo`, installed as a fake package by `conftest.py`."""

from __future__ import annotations

import dataclasses
from typing import Any

from r2s_core.plugin import Plugin, option


@dataclasses.dataclass(frozen=True)
class DrivingConfig:
    """Options of the task."""

    fails: bool = option(False, "the expert raises")
    hopeless: bool = option(False, "no episode succeeds")
    seen: bool = option(False, "a camera and a depth camera see the cart and the target")
    columns: int = option(25, "of the camera's images")
    blind: bool = option(False, "what the camera sees is all that is observed")


DRIVING = Plugin("driving", "environment", "Drive to a dot", "driving:make", DrivingConfig)


NAMES = {"policy": ("distance", "tilt", "speed", "turning"), "critic": ("target",)}


def make(config: DrivingConfig) -> Any:
    """The task: a cart drives towards a target, fast enough to get there in most episodes."""
    import jax.numpy as jnp

    from r2s_core.testing.tasks import CartTask
    from r2s_core.types import View

    columns = jnp.linspace(-1.5, 1.5, config.columns)

    class Driving(CartTask):
        def __init__(self) -> None:
            super().__init__()
            self.info = dataclasses.replace(
                self.info,
                rewards={},
                observation_names={} if config.blind else NAMES,
                action_names=("force",),
                episode_steps=8,
            )

        def observe(self, task: Any, view: View) -> Any:
            numbers = {**super().observe(task, view), "critic": task.target[None]}
            places = jnp.stack([view.qpos[0], task.target, view.qpos[0] - view.qvel[0] / 10])
            bright = 255 * jnp.exp(-0.5 * ((columns[:, None] - places) / 0.15) ** 2)
            picture = jnp.broadcast_to(bright, (4, *bright.shape)).astype(jnp.uint8)
            depth = jnp.full((2, 3, 1), 2000 + 1000 * view.qpos[0]).astype(jnp.uint16)
            if config.blind:
                return {"camera": picture}
            return {**numbers, "camera": picture, "camera_depth": depth} if config.seen else numbers

        def success(self, task: Any, view: View) -> Any:
            return jnp.bool_(not config.hopeless) & (jnp.abs(view.qpos[0] - task.target) < 0.4)

        def expert(self, task: Any, view: View) -> Any:
            if config.fails:
                raise ZeroDivisionError("the expert gave up")
            return 4.0 * (task.target - view.qpos[:1]) - view.qvel[:1]

    return Driving()
