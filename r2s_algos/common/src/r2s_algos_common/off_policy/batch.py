"""Samples as the networks read them."""

from __future__ import annotations

from r2s_core.types import Array, pytree


@pytree
class Batch:
    """Transitions over up to n steps, normalised and scaled; leaves [B, ...]."""

    observation: Array  # float32[B, n]
    critic_observation: Array  # float32[B, m]
    action: Array  # float32[B, A], in [-1, 1]
    reward: Array  # float32[B], the discounted sum of up to n rewards, scaled
    discount: Array  # float32[B], factor of the bootstrapped value
    next_observation: Array  # float32[B, n]
    next_critic_observation: Array  # float32[B, m]
    weight: Array  # float32[B], 0 for masked samples, else 1
