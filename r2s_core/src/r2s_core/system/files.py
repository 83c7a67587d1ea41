"""Safe file access: bounded reads of regular files, and atomic writes.

Reading refuses anything but regular files (a FIFO would block, /dev/zero would never end) and files
larger than their kind allows. Writing creates a new file next to the old one and moves it into
place, so that a crash, a full disk or a planted link leaves everything else unchanged.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any

from r2s_core.errors import R2SError

#: Bytes of a MiB, for limits.
MIB = 2**20
#: Prefix of files that are being written; leftovers may be deleted.
TEMPORARY = ".writing-"
_DEPTH = 100  # levels of nesting in a JSON file


def read_bytes(
    path: Path | str, *, limit: int, what: str, error: type[R2SError] = R2SError
) -> bytes:
    """The content of a regular file of at most `limit` bytes.

    what: what the file should be, for the message: "the configuration". Raises `error`, with one
    sentence, for anything else.
    """
    with open_regular(path, what=what, error=error) as file:
        try:
            data = file.read(limit + 1)
        except OSError as cause:
            raise error(_refusal(path, what, cause)) from cause
    if len(data) > limit:
        raise error(
            f"{path}: larger than {_size(limit)}, the limit for {what}; check that it is the right "
            "file"
        )
    return data


def read_text(path: Path | str, *, limit: int, what: str, error: type[R2SError] = R2SError) -> str:
    """As `read_bytes`, decoded from UTF-8 (a byte order mark is dropped)."""
    data = read_bytes(path, limit=limit, what=what, error=error)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as cause:
        raise error(
            f"{path}: byte {cause.start} is not UTF-8, so it is not {what}; save it as UTF-8"
        ) from cause


def read_json(path: Path | str, *, limit: int, what: str, error: type[R2SError] = R2SError) -> Any:
    """As `read_text`, parsed as strict JSON: finite numbers, no key twice, bounded nesting."""
    text = read_text(path, limit=limit, what=what, error=error)
    try:
        return parse_json(text)
    except ValueError as cause:
        raise error(f"{path}: not {what}: {cause}; it may be damaged") from cause


def parse_json(text: str) -> Any:
    """The value of a strict JSON text; ValueError says what is wrong with it."""
    try:
        value = json.loads(
            text, parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_unique
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno}: {error.msg}") from None
    except RecursionError:
        raise ValueError(f"nested deeper than {_DEPTH} levels") from None
    _check_depth(value)
    return value


def open_regular(path: Path | str, *, what: str, error: type[R2SError] = R2SError) -> IO[bytes]:
    """A regular file, opened for reading; never waits for a FIFO's writer.

    Raises `error`, with one sentence, for what is missing, unreadable or not a regular file.
    """
    flags = os.O_RDONLY
    for name in ("O_NONBLOCK", "O_CLOEXEC", "O_BINARY", "O_NOCTTY"):  # not all on each system
        flags |= getattr(os, name, 0)
    try:
        descriptor = os.open(path, flags)
    except (OSError, ValueError) as cause:
        raise error(_refusal(path, what, cause)) from cause
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        if stat.S_ISDIR(mode):
            raise error(f"{path}: a folder, but {what} must be a file; name the file")
        raise error(
            f"{path}: a {_special(mode)}, not a regular file; copy {what} into a file first"
        )
    return os.fdopen(descriptor, "rb")


def write_bytes(path: Path | str, data: bytes) -> None:
    """Replace `path` atomically by a file with this content; see `replacing`."""
    with replacing(path) as file:
        file.write(data)


def write_text(path: Path | str, text: str) -> None:
    """`write_bytes` of UTF-8; line ends stay as they are."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_json(path: Path | str, value: Any) -> None:
    """`write_text` of strict JSON: paths become text, what is not finite becomes null."""
    write_text(path, json.dumps(strict(value), indent=2, allow_nan=False) + "\n")


@contextmanager
def replacing(path: Path | str) -> Iterator[IO[bytes]]:
    """A new file next to `path`, to be written; on exit it is made durable and replaces `path`.

    A link at `path` is replaced, never followed. On any failure `path` is unchanged and nothing is
    left over.

    Raises `R2SError` where `path` is a folder, device or FIFO, and `OSError`, with `path` as its
    `filename`, where the disk is full or the folder not writable.
    """
    path = Path(path)
    temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(8)}")
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
    for name in ("O_NOFOLLOW", "O_CLOEXEC", "O_BINARY"):
        flags |= getattr(os, name, 0)
    created = False
    try:
        _check_replaceable(path)
        descriptor = os.open(temporary, flags, 0o666)
        created = True
        with os.fdopen(descriptor, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        created = False
    except OSError as error:
        if error.filename in (None, str(temporary)):
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        if created:
            with contextlib.suppress(OSError):
                temporary.unlink()
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in it durable; not every file system lets a folder be synced."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove_leftovers(folder: Path) -> None:
    """Delete what killed writers left in `folder`; only for its sole writer."""
    with contextlib.suppress(OSError):
        for path in folder.glob(f"{TEMPORARY}*"):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def confined(
    folder: Path, name: str | Path, *, what: str, error: type[R2SError] = R2SError
) -> Path:
    """`folder / name`, which must be within `folder`, with links followed.

    what: the source of the name, for the message: "hooks.csv.file". Raises `error` otherwise.
    """
    text = str(name)
    parts = (*PurePosixPath(text).parts, *PureWindowsPath(text).parts)
    outside = ".." in parts or PureWindowsPath(text).anchor or PurePosixPath(text).is_absolute()
    path = folder / text
    if not parts or outside or "\0" in text or not _within(path, folder):
        raise error(f"{what} is {text}, which is not within {folder}; give a plain relative path")
    return path


def strict(value: Any) -> Any:
    """Mappings, sequences, NumPy numbers and paths as JSON values; non-finite ones become None."""
    if isinstance(value, Mapping):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    if hasattr(value, "item") and not isinstance(value, str):  # a numpy scalar
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value) if isinstance(value, os.PathLike) else value


def _within(path: Path, folder: Path) -> bool:
    try:
        return path.parent.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # a loop of links
        return False


def _check_replaceable(path: Path) -> None:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    except ValueError as cause:
        raise R2SError(_refusal(path, "what is written", cause)) from cause
    if not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
        kind = "folder" if stat.S_ISDIR(mode) else _special(mode)
        raise R2SError(f"{path}: a {kind}, where a file is to be written; name another path")


def _refusal(path: Path | str, what: str, cause: OSError | ValueError) -> str:
    if isinstance(cause, FileNotFoundError):
        return f"{path}: no such file; check the path of {what}"
    if isinstance(cause, PermissionError):
        return f"{path}: no permission to read it; {what} must be readable"
    if isinstance(cause, OSError):
        return f"{path}: cannot be read ({cause.strerror or cause}); check the path of {what}"
    return f"{str(path)!r} cannot be a path; check the path of {what}"


def _special(mode: int) -> str:
    kinds = {stat.S_IFIFO: "FIFO", stat.S_IFSOCK: "socket"}
    return kinds.get(stat.S_IFMT(mode), "device")


def _size(limit: int) -> str:
    return f"{limit / MIB:.3g} MiB" if limit >= MIB else f"{limit:,} bytes"


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is too large a number")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:60]!r} appears twice")
        found[key] = value
    return found


def _check_depth(value: Any) -> None:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > _DEPTH:
            raise ValueError(f"nested deeper than {_DEPTH} levels")
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
