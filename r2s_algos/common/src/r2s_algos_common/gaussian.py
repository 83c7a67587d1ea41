"""The distribution of stochastic policies; a separate module, since distrax is slow to import."""

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


def tanh_log_det(raw: Array) -> Array:
    """log |d tanh(raw) / d raw| summed over the last axis, float32[...].

    log p(tanh(raw)) = log p(raw) - tanh_log_det(raw), which stays finite where tanh has saturated
    and `distrax.Transformed` would have to invert it.
    """
    return distrax.Block(distrax.Tanh(), 1).forward_log_det_jacobian(raw)  # type: ignore[return-value]
