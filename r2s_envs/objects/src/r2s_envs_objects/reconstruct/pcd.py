"""PCD point clouds (Point Cloud Library, versions .5 to .7): ascii, binary, binary_compressed."""

from __future__ import annotations

import dataclasses
import re
from typing import NamedTuple

import numpy as np

from r2s_core.errors import AssetError
from r2s_envs_objects.asset import Floats
from r2s_envs_objects.formats.text import BadNumberError, normalised, numbers
from r2s_envs_objects.reconstruct import lzf
from r2s_envs_objects.reconstruct.cloud import (
    PointCloud,
    check_count,
    check_room,
    finite_cloud,
    stacked,
)
from r2s_envs_objects.reconstruct.viewpoint import is_projection

HEADER_BYTES = 20_000
MAX_VALUES_PER_POINT = 1000
PADDING = "_"  # the name of fields that fill gaps
_SIZES = {"f": (4, 8), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8)}
_DATA = re.compile(rb"(?:\A|[\r\n])[ \t]*DATA[ \t]+(\w+)[ \t]*(?:\r\n|\n|\r)", re.IGNORECASE)


class Field(NamedTuple):
    """kind: NumPy's name of its type; size: numbers per point; 0 is none."""

    name: str
    kind: str
    size: int


class Header(NamedTuple):
    """The header's claims, checked for consistency but not against the data."""

    fields: list[Field]
    points: int
    height: int  # rows of an organised cloud, else 1
    viewpoint: Floats | None  # [3], position of the sensor; None if the file does not say
    encoding: str
    length: int  # bytes

    def without_padding(self) -> list[Field]:
        """The fields that remain where a writer put the padding only into the header."""
        return [field for field in self.fields if field.name != PADDING]


Columns = dict[str, np.ndarray]  # the first number [n] of each field


def parse(data: bytes, label: str) -> PointCloud:
    """The points of a file's content, in its own unit; AssetError if it contradicts itself."""
    header = read_header(data, label)
    check_count(header.points, label)
    body = data[header.length :]
    read = {"ascii": _ascii, "binary": _binary, "binary_compressed": _compressed}[header.encoding]
    columns = read(body, header, label)
    points = stacked(columns, ("x", "y", "z"))
    if points is None:
        names = " ".join(field.name for field in header.fields)
        raise AssetError(f"{label}: its fields are {names}, without x y z; export positions")
    normals = stacked(columns, ("normal_x", "normal_y", "normal_z"))
    views = None
    if header.viewpoint is not None:
        views = np.broadcast_to(header.viewpoint, points.shape)
    cloud = finite_cloud(points, normals, views, label)
    if header.height > 1 and header.viewpoint is not None and not header.viewpoint.any():
        seen = is_projection(points.reshape(header.height, -1, 3))
        cloud = dataclasses.replace(cloud, seen=seen)
    return cloud


def read_header(data: bytes, label: str) -> Header:
    """The header; AssetError if it is missing or contradicts itself."""
    match = _DATA.search(data, 0, HEADER_BYTES)
    if match is None:
        raise AssetError(f"{label}: no PCD header (no DATA line); export the cloud again")
    lines = normalised(data[: match.start()]).decode("ascii").split("\n")
    split = (line.split() for line in lines)
    entries = {words[0]: words[1:] for words in split if words and not words[0].startswith("#")}
    encoding = match.group(1).decode().lower()
    if encoding not in ("ascii", "binary", "binary_compressed"):
        raise AssetError(f"{label}: PCD data {encoding!r} is unknown; save it as binary")
    try:
        return _checked_header(entries, encoding, match.end())
    except (KeyError, ValueError, IndexError, OverflowError) as error:
        short, lacking = "a line is incomplete", f"no {str(error).strip(chr(39)).upper()}"
        what = {IndexError: short, KeyError: lacking}.get(type(error), str(error))
        raise AssetError(f"{label}: its PCD header is damaged ({what}); export it again") from None


def _checked_header(entries: dict[str, list[str]], encoding: str, length: int) -> Header:
    names = entries.get("fields") or entries["columns"]
    sizes = [_whole(word) for word in entries["size"]]
    types = entries["type"]
    counts = [_whole(word) for word in entries.get("count") or ["1"] * len(names)]
    if not len(names) == len(sizes) == len(types) == len(counts):
        raise ValueError("FIELDS, SIZE, TYPE and COUNT differ in length")
    # A field of COUNT 0 has no data; PCL writes such padding.
    if min(counts) < 0 or not 0 < sum(counts) <= MAX_VALUES_PER_POINT:
        raise ValueError("COUNT is out of range")
    for kind, size in zip(types, sizes, strict=True):
        if size not in _SIZES.get(kind, ()):
            raise ValueError(f"TYPE {kind.upper()} of SIZE {size}")
    kinds = [f"{kind}{size}" for kind, size in zip(types, sizes, strict=True)]
    fields = [Field(*field) for field in zip(names, kinds, counts, strict=True)]
    width, height = _whole(entries["width"][0]), _whole(entries.get("height", ["1"])[0])
    points = _whole(entries["points"][0]) if "points" in entries else width * height
    if points != width * height or points < 0:
        raise ValueError(f"{points} points, but {width} x {height}")
    viewpoint = None
    if len(entries.get("viewpoint", ())) == 7:
        viewpoint = np.array([float(word) for word in entries["viewpoint"][:3]])
        if not np.isfinite(viewpoint).all():
            raise ValueError("VIEWPOINT is not finite")
    return Header(fields, points, height, viewpoint, encoding, length)


def _whole(word: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,18}", word):
        raise ValueError(f"{word!r} is not a whole number")
    return int(word)


def _ascii(body: bytes, header: Header, label: str) -> Columns:
    width = sum(field.size for field in header.fields)
    what = f"{header.points} points of {width} values"
    fields, narrow = header.fields, sum(field.size for field in header.without_padding())
    check_room(header.points * 2 * narrow - 1, len(body), label, what)
    text = normalised(body)
    try:
        values = numbers(text)
    except BadNumberError as error:
        raise AssetError(f"{label}: its PCD text is damaged ({error}); export it again") from None
    if len(text.lstrip().partition(b"\n")[0].split()) == narrow:
        fields, width = header.without_padding(), narrow
    if len(values) < header.points * width or len(values) % width:
        raise AssetError(
            f"{label}: its PCD header claims {what}, but {len(values)} values follow: truncated or "
            "damaged; copy or export it again"
        )
    table = values[: header.points * width].reshape(header.points, width)
    columns, start = {}, 0
    for field in fields:
        if field.size:
            columns.setdefault(field.name, table[:, start])
        start += field.size
    return columns


def _binary(body: bytes, header: Header, label: str) -> Columns:
    parts = [(f"f{i}", f"<{kind}", (count,)) for i, (_, kind, count) in enumerate(header.fields)]
    dtype = np.dtype(parts)
    size = header.points * dtype.itemsize
    check_room(size, len(body), label, f"{header.points} points of {dtype.itemsize} bytes")
    table = np.frombuffer(body[:size], dtype)
    columns: Columns = {}
    for i, field in enumerate(header.fields):
        if field.size:
            columns.setdefault(field.name, table[f"f{i}"][:, 0])
    return columns


def _compressed(body: bytes, header: Header, label: str) -> Columns:
    packed, unpacked = (int.from_bytes(body[i : i + 4], "little") for i in (0, 4))
    what = f"{packed} compressed bytes"
    check_room(packed, max(len(body) - 8, 0), label, what)
    # PCL omits padding when it compresses, whatever the header says.
    sizes = {
        header.points * sum(int(kind[1:]) * count for _, kind, count in fields): fields
        for fields in (header.fields, header.without_padding())
    }
    smallest = min(sizes)
    check_room(smallest, packed * lzf.LARGEST_GROWTH, label, f"{header.points} points in {what}")
    if unpacked not in sizes:
        raise AssetError(
            f"{label}: its {header.points} points take {max(sizes)} bytes, but {unpacked} are "
            "packed; export it again"
        )
    try:
        raw = lzf.decompress(body[8 : 8 + packed], unpacked)
    except ValueError as error:
        raise AssetError(
            f"{label}: its compressed points are damaged ({error}); copy it again"
        ) from None
    # Unpacked, the fields are separate: all x, then all y, ...
    columns: Columns = {}
    offset = 0
    for field in sizes[unpacked]:
        if field.size:
            kind, count = np.dtype(f"<{field.kind}"), header.points * field.size
            values = np.frombuffer(raw, kind, count, offset)
            columns.setdefault(field.name, values[:: field.size])
            offset += count * kind.itemsize
    return columns
