"""Actions in chunks: a policy plans several control steps at once, and is asked again after them.

A clone that plans makes fewer decisions in an episode, so fewer errors add up, and it copies a
demonstrator who pauses (Zhao et al. 2023, "ACT"). A chunk is flat: the first control step's
numbers, then the next one's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import jax.numpy as jnp
import numpy as np

from r2s_core.types import Array

T = TypeVar("T", Array, np.ndarray)


def execute(plan: Array, chunk: Array, elapsed: Array) -> tuple[Array, Array]:
    """The plans, float32[W, K, A], after `chunk` [W, K * A] has replaced those that were executed;
    and what they say for this control step, [W, A].

    elapsed: int32[W], control steps of the running episode, at whose start a plan begins.
    """
    step = elapsed % plan.shape[1]
    plan = jnp.where((step == 0)[:, None, None], chunk.reshape(plan.shape), plan)
    return plan, jnp.take_along_axis(plan, step[:, None, None], axis=1)[:, 0]


def chunk_names(names: Sequence[str], length: int) -> tuple[str, ...]:
    """Names for a chunk's numbers; "ee_x_2_ahead" is executed two control steps later."""
    ahead = (f"{name}_{k}_ahead" for k in range(1, length) for name in names)
    return (*names, *ahead)


def chunks(actions: np.ndarray, length: int) -> np.ndarray:
    """The chunk that begins at each step of an episode [T, A], float32[T, length * A].

    Beyond the end the last action is repeated.
    """
    steps = np.arange(len(actions))[:, None] + np.arange(length)
    return actions[np.minimum(steps, len(actions) - 1)].reshape(len(actions), -1)
