"""Rotations as arrays, one at a time: quaternions [4] are (w, x, y, z), matrices [3, 3]."""

from __future__ import annotations

import jax.numpy as jnp
from jax.typing import ArrayLike

from r2s_core.types import Array


def multiply(a: Array, b: Array) -> Array:
    """The quaternion product a b: rotate by b, then by a."""
    aw, ax, ay, az = a[0], a[1], a[2], a[3]
    bw, bx, by, bz = b[0], b[1], b[2], b[3]
    return jnp.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ]
    )


def about_vertical(angle: Array) -> Array:
    """The quaternion of a rotation by `angle` (rad) about the world's z axis."""
    zero = jnp.zeros_like(angle)
    return jnp.stack([jnp.cos(angle / 2), zero, zero, jnp.sin(angle / 2)])


def from_vector(rotation: Array) -> Array:
    """The quaternion of a rotation vector [3]: its axis times its angle, rad."""
    angle = jnp.sqrt(jnp.sum(rotation * rotation) + 1e-12)
    return jnp.append(jnp.cos(angle / 2), rotation / angle * jnp.sin(angle / 2))


def to_matrix(q: Array) -> Array:
    """The rotation matrix of a unit quaternion."""
    w, x, y, z = q[..., 0], q[..., 1], q[..., 2], q[..., 3]
    rows = [
        jnp.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], -1),
        jnp.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], -1),
        jnp.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], -1),
    ]
    return jnp.stack(rows, -2)


def nearest_sign(q: Array, reference: ArrayLike) -> Array:
    """q or -q, the same rotation, whichever lies nearer to `reference`.

    A gripper that points down has w near zero: fixing the sign by w would make the reading jump.
    """
    return jnp.where(jnp.dot(q, reference) < 0, -q, q)
