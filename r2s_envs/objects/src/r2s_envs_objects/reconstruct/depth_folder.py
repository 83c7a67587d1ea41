"""A folder of depth images with `cameras.json`:

    {"depth_scale": 0.001,
     "intrinsics": {"fx": 615.0, "fy": 615.0, "cx": 320.0, "cy": 240.0},
     "frames": [{"depth": "000.png", "camera_to_world": [[...], [...], [...], [...]],
                 "mask": "000_mask.png", "intrinsics": {...}}, ...]}

Depth: 16-bit grey PNG, counts times depth_scale are metres along the camera's axis, 0 is unknown.
camera_to_world: 4 x 4, row by row, metres; the camera looks along +z, x to the right of the image
and y down, as in OpenCV. Optional: mask (grey PNG, the object where it is not 0), and intrinsics
of a frame's own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from r2s_core.errors import AssetError
from r2s_envs_objects.asset import Floats
from r2s_envs_objects.reconstruct.depth import DepthView, read_png

NAME = "cameras.json"
MAX_JSON_BYTES = 10 * 2**20
MAX_FRAMES = 1000


def read(folder: Path) -> list[DepthView]:
    """The views that `cameras.json` lists; AssetError naming what is wrong in it."""
    path = folder / NAME
    if path.stat().st_size > MAX_JSON_BYTES:
        raise AssetError(f"{path}: over {MAX_JSON_BYTES / 2**20:.0f} MB, so not a list of cameras")
    try:
        settings = json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise AssetError(f"{path}: not JSON ({error}); write it again") from None
    frames = settings.get("frames") if isinstance(settings, dict) else None
    if not isinstance(frames, list) or not 1 <= len(frames) <= MAX_FRAMES:
        raise AssetError(f"{path}: `frames` must be a list of 1 to {MAX_FRAMES} frames")
    return [_view(folder, settings, frame, f"{path}: frame {i}") for i, frame in enumerate(frames)]


def _view(folder: Path, settings: dict[str, Any], frame: Any, where: str) -> DepthView:
    if not isinstance(frame, dict):
        raise AssetError(f"{where}: must be a table with `depth` and `camera_to_world`")
    scale = _number(settings, "depth_scale", where)
    depth = read_png(_inside(folder, frame.get("depth"), "depth", where)) * scale
    mask = None
    if frame.get("mask") is not None:
        mask = read_png(_inside(folder, frame["mask"], "mask", where)) > 0
        if mask.shape != depth.shape:
            raise AssetError(f"{where}: mask and depth differ in size: {mask.shape}, {depth.shape}")
    lens = frame.get("intrinsics", settings.get("intrinsics"))
    if not isinstance(lens, dict):
        raise AssetError(f"{where}: no `intrinsics`; give fx, fy, cx, cy in pixels")
    fx, fy = (_number(lens, name, where) for name in ("fx", "fy"))
    cx, cy = (_number(lens, name, where, positive=False) for name in ("cx", "cy"))
    matrix = np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])
    return DepthView(depth, matrix, check_pose(frame.get("camera_to_world"), where), mask)


def check_pose(pose: Any, where: str) -> Floats:
    """A rigid transform [4, 4] in metres; AssetError for anything else."""
    try:
        matrix = np.array(pose, np.float64)
    except (ValueError, TypeError):
        matrix = np.zeros(0)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise AssetError(f"{where}: `camera_to_world` must be 4 x 4 numbers, row by row")
    turn = matrix[:3, :3]
    if not np.allclose(turn @ turn.T, np.eye(3), atol=1e-2) or np.linalg.det(turn) < 0.0:
        raise AssetError(
            f"{where}: the upper left 3 x 3 of `camera_to_world` is no rotation; give poses in "
            "metres, without scale or mirroring"
        )
    return matrix


def _inside(folder: Path, name: Any, key: str, where: str) -> Path:
    """The path of a file that is named relative to the folder, and stays in it."""
    if not isinstance(name, str) or not name:
        raise AssetError(f"{where}: `{key}` must name a PNG file in the folder")
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise AssetError(f"{where}: `{key}` {name!r} is outside the folder; copy it there")
    return path


def _number(table: dict[str, Any], name: str, where: str, positive: bool = True) -> float:
    value = table.get(name)
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value)
        if np.isfinite(number) and (number > 0.0 or not positive):
            return number
    kind = "a positive number" if positive else "a number"
    raise AssetError(f"{where}: `{name}` must be {kind}, not {value!r}")
