"""One cloud per object of a tabletop scene."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.spatial import Delaunay, KDTree

from r2s_core.errors import AssetError
from r2s_envs_objects.asset import Finding, Floats
from r2s_envs_objects.reconstruct.clean import clusters, spacing_of, thinned, without_outliers
from r2s_envs_objects.reconstruct.cloud import MIN_POINTS, PointCloud
from r2s_envs_objects.reconstruct.plane import Table, find_table
from r2s_envs_objects.scan.units import LARGEST

GAP = 0.012  # m between objects, at least; sparse clouds need more
GAP_SPACINGS = 4.0
FINEST = 0.001  # m, cells to which a scene is thinned for clustering
SMALLEST = 0.015  # m, longest side of an object
HOVERS = 0.03  # m above the table, beyond which a cluster's lowest point is not standing on it
SMALL_SHARE = 0.02  # of the largest cluster's points, below which a cluster is dropped


@dataclasses.dataclass(frozen=True, eq=False)
class Scene:
    """The table's frame, the objects' clouds in it (m, table at z = 0), and what was dropped."""

    table: Table
    objects: list[PointCloud]
    findings: tuple[Finding, ...]


def split_scene(cloud: PointCloud, up: Floats, label: str) -> Scene:
    """Table and objects of a cloud in metres; AssetError if there is no table, or nothing on it.

    up [3]: roughly up, if the cloud has no viewpoints.
    """
    cloud = without_outliers(thinned(cloud, FINEST))
    table = find_table(cloud, up)
    if table is None:
        raise AssetError(
            f"{label}: no plane holds 15% of its points, so there is no table to split at; "
            "leave out --segment for a cloud of one object"
        )
    cloud = cloud.transformed(table.to_table)
    above = cloud[cloud.points[:, 2] > table.clearance]
    above = above[_over(table.outline, above.points[:, :2])]
    findings = [Finding(f"a table that holds {table.share:.0%} of the points: removed")]
    if len(above) < MIN_POINTS:
        raise AssetError(
            f"{label}: {len(above)} points stand above its table, too few for an object; scan "
            "nearer, or leave out --segment"
        )
    gap = max(GAP, GAP_SPACINGS * spacing_of(above.points))
    cluster = clusters(above.points, gap)
    objects, dropped = [], []
    sizes = np.bincount(cluster)
    for index, size in enumerate(sizes):
        if size < MIN_POINTS:
            break  # they are sorted, and the rest are specks
        part = above[cluster == index]
        why = _why_not(part, int(size), int(sizes[0]))
        if why is None:
            objects.append(dataclasses.replace(part, findings=()))
        else:
            dropped.append(f"{size} points {why}")
    small = len(above) - sum(map(len, objects))
    if small:
        what = f"{small} points above the table belong to no object: dropped"
        what += f" ({'; '.join(dropped[:5])})" if dropped else ""
        findings.append(Finding(what, repaired=True))
    if not objects:
        raise AssetError(
            f"{label}: {len(above)} points above its table, but no cluster of them looks like an "
            "object on it; scan nearer, or leave out --segment"
        )
    return Scene(table, objects, (*cloud.findings, *findings))


def _why_not(part: PointCloud, size: int, largest: int) -> str | None:
    """Why a cluster is not an object on the table; None if it is."""
    extent = float(np.ptp(part.points, axis=0).max())
    if size < SMALL_SHARE * largest or extent < SMALLEST:
        return "are too few"
    if part.points[:, 2].min() > HOVERS:
        return f"hover {part.points[:, 2].min() * 1000:.0f} mm above it"
    if extent > LARGEST:
        return f"are {extent:.2g} m long"
    return None


def _over(outline: Floats, points: Floats) -> np.ndarray:
    """Whether points [n, 2] lie over the table, or nearly; beyond it are walls."""
    if len(points) == 0:
        return np.zeros(0, bool)
    corners = outline[np.unique(np.round(outline / 0.02), axis=0, return_index=True)[1]]
    if len(corners) < 4:
        return np.ones(len(points), bool)
    within = Delaunay(corners).find_simplex(points) >= 0
    return within | (KDTree(corners).query(points)[0] < 0.03)
