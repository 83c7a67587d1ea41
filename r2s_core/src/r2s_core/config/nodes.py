"""YAML text and command-line overrides as one tree whose every value knows where it was written."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from r2s_core.errors import ConfigError


class Problems:
    """Collects everything that is wrong, so that one run of the checker tells it all."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, where: str, key: str, what: str) -> None:
        """`where`: "file:line" or "command line"; `key`: the dotted key, or empty."""
        self.lines.append(f"{where}: {key}: {what}" if key else f"{where}: {what}")

    def raise_if_any(self) -> None:
        """Raise a `ConfigError` with a line per problem, in the order of the file."""
        if self.lines:
            raise ConfigError("\n".join(sorted(dict.fromkeys(self.lines), key=_line_number)))


def _line_number(problem: str) -> float:
    """The line that a problem is about; the command line comes last, stably."""
    number = re.match(r"[^:]*:(\d+): ", problem)
    return int(number[1]) if number else math.inf


@dataclasses.dataclass
class Node:
    """A value of the configuration.

    where: "configs/x.yaml:12" or "command line", for messages.
    folder: what relative paths in this value start from.
    value: a scalar, a list of nodes, or a dict of nodes by key.
    """

    where: str
    folder: Path
    value: Any


def read_file(path: Path, problems: Problems) -> Node:
    """The tree of a YAML file.

    Raises:
        ConfigError: the file cannot be read, or is no YAML mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file{_nearby(path)}") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConfigError(f"{path}: cannot be read: {reason}") from error
    root = _compose(text, str(path), path.resolve().parent, problems)
    if root.value is None:
        root.value = {}
    if not isinstance(root.value, dict):
        raise ConfigError(f"{path}: expected keys and values at the top, got {describe(root)}")
    return root


def apply_overrides(root: Node, overrides: Iterable[str], problems: Problems) -> None:
    """Put `a.b.c=value` texts into the tree; values are YAML, paths start from the working dir."""
    for override in overrides:
        dotted, equals, text = override.partition("=")
        keys = dotted.split(".")
        if not equals or not all(keys):
            problems.add("command line", "", f"'{override}': expected key=value, as in seed=3")
            continue
        try:
            value = _compose(text, "", Path.cwd(), problems)
        except ConfigError:
            problems.add("command line", dotted, f"'{text}' is not valid YAML")
            continue
        node = root
        for key in keys[:-1]:
            child = node.value.get(key)
            if child is None or not isinstance(child.value, dict):
                child = node.value[key] = Node(value.where, value.folder, {})
            node = child
        node.value[keys[-1]] = value


def to_node(value: Any, where: str, folder: Path) -> Node:
    """The tree of plain Python values: mappings, lists, tuples, paths and scalars."""
    if isinstance(value, Mapping):
        items = {str(key): to_node(item, where, folder) for key, item in value.items()}
        return Node(where, folder, items)
    if isinstance(value, list | tuple):
        return Node(where, folder, [to_node(item, where, folder) for item in value])
    return Node(where, folder, str(value) if isinstance(value, Path) else value)


def describe(node: Node) -> str:
    """A value as messages name it: `'fast' (text)`."""
    value = node.value
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "keys and values"
    if isinstance(value, list):
        return "a list"
    names = {bool: "true/false", int: "a whole number", float: "a number", str: "text"}
    shown = str(value).lower() if isinstance(value, bool) else repr(value)
    return f"{shown} ({names.get(type(value), type(value).__name__)})"


def _compose(text: str, source: str, folder: Path, problems: Problems) -> Node:
    """Parse YAML; `source` is the file's name, or empty for the command line."""
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if root is None:
            return Node(source or "command line", folder, None)
        return _Converter(loader, source, folder, problems).convert(root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{source}:{mark.line + 1}" if mark else source
        raise ConfigError(f"{where}: not valid YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError) as error:  # a forbidden character, a date like 2026-99-99
        reason = " ".join(str(error).split())
        raise ConfigError(f"{source}: not valid YAML: {reason}") from error


class _Converter:
    """Turns YAML's own nodes into ours."""

    def __init__(
        self, loader: yaml.SafeLoader, source: str, folder: Path, problems: Problems
    ) -> None:
        self.loader, self.source, self.folder, self.problems = loader, source, folder, problems
        self.ancestors: set[int] = set()

    def where(self, node: yaml.Node) -> str:
        return f"{self.source}:{node.start_mark.line + 1}" if self.source else "command line"

    def convert(self, node: yaml.Node, where: str | None = None) -> Node:
        """`where` is the line of the key that holds the node, which is what a reader looks for."""
        where = where or self.where(node)
        if id(node) in self.ancestors:
            raise ConfigError(f"{where}: an alias (*name) that contains itself")
        self.ancestors.add(id(node))
        try:
            return Node(where, self.folder, self._value(node))
        finally:
            self.ancestors.discard(id(node))

    def _value(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.MappingNode):
            self._report_duplicates(node)
            self.loader.flatten_mapping(node)  # merge keys (<<)
            return {
                _key_text(key): self.convert(value, self.where(key)) for key, value in node.value
            }
        if isinstance(node, yaml.SequenceNode):
            return [self.convert(item) for item in node.value]
        return self.loader.construct_object(node)

    def _report_duplicates(self, node: yaml.MappingNode) -> None:
        first: dict[str, int] = {}
        for key, _ in node.value:
            name = _key_text(key)
            if name in first and name != "<<":
                what = f"written twice; the first is on line {first[name]}"
                self.problems.add(self.where(key), name, what)
            first.setdefault(name, key.start_mark.line + 1)


def _key_text(key: yaml.Node) -> str:
    """A key as it is written: `on` is the key "on", not YAML 1.1's True."""
    return key.value if isinstance(key, yaml.ScalarNode) else str(key.start_mark)


def _nearby(path: Path) -> str:
    folder = path.parent
    found = sorted(item.name for item in folder.glob("*.yaml")) if folder.is_dir() else []
    return f"; {folder} holds {', '.join(found[:8])}" if found else ""
