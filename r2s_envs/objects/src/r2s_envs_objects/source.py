"""Finding and reading what the user names; light: nothing in the file is looked at yet."""

from __future__ import annotations

from pathlib import Path

from r2s_core.errors import AssetError
from r2s_envs_objects import samples

SUFFIXES = (".stl", ".obj", ".ply")
CLOUDS = (".pcd", ".xyz", ".pts", ".las", ".laz", ".e57")
MAX_BYTES = 100 * 2**20


def locate(source: str | Path) -> tuple[Path, str]:
    """The file that `source`, a path or "sample:NAME", means, and what errors call it."""
    text = str(source)
    if text.startswith("sample:"):
        return samples.path(text[7:]), text
    path = Path(source).expanduser()
    return path, str(path)


def read_bytes(path: Path) -> bytes:
    """The file's content; AssetError if it is missing, of another kind, empty or oversize."""
    if path.suffix.lower() not in SUFFIXES:
        cloud = "; make a mesh of a point cloud with `r2s object reconstruct`"
        raise AssetError(
            f"{path}: unsupported file type {path.suffix or '(none)'!r}; supported are "
            f"{', '.join(SUFFIXES)}, and sample:NAME for a shipped sample"
            f"{cloud if path.suffix.lower() in CLOUDS else ''}"
        )
    data = content(path, "decimate the scan first")
    if not data.strip():
        raise AssetError(f"{path}: the file is empty; export the scan again")
    return data


def content(path: Path, smaller: str) -> bytes:
    """What a file of at most 100 MB holds; AssetError if it is missing, unreadable or larger.

    smaller: what to do about a larger one.
    """
    if not path.exists():
        raise AssetError(f"{path}: no such file; check the path")
    try:
        if (size := path.stat().st_size) > MAX_BYTES:
            raise AssetError(
                f"{path}: {size / 2**20:.0f} MB, over the limit of {MAX_BYTES / 2**20:.0f} MB; "
                f"{smaller}"
            )
        return path.read_bytes()
    except OSError as error:
        raise AssetError(
            f"{path}: cannot be read ({error.strerror}); check the permissions"
        ) from None
