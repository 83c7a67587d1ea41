"""Drops points that belong to no surface, and thins the others to a uniform density."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from r2s_envs_objects.asset import Finding, Floats, Ints
from r2s_envs_objects.reconstruct.cloud import PointCloud

NEIGHBOURS = 16
#: A point is an outlier if its neighbours are this many times farther away than usual: at the rim
#: of a scan half of them are missing, so it must be well above the square root of 2.
FARTHER = 2.2
CELLS_PER_RADIUS = 2.0  # of the clustering, along the distance that separates clusters
STRAY_SHARE = 0.03  # clusters smaller than this share of the points are strays


def spacing_of(points: Floats) -> float:
    """Typical distance to the next point, from a sample of at most 20,000."""
    tree = KDTree(points)
    chosen = np.random.default_rng(0).permutation(len(points))[:20_000]
    distance = tree.query(points[chosen], k=2)[0][:, 1]
    return float(np.median(distance))


def thinned(cloud: PointCloud, cell: float) -> PointCloud:
    """The mean of the points in each cubic cell of this size, m.

    Points whose normals disagree, as on the two sides of a thin wall, are not averaged.
    """
    part = None
    if cloud.normals is not None:
        axis = np.abs(cloud.normals).argmax(axis=1)
        sign = np.take_along_axis(cloud.normals, axis[:, None], axis=1)[:, 0] > 0.0
        part = 2 * axis + sign
    group, count = _cells(cloud.points, cell, part)

    def mean(values: Floats) -> Floats:
        sums = [np.bincount(group, values[:, i], minlength=len(count)) for i in range(3)]
        return np.stack(sums, axis=1) / count[:, None]

    normals = None
    if cloud.normals is not None:
        normals = mean(cloud.normals)
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    views = None if cloud.viewpoints is None else mean(cloud.viewpoints)
    return dataclasses.replace(cloud, points=mean(cloud.points), normals=normals, viewpoints=views)


def _cells(points: Floats, cell: float, part: Ints | None = None) -> tuple[Ints, Ints]:
    """The index [n] of each point's cubic cell, and how many points each cell has.

    part [n]: 0 to 5, where a cell is shared by several.
    """
    index = np.floor((points - points.min(axis=0)) / cell).astype(np.int64)
    # One number per cell sorts much faster than three; 2^20 cells along a side are plenty.
    key = np.minimum(index, 2**20 - 1) @ np.array([1, 2**20, 2**40], np.int64)
    if part is not None:
        key = key * 6 + part  # 6 * 2^60 still fits
    _, group, count = np.unique(key, return_inverse=True, return_counts=True)
    return group.ravel().astype(np.int64), count


def without_outliers(cloud: PointCloud) -> PointCloud:
    """The cloud without points that are much farther from their neighbours than the others."""
    distance = KDTree(cloud.points).query(cloud.points, k=min(NEIGHBOURS, len(cloud)))[0]
    mean = distance.mean(axis=1)
    kept = mean <= FARTHER * np.median(mean)
    if kept.all():
        return cloud
    what = f"{int((~kept).sum())} of {len(cloud)} points were outliers: dropped"
    return cloud[kept].noting(Finding(what, repaired=True))


def clusters(points: Floats, radius: float) -> Ints:
    """The cluster [n] of each point, 0 the largest; points within radius of another share one."""
    # Cells represent their points: dense clouds have millions of pairs of points, but few of cells.
    cell, count = _cells(points, radius / CELLS_PER_RADIUS)
    sums = [np.bincount(cell, points[:, i], minlength=len(count)) for i in range(3)]
    middle = np.stack(sums, axis=1) / count[:, None]
    pairs = KDTree(middle).query_pairs(radius, output_type="ndarray")
    graph = coo_matrix((np.ones(len(pairs), bool), pairs.T), shape=(len(count),) * 2)
    component = connected_components(graph, directed=False)[1][cell]
    order = np.argsort(-np.bincount(component), kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return rank[component].astype(np.int64)


def without_strays(cloud: PointCloud, radius: float) -> PointCloud:
    """The cloud without small groups of points farther than radius, m, from all others."""
    cluster = clusters(cloud.points, radius)
    sizes = np.bincount(cluster)
    kept = sizes[cluster] >= STRAY_SHARE * len(cloud)
    if kept.all():
        return cloud
    what = f"{int((~kept).sum())} points in {int((sizes < STRAY_SHARE * len(cloud)).sum())} "
    return cloud[kept].noting(Finding(what + "stray groups: dropped", repaired=True))
