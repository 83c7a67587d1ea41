"""Past actions in the observation, which a policy needs where actions are delayed.

With a constant delay of k control steps, the observation and the last k actions together are
Markov again (Katsikopoulos and Engelbrecht 2003).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax.numpy as jnp

from r2s_core.types import Array, Named


def push_action(past_actions: Array, action: Array) -> Array:
    """The last K actions, float32[W, K, A], newest first, after pushing `action` [W, A].

    Actions as commanded by the policy, within bounds, before any delay or noise.
    """
    return jnp.concatenate([action[:, None], past_actions], axis=1)[:, : past_actions.shape[1]]


def with_actions(obs: Named, past_actions: Array) -> dict[str, Array]:
    """Every group [n] of one world's observation, followed by its past actions [K, A].

    A group of another shape, such as an image, is left as it is.
    """
    past = past_actions.ravel()
    return {
        group: jnp.concatenate([values, past]) if values.ndim == 1 and past.size else values
        for group, values in obs.items()
    }


def with_action_names(
    names: Mapping[str, Sequence[str]], action_names: Sequence[str], length: int
) -> dict[str, tuple[str, ...]]:
    """Names for `with_actions`; "action_ee_x_2_ago" was commanded two control steps ago."""
    past = tuple(f"action_{name}_{k}_ago" for k in range(1, length + 1) for name in action_names)
    return {group: (*group_names, *past) for group, group_names in names.items()}
