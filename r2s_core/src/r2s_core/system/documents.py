"""Untrusted JSON files, checked against a dataclass before any field is used.

    @dataclasses.dataclass(frozen=True)
    class Layer:
        size: int = option(doc="units", minimum=1, maximum=10_000)

    layer = read_document(path, Layer, limit=MIB, what="a layer")

Every field is checked against its annotation (nested dataclasses, `Mapping[str, X]`,
`tuple[X, ...]`, `list[X]`, `Literal`, unions with None, float, int, bool, str, `Any`) and the
limits of `r2s_core.plugin.option`. The only conversion is from whole numbers to floats.
"""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from r2s_core.errors import R2SError
from r2s_core.suggest import did_you_mean
from r2s_core.system import files

T = TypeVar("T")
_LARGEST = 2**63 - 1
_ITEMS, _CHARACTERS = 1_000_000, 1_000_000
_LONGEST = 400  # characters of a message, after the file's name
_NAMES = {float: "a number", int: "a whole number", bool: "true or false", str: "text"}
_LIMITS = {
    "minimum": ("at least", lambda value, limit: value >= limit),
    "maximum": ("at most", lambda value, limit: value <= limit),
    "above": ("above", lambda value, limit: value > limit),
    "below": ("below", lambda value, limit: value < limit),
}


def read_document(
    path: Path | str,
    cls: type[T],
    *,
    limit: int,
    what: str,
    unknown: Literal["refuse", "ignore"] = "refuse",
    error: type[R2SError] = R2SError,
) -> T:
    """The JSON file `path` as a `cls`; raises `error` with one sentence for anything else."""
    data = files.read_json(path, limit=limit, what=what, error=error)
    return parse(cls, data, str(path), unknown=unknown, error=error)


def parse(
    cls: type[T],
    data: Any,
    where: str,
    *,
    unknown: Literal["refuse", "ignore"] = "refuse",
    error: type[R2SError] = R2SError,
) -> T:
    """JSON data as an instance of a dataclass, or of any annotation listed above.

    where: the start of the message, e.g. the file. unknown: what to do with unknown keys.

    Raises `error`, naming the first key that is wrong: "FILE: layers.0.size: expected ...".
    """
    try:
        return _Reader(unknown == "ignore").read(cls, data, "")
    except _Wrong as wrong:
        text = str(wrong)  # names in the file may be of any length
        text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
        raise error(f"{where}: {text}") from None


class _Wrong(Exception):
    def __init__(self, key: str, what: str) -> None:
        super().__init__(f"{key}: {what}" if key else what)


@dataclasses.dataclass(frozen=True)
class _Reader:
    ignore_unknown: bool

    def read(self, kind: Any, data: Any, key: str) -> Any:
        origin, arguments = get_origin(kind), get_args(kind)
        if kind is Any:
            return data
        if dataclasses.is_dataclass(kind):
            return self.read_dataclass(kind, data, key)
        if origin in (Union, types.UnionType):
            return self.read_union(arguments, data, key)
        if origin is Literal:
            if not any(type(data) is type(choice) and data == choice for choice in arguments):
                known = ", ".join(str(choice) for choice in arguments)
                raise _Wrong(key, f"expected one of {known}, got {_shown(data)}")
            return data
        if origin in (tuple, list, Sequence):
            return self.read_sequence(origin, arguments, data, key)
        if origin in (dict, Mapping):
            _require(isinstance(data, dict), key, "a mapping", data)
            _require(len(data) <= _ITEMS, key, f"at most {_ITEMS:,} entries", data)
            return {
                self.read(str, name, key): self.read(arguments[1], value, _join(key, name))
                for name, value in data.items()
            }
        return _scalar(kind, data, key)

    def read_dataclass(self, cls: Any, data: Any, key: str) -> Any:
        _require(isinstance(data, dict), key, "a mapping", data)
        kinds = _annotations(cls)
        fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
        if not self.ignore_unknown:
            for name in data:
                if name not in fields:
                    raise _Wrong(_join(key, name), f"unknown key{did_you_mean(name, fields)}")
        values = {}
        for name, field in fields.items():
            if name in data:
                values[name] = self.read(kinds[name], data[name], _join(key, name))
                _check_limits(field, values[name], _join(key, name))
            elif _required(field):
                raise _Wrong(_join(key, name), "is missing")
        try:
            return cls(**values)
        except (ValueError, TypeError, R2SError) as error:  # of the class's own check
            raise _Wrong(key, str(error)) from error

    def read_union(self, kinds: tuple[Any, ...], data: Any, key: str) -> Any:
        if data is None and type(None) in kinds:
            return None
        wrong = None
        for kind in (kind for kind in kinds if kind is not type(None)):
            try:
                return self.read(kind, data, key)
            except _Wrong as error:
                wrong = wrong or error
        assert wrong is not None
        raise wrong

    def read_sequence(self, origin: Any, kinds: tuple[Any, ...], data: Any, key: str) -> Any:
        _require(isinstance(data, list), key, "a list", data)
        _require(len(data) <= _ITEMS, key, f"at most {_ITEMS:,} entries", data)
        if origin is tuple and not (len(kinds) == 2 and kinds[1] is ...):
            _require(len(data) == len(kinds), key, f"{len(kinds)} entries", data)
        else:
            kinds = (kinds[0],) * len(data)
        pairs = enumerate(zip(kinds, data, strict=True))
        items = [self.read(kind, item, _join(key, str(i))) for i, (kind, item) in pairs]
        return items if origin is list else tuple(items)


def _scalar(kind: Any, data: Any, key: str) -> Any:
    if kind not in _NAMES:
        raise TypeError(f"a document cannot hold {kind}")
    expected = _NAMES[kind]
    if kind is float:
        _require(isinstance(data, int | float) and not isinstance(data, bool), key, expected, data)
        _require(abs(data) <= _LARGEST if isinstance(data, int) else math.isfinite(data), key,
                 "a finite number", data)  # fmt: skip
        return float(data)
    _require(type(data) is kind, key, expected, data)
    if kind is int:
        _require(abs(data) <= _LARGEST, key, "a whole number of 64 bits", data)
    elif kind is str:
        _require(len(data) <= _CHARACTERS, key, f"at most {_CHARACTERS:,} characters", data)
        _require(not any("\ud800" <= c <= "\udfff" for c in data), key, "text in Unicode", data)
    return data


def _check_limits(field: dataclasses.Field, value: Any, key: str) -> None:
    items = value if isinstance(value, tuple | list) else (value,)
    numbers = [x for x in items if isinstance(x, int | float) and not isinstance(x, bool)]
    for name, (words, holds) in _LIMITS.items():
        limit = field.metadata.get(name)
        if limit is not None and not all(holds(number, limit) for number in numbers):
            raise _Wrong(key, f"must be {words} {limit}, got {_shown(value)}")
    choices = field.metadata.get("choices")
    if choices is not None and not all(item is None or item in choices for item in items):
        known = ", ".join(str(choice) for choice in choices)
        raise _Wrong(key, f"expected one of {known}, got {_shown(value)}")


@cache
def _annotations(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def _required(field: dataclasses.Field) -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def _require(holds: bool, key: str, expected: str, data: Any) -> None:
    if not holds:
        raise _Wrong(key, f"expected {expected}, got {_shown(data)}")


def _shown(data: Any) -> str:
    """The data, cut to a length that fits into a sentence."""
    if isinstance(data, dict | list):
        return f"a {'mapping' if isinstance(data, dict) else 'list'} of {len(data)}"
    if isinstance(data, int) and abs(data) > _LARGEST:
        return "a number too large"
    if isinstance(data, bool) or data is None:
        return {True: "true", False: "false", None: "null"}[data]
    text = ascii(data) if isinstance(data, str) else str(data)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _join(key: str, name: str) -> str:
    name = name if len(name) <= 60 else f"{name[:57]}..."
    return f"{key}.{name}" if key else name
