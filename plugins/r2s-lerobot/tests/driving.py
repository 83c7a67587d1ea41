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


DRIVING = Plugin("driving", "environment", "Drive to a dot", "driving:make", DrivingConfig)


def make(config: DrivingConfig) -> Any:
    """The task: a cart drives towards a target, fast enough to get there in most episodes."""
    import jax.numpy as jnp

    from r2s_core.testing.tasks import CartTask
    from r2s_core.types import View

    class Driving(CartTask):
        def __init__(self) -> None:
            super().__init__()
            self.info = dataclasses.replace(
                self.info,
                rewards={},
                observation_names={
                    "policy": ("distance", "tilt", "speed", "turning"),
                    "critic": ("target",),
                },
                action_names=("force",),
                episode_steps=8,
            )

        def observe(self, task: Any, view: View) -> Any:
            return {**super().observe(task, view), "critic": task.target[None]}

        def success(self, task: Any, view: View) -> Any:
            return jnp.bool_(not config.hopeless) & (jnp.abs(view.qpos[0] - task.target) < 0.4)

        def expert(self, task: Any, view: View) -> Any:
            if config.fails:
                raise ZeroDivisionError("the expert gave up")
            return 4.0 * (task.target - view.qpos[:1]) - view.qvel[:1]

    return Driving()
