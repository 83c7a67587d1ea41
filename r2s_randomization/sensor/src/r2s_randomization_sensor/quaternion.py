"""Errors of orientations: small rotations, and interpolation between two."""

from __future__ import annotations

import jax.numpy as jnp

from r2s_core import rotation
from r2s_core.types import Array


def is_quaternion(name: str) -> bool:
    """Whether a reading is a quaternion, by the rule in `r2s_core.types.HasReadings`."""
    return name.endswith("quaternion")


def turned(quat: Array, vector: Array) -> Array:
    """A unit quaternion [4], turned by a rotation vector [3], rad, about the world's axes."""
    return rotation.multiply(rotation.from_vector(vector), quat)


def between(first: Array, second: Array, fraction: Array) -> Array:
    """[4]: interpolated from the first to the second by `fraction`, on the unit sphere."""
    mean = first + fraction * (rotation.nearest_sign(second, first) - first)
    return mean / jnp.sqrt(jnp.sum(mean * mean) + 1e-12)
