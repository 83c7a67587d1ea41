"""Depth images to points."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, UnidentifiedImageError
from scipy.ndimage import maximum_filter, minimum_filter

from r2s_core.errors import AssetError
from r2s_core.system import files
from r2s_envs_objects.asset import Finding, Floats
from r2s_envs_objects.reconstruct.cloud import MAX_POINTS, PointCloud, finite_cloud

MAX_FRAMES = 1000
MAX_IMAGE_BYTES, MAX_TOTAL_BYTES = 50 * 2**20, 2**30
MAX_PIXELS, MAX_TOTAL_PIXELS = 16_000_000, 320_000_000  # the latter: 1,000 frames of 640 x 480
KEPT_PIXELS = 40_000_000  # of all frames; beyond, only every 2nd, 3rd, ... row and column is kept
#: A pixel mixes two surfaces if it has neighbours this much nearer and others this much farther, in
#: widths of a pixel at its depth. On one surface that is a slant of 76 degrees or more, which is
#: lost anyway.
EDGE_JUMP = 4.0
#: Sensors mark missing depth by 65535, by another full scale, or by a value far behind all others;
#: the latter two count if at least this fraction of the pixels has the value.
FULL_SCALES, FREQUENT, FAR_BEHIND = (255, 2047, 4095, 8191, 16383, 32767), 0.01, 2.0


@dataclasses.dataclass(frozen=True, eq=False)
class DepthView:
    """counts [H, W]: depth along the camera's axis in units of `scale` m, 0 where unknown.

    intrinsics [3, 3], pixels. camera_to_world [4, 4], m: the camera looks along its +z, x to the
    right of the image, y down. mask [H, W]: the pixels to use, or None for all.
    """

    counts: np.ndarray
    scale: float
    intrinsics: Floats
    camera_to_world: Floats
    mask: np.ndarray | None = None

    @property
    def depth(self) -> Floats:
        """[H, W] m."""
        return self.counts * self.scale

    def world(self, row: np.ndarray, column: np.ndarray) -> Floats:
        """Positions [n, 3] of pixels, m."""
        matrix, depth = self.intrinsics, self.counts[row, column] * self.scale
        x = (column - matrix[0, 2]) / matrix[0, 0] * depth
        y = (row - matrix[1, 2]) / matrix[1, 1] * depth
        pose = self.camera_to_world
        return np.stack([x, y, depth], axis=1) @ pose[:3, :3].T + pose[:3, 3]

    def coarser(self, stride: int) -> DepthView:
        """Every stride-th row and column, as from a camera with larger pixels."""
        lens = self.intrinsics.copy()
        lens[:2] /= stride
        mask = None if self.mask is None else self.mask[::stride, ::stride].copy()
        counts = self.counts[::stride, ::stride].copy()
        return dataclasses.replace(self, counts=counts, intrinsics=lens, mask=mask)


def stride_for(paths: Iterable[Path], label: str) -> int:
    """The stride at which to read these images; AssetError if they are too large together."""
    pixels = size = 0
    for path in paths:
        with _opened(path) as file:
            size += file.seek(0, io.SEEK_END)
            file.seek(0)
            width, height = _header(file, path).size
        pixels += width * height
        if pixels > MAX_TOTAL_PIXELS or size > MAX_TOTAL_BYTES:
            raise AssetError(
                f"{label}: its depth images have more than {MAX_TOTAL_PIXELS / 1e6:.0f} million "
                f"pixels or {MAX_TOTAL_BYTES / 2**20:.0f} MB together; use fewer or smaller ones"
            )
    return max(1, int(np.ceil(np.sqrt(pixels / KEPT_PIXELS))))


def read_png(path: Path, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """The pixels [H, W] of a grey image as integers; AssetError if it is not one or too large.

    shape: the required shape, if any.
    """
    what = "a depth image or mask"
    data = files.read_bytes(path, limit=MAX_IMAGE_BYTES, what=what, error=AssetError)
    image = _header(io.BytesIO(data), path)
    if shape is not None and (image.height, image.width) != shape:
        raise AssetError(
            f"{path}: {image.width} x {image.height} pixels, but its depth image has "
            f"{shape[1]} x {shape[0]}; make the mask of the same size"
        )
    try:
        pixels = np.asarray(image)
    except Exception as error:  # on untrusted bytes the decoder may raise anything
        raise _unreadable(path, error) from None
    if pixels.ndim != 2 or not (pixels.dtype == bool or np.issubdtype(pixels.dtype, np.integer)):
        raise AssetError(f"{path}: {image.mode} pixels; depth and masks have one grey channel")
    return pixels.astype(np.uint16)  # no PNG has more bits


def known(counts: np.ndarray) -> tuple[np.ndarray, int]:
    """The counts with 0 where the sensor marks missing depth, and the number of those pixels."""
    largest = int(counts.max(initial=0))
    nothing = counts == largest
    second = int(counts[~nothing].max(initial=0))
    frequent = largest > 0 and nothing.mean() >= FREQUENT
    far_behind = second > 0 and largest > FAR_BEHIND * second
    if largest != 65535 and not (frequent and (largest in FULL_SCALES or far_behind)):
        return counts, 0
    return np.where(nothing, 0, counts).astype(counts.dtype), int(nothing.sum())


def _opened(path: Path) -> IO[bytes]:
    return files.open_regular(path, what="a depth image", error=AssetError)


def _header(file: IO[bytes], path: Path) -> Image.Image:
    too_large = (
        f"{path}: over the limit of {MAX_PIXELS / 1e6:.0f} million pixels; use smaller images"
    )
    try:
        image = Image.open(file, formats=["PNG"])
    except Image.DecompressionBombError:
        raise AssetError(too_large) from None
    except Exception as error:  # as above
        raise _unreadable(path, error) from None
    if image.width * image.height > MAX_PIXELS:
        raise AssetError(too_large)
    return image


def _unreadable(path: Path, error: Exception) -> AssetError:
    kind = isinstance(error, UnidentifiedImageError)
    reason = "another kind of file" if kind else f"damaged: {type(error).__name__}"
    return AssetError(f"{path}: cannot be read as PNG ({reason}); save it again as a grey PNG")


def fuse(views: list[DepthView], label: str) -> PointCloud:
    """The selected points of all views, each with its camera's position as viewpoint."""
    wanted = [_wanted(view) for view in views]
    total = sum(int(mask.sum()) for mask in wanted)
    stride = int(np.ceil(np.sqrt(total / MAX_POINTS))) if total > MAX_POINTS else 1
    points, origins = [], []
    for view, mask in zip(views, wanted, strict=True):
        row, column = np.nonzero(mask[::stride, ::stride])
        points.append(view.world(row * stride, column * stride))
        origins.append(np.broadcast_to(view.camera_to_world[:3, 3], points[-1].shape))
    cloud = finite_cloud(np.concatenate(points), None, np.concatenate(origins), label)
    findings = [Finding(f"{len(views)} depth images fused into {len(cloud)} points")]
    if stride > 1:
        what = f"too many points: one row and column in {stride} was used"
        findings.append(Finding(what))
    return dataclasses.replace(cloud.noting(*findings), seen=True)


def _wanted(view: DepthView) -> np.ndarray:
    """Pixels with a depth, inside the mask, and not on an edge between two depths."""
    depth = view.counts.astype(np.float32)
    known = depth > 0.0
    wanted = known if view.mask is None else known & view.mask
    far = maximum_filter(np.where(known, depth, -np.inf), 3)
    near = minimum_filter(np.where(known, depth, np.inf), 3)
    between = np.minimum(far - depth, depth - near)
    return wanted & (between < EDGE_JUMP * depth / view.intrinsics[0, 0])
