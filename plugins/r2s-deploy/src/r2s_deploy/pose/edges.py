"""The corners of a square tag as where lines along its edges meet, and how sharp these edges are.

Looking for corners themselves (`cornerSubPix`) errs inwards as blur rounds them off, by 0.1 to 1
pixel; blur leaves the middle of a straight edge where it is (`benchmarks/pose.md`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from r2s_deploy.camera import Image, Intrinsics
from r2s_deploy.pose.opencv import cv2
from r2s_deploy.transform import Floats

_PASSES = 3
_INWARD, _OUTWARD = 0.6, 0.8  # modules from an edge, where pixels are read
_STEP_PX = 0.5
_MOST_READ = 64  # along an edge, and across it
_FREE_OF_CORNERS = 0.14  # share of an edge at either end that is not read


@dataclasses.dataclass(frozen=True, eq=False)
class Edges:
    """corners: float64[4, 2], ideal pixels (without distortion), in the order of the first ones.

    smear: how wide the widest of the four edges is, modules: contrast over steepest slope.
    contrast: of the weakest edge, grey levels from ink to paper.
    """

    corners: Floats
    smear: float
    contrast: float


def fit_edges(gray: Image, corners: Floats, camera: Intrinsics, modules: int) -> Edges | None:
    """Around corners [4, 2], pixels, that are right to a module's third, of a tag that is so many
    modules wide, the outermost black; None where no straight edges from black to white are there.

    An edge is where the integral across it divides black from white (it preserves moments); lines
    are fitted to such points in the undistorted image.
    """
    picture = gray.astype(np.float32)
    ideal = camera.ideal(corners)
    if not np.isfinite(ideal).all():
        return None
    smear = contrast = np.zeros(4)
    for _ in range(_PASSES):
        to_image = _homography(ideal, modules)
        side = np.linalg.norm(np.roll(ideal, -1, axis=0) - ideal, axis=1).max()
        along, across = _places(side, modules)
        read = _read(picture, camera.distorted(to_image(_around(along, across, modules))))
        mean = read.mean(axis=1)
        dark, bright = mean[:, :2].mean(axis=1), mean[:, -2:].mean(axis=1)
        contrast = bright - dark
        if contrast.min() <= 0.0:
            return None
        step = across[1] - across[0]
        share = (read - dark[:, None, None]) / contrast[:, None, None]
        area = step * (share.sum(axis=2) - 0.5 * (share[..., 0] + share[..., -1]))
        smear = contrast / np.gradient(mean, step, axis=1).max(axis=1)
        lines = [_line(points) for points in to_image(_edges(along, across[-1] - area, modules))]
        found = np.array([np.cross(lines[i - 1], lines[i]) for i in range(4)])
        if np.abs(found[:, 2]).min() < 1e-3:
            return None
        moved = found[:, :2] / found[:, 2:]
        if np.abs(moved - ideal).max() > side / modules:
            return None
        ideal = moved
    return Edges(ideal, float(smear.max()), float(contrast.min()))


def _places(side_px: float, modules: int) -> tuple[Floats, Floats]:
    """Where along an edge, as shares of it, and across it, modules outward."""
    px = side_px / modules
    across = np.clip(np.ceil((_INWARD + _OUTWARD) * px / _STEP_PX) + 1, 8, _MOST_READ)
    lines = np.clip(np.ceil(side_px), 16, _MOST_READ)
    free = _FREE_OF_CORNERS
    return np.linspace(free, 1 - free, int(lines)), np.linspace(-_INWARD, _OUTWARD, int(across))


def _around(along: Floats, across: Floats, modules: int) -> Floats:
    """These places at the four edges [4, along, across, 2], in modules: x right, y down."""
    x, y = np.meshgrid(along * modules, -across, indexing="ij")
    return _turned(np.stack([x, y], axis=-1), modules)


def _edges(along: Floats, outward: Floats, modules: int) -> Floats:
    """Points [4, along, 2] so far outward [4, along]."""
    top = np.stack([np.broadcast_to(along * modules, outward.shape), -outward], axis=-1)
    return np.stack([_turned(top[i], modules)[i] for i in range(4)])


def _turned(top: Floats, modules: int) -> Floats:
    """Places [..., 2] at the upper edge, at each of the four edges clockwise [4, ..., 2]."""
    x, y = top[..., 0], top[..., 1]
    n = float(modules)
    return np.stack(
        [np.stack(p, axis=-1) for p in ((x, y), (n - y, x), (n - x, n - y), (y, n - x))]
    )


def _homography(ideal: Floats, modules: int) -> Callable[[Floats], Floats]:
    """From places [..., 2] in modules, within the tag, to ideal pixels."""
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32) * modules
    matrix = cv2.getPerspectiveTransform(square, ideal.astype(np.float32))

    def to_image(places: Floats) -> Floats:
        found = places @ matrix[:, :2].T + matrix[:, 2]
        return found[..., :2] / found[..., 2:]

    return to_image


def _read(picture: NDArray[np.float32], spots: Floats) -> Floats:
    """Levels at pixels [..., 2], between them linearly."""
    x, y = np.moveaxis(spots.reshape(len(spots), -1, 2).astype(np.float32), -1, 0)
    found = cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found, float).reshape(spots.shape[:-1])


def _line(points: Floats) -> Floats:
    """The line [3], homogeneous, nearest to points [N, 2]."""
    middle = points.mean(axis=0)
    normal = np.linalg.svd(points - middle, full_matrices=False)[2][1]
    return np.array([*normal, -normal @ middle])
