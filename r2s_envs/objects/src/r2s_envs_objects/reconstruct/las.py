"""LAS point clouds (versions 1.0 to 1.4) of laser scanners; LAZ is compressed LAS."""

from __future__ import annotations

import struct

import numpy as np

from r2s_core.errors import AssetError
from r2s_envs_objects.reconstruct.cloud import PointCloud, check_count, check_room, finite_cloud

HEADER = 227  # bytes that all versions have
SMALLEST_RECORD = 20
COMPRESSED = 0xC0  # bits of the point format that LAZ sets


def parse(data: bytes, label: str) -> PointCloud:
    """The points of a file's content, in its own unit; AssetError if it contradicts itself."""
    if not data.startswith(b"LASF") or len(data) < HEADER:
        raise AssetError(f"{label}: no LAS header; the file is not a LAS cloud, export it again")
    minor, start = data[25], struct.unpack_from("<I", data, 96)[0]
    form, size, points = struct.unpack_from("<BHI", data, 104)
    if minor >= 4 and len(data) >= 255 and not points:
        points = struct.unpack_from("<Q", data, 247)[0]
    if form & COMPRESSED:
        raise AssetError(f"{label}: a compressed LAS cloud; save it uncompressed, as .las or .ply")
    scale, offset = (np.array(struct.unpack_from("<3d", data, at)) for at in (131, 155))
    sound = np.isfinite(scale).all() and np.isfinite(offset).all() and (scale != 0.0).all()
    if size < SMALLEST_RECORD or not sound:
        raise AssetError(f"{label}: its LAS header is damaged; copy or export it again")
    check_count(points, label)
    what = f"{points} points of {size} bytes"
    check_room(points * size, max(len(data) - start, 0), label, what)
    record = np.dtype({"names": ["xyz"], "formats": [("<i4", 3)], "itemsize": size})
    counts = np.frombuffer(data, record, points, start)["xyz"]
    return finite_cloud(counts * scale + offset, None, None, label)
