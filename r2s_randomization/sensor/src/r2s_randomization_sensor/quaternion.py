"""Readings that are orientations err by turning: small rotations, and means of two."""

from __future__ import annotations

import jax.numpy as jnp

from r2s_core import rotation
from r2s_core.types import Array


def is_quaternion(name: str) -> bool:
    """Whether a reading is one, by `r2s_core.types.HasReadings`' rule."""
    return name.endswith("quaternion")


def turned(quat: Array, vector: Array) -> Array:
    """A unit quaternion [4], turned by a rotation vector [3], rad, about the world's axes."""
    return rotation.multiply(rotation.from_vector(vector), quat)


def between(first: Array, second: Array, share: Array) -> Array:
    """From the first to the second by a share of the way, on the unit sphere: [4]."""
    mean = first + share * (rotation.nearest_sign(second, first) - first)
    return mean / jnp.sqrt(jnp.sum(mean * mean) + 1e-12)
