"""The latest actions among what is observed: what a policy needs to know where actions come late.

With a constant delay of k control steps, the observation and the last k actions make the state of
a Markov decision process again (Katsikopoulos and Engelbrecht 2003).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax.numpy as jnp

from r2s_core.types import Array, Named


def remember(asked: Array, action: Array) -> Array:
    """float32[W, K, A] the latest actions, the newest first, after one more, `action` [W, A].

    As they were asked for, within bounds, whatever delay or noise they then meet.
    """
    return jnp.concatenate([action[:, None], asked], axis=1)[:, : asked.shape[1]]


def with_actions(obs: Named, asked: Array) -> dict[str, Array]:
    """Every group [n] of one world's observation, followed by its latest actions [K, A].

    A group of another shape, such as a picture, stays as it is.
    """
    past = asked.ravel()
    return {
        group: jnp.concatenate([values, past]) if values.ndim == 1 and past.size else values
        for group, values in obs.items()
    }


def with_action_names(
    names: Mapping[str, Sequence[str]], action_names: Sequence[str], length: int
) -> dict[str, tuple[str, ...]]:
    """The names of what `with_actions` makes; "action_ee_x_2_ago" was asked for two steps ago."""
    past = tuple(f"action_{name}_{k}_ago" for k in range(1, length + 1) for name in action_names)
    return {group: (*those, *past) for group, those in names.items()}
