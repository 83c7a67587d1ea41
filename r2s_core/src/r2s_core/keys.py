"""PRNG keys of a run by what they are for, so that no two purposes share random numbers.

`jax.random.fold_in(key, n)` may equal `jax.random.split(key, m)[n]`: small numbers, and seeds a
constant apart, keep purposes apart only by accident.
"""

from __future__ import annotations

import zlib

import jax

from r2s_core.types import Array


def key_for(seed: int, purpose: str) -> Array:
    """A typed key of its own for each seed and purpose."""
    return jax.random.fold_in(jax.random.key(seed), zlib.crc32(purpose.encode()))
