"""JSON files of a bundle: data from others, read within limits and checked field by field."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, KeysView, Mapping, Sequence
from pathlib import Path
from typing import Any

from r2s_deploy.errors import BundleError

_LIMIT = 4 * 2**20  # bytes of a JSON file
_DIGEST = "sha256"


def read_bytes(path: Path, limit: int) -> bytes:
    """A file's content; raises `BundleError` where it is missing, no file, or larger."""
    if path.is_symlink() or not path.is_file():
        raise BundleError(f"{path} is missing, or not a plain file; copy the whole bundle again")
    if path.stat().st_size > limit:
        raise BundleError(f"{path} has more than {limit:,} bytes, which no bundle's file has")
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}") from error


def parse(data: bytes, where: str) -> dict[str, Any]:
    """A JSON mapping; raises `BundleError` for anything else, NaN and repeated keys included."""
    try:
        found = json.loads(
            data.decode(), parse_constant=_no_constant, object_pairs_hook=_without_repeats
        )
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{where} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise BundleError(f"{where} is not a JSON mapping")
    return found


def read(path: Path) -> dict[str, Any]:
    """The JSON mapping in a file."""
    return parse(read_bytes(path, _LIMIT), str(path))


def text_of(document: Mapping[str, Any]) -> str:
    """The text of a document as a bundle has it."""
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def digest(document: Mapping[str, Any]) -> str:
    """SHA-256 of the text of a document without its key `sha256`."""
    rest = {name: value for name, value in document.items() if name != _DIGEST}
    return hashlib.sha256(text_of(rest).encode()).hexdigest()


def sealed(document: Mapping[str, Any]) -> dict[str, Any]:
    """A document with its digest."""
    return {**document, _DIGEST: digest(document)}


class Fields:
    """The checked fields of a JSON mapping; every method raises `BundleError` with the key."""

    def __init__(self, values: Any, where: str) -> None:
        if not isinstance(values, Mapping):
            raise BundleError(f"{where} is not a mapping")
        self._values, self.where = values, where

    def __getitem__(self, key: str) -> Any:
        if key not in self._values:
            raise BundleError(f"{self.where}: {key} is missing")
        return self._values[key]

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def keys(self) -> KeysView[str]:
        """With `__getitem__`, what `dict` needs."""
        return self._values.keys()

    def only(self, *keys: str) -> None:
        """There is no other key."""
        if other := [key for key in self._values if key not in keys]:
            raise BundleError(
                f"{self.where}: there is no key {other[0]}; there are {', '.join(keys)}"
            )

    def fields(self, key: str) -> Fields:
        """A mapping in it."""
        return Fields(self[key], f"{self.where}: {key}")

    def rows(self, key: str) -> list[Fields]:
        """A list of mappings."""
        return [
            Fields(row, f"{self.where}: {key}[{i}]") for i, row in enumerate(self.sequence(key))
        ]

    def sequence(self, key: str) -> Sequence[Any]:
        """A list."""
        found = self[key]
        if not isinstance(found, list):
            raise self._wrong(key, found, "a list")
        return found

    def text(self, key: str) -> str:
        """A text."""
        found = self[key]
        if not isinstance(found, str):
            raise self._wrong(key, found, "a text")
        return found

    def names(self, key: str, size: int | None = None) -> tuple[str, ...]:
        """A list of texts, none twice."""
        found = self.sequence(key)
        if not all(isinstance(x, str) for x in found) or len(set(found)) != len(found):
            raise self._wrong(key, found, "a list of texts, none twice")
        if size is not None and len(found) != size:
            raise self._wrong(key, found, f"{size} texts")
        return tuple(found)

    def number(self, key: str, above: float = -math.inf, most: float = math.inf) -> float:
        """A finite number above `above`, at most `most`."""
        found = self[key]
        if not _is_number(found) or not above < found <= most:
            raise self._wrong(
                key, found, f"a number above {above:g}" if above > -1e300 else "a number"
            )
        return float(found)

    def whole(self, key: str, least: int = 0, most: int = 10**9) -> int:
        """A whole number."""
        found = self[key]
        if not isinstance(found, int) or isinstance(found, bool) or not least <= found <= most:
            raise self._wrong(key, found, f"a whole number from {least} to {most}")
        return found

    def numbers(self, key: str, *shape: int | None) -> list[Any]:
        """Nested lists of finite numbers of this shape; None: any size from 1."""
        found = self[key]
        if not _has_shape(found, shape):
            size = " x ".join("n" if n is None else str(n) for n in shape)
            raise self._wrong(key, found, f"{size} numbers")
        return found

    def one_of(self, key: str, choices: Sequence[str]) -> str:
        """One of some texts."""
        found = self.text(key)
        if found not in choices:
            raise self._wrong(key, found, f"one of {', '.join(choices)}")
        return found

    def _wrong(self, key: str, found: Any, wanted: str) -> BundleError:
        return BundleError(f"{self.where}: {key} is {str(found)[:60]!r}, not {wanted}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _has_shape(values: Any, shape: Sequence[int | None]) -> bool:
    if not shape:
        return _is_number(values)
    size, *rest = shape
    if not isinstance(values, list) or not values or (size is not None and len(values) != size):
        return False
    return all(_has_shape(value, rest) for value in values)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found
