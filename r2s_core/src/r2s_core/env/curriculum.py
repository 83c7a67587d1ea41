"""Curricula: levels in [0, 1] that rise during training and scale randomization ranges, the weights
of reward terms and the task's difficulty.

A range that widens while the policy copes with it is the idea of automatic domain randomization
(OpenAI et al. 2019, section 5.2); here one level widens all of a randomizer's ranges.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import jax.numpy as jnp

from r2s_core.types import Array, Named, pytree

#: A level falls again where success is this far below `at_success`.
MARGIN = 0.1


@dataclasses.dataclass(frozen=True)
class Growth:
    """How one level rises from `start` to 1.

    steps: linearly over this many control steps; or
    at_success: while at least this share of recent episodes succeeds (it falls while clearly fewer
      do), over `episodes` of all worlds.
    """

    start: float = 0.0
    steps: int | None = None
    at_success: float | None = None
    episodes: int = 10_000


@pytree
class Levels:
    """The current levels."""

    level: Named  # float32[] each
    success: Array  # float32[], of recent episodes


class Curriculum:
    """Raises levels. Pure functions; holds no state."""

    def __init__(self, growths: Mapping[str, Growth], num_worlds: int) -> None:
        """growths: by the name of what grows."""
        self._growths = dict(growths)
        self._recent = 2.0 * num_worlds  # episodes that count as recent

    def init(self) -> Levels:
        level = {name: jnp.float32(growth.start) for name, growth in self._growths.items()}
        return Levels(level, jnp.float32(0.0))

    def advance(self, levels: Levels, done: Array, success: Array) -> Levels:
        """After a control step in which the episodes `done`, bool[W], ended, some in `success`."""
        if not self._growths:
            return levels
        ended = jnp.sum(done.astype(jnp.float32))
        share = jnp.sum((done & success).astype(jnp.float32)) / jnp.maximum(ended, 1.0)
        recent = levels.success + jnp.minimum(ended / self._recent, 1.0) * (share - levels.success)
        level = {
            name: _next(growth, levels.level[name], ended, recent)
            for name, growth in self._growths.items()
        }
        return Levels(level, recent)


def _next(growth: Growth, level: Array, ended: Array, success: Array) -> Array:
    span = 1.0 - growth.start
    if growth.steps is not None:
        rise = jnp.float32(span / max(growth.steps, 1))
    else:
        assert growth.at_success is not None
        sign = jnp.where(success >= growth.at_success, 1.0, 0.0)
        sign = jnp.where(success < growth.at_success - MARGIN, -1.0, sign)
        rise = sign * ended * (span / growth.episodes)
    return jnp.clip(level + rise, growth.start, 1.0)


def level_of(levels: Levels, name: str) -> Array:
    """float32[]: a level; 1 where there is no curriculum."""
    return levels.level.get(name, jnp.float32(1.0))
