"""Which way the surface faces at each point."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter
from scipy.sparse import csr_matrix
from scipy.spatial import KDTree

from r2s_envs_objects.asset import Finding, Floats, Ints
from r2s_envs_objects.reconstruct.clean import spacing_of
from r2s_envs_objects.reconstruct.cloud import PointCloud

NEIGHBOURS = 24
VIRTUAL_VIEWS, RAYS_PER_VIEW = 80, 1500
PIXEL, DEPTH_TOLERANCE = 3.0, 2.0  # of a virtual view: distances between points; pixels
SWEEPS = 30
LOWEST_VIEW, FROM_BELOW = 0.1, 0.02  # height of the unit sphere under which a vote counts less
AGREEMENT = 0.5  # share of the votes by which one side must win
CLEAR_VIEW = 0.3  # cosine to the normal above which a virtual view is believed


class Sight(NamedTuple):
    """What is known of how the points were seen.

    Lines along which nothing is in the way: from points on the surface to viewpoints [m, 3].
    ambiguous: share of the points whose outer side could not be told, as in a lone sheet.
    """

    points: Floats
    viewpoints: Floats
    ambiguous: float


def with_normals(cloud: PointCloud) -> tuple[PointCloud, Sight]:
    """The cloud with outward normals, and how its points were seen.

    Normals are the file's own, else of planes fitted to neighbours. What is outside comes from
    where points were seen from, else from a vote of virtual views.
    """
    near = KDTree(cloud.points).query(cloud.points, k=min(NEIGHBOURS, len(cloud)))[1]
    neighbours = np.asarray(near, np.int64)
    given = cloud.normals
    normals = fitted_normals(cloud.points, neighbours) if given is None else given
    if cloud.viewpoints is not None and not _seen_from_within(cloud):
        towards = ((cloud.viewpoints - cloud.points) * normals).sum(axis=1)
        normals = _signed(normals, towards)
        return dataclasses.replace(cloud, normals=normals), Sight(
            cloud.points, cloud.viewpoints, 0.0
        )
    votes, sure, voters, views = _votes(cloud.points, normals)
    ambiguous = 0.0
    if given is None:
        normals = _agreed(normals, neighbours, votes)
        ambiguous = float(np.mean(~sure))
        what = "no viewpoints: which side is outside was found from how the points hide each other"
        cloud = cloud.noting(Finding(what))
    elif (votes * np.abs(votes)).sum() < 0.0:
        normals = -normals
        cloud = cloud.noting(Finding("the file's normals point inward: turned", repaired=True))
    points = cloud.points[voters]
    away = views - points
    front = (away * normals[voters]).sum(axis=1) > CLEAR_VIEW * np.linalg.norm(away, axis=1)
    cloud = dataclasses.replace(cloud, normals=normals, viewpoints=None)
    return cloud, Sight(points[front], views[front], ambiguous)


def fitted_normals(points: Floats, neighbours: Ints) -> Floats:
    """Unsigned normals [n, 3] of the planes through each point's neighbours [n, k]."""
    around = points[neighbours]
    around = around - around.mean(axis=1, keepdims=True)
    return np.linalg.eigh(np.einsum("nki,nkj->nij", around, around))[1][:, :, 0]


def _signed(normals: Floats, sign: Floats) -> Floats:
    return np.where(sign[:, None] < 0.0, -normals, normals)


def _seen_from_within(cloud: PointCloud) -> bool:
    """Whether the viewpoint is amid the points: then it is a default, not where a sensor was."""
    assert cloud.viewpoints is not None
    view = cloud.viewpoints.mean(axis=0)
    low, high = cloud.points.min(axis=0), cloud.points.max(axis=0)
    return bool(((view > low) & (view < high)).all())


def _votes(points: Floats, normals: Floats) -> tuple[Floats, NDArray[np.bool_], Ints, Floats]:
    """How many virtual views see each normal's front, less its back [n]; 0: none saw the point.

    Also whether the views agree [n], and who saw what: indices of points [m] and the views'
    positions [m, 3].
    """
    pixel = PIXEL * spacing_of(points)
    far = 10.0 * float(np.ptp(points, axis=0).max())
    votes, total = np.zeros((2, len(points)))
    who, where = [], []
    for direction in fibonacci_sphere(VIRTUAL_VIEWS):
        seen = np.flatnonzero(_visible(points, direction, pixel))
        cosine = normals[seen] @ direction
        # From below one looks into objects whose underside is missing.
        weight = 1.0 if direction[2] > LOWEST_VIEW else FROM_BELOW
        votes[seen] += weight * cosine
        total[seen] += weight * np.abs(cosine)
        some = seen[:: max(1, len(seen) // RAYS_PER_VIEW)]
        who.append(some)
        where.append(points[some] + far * direction)
    sure = np.abs(votes) >= AGREEMENT * total
    return votes, sure, np.concatenate(who), np.concatenate(where)


def _visible(points: Floats, direction: Floats, pixel: float) -> NDArray[np.bool_]:
    """Which points [n] nothing hides from far away in a direction [3], at this size of pixels."""
    across = np.linalg.svd(direction[None])[2][1:]
    at = np.floor(points @ across.T / pixel).astype(np.int64)
    at -= at.min(axis=0) - 1
    height = points @ direction
    front = np.full(at.max(axis=0) + 2, -np.inf)
    np.maximum.at(front, (at[:, 0], at[:, 1]), height)
    front = maximum_filter(front, 3)  # what shows through between the points is hidden too
    return height > front[at[:, 0], at[:, 1]] - DEPTH_TOLERANCE * pixel


def _agreed(normals: Floats, neighbours: Ints, votes: Floats) -> Floats:
    """Normals signed by their own votes and, more and more, by those of parallel neighbours."""
    n, k = neighbours.shape
    starts = np.arange(0, n * k + 1, k)
    cosine = np.einsum("ni,nki->nk", normals, normals[neighbours])
    similar = np.where(np.abs(cosine) > 0.5, cosine, 0.0)
    graph = csr_matrix((similar.ravel(), neighbours.ravel(), starts), shape=(n, n))
    sign = np.tanh(votes)
    for _ in range(SWEEPS):
        sign = np.tanh(0.3 * votes + (graph @ sign) * 3.0 / k)
    return _signed(normals, sign)


def fibonacci_sphere(count: int) -> Floats:
    """Unit vectors [count, 3], evenly spread."""
    i = np.arange(count) + 0.5
    polar, turn = np.arccos(1.0 - 2.0 * i / count), np.pi * (1.0 + 5.0**0.5) * i
    return np.stack([np.cos(turn) * np.sin(polar), np.sin(turn) * np.sin(polar), np.cos(polar)], 1)
