"""PCD point clouds (Point Cloud Library, versions .5 to .7): ascii, binary, binary_compressed."""

from __future__ import annotations

import dataclasses
import io
import re
from typing import NamedTuple

import numpy as np

from r2s_core.errors import AssetError
from r2s_envs_objects.asset import Floats
from r2s_envs_objects.reconstruct import lzf
from r2s_envs_objects.reconstruct.cloud import (
    PointCloud,
    check_count,
    check_room,
    finite_cloud,
)
from r2s_envs_objects.reconstruct.viewpoint import is_projection

HEADER_BYTES = 20_000
MAX_VALUES_PER_POINT = 1000
_KINDS = {"F": "f", "I": "i", "U": "u"}
_SIZES = {"F": (4, 8), "I": (1, 2, 4, 8), "U": (1, 2, 4, 8)}


class Header(NamedTuple):
    """What the text before the data claims, checked for sense but not against the data."""

    fields: list[str]
    dtype: np.dtype  # structured, one point; fields named f0, f1, ... as names may repeat
    points: int
    height: int  # rows of an organised cloud, else 1
    viewpoint: Floats | None  # [3], where the sensor stood; None where the file does not say
    encoding: str
    length: int  # bytes


def parse(data: bytes, label: str) -> PointCloud:
    """The points of a file's content, in its own unit; AssetError on anything dishonest."""
    header = read_header(data, label)
    check_count(header.points, label)
    body = data[header.length :]
    read = {"ascii": _ascii, "binary": _binary, "binary_compressed": _compressed}[header.encoding]
    columns = read(body, header, label)
    points = _triple(columns, header, ("x", "y", "z"))
    if points is None:
        raise AssetError(
            f"{label}: its fields are {' '.join(header.fields)}, without x y z; export positions"
        )
    normals = _triple(columns, header, ("normal_x", "normal_y", "normal_z"))
    views = None
    if header.viewpoint is not None:
        views = np.broadcast_to(header.viewpoint, points.shape)
    cloud = finite_cloud(points, normals, views, label)
    if header.height > 1 and header.viewpoint is not None and not header.viewpoint.any():
        seen = is_projection(points.reshape(header.height, -1, 3))
        cloud = dataclasses.replace(cloud, seen=seen)
    return cloud


def read_header(data: bytes, label: str) -> Header:
    """The header; AssetError if it is none, or contradicts itself."""
    match = re.search(rb"^DATA[ \t]+(\w+)[ \t]*\r?\n", data[:HEADER_BYTES], re.MULTILINE)
    if match is None:
        raise AssetError(f"{label}: no PCD header (no DATA line); export the cloud again")
    lines = data[: match.start()].decode("ascii", "replace").splitlines()
    split = (line.split() for line in lines if line.strip() and not line.startswith("#"))
    entries = {words[0].upper(): words[1:] for words in split}
    encoding = match.group(1).decode().lower()
    if encoding not in ("ascii", "binary", "binary_compressed"):
        raise AssetError(f"{label}: PCD data {encoding!r} is unknown; save it as binary")
    try:
        return _checked_header(entries, encoding, match.end())
    except (KeyError, ValueError, IndexError, OverflowError) as error:
        raise AssetError(
            f"{label}: its PCD header is damaged ({type(error).__name__}: {error}); export it again"
        ) from None


def _checked_header(entries: dict[str, list[str]], encoding: str, length: int) -> Header:
    fields = entries.get("FIELDS") or entries["COLUMNS"]
    sizes = [int(word) for word in entries["SIZE"]]
    types = entries["TYPE"]
    counts = [int(word) for word in entries.get("COUNT", ["1"] * len(fields))]
    if not len(fields) == len(sizes) == len(types) == len(counts):
        raise ValueError("FIELDS, SIZE, TYPE and COUNT differ in length")
    if min(counts) < 1 or sum(counts) > MAX_VALUES_PER_POINT:
        raise ValueError("COUNT is out of range")
    for kind, size in zip(types, sizes, strict=True):
        if size not in _SIZES[kind]:
            raise ValueError(f"TYPE {kind} of SIZE {size}")
    parts = [
        (f"f{i}", f"<{_KINDS[kind]}{size}", (count,))
        for i, (kind, size, count) in enumerate(zip(types, sizes, counts, strict=True))
    ]
    width, height = int(entries["WIDTH"][0]), int(entries.get("HEIGHT", ["1"])[0])
    points = int(entries["POINTS"][0]) if "POINTS" in entries else width * height
    if points != width * height or points < 0:
        raise ValueError(f"{points} points, but {width} x {height}")
    viewpoint = None
    if len(entries.get("VIEWPOINT", ())) == 7:
        viewpoint = np.array([float(word) for word in entries["VIEWPOINT"][:3]])
        if not np.isfinite(viewpoint).all():
            raise ValueError("VIEWPOINT is not finite")
    return Header(fields, np.dtype(parts), points, height, viewpoint, encoding, length)


def _ascii(body: bytes, header: Header, label: str) -> list[np.ndarray]:
    width = sum(header.dtype[i].shape[0] for i in range(len(header.fields)))
    what = f"{header.points} points of {width} values"
    check_room(header.points * (2 * width) - 1, len(body), label, what)
    try:
        table = np.loadtxt(io.BytesIO(body), ndmin=2, max_rows=header.points, comments=None)
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise AssetError(f"{label}: its PCD text is damaged ({reason}); export it again") from None
    if table.shape != (header.points, width):
        raise AssetError(
            f"{label}: its PCD header claims {what}, but {table.shape[0]} lines of "
            f"{table.shape[1]} follow; export it again"
        )
    ends = np.cumsum([header.dtype[i].shape[0] for i in range(len(header.fields))])
    return [table[:, end - header.dtype[i].shape[0]] for i, end in enumerate(ends)]


def _binary(body: bytes, header: Header, label: str) -> list[np.ndarray]:
    size = header.points * header.dtype.itemsize
    check_room(size, len(body), label, f"{header.points} points of {header.dtype.itemsize} bytes")
    table = np.frombuffer(body[:size], header.dtype)
    return [table[f"f{i}"][:, 0] for i in range(len(header.fields))]


def _compressed(body: bytes, header: Header, label: str) -> list[np.ndarray]:
    packed, unpacked = (int.from_bytes(body[i : i + 4], "little") for i in (0, 4))
    what = f"{packed} compressed bytes"
    check_room(packed, max(len(body) - 8, 0), label, what)
    size = header.points * header.dtype.itemsize
    check_room(size, packed * lzf.LARGEST_GROWTH, label, f"{header.points} points in {what}")
    if unpacked != size:
        raise AssetError(
            f"{label}: its {header.points} points take {size} bytes, but {unpacked} are packed; "
            "export it again"
        )
    try:
        raw = lzf.decompress(body[8 : 8 + packed], size)
    except ValueError as error:
        raise AssetError(
            f"{label}: its compressed points are damaged ({error}); copy it again"
        ) from None
    # Unpacked, each field stands by itself: all x, then all y, ...
    columns, offset = [], 0
    for i in range(len(header.fields)):
        base, (count,) = header.dtype[i].base, header.dtype[i].shape
        values = np.frombuffer(raw, base, header.points * count, offset)
        columns.append(values.reshape(-1, count)[:, 0])
        offset += header.points * header.dtype[i].itemsize
    return columns


def _triple(columns: list[np.ndarray], header: Header, names: tuple[str, ...]) -> Floats | None:
    if not set(names) <= set(header.fields):
        return None
    with np.errstate(invalid="ignore"):  # signalling NaNs of damaged files
        return np.stack([columns[header.fields.index(n)].astype(np.float64) for n in names], axis=1)
