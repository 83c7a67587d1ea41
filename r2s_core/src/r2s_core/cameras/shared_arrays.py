"""Named arrays in memory that several processes share, without a name in any file system.

The memory is an anonymous file that worker processes inherit, so the system frees it when the last
of them has ended, however they ended. Imports neither JAX nor MuJoCo.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np

#: name -> (shape, dtype)
Layout = Mapping[str, tuple[tuple[int, ...], str]]
_ALIGNED = 64  # bytes, a cache line


class SharedArrays(dict[str, np.ndarray]):
    """The arrays by name, zero at first.

    descriptor: of the file; None makes a new one.
    """

    def __init__(self, layout: Layout, descriptor: int | None = None) -> None:
        super().__init__()
        places, size = _places(layout)
        self.descriptor = _anonymous(size) if descriptor is None else descriptor
        memory = mmap.mmap(self.descriptor, size)
        for name, (shape, dtype) in layout.items():
            count = int(np.prod(shape))
            flat = np.frombuffer(memory, dtype, count, places[name])
            self[name] = flat.reshape(shape)


def size_of(layout: Layout) -> int:
    """Bytes of all arrays."""
    return _places(layout)[1]


def from_json(layout: Mapping[str, Any]) -> Layout:
    """A layout that went through JSON, which has no tuples."""
    return {name: (tuple(shape), dtype) for name, (shape, dtype) in layout.items()}


def _places(layout: Layout) -> tuple[dict[str, int], int]:
    """Offset of each array, and the size of all."""
    places, end = {}, 0
    for name, (shape, dtype) in layout.items():
        places[name] = end
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        end += -(-size // _ALIGNED) * _ALIGNED
    return places, max(end, _ALIGNED)


def _anonymous(size: int) -> int:
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("r2s")
    else:  # macOS: a file that is unlinked at once
        with tempfile.TemporaryFile(prefix="r2s-") as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, size)
    return descriptor
