"""A folder of depth images with `cameras.json`:

    {"depth_scale": 0.001,
     "intrinsics": {"fx": 615.0, "fy": 615.0, "cx": 320.0, "cy": 240.0},
     "frames": [{"depth": "000.png", "camera_to_world": [[...], [...], [...], [...]],
                 "mask": "000_mask.png", "intrinsics": {...}}, ...]}

Depth: 16-bit grey PNG, counts times depth_scale are metres along the camera's axis, 0 is unknown.
camera_to_world: 4 x 4, row by row, metres; the camera looks along +z, x to the right of the image
and y down, as in OpenCV. Optional: mask (grey PNG, the object where it is not 0), and a frame's own
intrinsics. Images lie in the folder: a name that leads out of it, also by links, is refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from r2s_core.errors import AssetError
from r2s_core.system import files
from r2s_envs_objects.asset import Finding, Floats
from r2s_envs_objects.reconstruct.depth import (
    MAX_FRAMES,
    DepthView,
    known,
    read_png,
    stride_for,
)
from r2s_envs_objects.reconstruct.readings import FARTHEST, settled

NAME = "cameras.json"
MAX_JSON_BYTES = 10 * 2**20
FOCAL_LENGTHS = 1.0, 1e6  # pixels


class Frame(NamedTuple):
    """An entry of `frames`, checked; its images not read yet."""

    depth: Path
    mask: Path | None
    intrinsics: Floats  # [3, 3]
    pose: Floats  # [4, 4]


def read(folder: Path) -> tuple[list[DepthView], list[Finding]]:
    """The views that `cameras.json` lists, and findings; AssetError naming what is wrong.

    Poses and scale are interpreted so that the images agree: see `readings`.
    """
    path = folder / NAME
    what = "a list of cameras"
    settings = files.read_json(path, limit=MAX_JSON_BYTES, what=what, error=AssetError)
    entries = settings.get("frames") if isinstance(settings, dict) else None
    if not isinstance(entries, list) or not 1 <= len(entries) <= MAX_FRAMES:
        raise AssetError(f"{path}: `frames` must be a list of 1 to {MAX_FRAMES} frames")
    scale = _number(settings, "depth_scale", str(path))
    frames, transposed = [], 0
    for index, entry in enumerate(entries):
        frame, turned = _frame(folder, settings, entry, f"{path}: frame {index}")
        frames.append(frame)
        transposed += turned
    _check_different([frame.depth for frame in frames], path)
    stride = stride_for((frame.depth for frame in frames), str(folder))
    nothing, views = 0, []
    for frame in frames:
        view, unseen = _view(frame, scale)
        views.append(view.coarser(stride) if stride > 1 else view)
        nothing += unseen
    if not any(view.counts.any() for view in views):
        raise AssetError(f"{folder}: no pixel of its depth images has a depth; record them again")
    views, findings = settled(views, str(folder))
    far = 0
    for view in views:
        beyond = view.counts > FARTHEST / view.scale
        view.counts[beyond] = 0
        far += int(beyond.sum())
    return views, [*_notes(transposed, nothing, far, stride), *findings]


def _notes(transposed: int, nothing: int, far: int, stride: int) -> list[Finding]:
    notes = []
    if far:
        what = f"{far} pixels are more than {FARTHEST:g} m deep: dropped"
        notes.append(Finding(what, repaired=True))
    if transposed:
        what = f"{transposed} poses have their position in the last row: transposed"
        notes.append(Finding(what, "warning", repaired=True))
    if nothing:
        what = f"{nothing} pixels at the sensor's largest value saw nothing: dropped"
        notes.append(Finding(what, repaired=True))
    if stride > 1:
        what = f"too many pixels: one row and column in {stride} was used"
        notes.append(Finding(what))
    return notes


def _frame(folder: Path, settings: dict[str, Any], entry: Any, where: str) -> tuple[Frame, bool]:
    """The frame, and whether its pose had to be transposed."""
    if not isinstance(entry, dict):
        raise AssetError(f"{where}: must be a table with `depth` and `camera_to_world`")
    depth = _inside(folder, entry.get("depth"), "depth", where)
    mask = None
    if entry.get("mask") is not None:
        mask = _inside(folder, entry["mask"], "mask", where)
    lens = entry.get("intrinsics", settings.get("intrinsics"))
    if not isinstance(lens, dict):
        raise AssetError(f"{where}: no `intrinsics`; give fx, fy, cx, cy in pixels")
    fx, fy = (_number(lens, name, where) for name in ("fx", "fy"))
    cx, cy = (_number(lens, name, where, positive=False) for name in ("cx", "cy"))
    low, high = FOCAL_LENGTHS
    if not (low <= fx <= high and low <= fy <= high):
        raise AssetError(f"{where}: fx {fx:.4g} and fy {fy:.4g} must be focal lengths in pixels")
    matrix = np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])
    pose, transposed = _square(entry.get("camera_to_world"), where)
    return Frame(depth, mask, matrix, check_rigid(pose, where)), transposed


def _view(frame: Frame, scale: float) -> tuple[DepthView, int]:
    """The view, and the number of pixels that the sensor marked as missing."""
    counts, nothing = known(read_png(frame.depth))
    mask = None
    if frame.mask is not None:
        mask = read_png(frame.mask, counts.shape) > 0
    return DepthView(counts, scale, frame.intrinsics, frame.pose, mask), nothing


def _check_different(paths: list[Path], where: Path) -> None:
    """AssetError if two frames name the same image, which has only one pose."""
    first: dict[Path, int] = {}
    for index, path in enumerate(paths):
        if first.setdefault(path, index) != index:
            raise AssetError(
                f"{where}: frames {first[path]} and {index} both name {path.name}; each frame has "
                "an image of its own"
            )


def _square(pose: Any, where: str) -> tuple[Floats, bool]:
    """A pose [4, 4] whose last row is 0 0 0 1, and whether it had to be transposed."""
    try:
        matrix = np.array(pose, np.float64)
    except (ValueError, TypeError, OverflowError):
        matrix = np.zeros(0)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise AssetError(f"{where}: `camera_to_world` must be 4 x 4 numbers, row by row")
    for candidate, transposed in ((matrix, False), (matrix.T, True)):
        if np.allclose(candidate[3], [0.0, 0.0, 0.0, 1.0], rtol=0.0, atol=1e-6):
            return candidate.copy(), transposed
    raise AssetError(f"{where}: the last row of `camera_to_world` must be 0 0 0 1")


def check_rigid(matrix: Floats, where: str) -> Floats:
    """The same pose [4, 4]; AssetError unless it is a rigid transform."""
    turn = matrix[:3, :3]
    if not np.allclose(turn @ turn.T, np.eye(3), atol=1e-2) or np.linalg.det(turn) < 0.0:
        raise AssetError(
            f"{where}: the upper left 3 x 3 of `camera_to_world` is not a rotation; give poses in "
            "metres, without scale or mirroring"
        )
    return matrix


def _inside(folder: Path, name: Any, key: str, where: str) -> Path:
    """The path of a file that is named relative to the folder and lies in it."""
    if not isinstance(name, str) or not name:
        raise AssetError(f"{where}: `{key}` must name a PNG file in the folder")
    quoted = repr(name if len(name) < 80 else name[:77] + "...")
    try:
        path = (folder / name).resolve()
        inside = path.is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):  # a NUL, too long a name, a loop of links
        raise AssetError(f"{where}: `{key}` {quoted} cannot be the name of a file") from None
    if not inside:
        raise AssetError(f"{where}: `{key}` {quoted} is outside the folder; copy it there")
    return path


def _number(table: dict[str, Any], name: str, where: str, positive: bool = True) -> float:
    value = table.get(name)
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12:
        number = float(value)
        if np.isfinite(number) and (number > 1e-12 or not positive):
            return number
    kind = "a positive number" if positive else "a number"
    raise AssetError(f"{where}: `{name}` must be {kind}, not {str(value)[:60]}")
