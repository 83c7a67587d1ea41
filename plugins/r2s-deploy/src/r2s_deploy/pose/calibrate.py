"""A camera's intrinsics from images of a ChArUco board (Zhang 2000, by OpenCV)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from r2s_deploy.camera import Image, Intrinsics
from r2s_deploy.errors import CalibrationError
from r2s_deploy.pose.opencv import cv2
from r2s_deploy.pose.sight import to_gray
from r2s_deploy.pose.target import Charuco
from r2s_deploy.transform import Floats

_FEWEST_CORNERS = 8  # of a view
_FEWEST_VIEWS = 8
_ALIKE = 0.02  # of the image's width: how little corners move between views that are the same
_MOST_RMS_PX = 1.0
_MOST_VIEW_RMS_PX = 2.0
_MOST_FOCAL_STD = 0.005  # of the focal length: 5 mm at a distance of 1 m
_MOST_CENTRE_STD = 0.005  # of the image's width
_LEAST_COVERED = 0.4  # of the image's area


@dataclasses.dataclass(frozen=True, eq=False)
class Calibration:
    """intrinsics: what was found; its `rms_px` is over all corners of all views.

    view_rms_px: of each view that was used, by its image's name.
    left_out: why each other image was not.
    focal_std: standard deviation of the focal length, as a share of it.
    covered: the share of the image's area where the board was. The lens is not known beyond.
    """

    intrinsics: Intrinsics
    view_rms_px: dict[str, float]
    left_out: dict[str, str]
    focal_std: float
    covered: float


@dataclasses.dataclass(frozen=True, eq=False)
class _View:
    names: np.ndarray  # which corners of the board
    corners: Floats  # [N, 2], pixels


def calibrate(images: Mapping[str, Image], board: Charuco) -> Calibration:
    """From images of a board in different places, turned in different ways, by their names.

    Focal lengths, principal point, and k1, k2, p1, p2 of the distortion; k3 stays 0. Raises
    `CalibrationError` where images are of different sizes, too few show the board, are too similar
    to tell the focal length or show it in a small part of the image, or no camera explains them.
    """
    if not images:
        raise CalibrationError("there are no images to calibrate from")
    height, width = next(iter(images.values())).shape[:2]
    views, left_out = _views(images, board, (width, height))
    if len(views) < _FEWEST_VIEWS:
        why = "; ".join(f"{name}: {reason}" for name, reason in list(left_out.items())[:4])
        raise CalibrationError(
            f"{len(views)} of {len(images)} images show the board, each in another place; at least "
            f"{_FEWEST_VIEWS} must" + (f" ({why})" if why else "")
        )
    everything = np.concatenate([view.corners for view in views.values()]).astype(np.float32)
    covered = cv2.contourArea(cv2.convexHull(everything)) / (width * height)
    if covered < _LEAST_COVERED:
        raise CalibrationError(
            f"the board was in {covered:.0%} of the image only, and has to be in "
            f"{_LEAST_COVERED:.0%}; show it near all edges too"
        )
    return _solve(views, left_out, board, (width, height), covered)


def _views(
    images: Mapping[str, Image], board: Charuco, size: tuple[int, int]
) -> tuple[dict[str, _View], dict[str, str]]:
    """Those to use, and why the others are of no use."""
    views: dict[str, _View] = {}
    left_out: dict[str, str] = {}
    camera = Intrinsics(size, np.eye(3))
    for name, image in images.items():
        if image.shape[:2] != (size[1], size[0]):
            raise CalibrationError(
                f"{name} is {image.shape[1]} x {image.shape[0]} pixels, and the first image "
                f"{size[0]} x {size[1]}; all must be of one size"
            )
        view = _View(*board.corners(to_gray(image, camera)))
        alike = (other for other, seen in views.items() if _alike(view, seen, size[0]))
        if len(view.names) < _FEWEST_CORNERS:
            left_out[name] = f"{len(view.names)} corners seen, {_FEWEST_CORNERS} needed"
        elif same := next(alike, None):
            left_out[name] = f"the board is where it is in {same}"
        else:
            views[name] = view
    return views, left_out


def _alike(view: _View, other: _View, width: int) -> bool:
    _, here, there = np.intersect1d(view.names, other.names, return_indices=True)
    if len(here) < _FEWEST_CORNERS:
        return False
    moved = np.linalg.norm(view.corners[here] - other.corners[there], axis=1)
    return float(moved.mean()) < _ALIKE * width


def _solve(
    views: dict[str, _View],
    left_out: dict[str, str],
    board: Charuco,
    size: tuple[int, int],
    covered: float,
) -> Calibration:
    points = [board.points[view.names].astype(np.float32) for view in views.values()]
    corners = [view.corners.astype(np.float32) for view in views.values()]
    guess = np.array([[size[0], 0, size[0] / 2], [0, size[0], size[1] / 2], [0, 0, 1]], float)
    try:
        rms, matrix, distortion, _, _, stds, _, by_view = cv2.calibrateCameraExtended(
            points, corners, size, guess, np.zeros(5), flags=cv2.CALIB_FIX_K3
        )
    except cv2.error as error:
        raise CalibrationError(f"no camera explains these images (OpenCV: {error.err})") from None
    view_rms = dict(zip(views, map(float, by_view.ravel()), strict=True))
    worst = max(view_rms, key=lambda name: view_rms[name])
    if not (rms <= _MOST_RMS_PX and view_rms[worst] <= _MOST_VIEW_RMS_PX):
        raise CalibrationError(
            f"no camera explains these images: corners are {rms:.1f} pixels off (root mean square) "
            f"and {view_rms[worst]:.1f} in {worst}; leave it out if it is blurred; is the board "
            "flat, and the print the one that was described?"
        )
    focal_std = float(max(stds[0, 0] / matrix[0, 0], stds[1, 0] / matrix[1, 1]))
    centre_std = float(max(stds[2, 0], stds[3, 0]))
    if not (focal_std <= _MOST_FOCAL_STD and centre_std <= _MOST_CENTRE_STD * size[0]):
        raise CalibrationError(
            f"the views are too similar: the focal length is uncertain by {focal_std:.1%} and the "
            f"principal point by {centre_std:.1f} pixels (standard deviations); turn the board by "
            "20 to 50 degrees, in different directions"
        )
    found = Intrinsics(
        size, np.asarray(matrix, float), np.asarray(distortion, float).ravel()[:5], float(rms)
    )
    return Calibration(found, view_rms, left_out, focal_std, float(covered))
