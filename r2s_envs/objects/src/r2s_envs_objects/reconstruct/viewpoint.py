"""Whether the points of a cloud can have been seen from the viewpoint in its file.

PCL, Open3D and CloudCompare write `VIEWPOINT 0 0 0 1 0 0 0` into every PCD, wherever the sensor
stood. Believing it turns the far side of an object inside out.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.spatial import KDTree

from r2s_envs_objects.asset import Finding, Floats
from r2s_envs_objects.reconstruct.clean import spacing_of, thinned
from r2s_envs_objects.reconstruct.cloud import PointCloud
from r2s_envs_objects.reconstruct.normals import NEIGHBOURS, fitted_normals, outward_votes
from r2s_envs_objects.reconstruct.plane import find_table

CELLS, MOST = 100, 30_000  # cells along the longest side, and points, for the check
WIDEST_VIEW = 75.0  # degrees from the middle of the view to nearly all points
PIXEL = 2.0  # size in the depth image from the viewpoint, in distances between points
BEHIND = 3.0  # depth behind others, in the same unit, at which a point seen head-on is hidden
GRAZING = 0.08  # least cosine: surfaces seen more obliquely spread over many depths
MOST_OF_IT = 0.7  # fraction of the points off a table that decides its upper side
HIDDEN = 0.15  # fraction of the points; up to 0.08 in single views, 0.2 and more in whole objects
#: An object shows its outer side to virtual views from all around. If that is clear for the
#: fraction CLEAR of the points, and the fraction CONTRADICTED of them faces the other way, the
#: viewpoint is wrong.
CLEAR, CONTRADICTED = 0.65, 0.6
LEAST_SIDE = 10  # least rows and columns of an organised cloud for a meaningful check
PROJECTION_PIXELS = 1.5  # error of a pinhole camera fitted to an organised cloud


def checked(cloud: PointCloud, scene: bool = False) -> PointCloud:
    """The cloud with a finding about its viewpoint, which is dropped if the points contradict it.

    scene: several objects with the surface they stand on, which may be concave from outside.
    """
    if cloud.viewpoints is None or cloud.seen:
        return cloud
    view = cloud.viewpoints[0]
    where = " ".join(f"{x:.4g}" for x in view)
    reason = _contradiction(cloud, view, scene)
    if reason is None:
        what = f"the file's viewpoint ({where}) agrees with the points: used"
        return dataclasses.replace(cloud.noting(Finding(what)), seen=True)
    what = f"the file's viewpoint ({where}) is ignored: {reason}"
    if not view.any():
        what += "; many programs always write 0 0 0"
    return dataclasses.replace(cloud.noting(Finding(what, repaired=True)), viewpoints=None)


def _contradiction(cloud: PointCloud, view: Floats, scene: bool) -> str | None:
    """Why the points cannot have been seen from `view` [3]; None if they can."""
    points = _few(cloud)
    if len(points) < NEIGHBOURS:
        return "there are too few points to check it"
    away = view - points
    distance = np.linalg.norm(away, axis=1)
    if distance.min() < 1e-9:
        return "it lies on a point"
    away /= distance[:, None]
    middle = away.mean(axis=0)
    width = np.arccos(np.clip(away @ middle / max(np.linalg.norm(middle), 1e-12), -1.0, 1.0))
    if np.quantile(width, 0.98) > np.radians(WIDEST_VIEW):
        return "it lies among the points"
    neighbours = KDTree(points).query(points, k=min(NEIGHBOURS, len(points)))[1]
    normals = fitted_normals(points, np.asarray(neighbours, np.int64))
    cosine = (away * normals).sum(axis=1)
    hidden = _hidden(points, away, distance, np.abs(cosine))
    if hidden.mean() > HIDDEN:
        return f"from there {hidden.mean():.0%} of the points would be hidden behind others"
    if scene and _under_the_table(points, view):
        return "from there the table would hide what stands on it"
    if scene or view.any():
        return None
    normals[cosine < 0.0] *= -1.0
    votes, sure = outward_votes(points, normals)
    against = np.abs(votes[sure & (votes < 0.0)]).sum() / max(np.abs(votes[sure]).sum(), 1e-12)
    if sure.mean() > CLEAR and against > CONTRADICTED:
        return f"{against:.0%} of the surface would be seen from its inner side"
    return None


def _few(cloud: PointCloud) -> Floats:
    bare = PointCloud(cloud.points)
    low, high = np.quantile(cloud.points, [0.01, 0.99], axis=0)
    cell = max(float((high - low).max()) / CELLS, 1e-12)
    thin = thinned(bare, cell)
    while len(thin) > MOST:
        cell *= 1.2
        thin = thinned(bare, cell)
    return thin.points


def _under_the_table(points: Floats, view: Floats) -> bool:
    """Whether most points off the dominant plane lie on the side away from `view`."""
    table = find_table(PointCloud(points), np.array([0.0, 0.0, 1.0]))
    if table is None:
        return False
    placed = PointCloud(np.vstack([points, view])).transformed(table.to_table).points
    low, high = np.quantile(table.outline, [0.01, 0.99], axis=0)
    over = ((placed[:-1, :2] > low) & (placed[:-1, :2] < high)).all(axis=1)
    height = placed[:-1, 2][over & (np.abs(placed[:-1, 2]) > 2.0 * table.clearance)]
    other_side = np.sign(height) != np.sign(placed[-1, 2])
    return len(height) > NEIGHBOURS and bool(other_side.mean() > MOST_OF_IT)


def _hidden(points: Floats, away: Floats, distance: Floats, cosine: Floats) -> np.ndarray:
    """Which points [n] lie behind others, seen along `away` [n, 3] from `distance` [n]."""
    spacing = spacing_of(points)
    # Cells of directions: small cubes, each of which holds one patch of the unit sphere.
    cell = np.floor(away / (PIXEL * spacing / np.median(distance))).astype(np.int64)
    _, group = np.unique(cell, axis=0, return_inverse=True)
    group = group.ravel()
    front = np.full(group.max() + 1, np.inf)
    np.minimum.at(front, group, distance)
    cosine = np.maximum(cosine, GRAZING)
    depth = spacing * (BEHIND + PIXEL * np.sqrt(1.0 - cosine**2) / cosine)
    return distance > front[group] + depth


def is_projection(points: Floats) -> bool:
    """Whether an organised cloud [height, width, 3] fits a pinhole camera at the origin."""
    row, column = np.nonzero(np.isfinite(points).all(axis=2) & points.any(axis=2))
    if min(points.shape[:2]) < LEAST_SIDE or len(row) < LEAST_SIDE**2:
        return False
    chosen = np.random.default_rng(0).permutation(len(row))[:4000]
    row, column = row[chosen], column[chosen]
    rays = points[row, column]
    rays = rays / np.linalg.norm(rays, axis=1, keepdims=True)
    scale = max(points.shape[:2])
    pixels = np.stack([column / scale, row / scale, np.ones(len(row))], axis=1)
    # rays x (camera @ pixels) = 0 for every pixel: the camera [3, 3] is the null vector of that.
    cross = np.cross(rays[:, None], np.eye(3)[None])  # rays x each axis, [n, axis, 3]
    system = np.einsum("nia,nj->naij", cross, pixels).reshape(-1, 9)
    values, vectors = np.linalg.eigh(system.T @ system)
    if values[1] < 1e-9 * values[-1]:
        return False  # as when all points lie in one plane or line: many cameras fit
    seen = pixels @ vectors[:, 0].reshape(3, 3).T
    seen /= np.maximum(np.linalg.norm(seen, axis=1, keepdims=True), 1e-12)
    off = np.linalg.norm(np.cross(seen, rays), axis=1)
    pixel = np.linalg.norm(vectors[:, 0].reshape(3, 3)[:, 0]) / scale
    pixel /= np.median(np.linalg.norm(pixels @ vectors[:, 0].reshape(3, 3).T, axis=1))
    return bool(np.quantile(off, 0.95) < PROJECTION_PIXELS * pixel)
