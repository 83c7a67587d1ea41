"""The table of a tabletop scene: the plane that holds most points."""

from __future__ import annotations

import dataclasses

import numpy as np

from r2s_envs_objects.asset import Floats
from r2s_envs_objects.reconstruct.cloud import PointCloud

TRIALS = 1000
SAMPLE = 10_000  # points on which RANSAC trials are scored
TOLERANCE = 0.008  # m, while searching
LEAST_SHARE = 0.15  # least fraction of the points for a table
CLEARANCE = (0.004, 0.02)  # m above the table that still count as table, least and most
DEVIATIONS = 4.0


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """to_table [4, 4]: maps the table to z = 0, its upper side facing +z; m.

    share: fraction of the points on it. clearance: height above which a point is not table, m.
    outline [n, 2]: points on it, in the new frame.
    """

    to_table: Floats
    share: float
    clearance: float
    outline: Floats


def find_table(cloud: PointCloud, up: Floats) -> Table | None:
    """The dominant plane of a cloud in metres by RANSAC; None if no plane holds many points.

    up [3]: roughly up, for clouds without viewpoints; a camera sees a table from above.
    """
    rng = np.random.default_rng(0)
    points = cloud.points[rng.permutation(len(cloud))[:SAMPLE]]
    corners = points[rng.integers(len(points), size=(TRIALS, 3))]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normals, axis=1)
    normals, first = normals[length > 1e-12], corners[length > 1e-12, 0]
    normals /= length[length > 1e-12, None]
    if len(normals) == 0:
        return None
    offsets = (normals * first).sum(axis=1)
    held = [
        (np.abs(points @ n - d) < TOLERANCE).sum() for n, d in zip(normals, offsets, strict=True)
    ]
    best = int(np.argmax(held))
    normal, offset, scatter = _refined(cloud.points, normals[best], float(offsets[best]))
    towards = up
    if cloud.viewpoints is not None:
        towards = (cloud.viewpoints - cloud.points).mean(axis=0)
    if normal @ towards < 0.0:
        normal, offset = -normal, -offset
    height = cloud.points @ normal - offset
    clearance = float(np.clip(DEVIATIONS * scatter, *CLEARANCE))
    on_table = np.abs(height) < clearance
    share = float((np.abs(height) < min(clearance, TOLERANCE)).mean())
    if share < LEAST_SHARE:
        return None
    transform = np.eye(4)
    transform[:3, :3] = turn_to_z(normal)
    centre = cloud.points[on_table].mean(axis=0)
    transform[:3, 3] = -transform[:3, :3] @ (centre + normal * (offset - centre @ normal))
    outline = (cloud.points[on_table] @ transform[:3, :3].T + transform[:3, 3])[:, :2]
    return Table(transform, share, clearance, outline)


def _refined(points: Floats, normal: Floats, offset: float) -> tuple[Floats, float, float]:
    """The plane fitted by least squares to nearby points; also their robust standard deviation."""
    near = TOLERANCE
    scatter = TOLERANCE
    for _ in range(5):
        inliers = points[np.abs(points @ normal - offset) < near]
        centre = inliers.mean(axis=0)
        fitted = np.linalg.eigh(np.cov((inliers - centre).T))[1][:, 0]
        normal = fitted if fitted @ normal > 0.0 else -fitted
        offset = float(normal @ centre)
        scatter = 1.4826 * float(np.median(np.abs(inliers @ normal - offset)))
        near = max(3.0 * scatter, 0.25 * TOLERANCE)
    return normal, offset, scatter


def turn_to_z(normal: Floats) -> Floats:
    """The smallest rotation [3, 3] that maps a unit vector [3] to +z."""
    x, y, z = normal
    if z < -0.999999:
        return np.diag([1.0, -1.0, -1.0])
    skew = np.array([[0.0, 0.0, -x], [0.0, 0.0, -y], [x, y, 0.0]])
    return np.eye(3) + skew + skew @ skew / (1.0 + z)
