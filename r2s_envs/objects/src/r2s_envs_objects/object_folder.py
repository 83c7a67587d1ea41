"""The folder that holds an object: which files are ours, and how a new object replaces it.

An object is made in a hidden folder beside it and moved into place when it is complete. Until then
the earlier one stays; files in its folder that are not ours are never deleted, and are moved along.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from r2s_core.errors import AssetError, R2SError
from r2s_core.system import documents, files

CERTIFICATE, PAGE, RANGES = "certificate.json", "certificate.html", "ranges.json"
ASSET = "asset.npz"
MODEL, VISUAL, PIECES = "object.xml", "visual.obj", "pieces"
_FILES = frozenset({CERTIFICATE, PAGE, RANGES, ASSET, MODEL, VISUAL})
_PIECE = re.compile(r"piece_\d+\.obj")
_LIMIT = 16 * files.MIB  # of a certificate

#: Begins a certificate's reservation: the collision shape does not represent the object.
LUMP = "collides as a solid lump"

#: Begins the names of hidden folders: one about to be locked, and one where an object is made.
_FRESH, _WORK = ".r2s-new-", ".r2s-fix-"
_NEW, _OLD, _TARGET = "new", "old", "target"
_STALE = 60.0  # s, after which a folder that was never locked counts as abandoned


@dataclasses.dataclass(frozen=True)
class Certified:
    """The fields of a folder's certificate.json that other code needs; the rest is for readers."""

    format: int
    verdict: str
    source: str
    problem: str | None = None


def certified(folder: Path) -> Certified | None:
    """The certificate in a folder; None if there is none of ours."""
    try:
        return documents.read_document(
            folder / CERTIFICATE, Certified, limit=_LIMIT, what="a certificate", unknown="ignore"
        )
    except R2SError:
        return None


def made_of(folder: Path) -> str | None:
    """The scan that the object in a folder was made of; None where there is no object."""
    found = certified(folder) if os.path.lexists(folder / ASSET) else None
    return found.source if found else None


def check_place(folder: Path) -> None:
    """AssetError unless an object may be put at `folder`: nothing, an empty folder or an object."""
    elsewhere = "name another folder with -o"
    try:
        if folder.is_symlink():
            raise AssetError(
                f"{folder}: is a link to {os.readlink(folder)}; name that folder itself with -o"
            )
        if not os.path.lexists(folder):
            return
        if not folder.is_dir():
            raise AssetError(f"{folder}: is not a folder; {elsewhere}")
        if _is_around_us(folder):
            raise AssetError(f"{folder}: the working directory is in it; {elsewhere}")
        if any(folder.iterdir()) and certified(folder) is None:
            raise AssetError(f"{folder}: holds something other than an object; {elsewhere}")
    except OSError as error:
        raise unwritable(folder, error) from None


def unwritable(folder: Path, error: OSError) -> AssetError:
    """The error for an object that could not be written."""
    cause = error.strerror or str(error)
    return AssetError(
        f"{folder}: cannot be written ({cause}); its content is unchanged; free space, or name "
        "another place with -o"
    )


@contextmanager
def workplace(folder: Path) -> Iterator[Path]:
    """A new folder in which to make an object and then `put` it at `folder`; deleted otherwise."""
    parent = folder.parent
    parent.mkdir(parents=True, exist_ok=True)
    recover(parent)
    work = Path(tempfile.mkdtemp(dir=parent, prefix=_FRESH))
    with contextlib.ExitStack() as stack:
        stack.callback(_remove_empty, work)
        lock = _lock(work)
        stack.callback(_unlock, lock)
        # Only from here on do other processes see it, and that it is in use.
        work = work.rename(parent / work.name.replace(_FRESH, _WORK))
        stack.callback(_clear, work)
        (work / _TARGET).write_bytes(os.fsencode(folder.name))
        (work / _NEW).mkdir()
        yield work / _NEW


def put(new: Path, folder: Path) -> None:
    """Replace `folder` by the complete object in a workplace, atomically."""
    check_place(folder)  # again: minutes have passed
    _sync(new)
    if not folder.exists():
        new.rename(folder)
    else:
        try:
            _exchange(new, folder)
        except (OSError, AttributeError, TypeError):  # not supported on every system
            old = new.with_name(_OLD)
            folder.rename(old)
            try:
                new.rename(folder)
            except OSError:
                old.rename(folder)
                raise
    files.sync_folder(folder.parent)


def recover(parent: Path) -> None:
    """Finish or undo what killed processes have left in a folder of objects."""
    with contextlib.suppress(OSError):
        for work in list(parent.glob(f"{_WORK}*")):
            if work.is_symlink() or not work.is_dir() or (lock := _lock(work)) is None:
                continue
            try:
                _clear(work)
            finally:
                _unlock(lock)
    with contextlib.suppress(OSError):
        for fresh in list(parent.glob(f"{_FRESH}*")):
            if time.time() - fresh.lstat().st_mtime > _STALE:
                _remove_empty(fresh)


def _clear(work: Path) -> None:
    """Remove a workplace and our files in it; the user's files go back to their place."""
    with contextlib.suppress(OSError, R2SError):
        folder = work.parent / _target(work)
        if (work / _OLD).is_dir() and not os.path.lexists(folder):
            (work / _OLD).rename(folder)  # killed between the two renames: restore the earlier one
        for made in (work / _NEW, work / _OLD):
            if made.is_dir() and not made.is_symlink():
                _retire(made, folder)
    with contextlib.suppress(OSError):
        if not any((work / made).exists() for made in (_NEW, _OLD)):
            (work / _TARGET).unlink(missing_ok=True)
    _remove_empty(work)


def _target(work: Path) -> str:
    """The name of the folder that a workplace is for; AssetError if it has none."""
    name = os.fsdecode(
        files.read_bytes(work / _TARGET, limit=4096, what="a folder's name", error=AssetError)
    )
    if name in ("", ".", "..") or "\0" in name or os.path.basename(name) != name:
        raise AssetError(f"{work / _TARGET}: {name!r} is not a folder's name")
    return name


def _retire(old: Path, folder: Path) -> None:
    """Delete the object in `old`; other files there move to its successor's `folder`."""
    for entry in list(os.scandir(old)):
        path, is_folder = Path(entry.path), entry.is_dir(follow_symlinks=False)
        if entry.name == PIECES and is_folder:
            _retire_pieces(path, folder / PIECES)
        elif not is_folder and (entry.name in {*_FILES, PIECES} or _is_unfinished(entry.name)):
            path.unlink()
        else:
            _move(path, folder)
    _remove_empty(old)


def _retire_pieces(old: Path, folder: Path) -> None:
    for entry in list(os.scandir(old)):
        if _PIECE.fullmatch(entry.name) and not entry.is_dir(follow_symlinks=False):
            os.unlink(entry.path)
        else:
            _move(Path(entry.path), folder)
    _remove_empty(old)


def _is_unfinished(name: str) -> bool:
    return name.startswith(files.TEMPORARY)


def _move(path: Path, folder: Path) -> None:
    """Move into the folder, under a new name if its own is taken."""
    target, count = folder / path.name, 1
    while os.path.lexists(target):
        target, count = folder / f"{path.name}.kept-{count}", count + 1
    path.rename(target)


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def _is_around_us(folder: Path) -> bool:
    try:
        return Path.cwd().is_relative_to(folder.resolve())
    except FileNotFoundError:  # there is no working directory any more
        return False


def _sync(folder: Path) -> None:
    """Flush the files below a folder to disk, before they are renamed into place."""
    for path in folder.rglob("*"):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):  # folders, on some systems
                os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _exchange(one: Path, other: Path) -> None:
    """Swap two folders atomically; OSError, AttributeError or TypeError if not supported."""
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    swap = ctypes.CDLL(None, use_errno=True).renameat2
    if swap(here, os.fsencode(one), here, os.fsencode(other), exchange):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _lock(folder: Path) -> int | None:
    """Lock a folder as long as this process lives; None if another does, or it is impossible."""
    try:
        import fcntl

        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except (ImportError, OSError):
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _unlock(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)
