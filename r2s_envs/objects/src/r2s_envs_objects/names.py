"""What an object is called: after its file, or its folder where the file's name says nothing."""

from __future__ import annotations

import os
from pathlib import Path

from r2s_core.errors import AssetError
from r2s_core.system.text import printable

#: What programs call every mesh that they write: YCB has textured.obj, Google's objects model.obj.
_ANY_FILE = frozenset(
    [
        *("textured", "nontextured", "textured_mesh", "textured_simple", "texturedmesh"),
        *("model", "3dmodel", "model_normalized", "mesh", "baked_mesh", "meshed-poisson"),
        *("object", "obj", "visual", "poisson", "merged_cloud", "reconstruction"),
        *("export", "output", "result", "untitled"),
    ]
)
#: Folders within an object's own, and those that hold anything; neither is the object's name.
_ANY_FOLDER = _ANY_FILE | frozenset(
    [
        *("google_16k", "google_64k", "google_512k", "tsdf", "meshes", "models", "materials"),
        *("collision", "visuals", "files", "stl", "ply", "scan", "scans", "objects", "exports"),
        *("data", "desktop", "documents", "downloads", "home", "root", "tmp"),
    ]
)
_LEVELS = 3  # folders looked at above the file
_RESERVED = frozenset(
    ["con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))]
)  # names of devices on Windows, whatever the suffix


def named_after(path: Path) -> Path:
    """What a scan's object is named after: the file itself, or the folder above that tells."""
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
    """What the object of a scan is called: a sound name for a folder on every system.

    Bytes of the file's name that are no UTF-8, and control characters, become "_". AssetError
    where the name is none, such as that of `...stl`, or means something else to some system.
    """
    name = _name(path)
    if problem := _problem(name):
        raise AssetError(
            f"{path}: {problem}, so the object has no name; rename the scan, or name the object's "
            "folder with -o"
        )
    return name


def display_name(path: Path) -> str:
    """`object_name` for tables and pages, which takes any file's."""
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
