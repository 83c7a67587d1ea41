"""Metrics of an update's rollout."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from r2s_core.types import Array, Named, Step


def rollout_metrics(step: Step) -> Named:
    """Metrics of steps with leaves [T, W]; float32[] each.

    "episode/..." are means over the episodes that ended; where none did they are 0 here, since a
    NaN would end a run under JAX_DEBUG_NANS: see `checks.finite_metrics`. An episode ended by
    diverged physics counts as a failure, but its return and metrics are left out as unreliable;
    so are its rewards from "reward/<term>", the unweighted means over all steps.
    """
    ended = step.done.astype(jnp.float32)
    valid = ~step.diverged
    finished = (step.done & valid).astype(jnp.float32)
    success = jnp.sum(finished * step.success) / jnp.maximum(jnp.sum(ended), 1.0)
    at_end = {
        "return": step.episode_return,
        "length": step.episode_length.astype(jnp.float32),
        **step.metrics,
    }
    return {
        "episode/count": jnp.sum(ended),
        "episode/success": success,
        **{f"episode/{name}": _mean_where(x, finished) for name, x in at_end.items()},
        **{
            f"reward/{name}": weighted_mean(jnp.where(valid, x, 0.0), valid.astype(jnp.float32))
            for name, x in step.terms.items()
        },
        "env/diverged": jnp.sum(step.diverged.astype(jnp.float32)),
    }


def weighted_mean(x: Array, weight: Array) -> Array:
    """The mean of x under weights that are 0 or more, float32[]; 0 where all are 0."""
    return jnp.sum(x * weight) / jnp.maximum(jnp.sum(weight), 1.0)


def where(measured: np.ndarray, x: Array) -> Any:
    """On the host: x where it was `measured`, else NaN."""
    return np.where(measured, np.asarray(x), np.float32(np.nan))


def _mean_where(x: Array, mask: Array) -> Array:
    """The mean of x where the mask is 1; 0 if the mask is empty."""
    return jnp.sum(jnp.where(mask > 0, x, 0.0)) / jnp.maximum(jnp.sum(mask), 1.0)
