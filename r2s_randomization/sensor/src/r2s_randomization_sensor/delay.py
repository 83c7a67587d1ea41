"""Delayed readings or actions; see `r2s_core.types.RemembersEpisode`."""

from __future__ import annotations

import math
from typing import Any, Literal

import jax
import jax.numpy as jnp

from r2s_core.draw import draw
from r2s_core.types import Array, Named, pytree
from r2s_randomization_sensor.config import DelayConfig
from r2s_randomization_sensor.quaternion import between, is_quaternion


@pytree
class Past:
    """Past values, and this episode's delay."""

    values: Named  # leaves [K, ...], the latest first
    delay: Array  # float32[], control steps
    jitter: Array  # float32[], control steps


class Delay:
    """Returns past values, linearly interpolated between control steps; images, which are whole
    numbers, are never mixed: it returns the last that has arrived.

    The history before an episode is filled with the values at its start. Values are held between
    control steps; where a new target arrives partway through a step, the interpolation is the
    mean of both over that step.
    """

    def __init__(
        self,
        stage: Literal["reading", "action"],
        names: tuple[str, ...],
        options: DelayConfig,
        control_dt: float,
    ) -> None:
        self.stage: Literal["reading", "action"] = stage
        self.writes = frozenset(names)
        self._names, self._share, self._whole = names, options.share, options.unit == "steps"
        per = 1.0 if self._whole else 1.0 / control_dt
        low, high = (per * x for x in options.delay)
        self._length = 2 + math.floor(high + per * options.jitter + 1e-6)
        edge = 0.5 if self._whole else 0.0  # so that each whole number is equally likely
        self._delay = (low - edge, high + edge)
        self._jitter = per * options.jitter + edge if options.jitter else 0.0

    @property
    def length(self) -> int:
        """How many past values are kept of each."""
        return self._length

    def begin(self, key: Array, values: Named) -> Past:
        held = {n: jnp.repeat(values[n][None], self._length, axis=0) for n in self._names}
        chance, key = jax.random.split(key)
        delay = self._rounded(draw(key, (), self._delay, level=values["level"], neutral=0.0))
        is_late = jax.random.uniform(chance) < self._share
        return Past(held, delay * is_late, is_late * values["level"] * self._jitter)

    def step(self, memory: Past, key: Array, values: Named) -> tuple[Past, dict[str, Any]]:
        past = {n: jnp.concatenate([values[n][None], memory.values[n][:-1]]) for n in self._names}
        steps = memory.delay
        if self._jitter:
            unit = jax.random.uniform(key, minval=-1.0)
            steps = jnp.maximum(steps + self._rounded(memory.jitter * unit), 0.0)
        whole = jnp.clip(jnp.floor(steps).astype(jnp.int32), 0, self._length - 2)
        fraction = jnp.clip(steps - whole, 0.0, 1.0)
        arrived = jnp.clip(jnp.ceil(steps - 1e-4).astype(jnp.int32), 0, self._length - 1)
        late = {}
        for name, row in past.items():
            if not jnp.issubdtype(row.dtype, jnp.floating):
                late[name] = row[arrived]
                continue
            newer, older = row[whole], row[whole + 1]
            if is_quaternion(name):
                late[name] = between(newer, older, fraction)
            else:
                late[name] = newer + fraction * (older - newer)
        return Past(past, memory.delay, memory.jitter), late

    def _rounded(self, steps: Array) -> Array:
        return jnp.round(steps) if self._whole else steps
