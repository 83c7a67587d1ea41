"""The reward terms: pure functions of one control step of ONE world."""

from __future__ import annotations

import jax.numpy as jnp
from r2s_core.types import Array, RewardFn, Transition

from r2s_template_module.plugin import SharpnessConfig
from r2s_template_module.task import goal_distance


def reach(config: SharpnessConfig) -> RewardFn:
    """Rewards the hand for reaching the side of the object that faces away from the goal."""

    def term(transition: Transition) -> Array:
        distance = jnp.linalg.norm(transition.task.behind - transition.task.hand)
        return 1.0 - jnp.tanh(config.sharpness * distance)

    return term


def push(config: SharpnessConfig) -> RewardFn:
    """Rewards the object for being close to the goal."""

    def term(transition: Transition) -> Array:
        return 1.0 - jnp.tanh(config.sharpness * goal_distance(transition.task))

    return term
