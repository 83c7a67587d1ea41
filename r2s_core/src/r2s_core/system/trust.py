"""A Python file that a configuration names runs only where the user has allowed it.

A YAML file, a run folder or an object from a stranger is data. The only code that such data can
name is a reward, `use: path/to/file.py:function`; it is refused until the user trusts its content,
by `--trust` or `trust=True`. The hash of the content is then recorded for this user, wherever the
file is: later runs need no flag, unless the file changes.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from r2s_core.errors import ConfigError
from r2s_core.system import files

SOURCE_LIMIT = files.MIB  # of a reward file, bytes
_LIMIT = 4 * files.MIB
_HASH = 64  # characters of a SHA-256
#: Hashes trusted by this process; there may be no home to record them in.
_trusted: set[str] = set()


class UntrustedCodeError(ConfigError):
    """A configuration names Python code that its user has not trusted; the message says which."""


def is_trusted(reference: str) -> bool:
    """Whether the user trusts the file of `path/to/file.py:function` as it is now."""
    return _is_trusted(_hash_of(reference))


def record_trust(reference: str) -> None:
    """Record that the user trusts the file of `path/to/file.py:function` as it is now."""
    path = location(reference)
    _record(digest(read_source(path)), path)


def is_trusted_content(content: bytes) -> bool:
    """Whether the user trusts a file's content, or r2s wrote it here."""
    return _is_trusted(digest(content))


def record_content(content: bytes, path: Path) -> None:
    """Record that the user trusts the content of the file `path`."""
    _record(digest(content), path)


def would_run(references: Iterable[tuple[str, str]]) -> str:
    """A description of what would run; `references`: the key that names each, which may be empty,
    and `path/to/file.py:function`."""
    return "; ".join(
        f"{key + ' would run ' if key else ''}function {use.rpartition(':')[2]} of {location(use)} "
        f"(SHA-256 {_hash_of(use)[:16]}...)"
        for key, use in references
    )


def trusted_source(reference: str) -> bytes:
    """The source of `path/to/file.py:function`, read once so that the trusted content is what runs.

    Raises `UntrustedCodeError` where the user has not trusted its content, `ConfigError` where it
    cannot be read.
    """
    source = read_source(location(reference))
    if not _is_trusted(digest(source)):
        raise refusal([("", reference)])
    return source


def location(reference: str) -> Path:
    """The file of `path/to/file.py:function`."""
    return Path(reference.rpartition(":")[0])


def read_source(path: Path) -> bytes:
    """The content of a reward file; `ConfigError` where it cannot be read."""
    return files.read_bytes(path, limit=SOURCE_LIMIT, what="a reward function", error=ConfigError)


def digest(source: bytes) -> str:
    """SHA-256 of a file's content, as hexadecimal digits."""
    return hashlib.sha256(source).hexdigest()


def _hash_of(reference: str) -> str:
    return digest(read_source(location(reference)))


def refusal(references: Iterable[tuple[str, str]]) -> UntrustedCodeError:
    """The error for these references, each with the key that names it; a key may be empty."""
    return UntrustedCodeError(
        f"{would_run(references)}: Python code that you have not trusted yet; read it, and if "
        "you trust it add --trust (in Python: trust=True), which also holds for later runs"
    )


def _is_trusted(sha256: str) -> bool:
    return sha256 in _trusted or sha256 in _recorded()


def _record(sha256: str, path: Path) -> None:
    """Trust it in this process and, where the user has a home, in later ones."""
    known = sha256 in _recorded()
    _trusted.add(sha256)
    store = _store()
    if known or store is None:
        return
    name = "".join(c if c.isprintable() else "?" for c in str(path.absolute()))
    with contextlib.suppress(OSError):  # a read-only home: this process trusts it anyway
        store.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
        with os.fdopen(os.open(store, flags, 0o600), "ab") as file:
            file.write(f"{sha256}  {name}\n".encode(errors="replace"))


def _recorded() -> set[str]:
    store = _store()
    if store is None or not store.exists():
        return set()
    text = files.read_text(store, limit=_LIMIT, what="the list of trusted code", error=ConfigError)
    return {line[:_HASH] for line in text.splitlines() if line[_HASH : _HASH + 1] in ("", " ")}


def _store() -> Path | None:
    """$XDG_CONFIG_HOME/r2s/trusted, ~/.config/r2s/trusted, or %APPDATA%; None without a home."""
    home = os.environ.get("XDG_CONFIG_HOME") or os.environ.get("APPDATA")
    try:
        folder = Path(home) if home else Path.home() / ".config"
    except RuntimeError:  # a user id without an entry in passwd
        return None
    return folder / "r2s" / "trusted" if folder.is_absolute() else None
