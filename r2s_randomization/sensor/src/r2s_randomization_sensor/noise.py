"""Errors of readings and actions without delay; see `r2s_core.types.RemembersEpisode`."""

from __future__ import annotations

from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from r2s_core.types import Array, Named
from r2s_randomization_sensor.quaternion import is_quaternion, turned


class Noise:
    """Adds Gaussian noise at each step, and a bias sampled for each episode."""

    stage: Literal["reading"] = "reading"

    def __init__(self, readings: tuple[str, ...], std: float, bias: float) -> None:
        self.writes = frozenset(readings)
        self._names, self._std, self._bias = readings, std, bias

    def begin(self, key: Array, values: Named) -> dict[str, Array]:
        return {n: self._bias * x for n, x in self._normal(key, values).items()}

    def step(
        self, memory: dict[str, Array], key: Array, values: Named
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        level, new = values["level"], {}
        for name, white in self._normal(key, values).items():
            error = level * (memory[name] + self._std * white)
            if is_quaternion(name):
                new[name] = turned(values[name], error)
            else:
                new[name] = values[name] + error
        return memory, new

    def _normal(self, key: Array, values: Named) -> dict[str, Array]:
        """Standard normal numbers for each reading; for an orientation, a rotation vector."""
        shapes = {n: (3,) if is_quaternion(n) else values[n].shape for n in self._names}
        drawn = jax.random.normal(key, (sum(int(np.prod(s)) for s in shapes.values()),))
        ends = np.cumsum([int(np.prod(s)) for s in shapes.values()])[:-1]
        parts = jnp.split(drawn, ends)
        return {n: x.reshape(shapes[n]) for n, x in zip(shapes, parts, strict=True)}


class Dropout:
    """Readings drop out at random, and the last values are held."""

    stage: Literal["reading"] = "reading"

    def __init__(self, readings: tuple[str, ...], probability: float) -> None:
        self.writes = frozenset(readings)
        self._names, self._probability = readings, probability

    def begin(self, key: Array, values: Named) -> dict[str, Array]:
        return {name: values[name] for name in self._names}

    def step(
        self, memory: dict[str, Array], key: Array, values: Named
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        silent = jax.random.uniform(key) < self._probability * values["level"]
        held = {n: jnp.where(silent, memory[n], values[n]) for n in self._names}
        return held, held


class Quantization:
    """Rounds readings to a resolution; the grid's offset is sampled for each episode."""

    stage: Literal["reading"] = "reading"

    def __init__(self, readings: tuple[str, ...], resolution: float) -> None:
        self.writes = frozenset(readings)
        self._names, self._resolution = readings, resolution

    def begin(self, key: Array, values: Named) -> Array:
        return jax.random.uniform(key)

    def step(self, memory: Array, key: Array, values: Named) -> tuple[Array, dict[str, Any]]:
        # At curriculum level 0 the resolution is infinitely fine.
        level, size = values["level"], self._resolution
        new = {}
        for name in self._names:
            rounded = (jnp.round(values[name] / size + memory) - memory) * size
            if is_quaternion(name):
                rounded /= jnp.sqrt(jnp.sum(rounded * rounded) + 1e-12)
            new[name] = values[name] + level * (rounded - values[name])
        return memory, new


class ActionNoise:
    """Adds Gaussian noise to the action at each step, and a bias sampled for each episode."""

    stage: Literal["action"] = "action"
    writes = frozenset({"action"})

    def __init__(self, places: np.ndarray | None, std: float, bias: float) -> None:
        """places int[n]: indices of the noisy action components; None: all."""
        self._places, self._std, self._bias = places, std, bias

    def begin(self, key: Array, values: Named) -> Array:
        return self._bias * self._normal(key, values)

    def step(self, memory: Array, key: Array, values: Named) -> tuple[Array, dict[str, Any]]:
        error = values["level"] * (memory + self._std * self._normal(key, values))
        return memory, {"action": values["action"] + error}

    def _normal(self, key: Array, values: Named) -> Array:
        drawn = jax.random.normal(key, values["action"].shape)
        if self._places is None:
            return drawn
        return jnp.zeros_like(drawn).at[self._places].set(drawn[self._places])
