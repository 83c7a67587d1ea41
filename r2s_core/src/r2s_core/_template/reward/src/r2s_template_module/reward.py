"""The reward term: a pure function of one control step of ONE world."""

from __future__ import annotations

import jax.numpy as jnp
from r2s_core.types import Array, RewardFn, Transition

from r2s_template_module.plugin import TemplateNameConfig


def make(config: TemplateNameConfig) -> RewardFn:
    """Build the term. It must be float32[], unweighted: the weight comes from the YAML."""

    def term(transition: Transition) -> Array:
        # `transition` holds prev_view, prev_task, action, view, task, terminated and success.
        change = (transition.view.qpos - transition.prev_view.qpos) / config.max_step
        return -jnp.mean(jnp.square(change))

    return term
