"""Outward surface normals at each point."""

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
LOWEST_VIEW, FROM_BELOW = 0.1, 0.02  # views below this height of the unit sphere; their weight
AGREEMENT = 0.5  # fraction of the votes by which one side must win
CLEAR_VIEW = 0.3  # cosine to the normal above which a virtual view counts
#: Given normals fit the surface if the median cosine to fitted ones is above FITS. Their sign is
#: decided as a whole, kept or flipped, if the fraction ONE_SIDE of the evidence agrees; else per
#: point.
FITS, ONE_SIDE = 0.6, 0.75


class Sight(NamedTuple):
    """What is known about how the points were seen.

    Unobstructed lines from points on the surface to viewpoints [m, 3].
    ambiguous: fraction of the points whose outer side is undecided, as in a single sheet.
    """

    points: Floats
    viewpoints: Floats
    ambiguous: float


def with_normals(cloud: PointCloud) -> tuple[PointCloud, Sight]:
    """The cloud with outward normals, and how its points were seen.

    Normals are the file's own, else from planes fitted to neighbours. Their outer side comes from
    the viewpoints, else from a vote of virtual views; that flips a file's own normals either all
    or not at all, never one by one.
    """
    near = KDTree(cloud.points).query(cloud.points, k=min(NEIGHBOURS, len(cloud)))[1]
    neighbours = np.asarray(near, np.int64)
    fitted = fitted_normals(cloud.points, neighbours)
    normals, given, notes = _fitting(cloud, fitted)
    cloud = cloud.noting(*notes)
    if (viewpoints := cloud.viewpoints) is not None:
        towards = ((viewpoints - cloud.points) * normals).sum(axis=1)
        sign, notes = _whole_sign(np.sign(towards), given)
        normals = normals * sign if sign else _signed(normals, towards)
        cloud = dataclasses.replace(cloud, normals=normals).noting(*notes)
        return cloud, Sight(cloud.points, viewpoints, 0.0)
    votes, sure, voters, views = _votes(cloud.points, normals, FROM_BELOW)
    ambiguous = 0.0
    sign, notes = _whole_sign(np.where(sure, votes, 0.0), given)
    if sign:
        normals = normals * sign
    else:
        normals = _agreed(normals, neighbours, votes)
        ambiguous = float(np.mean(~sure))
        what = "no viewpoints: the outer side was found from how the points hide each other"
        notes.append(Finding(what))
    cloud = cloud.noting(*notes)
    points = cloud.points[voters]
    away = views - points
    front = (away * normals[voters]).sum(axis=1) > CLEAR_VIEW * np.linalg.norm(away, axis=1)
    cloud = dataclasses.replace(cloud, normals=normals, viewpoints=None)
    return cloud, Sight(points[front], views[front], ambiguous)


def _fitting(cloud: PointCloud, fitted: Floats) -> tuple[Floats, bool, list[Finding]]:
    """The file's normals and True if it has some that fit its points; else the fitted ones."""
    if cloud.normals is None:
        return fitted, False, []
    cosine = np.abs((cloud.normals * fitted).sum(axis=1))
    if np.median(cosine) > FITS:
        return cloud.normals, True, []
    what = "the file's normals do not fit the surface of its points: estimated instead"
    return fitted, False, [Finding(what, "warning", repaired=True)]


def _whole_sign(evidence: Floats, given: bool) -> tuple[int, list[Finding]]:
    """1 or -1 if given normals are right or flipped as a whole, else 0; and findings.

    evidence [n]: for each normal (> 0) or for its opposite (< 0).
    """
    if not given:
        return 0, []
    all_of_it = np.abs(evidence).sum()
    right = evidence[evidence > 0.0].sum() / all_of_it if all_of_it > 0.0 else 1.0
    if right >= ONE_SIDE:
        return 1, []
    if right <= 1.0 - ONE_SIDE:
        return -1, [Finding("the file's normals point inward: all flipped", repaired=True)]
    what = f"the file's normals point outward for {right:.0%} of the surface and inward for the "
    what += "rest: their lines are kept, and their signs were found anew"
    return 0, [Finding(what, "warning", repaired=True)]


def fitted_normals(points: Floats, neighbours: Ints) -> Floats:
    """Unsigned normals [n, 3] of the planes fitted to each point's neighbours [n, k]."""
    around = points[neighbours]
    around = around - around.mean(axis=1, keepdims=True)
    return np.linalg.eigh(np.einsum("nki,nkj->nij", around, around))[1][:, :, 0]


def _signed(normals: Floats, sign: Floats) -> Floats:
    return np.where(sign[:, None] < 0.0, -normals, normals)


def outward_votes(points: Floats, normals: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """How clearly virtual views from all around see each normal's front rather than its back [n].

    Also whether the views of a point agree [n].
    """
    votes, sure, _, _ = _votes(points, normals, 1.0)
    return votes, sure


def _votes(
    points: Floats, normals: Floats, from_below: float
) -> tuple[Floats, NDArray[np.bool_], Ints, Floats]:
    """Virtual views that see each normal's front, minus those that see its back [n]; 0: unseen.

    Also whether the views agree [n], and which view saw which point: indices of points [m] and the
    views' positions [m, 3]. from_below: weight of a view from below.
    """
    pixel = PIXEL * spacing_of(points)
    far = 10.0 * float(np.ptp(points, axis=0).max())
    votes, total = np.zeros((2, len(points)))
    who, where = [], []
    for direction in fibonacci_sphere(VIRTUAL_VIEWS):
        seen = np.flatnonzero(_visible(points, direction, pixel))
        cosine = normals[seen] @ direction
        # Views from below look into objects whose underside is missing.
        weight = 1.0 if direction[2] > LOWEST_VIEW else from_below
        votes[seen] += weight * cosine
        total[seen] += weight * np.abs(cosine)
        some = seen[:: max(1, len(seen) // RAYS_PER_VIEW)]
        who.append(some)
        where.append(points[some] + far * direction)
    sure = np.abs(votes) >= AGREEMENT * total
    return votes, sure, np.concatenate(who), np.concatenate(where)


def _visible(points: Floats, direction: Floats, pixel: float) -> NDArray[np.bool_]:
    """Which points [n] are visible from far away in a direction [3], at this pixel size."""
    across = np.linalg.svd(direction[None])[2][1:]
    at = np.floor(points @ across.T / pixel).astype(np.int64)
    at -= at.min(axis=0) - 1
    height = points @ direction
    front = np.full(at.max(axis=0) + 2, -np.inf)
    np.maximum.at(front, (at[:, 0], at[:, 1]), height)
    front = maximum_filter(front, 3)  # what shows through gaps between points is hidden too
    return height > front[at[:, 0], at[:, 1]] - DEPTH_TOLERANCE * pixel


def _agreed(normals: Floats, neighbours: Ints, votes: Floats) -> Floats:
    """Normals signed by their own votes and, increasingly, by those of parallel neighbours."""
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
