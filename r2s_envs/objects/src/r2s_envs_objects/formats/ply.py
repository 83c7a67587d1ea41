"""PLY: text and binary of either byte order; elements and properties of any kind, in any order."""

from __future__ import annotations

import re
import struct
from typing import Any, NamedTuple

import numpy as np

from r2s_core.errors import AssetError
from r2s_envs_objects.asset import Ints
from r2s_envs_objects.formats.text import BadNumberError, normalised, numbers

HEADER_BYTES = 100_000
MAX_ROWS = 20_000_000  # of any element
_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1",
    "short": "i2", "int16": "i2", "ushort": "u2", "uint16": "u2",
    "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4",
    "int64": "i8", "uint64": "u8",
    "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip
_STRUCT = {"i1": "b", "u1": "B", "i2": "h", "u2": "H", "i4": "i", "u4": "I", "i8": "q", "u8": "Q",
           "f4": "f", "f8": "d"}  # fmt: skip
_END = re.compile(rb"(?:\A|[\r\n])[ \t]*end_header[ \t]*(?=[\r\n]|\Z)", re.IGNORECASE)


class Property(NamedTuple):
    """kind: NumPy's name of its type; length: the type of each list's length, None if no list."""

    name: str
    kind: str
    length: str | None


class Element(NamedTuple):
    """A table of the file."""

    name: str
    rows: int
    properties: list[Property]


class Header(NamedTuple):
    """encoding: "ascii", or NumPy's byte-order character; length: bytes before the data."""

    encoding: str
    elements: list[Element]
    length: int

    def rows(self, name: str) -> int:
        """The number of rows that the elements of that name claim."""
        return sum(element.rows for element in self.elements if element.name == name)


class Lists(NamedTuple):
    """A list property: the values [k] of all lists, concatenated, and each list's length [rows]."""

    values: np.ndarray
    counts: Ints


Columns = dict[str, Any]  # property -> array [rows], or Lists


def read_header(data: bytes, label: str, what: str) -> Header:
    """The claims of the file's header; AssetError if it is damaged or no PLY `what`."""
    end = _END.search(data, 0, HEADER_BYTES)
    start = data[:HEADER_BYTES].lstrip(b"\xef\xbb\xbf \t\r\n")
    if end is None or not start[:3].lower() == b"ply":
        raise AssetError(f"{label}: no PLY header; the file is not a PLY {what}, export it again")
    encoding, elements = "", []
    try:
        for line in normalised(data[: end.start()]).decode("ascii").split("\n"):
            words = line.split()
            if words[:1] == ["format"]:
                encoding = words[1]
            elif words[:1] == ["element"]:
                if not words[2].isdecimal():
                    raise ValueError(f"count {words[2]!r}")
                elements.append(Element(words[1], int(words[2]), []))
            elif words[:2] == ["property", "list"]:
                kinds = _TYPES[words[3]], _TYPES[words[2]]
                elements[-1].properties.append(Property(words[4], *kinds))
            elif words[:1] == ["property"]:
                elements[-1].properties.append(Property(words[2], _TYPES[words[1]], None))
        orders = {"ascii": "ascii", "binary_little_endian": "<", "binary_big_endian": ">"}
        if encoding not in orders:
            raise ValueError(f"format {encoding!r}")
    except (IndexError, KeyError, ValueError) as error:
        short, unknown = "a line is incomplete", f"the type {error} is unknown"
        what = {IndexError: short, KeyError: unknown}.get(type(error), str(error))
        raise AssetError(f"{label}: its PLY header is damaged ({what}); export it again") from None
    # The header's line endings tell whether a LF after its last CR is data.
    breaks = re.search(rb"\r\n|\n|\r", data[data.lower().find(b"ply") :])
    stop = end.end()
    if breaks and breaks[0] == b"\r":
        stop += 1
    else:
        stop += 2 if data[stop : stop + 2] == b"\r\n" else 1
    return Header(orders[encoding], elements, stop)


def read_elements(data: bytes, header: Header, wanted: set[str], label: str) -> dict[str, Columns]:
    """The columns of the wanted elements by name; nothing after the last of them is read.

    AssetError if the data end early, a list's length is impossible, or a number is malformed.
    """
    body = data[header.length :]
    last = max((i for i, e in enumerate(header.elements) if e.name in wanted), default=-1)
    for element in header.elements[: last + 1]:
        # As text, a number takes a digit and a blank, but for the last one.
        text = header.encoding == "ascii"
        least = sum(2 if text else int((p.length or p.kind)[1:]) for p in element.properties)
        if least and not element.rows <= min((len(body) + text) // least, MAX_ROWS):
            raise _truncated(element, len(body), label)
    source = _Text(body, label) if header.encoding == "ascii" else _Bytes(body, header.encoding)
    found, position = {}, 0
    for element in header.elements[: last + 1]:
        try:
            columns, position = _element(source, element, position)
        except _TruncatedError:
            raise _truncated(element, len(body), label) from None
        if element.name in wanted:
            found[element.name] = columns
    return found


def _truncated(element: Element, left: int, label: str) -> AssetError:
    return AssetError(
        f"{label}: its PLY header claims {element.rows} x {element.name} but only {left} bytes "
        "follow, or do not match: truncated or damaged; copy or export it again"
    )


class _TruncatedError(Exception):
    """The data end before the header's claim is met."""


class _Bytes:
    """Binary data; positions are in bytes."""

    def __init__(self, body: bytes, order: str) -> None:
        self.body, self.order, self.room = body, order, len(body)
        self._codes = np.frombuffer(body, np.uint8)

    def width(self, kind: str) -> int:
        return int(kind[1:])

    def counter(self, kind: str):
        """A function from a position to the number there."""
        if kind == "u1":
            return self.body.__getitem__
        unpack = struct.Struct(self.order + _STRUCT[kind]).unpack_from
        return lambda position: unpack(self.body, position)[0]

    def table(self, start: int, rows: int, layout: list[tuple[str, int]]) -> list[np.ndarray]:
        """Columns [rows, n] of equal rows that hold (kind, n) each."""
        parts = [(f"f{i}", self.order + kind, (n,)) for i, (kind, n) in enumerate(layout)]
        table = np.frombuffer(self.body, np.dtype(parts), rows, start)
        return [table[f"f{i}"] for i in range(len(layout))]

    def gather(self, positions: Ints, kind: str, n: int) -> np.ndarray:
        """The n numbers at each of the positions [k]: [k, n]."""
        out = np.empty((len(positions), n), self.order + kind)
        for some in range(0, len(positions), 100_000):  # the index takes eight times the data
            at = positions[some : some + 100_000, None] + np.arange(n * self.width(kind))
            out[some : some + 100_000] = self._codes[at].view(out.dtype)
        return out


class _Text:
    """Text data; positions count numbers."""

    def __init__(self, body: bytes, label: str) -> None:
        try:
            self.values = numbers(normalised(body))
        except BadNumberError as error:
            raise AssetError(
                f"{label}: its PLY text is damaged ({error}); export it again"
            ) from None
        self.room = len(self.values)

    def width(self, kind: str) -> int:
        return 1

    def counter(self, kind: str):
        return self.values.data.__getitem__

    def table(self, start: int, rows: int, layout: list[tuple[str, int]]) -> list[np.ndarray]:
        ends = np.cumsum([n for _, n in layout])
        rows_of = self.values[start : start + rows * int(ends[-1])].reshape(rows, -1)
        return [
            rows_of[:, end - n : end] for end, (_, n) in zip(ends.tolist(), layout, strict=True)
        ]

    def gather(self, positions: Ints, kind: str, n: int) -> np.ndarray:
        return self.values[positions[:, None] + np.arange(n)]


def _element(source: _Bytes | _Text, element: Element, start: int) -> tuple[Columns, int]:
    """An element's columns, and where the next one starts."""
    if not element.rows or not element.properties:
        return {p.name: Lists(np.zeros(0), np.zeros(0, np.int64)) if p.length else np.zeros(0)
                for p in element.properties}, start  # fmt: skip
    counts = _counts(source, element.properties, start, 1)
    # Nearly always all rows have the same layout: then they are one table.
    layout: list[tuple[str, int]] = []
    lengths = iter(counts[:, 0].tolist())
    for p in element.properties:
        layout += [(p.length, 1), (p.kind, next(lengths))] if p.length else [(p.kind, 1)]
    size = sum(source.width(kind) * n for kind, n in layout)
    if start + element.rows * size <= source.room:
        table = iter(source.table(start, element.rows, layout))
        columns: Columns = {}
        alike = True
        for p in element.properties:
            if p.length:
                count, values = next(table)[:, 0], next(table)
                alike = alike and bool((count == values.shape[1]).all())
                columns[p.name] = Lists(values.reshape(-1), np.full(element.rows, values.shape[1]))
            else:
                columns[p.name] = next(table)[:, 0]
        if alike:
            return columns, start + element.rows * size
    if not len(counts):
        raise _TruncatedError
    return _ragged(source, element, start)


def _counts(source: _Bytes | _Text, properties: list[Property], start: int, rows: int) -> Ints:
    """The lengths [lists, rows] of the lists, found by walking from row to row."""
    steps, skip = [], 0
    for p in properties:
        if p.length:
            steps.append(
                (skip, source.counter(p.length), source.width(p.length), source.width(p.kind))
            )
            skip = 0
        else:
            skip += source.width(p.kind)
    found: list[int] = []
    position, room = start, source.room
    try:
        for _ in range(rows):
            for before, read, own, each in steps:
                position += before
                count = int(read(position))
                position += own + count * each
                if count < 0 or position > room:
                    raise _TruncatedError
                found.append(count)
            position += skip
    except (IndexError, ValueError, OverflowError, struct.error):  # past the end; NaN as a count
        raise _TruncatedError from None
    if position > room:
        raise _TruncatedError
    return np.array(found, np.int64).reshape(rows, -1).T


def _ragged(source: _Bytes | _Text, element: Element, start: int) -> tuple[Columns, int]:
    counts = _counts(source, element.properties, start, element.rows)
    lists = [p for p in element.properties if p.length]
    fixed = sum(source.width(p.kind) for p in element.properties if not p.length)
    fixed += sum(source.width(p.length) for p in lists if p.length)
    widths = np.array([source.width(p.kind) for p in lists])
    sizes = fixed + widths @ counts
    position = start + np.cumsum(sizes) - sizes  # of what comes next, in each row
    columns: Columns = {}
    lengths = iter(counts)
    for p in element.properties:
        if p.length:
            mine = next(lengths)
            position = position + source.width(p.length)
            columns[p.name] = Lists(_values(source, p.kind, position, mine), mine)
            position = position + source.width(p.kind) * mine
        else:
            columns[p.name] = source.gather(position, p.kind, 1)[:, 0]
            position = position + source.width(p.kind)
    return columns, start + int(sizes.sum())


def _values(source: _Bytes | _Text, kind: str, positions: Ints, counts: Ints) -> np.ndarray:
    """The lists' values, concatenated."""
    offsets = np.cumsum(counts) - counts
    out = np.empty(int(counts.sum()))
    for n in np.unique(counts).tolist():
        mine = counts == n
        out[offsets[mine][:, None] + np.arange(n)] = source.gather(positions[mine], kind, n)
    return out
