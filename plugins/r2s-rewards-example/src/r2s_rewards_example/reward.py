"""The reward term: a pure function of one control step of ONE world."""

from __future__ import annotations

import jax.numpy as jnp

from r2s_core.types import Array, RewardFn, Transition
from r2s_rewards_example.plugin import SpeedLimitConfig


def make(config: SpeedLimitConfig) -> RewardFn:
    """Build the term: float32[], 0 within the limit, -1 if every joint moves at twice the limit."""

    def term(transition: Transition) -> Array:
        excess = jnp.maximum(jnp.abs(transition.view.qvel) / config.limit - 1.0, 0.0)
        return -jnp.mean(jnp.square(excess))

    return term
