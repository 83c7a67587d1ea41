"""JSON files of a bundle: data from others, read within limits and checked field by field."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, KeysView, Mapping, Sequence
from pathlib import Path
from typing import Any

from r2s_deploy.errors import BundleError

_LIMIT = 4 * 2**20  # bytes of a JSON file
_DIGEST = "sha256"
_DEEPEST = 32  # of lists and mappings in each other
_LARGEST = 2**53  # above it, doubles skip whole numbers
_LONGEST_TEXT, _LONGEST_NAME = 1000, 200
#: What a terminal acts on, and what cannot be printed: control characters, breaks of lines, marks
#: that turn the direction of writing, and halves of characters.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def read_bytes(path: Path, limit: int) -> bytes:
    """A file's content; raises `BundleError` where it is missing, no file, or larger."""
    try:
        if path.is_symlink() or not path.is_file():
            raise BundleError(
                f"{path} is missing, or not a plain file; copy the whole bundle again"
            )
        if path.stat().st_size > limit:
            raise BundleError(f"{path} has more than {limit:,} bytes, which no bundle's file has")
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{str(path)[:200]} cannot be read: {error.strerror}") from error


def one_line(value: object) -> str:
    """What another library says of a file, for a sentence: a file's own words may be in it."""
    first = (str(value).strip().splitlines() or [""])[0]
    return _UNPRINTABLE.sub("?", first)[:200]


def parse(data: bytes, where: str) -> dict[str, Any]:
    """A JSON mapping; raises `BundleError` for anything else: NaN, numbers that a double does not
    hold, repeated keys, and what is nested too deeply included."""
    try:
        found = json.loads(
            data.decode(),
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_whole,
            object_pairs_hook=_without_repeats,
        )
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{where} is not JSON that this program reads: {error}") from error
    if not isinstance(found, dict):
        raise BundleError(f"{where} is not a JSON mapping")
    if _is_deep(found):
        raise BundleError(f"{where} has more than {_DEEPEST} lists and mappings in each other")
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
        for key in values:
            if not _is_text(key, _LONGEST_NAME):
                raise BundleError(
                    f"{where}: the key {str(key)[:60]!a} is not one of up to {_LONGEST_NAME} "
                    "printable characters"
                )
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
        """A text without line breaks or other control characters; it may be empty."""
        found = self[key]
        if not _is_text(found, _LONGEST_TEXT):
            raise self._wrong(key, found, f"a text of up to {_LONGEST_TEXT} printable characters")
        return found

    def name(self, key: str) -> str:
        """A text as `text`, not empty, short enough to be shown."""
        found = self[key]
        if not _is_text(found, _LONGEST_NAME) or not found.strip():
            raise self._wrong(key, found, f"a name of 1 to {_LONGEST_NAME} printable characters")
        return found

    def names(self, key: str, size: int | None = None) -> tuple[str, ...]:
        """A list of names as of `name`, none twice."""
        found = self.sequence(key)
        printable = all(_is_text(x, _LONGEST_NAME) and x.strip() for x in found)
        if not printable or len(set(found)) != len(found):
            raise self._wrong(
                key, found, f"a list of names of 1 to {_LONGEST_NAME} characters, none twice"
            )
        if size is not None and len(found) != size:
            raise self._wrong(key, found, f"{size} names")
        return tuple(found)

    def number(
        self,
        key: str,
        above: float = -math.inf,
        most: float = math.inf,
        least: float = -math.inf,
    ) -> float:
        """A finite number above `above`, from `least` to `most`."""
        found = self[key]
        if not _is_number(found) or not (above < found and least <= found <= most):
            raise self._wrong(key, found, f"a number{_bounds(above, least, most)}")
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

    def numbers_within(
        self, key: str, least: float, most: float, *shape: int | None, above: float = -math.inf
    ) -> list[Any]:
        """As `numbers`, each above `above`, from `least` to `most`."""
        found = self.numbers(key, *shape)
        for value in _flat(found):
            if not (above < value and least <= value <= most):
                raise BundleError(
                    f"{self.where}: {key} has the number {value:g}, and must have numbers"
                    f"{_bounds(above, least, most)}"
                )
        return found

    def one_of(self, key: str, choices: Sequence[str]) -> str:
        """One of some texts."""
        found = self.text(key)
        if found not in choices:
            raise self._wrong(key, found, f"one of {', '.join(choices)}")
        return found

    def _wrong(self, key: str, found: Any, wanted: str) -> BundleError:
        return BundleError(f"{self.where}: {key} is {str(found)[:60]!a}, not {wanted}")


def _is_number(value: Any) -> bool:
    """Also of TOML, whose whole numbers have any size."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= _LARGEST if isinstance(value, int) else math.isfinite(value)


def _is_text(value: Any, longest: int) -> bool:
    return isinstance(value, str) and len(value) <= longest and _UNPRINTABLE.search(value) is None


def _bounds(above: float, least: float, most: float) -> str:
    low = f" above {above:g}" if above > -math.inf else ""
    low = f" from {least:g}" if least > max(above, -math.inf) else low
    return low + (f" to {most:g}" if most < math.inf else "")


def _flat(values: Any) -> Iterator[float]:
    if not isinstance(values, list):
        yield values
        return
    for value in values:
        yield from _flat(value)


def _is_deep(document: Any) -> bool:
    level = [document]
    for _ in range(_DEEPEST):
        inner = (x.values() if isinstance(x, dict) else x for x in level)
        level = [y for values in inner for y in values if isinstance(y, dict | list)]
        if not level:
            return False
    return True


def _has_shape(values: Any, shape: Sequence[int | None]) -> bool:
    if not shape:
        return _is_number(values)
    size, *rest = shape
    if not isinstance(values, list) or not values or (size is not None and len(values) != size):
        return False
    return all(_has_shape(value, rest) for value in values)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number")


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"the number {text[:20]} is larger than any that is used here")
    return value


def _whole(text: str) -> int:
    if len(text) > 17 or abs(value := int(text)) > _LARGEST:
        raise ValueError(f"the number {text[:20]} is larger than 2^53 in size")
    return value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found
