"""Scenes of the Amazon Picking Challenge (github andyzeng/apc-vision-toolbox), as published:

`*cam.info.txt` (intrinsics and camera-to-world poses), `frame-NNNNNN.depth.png` (tenths of a
millimetre, bits rotated by three), `frame-NNNNNN.mask_OBJECT.png` (16-bit probability, in the
colour camera's image).
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np

from r2s_core.errors import AssetError
from r2s_core.system import files
from r2s_envs_objects.asset import Floats
from r2s_envs_objects.reconstruct.depth import MAX_FRAMES, DepthView, read_png, stride_for
from r2s_envs_objects.reconstruct.depth_folder import check_rigid

INFO = "*cam.info.txt"
SCALE = 1e-4  # m per count
PROBABLE = 0.5  # share of the mask's full scale
MAX_INFO_BYTES = 10 * 2**20


def read(folder: Path, mask_name: str | None) -> list[DepthView]:
    """The frames that have both depth and pose.

    mask_name: the object whose mask selects pixels; None: the only mask, if there is one.
    """
    info = min(folder.glob(INFO))
    matrices = _matrices(info)
    name = _mask_name(folder, mask_name)
    views = []
    paths = sorted(folder.glob("frame-*.depth.png"))[:MAX_FRAMES]
    stride = stride_for(paths, str(folder))
    for path in paths:
        frame = path.name.removesuffix(".depth.png")
        pose = matrices.get(f"Camera-to-world extrinsic matrix (camera pose) for {frame}")
        if pose is None:
            continue
        raw = read_png(path)
        counts = (raw << 13) | (raw >> 3)
        colour_pose = check_rigid(pose, f"{info}: pose of {frame}")
        to_colour = matrices["Depth-to-color camera extrinsic matrix"]
        lens = matrices["Depth camera intrinsic matrix"]
        view = DepthView(counts, SCALE, lens, colour_pose @ to_colour)
        mask_path = folder / f"{frame}.mask_{name}.png"
        if name is not None and mask_path.exists():
            mask = _registered(view, read_png(mask_path), matrices)
            view = dataclasses.replace(view, mask=mask)
        views.append(view.coarser(stride) if stride > 1 else view)
    if not views:
        raise AssetError(f"{folder}: no frame has both a depth image and a pose in {info.name}")
    return views


def _matrices(info: Path) -> dict[str, Floats]:
    """The titled matrices of the settings; AssetError if a required one is missing."""
    what = "camera settings"
    data = files.read_bytes(info, limit=MAX_INFO_BYTES, what=what, error=AssetError)
    text = data.decode("ascii", "replace")
    matrices: dict[str, Floats] = {}
    for title, body in re.findall(r"^# (.+?)\s*\n((?:[ \t-]*\d[^\n]*\n)+)", text, re.MULTILINE):
        try:
            matrices[title] = np.array([[float(w) for w in row.split()] for row in body.split("\n")
                                        if row.strip()])  # fmt: skip
        except ValueError:
            continue
    for title, shape in (
        ("Color camera intrinsic matrix", (3, 3)),
        ("Depth camera intrinsic matrix", (3, 3)),
        ("Depth-to-color camera extrinsic matrix", (4, 4)),
    ):
        if title not in matrices or matrices[title].shape != shape:
            raise AssetError(f"{info}: no {shape[0]} x {shape[1]} {title!r}; copy the file again")
    return matrices


def _mask_name(folder: Path, wanted: str | None) -> str | None:
    found = {path.name.split(".mask_")[1][:-4] for path in folder.glob("frame-*.mask_*.png")}
    if wanted is None and len(found) <= 1:
        return next(iter(found), None)
    if wanted in found:
        return wanted
    raise AssetError(
        f"{folder}: masks of {', '.join(sorted(found)) or 'no object'}; say which with --mask NAME"
    )


def _registered(view: DepthView, mask: np.ndarray, matrices: dict[str, Floats]) -> np.ndarray:
    """The mask [H, W] of the colour image, as the depth camera sees it."""
    height, width = view.counts.shape
    column, row = np.meshgrid(np.arange(width), np.arange(height))
    lens, colour = view.intrinsics, matrices["Color camera intrinsic matrix"]
    x = (column - lens[0, 2]) / lens[0, 0] * view.depth
    y = (row - lens[1, 2]) / lens[1, 1] * view.depth
    to_colour = matrices["Depth-to-color camera extrinsic matrix"]
    seen = np.stack([x, y, view.depth], axis=-1) @ to_colour[:3, :3].T + to_colour[:3, 3]
    depth = np.maximum(seen[..., 2], 1e-6)
    u = np.rint(seen[..., 0] / depth * colour[0, 0] + colour[0, 2]).astype(np.int64)
    v = np.rint(seen[..., 1] / depth * colour[1, 1] + colour[1, 2]).astype(np.int64)
    inside = (u >= 0) & (u < mask.shape[1]) & (v >= 0) & (v < mask.shape[0]) & (view.depth > 0.0)
    probable = mask > PROBABLE * np.iinfo(np.uint16).max
    return inside & probable[v.clip(0, mask.shape[0] - 1), u.clip(0, mask.shape[1] - 1)]
