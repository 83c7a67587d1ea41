"""Depth images to points."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import maximum_filter, minimum_filter

from r2s_core.errors import AssetError
from r2s_envs_objects.asset import Finding, Floats
from r2s_envs_objects.reconstruct.cloud import MAX_POINTS, PointCloud, finite_cloud

MAX_IMAGE_BYTES = 50 * 2**20
MAX_PIXELS = 16_000_000
#: A pixel mixes two surfaces if it has neighbours this much nearer and others this much farther, in
#: widths of a pixel at its depth. On one surface that means 76 degrees and more: lost anyway.
EDGE_JUMP = 4.0


@dataclasses.dataclass(frozen=True, eq=False)
class DepthView:
    """depth [H, W] m along the camera's axis, 0 where unknown; intrinsics [3, 3], pixels.

    camera_to_world [4, 4], m: the camera looks along its +z, x to the right of the image, y down.
    mask [H, W]: the pixels wanted, or None for all.
    """

    depth: Floats
    intrinsics: Floats
    camera_to_world: Floats
    mask: np.ndarray | None = None


def read_png(path: Path) -> np.ndarray:
    """The pixels [H, W] of a grey image as integers; AssetError if it is none or too large."""
    try:
        if path.stat().st_size > MAX_IMAGE_BYTES:
            raise AssetError(f"{path}: over {MAX_IMAGE_BYTES / 2**20:.0f} MB; use smaller images")
        with Image.open(path) as image:
            if image.format != "PNG":
                raise AssetError(f"{path}: a {image.format} image; depth and masks are PNG")
            if image.width * image.height > MAX_PIXELS:
                raise AssetError(
                    f"{path}: {image.width} x {image.height} pixels, over the limit of "
                    f"{MAX_PIXELS}; use smaller images"
                )
            pixels = np.asarray(image)
    except AssetError:
        raise
    except FileNotFoundError:
        raise AssetError(f"{path}: no such image; check the names in the folder") from None
    except Exception as error:  # the decoder is fed hostile bytes and raises anything
        reason = f"{type(error).__name__}: {error}"
        raise AssetError(f"{path}: cannot be read as PNG ({reason}); save it again") from None
    if pixels.ndim != 2 or not np.issubdtype(pixels.dtype, np.integer):
        if pixels.dtype == bool and pixels.ndim == 2:
            return pixels.astype(np.uint8)
        raise AssetError(f"{path}: {image.mode} pixels; depth and masks have one grey channel")
    return pixels


def fuse(views: list[DepthView], label: str) -> PointCloud:
    """The wanted points of all views, each with its camera's position as viewpoint."""
    wanted = [_wanted(view) for view in views]
    total = sum(int(mask.sum()) for mask in wanted)
    stride = int(np.ceil(np.sqrt(total / MAX_POINTS))) if total > MAX_POINTS else 1
    points, origins = [], []
    for view, mask in zip(views, wanted, strict=True):
        row, column = np.nonzero(mask[::stride, ::stride])
        row, column = row * stride, column * stride
        points.append(_world(view, row, column))
        origins.append(np.broadcast_to(view.camera_to_world[:3, 3], points[-1].shape))
    cloud = finite_cloud(np.concatenate(points), None, np.concatenate(origins), label)
    findings = [Finding(f"{len(views)} depth images fused into {len(cloud)} points")]
    if stride > 1:
        findings.append(Finding(f"only every {stride}th row and column was taken: too many pixels"))
    return dataclasses.replace(cloud.noting(*findings), seen=True)


def _wanted(view: DepthView) -> np.ndarray:
    """Pixels with a depth, inside the mask, and not on an edge between two depths."""
    known = view.depth > 0.0
    wanted = known if view.mask is None else known & view.mask
    far = maximum_filter(np.where(known, view.depth, -np.inf), 3)
    near = minimum_filter(np.where(known, view.depth, np.inf), 3)
    between = np.minimum(far - view.depth, view.depth - near)
    return wanted & (between < EDGE_JUMP * view.depth / view.intrinsics[0, 0])


def _world(view: DepthView, row: np.ndarray, column: np.ndarray) -> Floats:
    """Positions [n, 3] of pixels, m."""
    matrix, depth = view.intrinsics, view.depth[row, column]
    x = (column - matrix[0, 2]) / matrix[0, 0] * depth
    y = (row - matrix[1, 2]) / matrix[1, 1] * depth
    pose = view.camera_to_world
    return np.stack([x, y, depth], axis=1) @ pose[:3, :3].T + pose[:3, 3]
