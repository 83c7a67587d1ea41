"""PRNG keys of a run by purpose, so that no two purposes share random numbers.

`jax.random.fold_in(key, n)` may equal `jax.random.split(key, m)[n]`: small integers, or seeds that
differ by a constant, separate purposes only by luck.
"""

from __future__ import annotations

import zlib

import jax

from r2s_core.types import Array


def key_for(seed: int, purpose: str) -> Array:
    """A distinct typed key for each seed and purpose."""
    return jax.random.fold_in(jax.random.key(seed), zlib.crc32(purpose.encode()))
