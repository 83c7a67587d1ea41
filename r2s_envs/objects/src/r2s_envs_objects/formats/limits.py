"""The largest mesh that is read."""

from __future__ import annotations

from r2s_core.errors import AssetError

MAX_FACES = 2_000_000
MAX_VERTICES = 3 * MAX_FACES


def check_faces(faces: int, vertices: int, label: str) -> None:
    """AssetError for more triangles or vertices than are read."""
    if faces > MAX_FACES or vertices > MAX_VERTICES:
        raise AssetError(
            f"{label}: {faces} faces and {vertices} vertices, over the limit of {MAX_FACES} and "
            f"{MAX_VERTICES}; decimate the scan first"
        )
