"""Reads the user's source as a point cloud in metres."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from r2s_core.errors import AssetError
from r2s_core.system.text import printable
from r2s_envs_objects.asset import Finding
from r2s_envs_objects.guard import sandbox
from r2s_envs_objects.reconstruct import (
    apc_folder,
    depth,
    depth_folder,
    las,
    pcd,
    ply,
    viewpoint,
    xyz,
)
from r2s_envs_objects.reconstruct.cloud import PointCloud
from r2s_envs_objects.scan.resolution import is_relief, on_a_map
from r2s_envs_objects.scan.source import read_cloud
from r2s_envs_objects.scan.units import METRES, SMALLEST

PARSERS = {".ply": ply.parse, ".pcd": pcd.parse, ".las": las.parse}
PARSERS |= dict.fromkeys((".xyz", ".pts", ".asc", ".csv", ".txt"), xyz.parse)
#: A scene is larger than an object: the largest plausible extent, m.
LARGEST_SCENE = 10.0


def read(path: Path, units: str, mask: str | None, scene: bool = False) -> tuple[PointCloud, float]:
    """The points in metres, and the file's unit in metres.

    scene: they show a table with objects rather than one object.
    """
    if path.is_dir():
        return _read_folder(path, mask), 1.0
    cloud = _read_file(path)
    # Strays must not decide the unit.
    low, high = np.quantile(cloud.points, [0.01, 0.99], axis=0)
    extent, label = float((high - low).max()), printable(path)
    mapped = path.suffix.lower() == ".las" or on_a_map(low, high)
    if units == "auto" and mapped:  # laser scanners and maps count in metres
        units = "m"
    elif units == "auto" and extent > LARGEST_SCENE and not scene and is_relief(cloud.points):
        raise AssetError(
            f"{label}: a relief of {extent:.4g} across, which may be land in metres or an object "
            "in millimetres; say which with --units"
        )
    factor, finding = metres_per_unit(extent, units, label)
    transform = np.diag([factor, factor, factor, 1.0])
    cloud = cloud.transformed(transform).noting(*finding)
    return viewpoint.checked(cloud, scene), factor


def _read_file(path: Path) -> PointCloud:
    data, label = read_cloud(path), printable(path)
    arguments = {"suffix": path.suffix.lower(), "label": label}
    target = "r2s_envs_objects.reconstruct.source:parsed"
    return PointCloud.from_arrays(sandbox.call(target, data, arguments, label))


def parsed(data: bytes, suffix: str, label: str) -> dict[str, Any]:
    """A file's content as the arrays of a cloud; runs in the process with limits."""
    return PARSERS[suffix](data, label).to_arrays()


def _read_folder(folder: Path, mask: str | None) -> PointCloud:
    if not (folder / depth_folder.NAME).exists() and not any(folder.glob(apc_folder.INFO)):
        raise AssetError(
            f"{folder}: no {depth_folder.NAME} in it; `r2s object reconstruct --help` has the "
            "format of a depth folder"
        )
    # The worker may have another working directory: it gets the full path, errors the user's.
    arguments = {"folder": str(folder.absolute()), "mask": mask, "label": str(folder)}
    target = "r2s_envs_objects.reconstruct.source:fused"
    return PointCloud.from_arrays(sandbox.call(target, b"", arguments, str(folder)))


def fused(data: bytes, folder: str, mask: str | None, label: str) -> dict[str, Any]:
    """The arrays of a depth folder's cloud; unlike `parsed` it opens the files itself."""
    path, findings = Path(folder), []
    try:
        if (path / depth_folder.NAME).exists():
            views, findings = depth_folder.read(path)
        else:
            views = apc_folder.read(path, mask)
        cloud = depth.fuse(views, label)
        _check_size(cloud, label)
    except AssetError as error:
        raise AssetError(str(error).replace(folder, label)) from None
    return cloud.noting(*findings).to_arrays()


def _check_size(cloud: PointCloud, label: str) -> None:
    low, high = np.quantile(cloud.points, [0.01, 0.99], axis=0)
    extent = float((high - low).max())
    if not SMALLEST <= extent <= LARGEST_SCENE:
        raise AssetError(
            f"{label}: its points span {extent:.3g} m, outside {SMALLEST} to "
            f"{LARGEST_SCENE:g} m; check depth_scale and the positions of the poses"
        )


def metres_per_unit(extent: float, units: str, label: str) -> tuple[float, list[Finding]]:
    """The factor from the file's numbers to metres, given the points' extent in them."""
    if units != "auto":
        factor = METRES[units]
        if SMALLEST <= extent * factor <= LARGEST_SCENE:
            return factor, []
        raise AssetError(
            f"{label}: read as {units} it is {extent * factor:.3g} m across, outside {SMALLEST} to "
            f"{LARGEST_SCENE:g} m; set --units to what the file is in"
        )
    if SMALLEST <= extent <= LARGEST_SCENE / 2.0:
        return 1.0, []
    if 50.0 < extent <= LARGEST_SCENE * 1000.0:
        what = f"spans {extent:.4g}: taken as millimetres, so {extent / 1000.0:.3g} m"
        return METRES["mm"], [Finding(what, "warning", repaired=True)]
    raise AssetError(
        f"{label}: its points span {extent:.4g}, which may be in several units; say which "
        "with --units"
    )
