"""PLY point clouds: ascii and binary, either byte order. Faces, if any, are left aside."""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np

from r2s_core.errors import AssetError
from r2s_envs_objects.asset import Floats
from r2s_envs_objects.reconstruct.cloud import PointCloud, check_count, check_room, finite_cloud

HEADER_BYTES = 100_000
_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1",
    "short": "i2", "int16": "i2", "ushort": "u2", "uint16": "u2",
    "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4",
    "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip


class Element(NamedTuple):
    """An element of the header; types hold None where a property is a list."""

    name: str
    rows: int
    properties: list[str]
    types: list[str | None]


def parse(data: bytes, label: str) -> PointCloud:
    """The vertices of a file's content, in its own unit; AssetError on anything dishonest."""
    encoding, elements, length = read_header(data, label)
    before: list[Element] = []
    for element in elements:
        if element.name == "vertex":
            break
        before.append(element)
    else:
        raise AssetError(f"{label}: a PLY file without vertices; export a point cloud")
    check_count(element.rows, label)
    if None in element.types:
        raise AssetError(f"{label}: its PLY vertices hold lists; export plain points")
    read = _ascii if encoding == "ascii" else _binary
    order = ">" if encoding == "binary_big_endian" else "<"
    columns = read(data[length:], before, element, order, label)
    points = _triple(columns, ("x", "y", "z"))
    if points is None:
        raise AssetError(
            f"{label}: its vertices hold {' '.join(element.properties)}, without x y z; export "
            "positions"
        )
    return finite_cloud(points, _triple(columns, ("nx", "ny", "nz")), None, label)


def read_header(data: bytes, label: str) -> tuple[str, list[Element], int]:
    """Encoding, elements in order and the header's length; AssetError if it is none."""
    end = data[:HEADER_BYTES].find(b"end_header")
    stop = data.find(b"\n", end)
    if not data.startswith(b"ply") or end < 0 or stop < 0:
        raise AssetError(f"{label}: no PLY header; the file is not a PLY cloud, export it again")
    encoding, elements = "", []
    try:
        for line in data[:end].decode("ascii", "replace").splitlines():
            words = line.split()
            if words[:1] == ["format"]:
                encoding = words[1]
            elif words[:1] == ["element"]:
                if not words[2].isdecimal():
                    raise ValueError(f"count {words[2]!r}")
                elements.append(Element(words[1], int(words[2]), [], []))
            elif words[:1] == ["property"]:
                kind = None if words[1] == "list" else _TYPES[words[1]]
                elements[-1].types.append(kind)
                elements[-1].properties.append(words[-1])
        if encoding not in ("ascii", "binary_little_endian", "binary_big_endian"):
            raise ValueError(f"format {encoding!r}")
    except (IndexError, KeyError, ValueError) as error:
        raise AssetError(
            f"{label}: its PLY header is damaged ({type(error).__name__}: {error}); export it again"
        ) from None
    return encoding, elements, stop + 1


def _binary(
    body: bytes, before: list[Element], element: Element, order: str, label: str
) -> dict[str, np.ndarray]:
    skip = 0
    for other in before:
        if None in other.types:
            raise AssetError(f"{label}: lists stand before its vertices; export it again")
        skip += other.rows * _dtype(other, order).itemsize
    dtype = _dtype(element, order)
    size = element.rows * dtype.itemsize
    check_room(skip + size, len(body), label, f"{element.rows} points of {dtype.itemsize} bytes")
    table = np.frombuffer(body, dtype, element.rows, skip)
    return {name: table[f"f{i}"] for i, name in enumerate(element.properties)}


def _dtype(element: Element, order: str) -> np.dtype:
    return np.dtype([(f"f{i}", f"{order}{kind}") for i, kind in enumerate(element.types)])


def _ascii(
    body: bytes, before: list[Element], element: Element, order: str, label: str
) -> dict[str, np.ndarray]:
    width, skip = len(element.properties), sum(other.rows for other in before)
    what = f"{element.rows} points of {width} values"
    check_room(2 * (element.rows * width + skip) - 1, len(body), label, what)
    try:
        table = np.loadtxt(
            io.BytesIO(body), ndmin=2, skiprows=skip, max_rows=element.rows, comments=None
        )
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise AssetError(f"{label}: its PLY text is damaged ({reason}); export it again") from None
    if table.shape != (element.rows, width):
        raise AssetError(
            f"{label}: its PLY header claims {what}, but {table.shape[0]} lines of "
            f"{table.shape[1]} follow; export it again"
        )
    return {name: table[:, i] for i, name in enumerate(element.properties)}


def _triple(columns: dict[str, np.ndarray], names: tuple[str, ...]) -> Floats | None:
    if not set(names) <= set(columns):
        return None
    with np.errstate(invalid="ignore"):  # signalling NaNs of damaged files
        return np.stack([columns[name].astype(np.float64) for name in names], axis=1)
