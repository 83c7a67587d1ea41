"""The name of an object: its file's, or its folder's if the file has a generic name."""

from __future__ import annotations

import os
from pathlib import Path

from r2s_core.errors import AssetError
from r2s_core.system.text import printable

#: Generic names that programs give to every mesh: YCB has textured.obj, Google's objects model.obj.
_ANY_FILE = frozenset(
    [
        *("textured", "nontextured", "textured_mesh", "textured_simple", "texturedmesh"),
        *("model", "3dmodel", "model_normalized", "mesh", "baked_mesh", "meshed-poisson"),
        *("object", "obj", "visual", "poisson", "merged_cloud", "reconstruction"),
        *("export", "output", "result", "untitled"),
    ]
)
#: Folders inside an object's own, and general-purpose ones; neither is the object's name.
_ANY_FOLDER = _ANY_FILE | frozenset(
    [
        *("google_16k", "google_64k", "google_512k", "tsdf", "meshes", "models", "materials"),
        *("collision", "visuals", "files", "stl", "ply", "scan", "scans", "objects", "exports"),
        *("data", "desktop", "documents", "downloads", "home", "root", "tmp"),
    ]
)
_LEVELS = 3  # folders considered above the file
_RESERVED = frozenset(
    ["con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))]
)  # names of devices on Windows, whatever the suffix


def named_after(path: Path) -> Path:
    """The path that a scan's object is named after: the file, or the folder above with a name."""
    if path.stem.lower() not in _ANY_FILE:
        return path
    try:
        above = Path(os.path.abspath(path)).parents[:_LEVELS]
    except FileNotFoundError:  # the working directory is gone
        return path
    return next((p for p in above if p.name and p.name.lower() not in _ANY_FOLDER), path)


def sound(text: str) -> str:
    """The text with "_" for what no file name should have: undecodable bytes, \\, control codes."""
    return "".join(c if printable(c) == c and c not in '\\/:*?"<>|' else "_" for c in text)


def object_name(path: Path) -> str:
    """The name of a scan's object: valid as a folder's name on every system.

    Bytes of the file's name that are not UTF-8, and control characters, become "_". AssetError if
    the name is empty, as for `...stl`, or has a special meaning on some system.
    """
    name = _name(path)
    if problem := _problem(name):
        raise AssetError(
            f"{path}: {problem}, so the object has no name; rename the scan, or name the object's "
            "folder with -o"
        )
    return name


def display_name(path: Path) -> str:
    """`object_name` for tables and pages, without checks."""
    return _name(path).strip(". ") or "object"


def _name(path: Path) -> str:
    origin = named_after(path)
    return sound(path.stem if origin == path else origin.name)


def _problem(name: str) -> str | None:
    if not name.strip(". "):
        return "there is no name before the suffix"
    if name.startswith("."):
        other = "; macOS writes such companions beside files, and they hold no scan"
        return f"{name!r} is a hidden file's name{other if name.startswith('._') else ''}"
    if name.partition(".")[0].strip().lower() in _RESERVED:
        return f"{name!r} is a device on Windows"
    return f"{name!r} ends with a dot or space" if name[-1] in ". " else None
