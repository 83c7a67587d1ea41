"""Damage to files, seeded: for the fuzz test and for benchmarks/fuzz_objects.py."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

import numpy as np

HEAD = 400  # bytes in which the counts are
SPECIAL = (np.nan, np.inf, -np.inf, 1e38, -1e38, 1e-45, 0.0)
HUGE = (0, 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1)


def flip_bits(data: bytearray, rng: np.random.Generator) -> None:
    """Up to fifty single bits."""
    for place in _places(data, rng):
        data[place] ^= 1 << int(rng.integers(8))


def other_bytes(data: bytearray, rng: np.random.Generator) -> None:
    """Up to fifty bytes of any value."""
    for place in _places(data, rng):
        data[place] = int(rng.integers(256))


def truncate(data: bytearray, rng: np.random.Generator) -> None:
    """The end is missing."""
    del data[int(rng.integers(1, len(data))) :]


def cut_out(data: bytearray, rng: np.random.Generator) -> None:
    """A piece of the middle is missing."""
    start = int(rng.integers(len(data)))
    del data[start : start + int(rng.integers(1, 2000))]
    if not data:
        data.append(0)


def repeat(data: bytearray, rng: np.random.Generator) -> None:
    """A piece is there twice."""
    start = int(rng.integers(len(data)))
    data[start:start] = data[start : start + int(rng.integers(1, 5000))]


def overwrite(data: bytearray, rng: np.random.Generator) -> None:
    """A piece is zeros, or noise."""
    start, length = int(rng.integers(len(data))), int(rng.integers(1, 5000))
    piece = bytes(length) if rng.random() < 0.5 else rng.bytes(length)
    data[start : start + length] = piece[: len(data) - start]


def special_numbers(data: bytearray, rng: np.random.Generator) -> None:
    """NaN, infinities, huge and tiny numbers where coordinates are."""
    _numbers(data, rng, lambda: SPECIAL[int(rng.integers(len(SPECIAL)))])


def moved_vertices(data: bytearray, rng: np.random.Generator) -> None:
    """Coordinates that are far off, but not absurd."""
    _numbers(data, rng, lambda: float(rng.normal(0.0, 0.1)))


def _numbers(data: bytearray, rng: np.random.Generator, value: Callable[[], float]) -> None:
    count = max(1, int(len(data) / 4 * 10.0 ** rng.uniform(-5.0, -2.0)))
    text = b"\0" not in data
    start = data.find(b"end_header\n") + 11 if data[:3] == b"ply" else 84
    stride, width = (12, 3) if data[:3] == b"ply" else (50, 12)
    for _ in range(min(count, 300)):
        if text:
            data[_some(rb"-?\d+\.\d+", data, rng)] = str(value()).encode()
            continue
        nth = int(rng.integers(max(1, (len(data) - start) // (2 * stride))))
        place = start + stride * nth + 4 * int(rng.integers(width))
        data[place : place + 4] = struct.pack("<f", value())


def huge_counts(data: bytearray, rng: np.random.Generator) -> None:
    """Counts and indices that the file cannot hold."""
    value = HUGE[int(rng.integers(len(HUGE)))]
    if data[:3] == b"ply":
        data[_some(rb"(?<=element )(vertex|face) \d+", data, rng)] = b"vertex %d" % value
    elif b"\0" in data[:HEAD]:
        data[80:84] = struct.pack("<I", value)
    else:
        data[_some(rb"\d+", data, rng)] = b"%d" % value


MUTATIONS: tuple[Callable[[bytearray, np.random.Generator], None], ...] = (
    flip_bits,
    other_bytes,
    truncate,
    cut_out,
    repeat,
    overwrite,
    special_numbers,
    moved_vertices,
    huge_counts,
)


def mutated(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """The file with one kind of damage, sometimes two, and what it was."""
    damaged, names = bytearray(data), []
    for _ in range(1 + int(rng.random() < 0.25)):
        mutation = MUTATIONS[int(rng.integers(len(MUTATIONS)))]
        mutation(damaged, rng)
        names.append(mutation.__name__)
    return bytes(damaged), " + ".join(names)


def _places(data: bytearray, rng: np.random.Generator) -> list[int]:
    start, end = (0, HEAD) if rng.random() < 0.3 else (HEAD, len(data))
    if end <= start:
        start, end = 0, len(data)
    return rng.integers(start, min(end, len(data)), int(rng.integers(1, 50))).tolist()


def _some(pattern: bytes, data: bytearray, rng: np.random.Generator) -> slice:
    """Where a pattern occurs in a random part of the file; its first byte if nowhere."""
    start = 0 if rng.random() < 0.5 else int(rng.integers(len(data)))
    window = bytes(data[start : start + 2000]) or bytes(data)
    found = [m.span() for m in re.finditer(pattern, window)]
    low, high = found[int(rng.integers(len(found)))] if found else (0, 1)
    return slice(start + low, start + high)
