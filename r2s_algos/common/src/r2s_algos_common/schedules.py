"""What changes over a training: the finished share of it, and rates that fall."""

from __future__ import annotations

from typing import Literal

import jax.numpy as jnp

from r2s_core.types import Array


def progress(updates: Array, steps_per_update: int, total_timesteps: int | None) -> Array:
    """The finished share of training after int32[] updates, float32[] in [0, 1].

    0 without a total, for which callers check that nothing is scheduled.
    """
    if total_timesteps is None:
        return jnp.float32(0.0)
    return jnp.minimum(updates.astype(jnp.float32) * (steps_per_update / total_timesteps), 1.0)


def falling_to_zero(first: float, schedule: Literal["linear", "cosine"], done: Array) -> Array:
    """A rate at a share `done` of its fall, float32[]."""
    if schedule == "linear":
        return first * (1.0 - done)
    return first * 0.5 * (1.0 + jnp.cos(jnp.pi * done))
