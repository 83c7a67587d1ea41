"""Exploration noise, white or correlated in time, and its scale in each world."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np

from r2s_core.types import Array, EnvSpec


def first_noise(key: Array, spec: EnvSpec) -> Array:
    """Standard normal noise float32[W, A] for `exploration_noise` to continue from."""
    # On the host: every generator that JAX compiles costs a tenth of a second.
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    return jax.device_put(rng.standard_normal((spec.num_worlds, spec.action_size), np.float32))


def exploration_noise(key: Array, last: Array, length: int, correlation: float) -> Array:
    """Noise for `length` steps that continues from `last`, float32[length, W, A].

    Standard normal at each step; an AR(1) process in each world, with `correlation`, in [0, 1),
    between consecutive steps.
    """
    noise = jax.random.normal(key, (length, *last.shape), last.dtype)
    if correlation == 0:
        return noise

    def one(last: Array, fresh: Array) -> tuple[Array, Array]:
        last = correlation * last + math.sqrt(1 - correlation**2) * fresh
        return last, last

    return jax.lax.scan(one, last, noise)[1]


def spread(worlds: int) -> Array:
    """Evenly spaced numbers in [0, 1], float32[W], in an order that mixes small and large ones.

    Where worlds are grouped by object, neighbours share one: with sorted numbers some objects would
    only be explored with little noise and others only with much. Ordered by the golden ratio
    (Weyl's sequence), every group of worlds gets nearly the same distribution.
    """
    return jnp.asarray(_ranks(worlds) / max(worlds - 1, 1), jnp.float32)


def share_of_worlds(worlds: int, share: float) -> np.ndarray:
    """True in this share of the worlds, rounded to whole ones, bool[W]; mixed as `spread` is."""
    return _ranks(worlds) < share * worlds - 0.5


def _ranks(worlds: int) -> np.ndarray:
    """0 to W - 1 in the order of Weyl's sequence, int[W]."""
    places = np.arange(worlds) * (np.sqrt(5.0) - 1.0) / 2.0 % 1.0
    return np.argsort(np.argsort(places))
