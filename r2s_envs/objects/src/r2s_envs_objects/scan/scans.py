"""The scans of a folder, and the names of their objects."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from r2s_core.errors import AssetError
from r2s_envs_objects.names import named_after, object_name, sound
from r2s_envs_objects.object_folder import certified
from r2s_envs_objects.scan.source import SUFFIXES, expanded

_LEVELS = 3  # folders below the given one, as in ycb/003_cracker_box/google_16k/textured.obj
#: Of several meshes of one object, the first of these is used.
_PREFERRED = ("textured", "texturedmesh", "textured_simple", "model", "mesh")


class Scans(NamedTuple):
    """paths: sorted. others: names of other files. spare: further meshes of the same objects."""

    paths: list[Path]
    others: list[str]
    spare: list[Path]


def scans_in(folder: Path) -> Scans:
    """The scans in a folder and below, one of each object.

    Raises `AssetError` if there are none, or if a folder is unreadable: its scans would be missed
    silently.

    A file with a specific name is a scan, in the folder and below it. Of files with generic names
    (textured.obj, nontextured.stl) each folder contributes one. Hidden files, such as macOS's
    `._mug.stl`, and prepared objects are skipped.
    """
    folder = expanded(folder)
    if not folder.is_dir():
        raise AssetError(f"{folder}: no such folder; name one with scans in it")
    found, others = _files(folder)
    taken: dict[Path, Path] = {}
    for path in found:
        origin = named_after(path)
        if origin not in taken or _rank(path) < _rank(taken[origin]):
            taken[origin] = path
    if not taken:
        raise AssetError(f"{folder}: no scans in it; put {', '.join(SUFFIXES)} files there")
    paths = sorted(taken.values())
    return Scans(paths, others, sorted(set(found) - set(paths)))


def _files(folder: Path) -> tuple[list[Path], list[str]]:
    """All scans, and the names of the other files that lie beside the first of them."""
    scans, others = [], []
    for place, below, files in os.walk(folder, onerror=_refuse):
        here = Path(place)
        depth = len(here.relative_to(folder).parts)
        below[:] = sorted(
            name
            for name in below
            if depth < _LEVELS and not name.startswith(".") and certified(here / name) is None
        )
        for name in sorted(files):
            if name.startswith(".") or not (here / name).is_file():
                continue
            if Path(name).suffix.lower() in SUFFIXES:
                scans.append(here / name)
            elif depth == 0:
                others.append(name)
    return scans, others


def _refuse(cause: OSError) -> None:
    raise AssetError(
        f"{cause.filename}: this folder cannot be read ({cause.strerror}), so its scans would be "
        "missed; give yourself permission to read it, or move it away"
    ) from cause


def _rank(path: Path) -> tuple[int, int, str]:
    name = path.stem.lower()
    preference = _PREFERRED.index(name) if name in _PREFERRED else len(_PREFERRED)
    return len(path.parts), preference, str(path)


def names_of(scans: Sequence[Path], folder: Path) -> list[str | AssetError]:
    """A unique folder name for the object of each scan, or why there is none.

    Equal names are distinguished by their suffixes, else by the folders they lie in.
    """
    names = [_named(path) for path in scans]
    for wider in (_with_suffix, _with_folders):
        count = Counter(name.casefold() for name in names if isinstance(name, str))
        names = [
            wider(name, path, folder) if isinstance(name, str) and count[name.casefold()] > 1
            else name
            for name, path in zip(names, scans, strict=True)
        ]  # fmt: skip
    return _numbered(names)


def _named(path: Path) -> str | AssetError:
    try:
        return object_name(path)
    except AssetError as error:
        return error


def _with_suffix(name: str, path: Path, folder: Path) -> str:
    return f"{name}_{path.suffix[1:].lower()}"


def _with_folders(name: str, path: Path, folder: Path) -> str:
    """kitchen/mug.stl and office/mug.stl: kitchen_mug and office_mug."""
    above = path.parent.relative_to(folder).parts if path.is_relative_to(folder) else ()
    return "_".join([*(sound(part) for part in above if part != name), name])


def _numbered(names: list[str | AssetError]) -> list[str | AssetError]:
    """Names that are still equal get numbers."""
    taken: set[str] = set()
    result: list[str | AssetError] = []
    for name in names:
        unique, number = name, 1
        while isinstance(unique, str) and unique.casefold() in taken:
            number += 1
            unique = f"{name}_{number}"
        if isinstance(unique, str):
            taken.add(unique.casefold())
        result.append(unique)
    return result
