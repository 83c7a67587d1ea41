"""Rigid transforms. Quaternions are w, x, y, z, as in MuJoCo; lengths are in metres.

A transform is named after what is where: `camera_in_base` is the camera's pose in the base's frame
and takes a point's coordinates in the camera's frame to those in the base's, so that
`camera_in_base @ object_in_camera` is `object_in_base`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from r2s_deploy.errors import DeployError
from r2s_deploy.rotation import to_matrix

Floats = NDArray[np.float64]
_LENGTH_TOLERANCE = 0.01  # of a quaternion: what rounding to a few digits leaves


@dataclasses.dataclass(frozen=True, eq=False)
class Transform:
    """rotation float64[3, 3], translation float64[3] in m."""

    rotation: Floats
    translation: Floats

    @classmethod
    def of(cls, position: ArrayLike, quaternion: ArrayLike = (1.0, 0.0, 0.0, 0.0)) -> Transform:
        """Of a position [3], m, and a quaternion [4] of length 1.

        Raises `DeployError` for other shapes, numbers that are not finite and other lengths.
        """
        moved, turned = vector(position, 3, "position"), vector(quaternion, 4, "quaternion")
        length = float(np.linalg.norm(turned))
        if abs(length - 1.0) > _LENGTH_TOLERANCE:
            raise DeployError(f"quaternion {turned.tolist()} has length {length:.3g}; it must be 1")
        return cls(to_matrix(turned / length), moved)

    @classmethod
    def identity(cls) -> Transform:
        return cls(np.eye(3), np.zeros(3))

    @property
    def quaternion(self) -> Floats:
        """float64[4], of length 1, with w >= 0."""
        return _quaternion(self.rotation)

    def __matmul__(self, other: Transform) -> Transform:
        return Transform(self.rotation @ other.rotation, self.points(other.translation))

    def inverse(self) -> Transform:
        return Transform(self.rotation.T, -self.rotation.T @ self.translation)

    def points(self, points: ArrayLike) -> Floats:
        """Points [..., 3] of the inner frame in the outer one."""
        return np.asarray(points, float) @ self.rotation.T + self.translation

    def angle_to(self, other: Transform) -> float:
        """The angle between the two orientations, degrees."""
        twice = self.rotation.T @ other.rotation
        axis = (twice[2, 1] - twice[1, 2], twice[0, 2] - twice[2, 0], twice[1, 0] - twice[0, 1])
        return math.degrees(math.atan2(float(np.linalg.norm(axis)), float(np.trace(twice)) - 1.0))

    def distance_to(self, other: Transform) -> float:
        """Between the two origins, m."""
        return float(np.linalg.norm(self.translation - other.translation))

    def facts(self) -> dict[str, list[float]]:
        """As plain numbers, for JSON; `from_facts` is its inverse."""
        return {"position": self.translation.tolist(), "quaternion": self.quaternion.tolist()}

    @classmethod
    def from_facts(cls, facts: Any) -> Transform:
        """Raises `DeployError` unless `facts` has a sound position and quaternion."""
        if not isinstance(facts, dict) or set(facts) != {"position", "quaternion"}:
            raise DeployError("a pose has the keys position and quaternion (w, x, y, z)")
        return cls.of(facts["position"], facts["quaternion"])


def mean(transforms: Sequence[Transform]) -> Transform:
    """The mean position and the rotation nearest to all (chordal mean; Hartley et al. 2013)."""
    u, _, v = np.linalg.svd(np.mean([x.rotation for x in transforms], axis=0))
    rotation = u @ np.diag([1.0, 1.0, np.linalg.det(u @ v)]) @ v
    return Transform(rotation, np.mean([x.translation for x in transforms], axis=0))


def vector(value: ArrayLike, size: int, name: str) -> Floats:
    """float64[size] that cannot be written to; `DeployError` names what is not that."""
    try:
        found = np.array(value, float)
    except (TypeError, ValueError, OverflowError):
        found = np.empty(0)
    if found.shape != (size,) or not np.isfinite(found).all():
        raise DeployError(f"{name} is {repr(value)[:200]}; give {size} finite numbers")
    found.flags.writeable = False
    return found


def _quaternion(matrix: Floats) -> Floats:
    """By the eigenvector of the largest eigenvalue (Bar-Itzhack 2000), which no case divides by."""
    (a, b, c), (d, e, f), (g, h, i) = matrix
    k = np.array(
        [
            [a + e + i, h - f, c - g, d - b],
            [h - f, a - e - i, b + d, c + g],
            [c - g, b + d, e - a - i, f + h],
            [d - b, c + g, f + h, i - a - e],
        ]
    )
    found = np.linalg.eigh(k)[1][:, -1]
    return found if found[0] >= 0.0 else -found
