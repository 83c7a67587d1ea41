"""The folder that holds an object: what of it is ours, and how a new object takes its place.

An object is made in a hidden folder beside and put into place when it stands complete. Until then
the earlier one stays; what is not ours in its folder is never deleted, and moves along.
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

#: Begins a certificate's reservation: the collision shape does not stand for the object.
LUMP = "collides as a solid lump"

#: Begins the names of hidden folders: one about to be locked, and one where an object is made.
_FRESH, _WORK = ".r2s-new-", ".r2s-fix-"
_NEW, _OLD, _TARGET = "new", "old", "target"
_STALE = 60.0  # s, after which a folder that was never locked belongs to nobody


@dataclasses.dataclass(frozen=True)
class Certified:
    """What of a folder's certificate.json others need; the rest of it is for readers."""

    format: int
    verdict: str
    source: str
    problem: str | None = None


def certified(folder: Path) -> Certified | None:
    """What the certificate in a folder says; None where there is none of ours."""
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
            raise AssetError(f"{folder}: holds something else than an object; {elsewhere}")
    except OSError as error:
        raise unwritable(folder, error) from None


def unwritable(folder: Path, error: OSError) -> AssetError:
    """What to tell the user when something of an object could not be written."""
    cause = error.strerror or str(error)
    return AssetError(
        f"{folder}: cannot be written ({cause}); what was there is as before; free space, or name "
        "another place with -o"
    )


@contextmanager
def workplace(folder: Path) -> Iterator[Path]:
    """A new folder to make an object in, then to be `put` at `folder`; else it is deleted."""
    parent = folder.parent
    parent.mkdir(parents=True, exist_ok=True)
    recover(parent)
    work = Path(tempfile.mkdtemp(dir=parent, prefix=_FRESH))
    with contextlib.ExitStack() as stack:
        stack.callback(_remove_empty, work)
        lock = _lock(work)
        stack.callback(_unlock, lock)
        # Only from here on do others see it, and see that somebody is at work.
        work = work.rename(parent / work.name.replace(_FRESH, _WORK))
        stack.callback(_clear, work)
        (work / _TARGET).write_bytes(os.fsencode(folder.name))
        (work / _NEW).mkdir()
        yield work / _NEW


def put(new: Path, folder: Path) -> None:
    """Let the complete object in a workplace take the place of `folder`, in one step."""
    check_place(folder)  # again: minutes have passed
    _sync(new)
    if not folder.exists():
        new.rename(folder)
    else:
        try:
            _exchange(new, folder)
        except (OSError, AttributeError, TypeError):  # not every system and file system can
            old = new.with_name(_OLD)
            folder.rename(old)
            try:
                new.rename(folder)
            except OSError:
                old.rename(folder)
                raise
    files.sync_folder(folder.parent)


def recover(parent: Path) -> None:
    """Finish or undo what killed processes have left of objects in a folder."""
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
    """Remove a workplace and what of ours is in it; what is the user's goes back to its place."""
    with contextlib.suppress(OSError, R2SError):
        folder = work.parent / _target(work)
        if (work / _OLD).is_dir() and not os.path.lexists(folder):
            (work / _OLD).rename(folder)  # killed between its two steps: the earlier one stays
        for made in (work / _NEW, work / _OLD):
            if made.is_dir() and not made.is_symlink():
                _retire(made, folder)
    with contextlib.suppress(OSError):
        if not any((work / made).exists() for made in (_NEW, _OLD)):
            (work / _TARGET).unlink(missing_ok=True)
    _remove_empty(work)


def _target(work: Path) -> str:
    """The name of the folder that a workplace is for; AssetError where it says none."""
    name = os.fsdecode(
        files.read_bytes(work / _TARGET, limit=4096, what="a folder's name", error=AssetError)
    )
    if name in ("", ".", "..") or "\0" in name or os.path.basename(name) != name:
        raise AssetError(f"{work / _TARGET}: {name!r} is no folder's name")
    return name


def _retire(old: Path, folder: Path) -> None:
    """Delete the object in `old`; whatever else is there moves to its successor's `folder`."""
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
    """Into the folder, under a name of its own where its own is taken."""
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
    """Make the files below a folder durable, before names lead to them."""
    for path in folder.rglob("*"):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):  # folders, on some systems
                os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _exchange(one: Path, other: Path) -> None:
    """Swap two folders in one step; OSError, AttributeError or TypeError where that is unknown."""
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    swap = ctypes.CDLL(None, use_errno=True).renameat2
    if swap(here, os.fsencode(one), here, os.fsencode(other), exchange):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _lock(folder: Path) -> int | None:
    """Hold a folder as long as this process lives; None where another does, or nobody can."""
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
