"""Finds and reads the user's file; light: its content is not parsed yet."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from r2s_core.errors import AssetError
from r2s_core.system import files
from r2s_core.system.files import MIB
from r2s_core.system.text import printable
from r2s_envs_objects import samples
from r2s_envs_objects.formats import known as known_formats
from r2s_envs_objects.object_folder import ASSET, PAGE, certified

SUFFIXES = (".stl", ".obj", ".ply")
CLOUDS = (".ply", ".pcd", ".xyz", ".pts", ".asc", ".csv", ".txt", ".las")
MAX_BYTES = 100 * MIB


def locate(source: str | Path) -> tuple[Path, str]:
    """The file that `source`, a path or "sample:NAME", means, and its name in errors."""
    text = str(source)
    if text.startswith("sample:"):
        return samples.path(text[7:]), text
    path = expanded(source)
    return path, printable(path)


def expanded(path: str | Path) -> Path:
    """The path with a leading ~ expanded; AssetError if there is no such home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise AssetError(
            f"{path}: this user has no home folder here; write the path without ~"
        ) from None


def absolute(folder: str | Path) -> Path:
    """The folder's absolute path; parent links are resolved, but not a link in its place."""
    try:
        path = Path(os.path.abspath(expanded(folder)))
    except FileNotFoundError:
        raise AssetError(f"{folder}: the working directory is gone; go to another") from None
    return path.parent.resolve() / path.name


def require_readable(source: str | Path) -> None:
    """AssetError if a source is not a file that could hold a scan or a prepared object."""
    path, _ = locate(source)
    if path.suffix.lower() == ".npz" or (path / ASSET).is_file():
        if not path.exists():
            raise AssetError(f"{path}: no such file; check the path")
        return
    read_bytes(path)


def _about_folder(path: Path) -> str:
    """Why a folder is not an object."""
    found = certified(path)
    if found and found.verdict == "refused":
        return f"{path}: holds no object because its scan was refused: {found.problem}"
    if (path / ASSET).is_file():
        return f"{path}: an already prepared object; give a scan instead. See {path / PAGE}"
    scans = sorted(p.name for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
    inside = f"name a scan in it, such as {path / scans[0]}" if scans else "name a scan"
    return f"{path}: a folder without a prepared object; {inside}, or output of `r2s object fix`"


def read_bytes(path: Path) -> bytes:
    """The file's content; AssetError if it is missing, of another kind, empty or too large."""
    if path.is_dir():
        raise AssetError(_about_folder(path))
    if path.suffix.lower() not in SUFFIXES:
        raise AssetError(
            f"{printable(path)}: {_refusal(path, SUFFIXES)}, and sample:NAME for a shipped sample"
        )
    return content(path, "decimate the scan first")


def read_cloud(path: Path) -> bytes:
    """The same for a point cloud."""
    if path.suffix.lower() not in CLOUDS:
        raise AssetError(
            f"{printable(path)}: {_refusal(path, CLOUDS)}, and folders of depth images"
        )
    return content(path, "thin the cloud out first")


def _refusal(path: Path, supported: tuple[str, ...]) -> str:
    suffix = path.suffix.lower()
    if suffix in CLOUDS:
        return "a point cloud; make a mesh of it with `r2s object reconstruct`; meshes are " + (
            ", ".join(supported)
        )
    if suffix in SUFFIXES:
        return f"a mesh; pass it to `r2s object check` as it is; clouds are {', '.join(supported)}"
    known = known_formats.advice(path) or f"unsupported file type {suffix or '(none)'!r}"
    return f"{known}; supported are {', '.join(supported)}"


def content(path: Path, smaller: str) -> bytes:
    """The content of a regular file of at most 100 MB.

    smaller: advice for a larger file. AssetError if it is missing, unreadable, empty, larger, or
    not in the format of its suffix.
    """
    with contextlib.suppress(OSError):
        if path.is_file() and (size := path.stat().st_size) > MAX_BYTES:
            raise AssetError(
                f"{printable(path)}: {size / MIB:.0f} MB, over the limit of {MAX_BYTES / MIB:.0f} "
                f"MB; {smaller}"
            )
    data = files.read_bytes(path, limit=MAX_BYTES, what="the scan", error=AssetError)
    if not data.strip():
        raise AssetError(f"{printable(path)}: the file is empty; export the scan again")
    if what := known_formats.misnamed(data, path):
        raise AssetError(f"{printable(path)}: {what}")
    return data
