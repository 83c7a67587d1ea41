"""PNG files without a library: what the policy saw, for people to look at."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np

_COLOUR, _GREY = 2, 0  # of the format


def write_png(path: Path, image: np.ndarray) -> None:
    """Write uint8[H, W, 3], uint8[H, W, 1] or uint16[H, W, 1]."""
    height, width, channels = image.shape
    bits = 8 * image.dtype.itemsize
    kind = _COLOUR if channels == 3 else _GREY
    big = image.astype(image.dtype.newbyteorder(">")).reshape(height, -1)
    rows = b"".join(b"\0" + row.tobytes() for row in big)
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_part(*part) for part in parts))


def _part(name: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + check
