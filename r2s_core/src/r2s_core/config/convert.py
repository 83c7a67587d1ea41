"""Converts the tree of nodes to typed values, strictly; an error says where and what to write."""

from __future__ import annotations

import dataclasses
import math
import re
import types
import typing
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Union, cast

from r2s_core.config.nodes import Node, Problems, describe, short
from r2s_core.errors import R2SError
from r2s_core.suggest import did_you_mean

#: Numbers that YAML 1.1 reads as text, for want of a point or a sign: 3e-4, 1e6, 1.5e3.
_EXPONENT = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+")

#: The limit of whole numbers, which go into 64-bit arrays, files and seeds.
LARGEST = 2**63 - 1
_SMALLEST, _LARGEST_FLOAT = 1.2e-38, 3.4e38  # of 32-bit floats


class Invalid(Exception):
    """Internal: a value was refused and the reason is already among the problems."""


def field_types(cls: type) -> dict[str, Any]:
    """The evaluated annotations of a configuration dataclass, by field."""
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def to_dataclass(cls: type, node: Node, key: str, problems: Problems) -> Any:
    """An instance of the dataclass `cls` from a mapping node; None and problems when refused."""
    values = mapping_of(node, key, problems)
    if values is None:
        return None
    check_keys(values, [field.name for field in dataclasses.fields(cls)], key, problems)
    return fill(cls, values, node.where, key, problems)


def fill(cls: type, values: Mapping[str, Node], where: str, key: str, problems: Problems) -> Any:
    """An instance of `cls` from those of `values` that are its fields; the rest are defaults."""
    count = len(problems.lines)
    hints = field_types(cls)
    arguments: dict[str, Any] = {}
    for field in dataclasses.fields(cls):
        name = join(key, field.name)
        if field.name in values:
            node = values[field.name]
            try:
                value = to_type(hints[field.name], node, name, problems)
                _check_range(field, value, node, name, problems)
                arguments[field.name] = value
            except Invalid:
                continue
        elif _is_required(field):
            problems.add(
                where, name, f"missing; {field.metadata.get('doc') or 'a value is needed'}"
            )
    if len(problems.lines) > count:
        return None
    try:
        return cls(**arguments)
    except (ValueError, ArithmeticError, R2SError) as error:  # what its own __post_init__ refuses
        problems.add(where, key, str(error))
        return None


def mapping_of(node: Node, key: str, problems: Problems) -> dict[str, Node] | None:
    """The items of a section; an empty section has none."""
    if node.value is None:
        return {}
    if isinstance(node.value, dict):
        return node.value
    problems.add(node.where, key, f"expected keys and values under it, got {describe(node)}")
    return None


def check_keys(values: Mapping[str, Node], known: list[str], key: str, problems: Problems) -> None:
    """Report unknown keys."""
    for name, node in values.items():
        if name not in known:
            hint = did_you_mean(name, known) or f"; known keys: {', '.join(known) or 'none'}"
            problems.add(node.where, join(key, short(name)), f"unknown key{hint}")


def to_type(kind: Any, node: Node, key: str, problems: Problems) -> Any:
    """The node's value as type `kind`.

    Raises:
        Invalid: it is of another type; the reason has been added to `problems`.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return plain(node)
    if origin in (Union, types.UnionType):
        return _to_union(arguments, node, key, problems)
    if origin is Literal:
        return _to_choice(arguments, node, key, problems)
    if origin in (tuple, list):
        return _to_tuple(arguments, node, key, problems)
    if origin is not None and issubclass(origin, Mapping):
        items = mapping_of(node, key, problems)
        if items is None:
            raise Invalid
        return {k: to_type(arguments[1], v, join(key, k), problems) for k, v in items.items()}
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        value = to_dataclass(kind, node, key, problems)
        if value is None:
            raise Invalid
        return value
    return _to_scalar(cast(type, kind), node, key, problems)


def plain(node: Node) -> Any:
    """The tree below a node as plain Python values."""
    if isinstance(node.value, dict):
        return {key: plain(value) for key, value in node.value.items()}
    if isinstance(node.value, list):
        return [plain(item) for item in node.value]
    return node.value


def join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def type_name(kind: Any) -> str:
    """A type as users read it: `number`, `text or nothing`, `list of 3 numbers`."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    names = {
        bool: "true or false",
        int: "whole number",
        float: "number",
        str: "text",
        Path: "path",
        types.NoneType: "nothing",
        Any: "anything",
    }
    if kind in names:
        return names[kind]
    if origin in (Union, types.UnionType):
        return " or ".join(type_name(argument) for argument in arguments)
    if origin is Literal:
        return " | ".join(str(argument) for argument in arguments)
    if origin in (tuple, list):
        count = "" if origin is list or Ellipsis in arguments else f"{len(arguments)} "
        return f"list of {count}{type_name(arguments[0])}s"
    return "keys and values"


def _to_scalar(kind: type, node: Node, key: str, problems: Problems) -> Any:
    value = node.value
    if isinstance(value, str) and (character := _forbidden(value)):
        problems.add(node.where, key, f"contains the character {character}, which is not allowed")
        raise Invalid
    if isinstance(value, int) and abs(value) > LARGEST:
        problems.add(node.where, key, f"{describe(node)} is beyond 64 bits")
        raise Invalid
    if kind is bool and isinstance(value, bool):
        return value
    number = _number(value)
    if kind is int and number is not None and abs(number) <= LARGEST and number == int(number):
        return int(number)
    if kind is float and number is not None:
        return float(number)
    if kind is str and isinstance(value, str):
        return value
    if kind is Path and isinstance(value, str) and value:
        return node.folder / expanded(value, node.where, key, problems)
    hint = "; put it in quotes" if kind is str and _is_plain_scalar(value) else ""
    problems.add(node.where, key, f"expected {_article(kind)}, got {describe(node)}{hint}")
    raise Invalid


def expanded(text: str, where: str, key: str, problems: Problems) -> Path:
    """A path with its ~ replaced; `Invalid` where that user has no home."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        problems.add(where, key, f"{short(text)}: there is no such home folder; write the path out")
        raise Invalid from None


def _number(value: Any) -> int | float | None:
    """The number, also where YAML 1.1 reads it as text, such as 3e-4; None for bools.

    None too for NaN, infinity, and values that overflow or underflow in a float32 array.
    """
    if isinstance(value, str) and _EXPONENT.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value and not _SMALLEST < abs(value) < _LARGEST_FLOAT:
        return None
    return value


def _forbidden(text: str) -> str | None:
    """The first control character or lone surrogate of a text, escaped, if there is one."""
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cs"):
            return ascii(character)
    return None


def _to_union(arguments: tuple[Any, ...], node: Node, key: str, problems: Problems) -> Any:
    """The first member that fits; with one member besides None, its own error is the clearest."""
    if types.NoneType in arguments and node.value is None:
        return None
    members = [argument for argument in arguments if argument is not types.NoneType]
    if set(members) == {Path, str} and isinstance(node.value, str):
        # A name stays a name; what has a folder or a suffix is a file.
        looks_like_path = "/" in node.value or Path(node.value).suffix
        members = [Path if looks_like_path else str]
    if len(members) == 1:
        return to_type(members[0], node, key, problems)
    for member in members:
        attempt = Problems()
        try:
            return to_type(member, node, key, attempt)
        except Invalid:
            continue
    expected = " or ".join(type_name(argument) for argument in arguments)
    problems.add(node.where, key, f"expected {expected}, got {describe(node)}")
    raise Invalid


def _to_choice(choices: tuple[Any, ...], node: Node, key: str, problems: Problems) -> Any:
    for choice in choices:
        if type(choice) is type(node.value) and choice == node.value:
            return choice
    options = ", ".join(map(str, choices))
    hint = did_you_mean(str(node.value), map(str, choices))
    problems.add(node.where, key, f"expected one of {options}; got {describe(node)}{hint}")
    raise Invalid


def _to_tuple(arguments: tuple[Any, ...], node: Node, key: str, problems: Problems) -> tuple:
    any_length = len(arguments) == 1 or Ellipsis in arguments
    if any_length and isinstance(node.value, str) and node.value:  # `objects: scan.stl`
        return (to_type(arguments[0], node, key, problems),)
    if not isinstance(node.value, list):
        problems.add(node.where, key, f"expected a list as in [1, 2], got {describe(node)}")
        raise Invalid
    items = node.value
    if any_length:
        arguments = (arguments[0],) * len(items)
    if len(arguments) != len(items):
        problems.add(node.where, key, f"expected {len(arguments)} values, got {len(items)}")
        raise Invalid
    return tuple(
        to_type(argument, item, f"{key}[{index}]", problems)
        for index, (argument, item) in enumerate(zip(arguments, items, strict=True))
    )


def _check_range(
    field: dataclasses.Field, value: Any, node: Node, key: str, problems: Problems
) -> None:
    """Hold a value, or every item of a list, to the limits that `option` recorded."""
    tests = {
        "minimum": ("at least", lambda item, limit: item >= limit),
        "maximum": ("at most", lambda item, limit: item <= limit),
        "above": ("above", lambda item, limit: item > limit),
        "below": ("below", lambda item, limit: item < limit),
    }
    items = value if isinstance(value, tuple) else (value,)
    for name, (words, holds) in tests.items():
        limit = field.metadata.get(name)
        numbers = [item for item in items if isinstance(item, int | float)]
        if limit is not None and not all(holds(item, limit) for item in numbers):
            what = f"must be {words} {limit:,}, got {short(str(plain(node)))}"
            problems.add(node.where, key, what)
    choices = field.metadata.get("choices")
    for item in items:
        if choices is not None and item is not None and item not in choices:
            known = [str(choice) for choice in choices]
            text = short(str(item))
            what = f"must be one of {', '.join(known)}; got {text}{did_you_mean(text, known)}"
            problems.add(node.where, key, what)


def _is_required(field: dataclasses.Field) -> bool:
    missing = dataclasses.MISSING
    return field.init and field.default is missing and field.default_factory is missing


def _is_plain_scalar(value: Any) -> bool:
    return value is not None and not isinstance(value, dict | list)


def _article(kind: Any) -> str:
    name = type_name(kind)
    return name if kind in (bool, str) else f"a {name}"
