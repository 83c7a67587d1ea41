"""Samples as the networks read them."""

from __future__ import annotations

from r2s_core.types import Array, Named, pytree


@pytree
class Batch:
    """Transitions over up to n steps, scaled; leaves [B, ...]."""

    observation: Named  # what policy and critics read, by group; numbers are normalised
    action: Array  # float32[B, A], in [-1, 1]
    reward: Array  # float32[B], the discounted sum of up to n rewards, scaled
    discount: Array  # float32[B], factor of the bootstrapped value
    next_observation: Named
    weight: Array  # float32[B], 0 for masked samples, else 1
