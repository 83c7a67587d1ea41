"""From the points of one object to its closed mesh."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.spatial import ConvexHull, KDTree, QhullError

from r2s_core.errors import AssetError
from r2s_envs_objects.asset import Finding, Floats, Ints
from r2s_envs_objects.mesh.hull import hull_mesh
from r2s_envs_objects.mesh.inertia import volume_integrals
from r2s_envs_objects.reconstruct import coverage
from r2s_envs_objects.reconstruct.clean import (
    spacing_of,
    thinned,
    without_outliers,
    without_strays,
)
from r2s_envs_objects.reconstruct.cloud import MIN_POINTS, PointCloud
from r2s_envs_objects.reconstruct.free import free_space
from r2s_envs_objects.reconstruct.grid import Samples
from r2s_envs_objects.reconstruct.normals import with_normals
from r2s_envs_objects.reconstruct.surface import closed_surface, is_watertight, samples_of

STRAY_GAP = 4.0  # grid steps that separate strays from the object
LOWEST = 0.0003  # fraction of the points that noise may have put under the support plane
NEAR = 3.0  # grid steps from the next point beyond which the surface is a guess
MUCH_UNSEEN = 0.25
LOST, LOOKED_AT = 0.3, 20_000  # fraction of points off the result to warn of; points sampled
AMBIGUOUS = 0.25  # fraction of points; 0.13 for a mug without underside, 0.4 for a single sheet
POINTS_PER_STEP = 2.0
MAX_POINTS = 200_000  # used for a surface: more only cost time
COARSENESS = 1.3  # least grid step, in distances between points


@dataclasses.dataclass(frozen=True, eq=False)
class Reconstruction:
    """A closed mesh; m, z up, support plane at z = support.

    kind: "closed", or "hull" where only one side was seen. resolution: distance of the grid's
    nodes, m. fit: median distance of the points from the surface, m. unseen: fraction of the
    surface with no point near.
    """

    vertices: Floats  # [n, 3]
    faces: Ints  # [m, 3]
    kind: str
    support: float
    points: int
    resolution: float
    volume: float  # m3
    fit: float
    unseen: float
    findings: tuple[Finding, ...]


def reconstruct(
    cloud: PointCloud, label: str, resolution: int = 128, support: float | None = None
) -> Reconstruction:
    """The closed surface of an object's points, in metres, z up.

    resolution: grid cells along the longest side. support: height of the plane on which it
    stands, if known; else estimated if the underside was not seen. AssetError if the points
    enclose nothing.
    """
    extent = float(np.ptp(cloud.points, axis=0).max())
    fine = extent / resolution
    given = cloud.points[:: max(1, len(cloud) // LOOKED_AT)]
    cell = fine / POINTS_PER_STEP
    cloud = thinned(cloud, cell)
    while len(cloud) > MAX_POINTS:  # noise fills a volume rather than a surface
        cell *= 1.2
        cloud = thinned(cloud, cell)
    cloud = without_outliers(cloud)
    step = max(extent / resolution, COARSENESS * spacing_of(cloud.points))
    if step > fine:
        what = f"the points are too sparse for {resolution} cells: {extent / step:.0f} instead"
        cloud = cloud.noting(Finding(what))
    cloud = without_strays(cloud, STRAY_GAP * step)
    if len(cloud) < MIN_POINTS:
        raise AssetError(
            f"{label}: {len(cloud)} points are left after cleaning, too few for a surface; scan "
            "the object again, or raise --resolution"
        )
    cloud, sight = with_normals(cloud)
    samples = samples_of(cloud)
    if why := _one_sided(samples, sight.ambiguous):
        cloud = cloud.noting(*_lost(given, cloud.points, step))
        return _partial(cloud, why, label, step, support)
    if support is None and coverage.underside_missing(samples):
        support = float(np.quantile(cloud.points[:, 2], LOWEST))
        what = "its underside was not seen: cut flat at its lowest points"
        cloud = cloud.noting(Finding(what, repaired=True))
    free = free_space(sight.points, sight.viewpoints)
    vertices, faces = closed_surface(samples, step, support, free, label)
    cloud = cloud.noting(*_lost(given, surface_samples(vertices, faces, step)[0], step))
    return _measured(vertices, faces, cloud, "closed", step, support, label)


def _lost(given: Floats, kept: Floats, step: float) -> list[Finding]:
    """A warning if many of the given points are not near any that were kept."""
    lost = float((KDTree(kept).query(given)[0] > NEAR * step).mean())
    if lost < LOST:
        return []
    what = f"{lost:.0%} of the points are not part of the result: several objects, views that do "
    return [Finding(f"{what}not fit together, or much noise", "warning")]


def _one_sided(samples: Samples, ambiguous: float) -> str | None:
    """Why the points show one side only; None if they go all around."""
    if ambiguous > AMBIGUOUS:
        return f"for {ambiguous:.0%} of the points front and back cannot be distinguished"
    share, azimuth = coverage.worst_side(samples)
    if share < coverage.MISSING:
        return f"hardly anything faces azimuth {np.degrees(azimuth):.0f} degrees"
    return None


def _partial(
    cloud: PointCloud, why: str, label: str, step: float, support: float | None
) -> Reconstruction:
    """The convex hull of a one-sided scan, down to the support plane if that is known."""
    points = cloud.points
    if support is not None:
        feet = points.copy()
        feet[:, 2] = support
        points = np.concatenate([points, feet])
        points = points[points[:, 2] >= support]
    try:
        vertices, faces = hull_mesh(points[np.unique(ConvexHull(points).vertices)])
    except QhullError:
        raise AssetError(
            f"{label}: its points are flat, so they enclose nothing; scan it from all sides"
        ) from None
    what = (
        f"partial scan: {why}, so this is only the convex hull of what was seen; scan the object "
        "from all sides"
    )
    cloud = cloud.noting(Finding(what, "warning"))
    return _measured(vertices, faces, cloud, "hull", step, support, label)


def _measured(
    vertices: Floats,
    faces: Ints,
    cloud: PointCloud,
    kind: str,
    step: float,
    support: float | None,
    label: str,
) -> Reconstruction:
    if not is_watertight(vertices, faces):
        raise AssetError(
            f"{label}: no watertight surface came out of its {len(cloud)} points; scan the object "
            "from all sides, or change --resolution"
        )
    on_surface, areas = surface_samples(vertices, faces, step)
    away = KDTree(cloud.points).query(on_surface)[0]
    under = on_surface[:, 2] < vertices[:, 2].min() + step  # the cut, reported separately
    guessed = (away > NEAR * step) & ~under
    unseen = float(areas[guessed].sum() / areas.sum())
    fit = float(np.median(KDTree(on_surface).query(cloud.points)[0]))
    if unseen > MUCH_UNSEEN and kind == "closed":
        what = f"{unseen:.0%} of the surface is a guess, with no points near; scan those sides too"
        cloud = cloud.noting(Finding(what, "warning"))
    volume, _, _ = volume_integrals(vertices, faces)
    return Reconstruction(
        vertices,
        faces,
        kind,
        float(vertices[:, 2].min()) if support is None else support,
        len(cloud),
        step,
        volume,
        fit,
        unseen,
        cloud.findings,
    )


def surface_samples(vertices: Floats, faces: Ints, step: float) -> tuple[Floats, Floats]:
    """Points [k, 3] on a mesh, at most about `step` apart, and the area that each represents."""
    corners = vertices[faces]
    sides = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1)
    parts = np.minimum(np.ceil(sides / step), 200).astype(int)
    area = np.linalg.norm(
        np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
    )
    points, areas = [], []
    for count in np.unique(parts):
        mine = parts == count
        u, v = np.meshgrid(*[(np.arange(count) + 1 / 3) / count] * 2, indexing="ij")
        inside = u + v < 1.0
        u, v = u[inside], v[inside]
        weights = np.stack([1.0 - u - v, u, v], axis=1)
        points.append(np.einsum("kc,mci->mki", weights, corners[mine]).reshape(-1, 3))
        areas.append(np.repeat(area[mine] / 2.0 / len(u), len(u)))
    return np.concatenate(points), np.concatenate(areas)
