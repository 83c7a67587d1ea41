"""The distribution of a stochastic policy; apart, since distrax takes a second to import."""

from __future__ import annotations

from typing import Any

import distrax
import jax.numpy as jnp

from r2s_core.types import Array


def gaussian(mean: Array, log_std: Array) -> Any:
    """The diagonal Gaussian over raw (unbounded) actions, a `distrax.MultivariateNormalDiag`.

    mean [..., A], log_std [A] or [..., A]. Raw actions become actions through `squash` and
    `scale_action`.
    """
    return distrax.MultivariateNormalDiag(mean, jnp.broadcast_to(jnp.exp(log_std), mean.shape))
