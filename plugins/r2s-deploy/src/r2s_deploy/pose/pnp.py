"""From corners to a pose, with its uncertainty and its rivals (perspective-n-point)."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from r2s_deploy.camera import Intrinsics
from r2s_deploy.pose.opencv import cv2, transform
from r2s_deploy.pose.target import Sighting
from r2s_deploy.transform import Floats, Transform

_FLAT = 1e-4  # thickness of points over their extent
_SAME_DEG = 0.5


@dataclasses.dataclass(frozen=True, eq=False)
class Solution:
    """pose: `object_in_camera`. squares: the sum of squared residuals, pixels^2.

    rms_px: root mean square over corners of their distance from where the pose puts them.
    position_std_m, rotation_std_deg: along the most uncertain direction, about the most uncertain
      axis.
    """

    pose: Transform
    squares: float
    rms_px: float
    position_std_m: float
    rotation_std_deg: float


def solve(sighting: Sighting, camera: Intrinsics) -> list[Solution]:
    """Poses that put the corners where they are seen, the best first.

    Of a flat target seen from far there are two, mirrored at the line of sight (Schweighofer &
    Pinz 2006). Both come from IPPE (Collins & Bartoli 2014); points that are not flat are SQPnP's
    (Terzakis & Lourakis 2020). Levenberg-Marquardt refines each.
    """
    points, corners = sighting.points, sighting.corners
    # IPPE wants the plane z = 0, with the points around its origin.
    middle = points.mean(axis=0)
    _, extent, axes = np.linalg.svd(points - middle)
    level = Transform(axes.T * (1.0, 1.0, np.linalg.det(axes)), middle)
    flat = level.inverse().points(points)
    method = cv2.SOLVEPNP_IPPE if extent[2] < _FLAT * extent[0] else cv2.SOLVEPNP_SQPNP
    _, turns, moves, _ = cv2.solvePnPGeneric(flat, corners, camera.matrix, None, flags=method)
    found: list[Solution] = []
    for turn, move in zip(turns, moves, strict=True):
        turn, move = cv2.solvePnPRefineLM(flat, corners, camera.matrix, None, turn, move)
        pose = transform(turn, move) @ level.inverse()
        if np.isfinite(pose.rotation).all() and (pose.points(points)[:, 2] > 0.0).all():
            found.append(_judged(pose, sighting, camera))
    found.sort(key=lambda solution: solution.squares)
    return [
        x
        for i, x in enumerate(found)
        if all(x.pose.angle_to(y.pose) > _SAME_DEG for y in found[:i])
    ]


def project(points: Floats, pose: Transform, camera: Intrinsics) -> Floats:
    """Points [N, 3] in ideal pixels [N, 2]."""
    seen = pose.points(points) @ camera.matrix.T
    return seen[:, :2] / seen[:, 2:]


def _judged(pose: Transform, sighting: Sighting, camera: Intrinsics) -> Solution:
    off = project(sighting.points, pose, camera) - sighting.corners
    squares = float((off**2).sum())
    jacobian = _jacobian(pose, sighting.points, camera)
    spare = max(off.size - 6, 1)
    std = max(sighting.std_px, math.sqrt(squares / spare))
    covariance = std**2 * np.linalg.pinv(jacobian.T @ jacobian)
    moved, turned = (float(np.linalg.eigvalsh(covariance[x, x])[-1]) for x in (_MOVED, _TURNED))
    return Solution(
        pose,
        squares,
        math.sqrt(squares / len(off)),
        math.sqrt(moved),
        math.degrees(math.sqrt(turned)),
    )


_MOVED, _TURNED = slice(0, 3), slice(3, 6)


def _jacobian(pose: Transform, points: Floats, camera: Intrinsics) -> Floats:
    """Of the pixels [2 N, 6] by a small motion and a small turn about the object's origin."""
    arms = points @ pose.rotation.T
    x, y, z = (arms + pose.translation).T
    fx, fy = camera.matrix[0, 0], camera.matrix[1, 1]
    zero = np.zeros_like(z)
    by_place = np.stack(
        [
            np.stack([fx / z, zero, -fx * x / z**2], axis=-1),
            np.stack([zero, fy / z, -fy * y / z**2], axis=-1),
        ],
        axis=1,
    )  # [N, 2, 3]
    by_turn = np.cross(arms[:, None], by_place)
    return np.concatenate([by_place, by_turn], axis=2).reshape(-1, 6)
