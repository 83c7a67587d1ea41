"""LZF, the compression of `DATA binary_compressed` in PCD files (liblzf's format)."""

from __future__ import annotations

#: A back reference of 3 bytes expands to at most 264: no valid block grows by more.
LARGEST_GROWTH = 88


def decompress(data: bytes, size: int) -> bytes:
    """The `size` bytes that `data` expands to; ValueError if it expands to anything else."""
    if size > LARGEST_GROWTH * len(data):
        raise ValueError(f"{len(data)} bytes cannot hold {size}")
    out = bytearray()
    position, end = 0, len(data)
    try:
        while position < end:
            control = data[position]
            position += 1
            if control < 32:  # a run of literal bytes
                out += data[position : position + control + 1]
                position += control + 1
                continue
            length = control >> 5
            if length == 7:
                length += data[position]
                position += 1
            start = len(out) - ((control & 31) << 8) - data[position] - 1
            position += 1
            length += 2
            if start < 0 or len(out) + length > size:
                raise ValueError("a reference outside the data")
            stop = start + length
            if stop <= len(out):
                out += out[start:stop]
            else:  # it overlaps what it writes: a repeated pattern
                pattern = bytes(out[start:])
                out += (pattern * (length // len(pattern) + 1))[:length]
    except IndexError:
        raise ValueError("the data end early") from None
    if len(out) != size:
        raise ValueError(f"{len(out)} bytes came out, not {size}")
    return bytes(out)
