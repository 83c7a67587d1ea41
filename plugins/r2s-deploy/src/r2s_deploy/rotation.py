"""Rotations of one thing: quaternions [4] are (w, x, y, z), matrices [3, 3]; NumPy, float64."""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def multiply(a: Array, b: Array) -> Array:
    """The quaternion product a b: rotate by b, then by a."""
    aw, ax, ay, az = a
    bw, bx, by, bz = b
    return np.array(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ]
    )


def about_z(angle: float) -> Array:
    """The quaternion of a rotation by `angle` (rad) about z."""
    return np.array([np.cos(angle / 2), 0.0, 0.0, np.sin(angle / 2)])


def to_matrix(q: Array) -> Array:
    """The matrix of a unit quaternion."""
    w, x, y, z = q
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def nearest_sign(q: Array, reference: Array) -> Array:
    """q or -q, the same rotation, whichever lies nearer to `reference`."""
    return -q if np.dot(q, reference) < 0 else q
