"""Readings that are orientations err by turning: small rotations, and means of two."""

from __future__ import annotations

import jax.numpy as jnp

from r2s_core.types import Array


def is_quaternion(name: str) -> bool:
    """Whether a reading is one, by `r2s_core.types.HasReadings`' rule."""
    return name.endswith("quaternion")


def turned(quat: Array, rotation: Array) -> Array:
    """A unit quaternion [4], turned by a rotation vector [3], rad, about the world's axes."""
    angle = jnp.sqrt(jnp.sum(jnp.square(rotation)) + 1e-12)
    w, (x, y, z) = jnp.cos(angle / 2), rotation / angle * jnp.sin(angle / 2)
    a, b, c, d = quat
    return jnp.stack(
        [
            w * a - x * b - y * c - z * d,
            w * b + x * a + y * d - z * c,
            w * c - x * d + y * a + z * b,
            w * d + x * c - y * b + z * a,
        ]
    )


def between(first: Array, second: Array, share: Array) -> Array:
    """From the first to the second by a share of the way, on the unit sphere: [4]."""
    second = jnp.where(jnp.dot(first, second) < 0, -second, second)
    mean = first + share * (second - first)
    return mean / jnp.sqrt(jnp.sum(mean * mean) + 1e-12)
