"""Building blocks of randomizers: draws from ranges that a curriculum widens, and elements of a
model selected by name patterns."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jax.core import Tracer

from r2s_core.errors import ConfigError
from r2s_core.ranges import Distribution
from r2s_core.suggest import did_you_mean
from r2s_core.types import Array

#: Elements of a model that have names, as MjModel's methods and counts call them.
_COUNTS = {"body": "nbody", "geom": "ngeom", "joint": "njnt", "actuator": "nu", "light": "nlight"}
_COUNTS |= {"camera": "ncam", "material": "nmat"}


def draw(
    key: Array,
    shape: tuple[int, ...],
    bounds: tuple[Array | float, Array | float],
    distribution: Distribution = "uniform",
    *,
    level: Array | float = 1.0,
    neutral: Array | float = 1.0,
) -> Array:
    """float32 of `shape` within `bounds`.

    level: 1 draws from the whole range; at 0 it has shrunk to `neutral`, the value of no effect.

    Raises ValueError for log_uniform where the bounds or `neutral` are not above 0.
    """
    if distribution == "log_uniform":
        _check_positive(*bounds, neutral)
    if distribution == "log_uniform":
        low, high = (jnp.log(jnp.asarray(x, jnp.float32)) for x in bounds)
        middle: Array | float = jnp.log(jnp.float32(neutral))
    else:
        low, high = (jnp.asarray(x, jnp.float32) for x in bounds)
        middle = neutral
    low, high = middle + level * (low - middle), middle + level * (high - middle)
    if distribution == "normal":
        unit = 0.5 + jax.random.truncated_normal(key, -2.0, 2.0, shape) / 4.0
    else:
        unit = jax.random.uniform(key, shape)
    drawn = low + unit * (high - low)
    return jnp.exp(drawn) if distribution == "log_uniform" else drawn


def _check_positive(*numbers: Array | float) -> None:
    """Checks concrete numbers; traced ones are unknown yet."""
    known = [x for x in numbers if not isinstance(x, Tracer)]
    if not all(np.all(np.asarray(x) > 0) for x in known):
        raise ValueError(
            f"log_uniform draws numbers above 0, not from {', '.join(map(str, known))} "
            "(the bounds and the neutral value)"
        )


def choose(model: mujoco.MjModel, kind: str, patterns: Sequence[str], option: str) -> np.ndarray:
    """The ids int[n] of a model's elements whose names match any of the patterns (`link*`).

    Unnamed elements match only `*`; the world body, which does not move, matches nothing.

    kind: "body", "geom", "joint", "actuator", "light", "camera" or "material". option: the key of
    the patterns, for the message. Raises ConfigError if a pattern matches nothing.
    """
    count = getattr(model, _COUNTS[kind])
    first = 1 if kind == "body" else 0
    names = [getattr(model, kind)(i).name for i in range(first, count)]
    return first + chosen(names, patterns, option, kind)


def chosen(names: Sequence[str], patterns: Sequence[str], option: str, kind: str) -> np.ndarray:
    """The indices int[n] of the names that match any of the patterns; see `choose`."""
    found: set[int] = set()
    for pattern in patterns:
        matches = [i for i, name in enumerate(names) if fnmatchcase(name, pattern)]
        if not matches:
            known = [name for name in names if name]
            raise ConfigError(
                f"{option}: no {kind} is called {pattern}{did_you_mean(pattern, known)}; there are "
                f"{', '.join(known) or 'none'}"
            )
        found.update(matches)
    return np.array(sorted(found), np.int64)
