"""YAML text and command-line overrides as one tree whose every value knows where it was written."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from r2s_core.errors import ConfigError
from r2s_core.system import files

_BYTES = 2**18  # of a configuration; ours have some 2 kB
_VALUES = 20_000  # of a configuration, those behind an alias counted each time
_DEPTH = 40
_BITS = 64  # of a whole number; counts of steps need some forty
_MERGE = "tag:yaml.org,2002:merge"
#: A value in place of the file's: `a.b.c=value` as on the command line, or (a.b.c, value).
Override = str | tuple[str, Any]
#: Suffixes of scans, which people pass to `r2s run` in place of a configuration.
_SCANS = (".stl", ".obj", ".ply", ".pcd", ".glb", ".gltf", ".off", ".3mf", ".usdz")


class Problems:
    """Collects everything that is wrong, so that one run of the checker reports it all."""

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

    where: "configs/x.yaml:12", "command line" or "argument", for messages.
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
    _refuse_non_configurations(path)
    text = files.read_text(path, limit=_BYTES, what="a configuration", error=ConfigError)
    root = _compose(text, str(path), path.resolve().parent, problems)
    if root.value is None:
        root.value = {}
    if not isinstance(root.value, dict):
        raise ConfigError(f"{path}: expected keys and values at the top, got {describe(root)}")
    return root


def key_of(override: Override) -> str:
    """The dotted key that an override replaces."""
    return override.partition("=")[0] if isinstance(override, str) else override[0]


#: Plugins that may be written as a name alone.
_CHOSEN = (["backend"], ["environment", "renderer"])


def apply_overrides(root: Node, overrides: Iterable[Override], problems: Problems) -> None:
    """Put `a.b.c=value` texts, whose values are YAML, and (a.b.c, value) pairs into the tree.

    Paths start from the working directory.
    """
    for override in overrides:
        if not isinstance(override, str):
            dotted, plain = override
            _put(root, dotted.split("."), to_node(plain, "argument", Path.cwd()), problems)
            continue
        dotted, equals, text = override.partition("=")
        keys = dotted.split(".")
        if not equals or not all(keys) or len(keys) > _DEPTH:
            what = f"'{short(override)}': expected key=value, as in seed=3"
            problems.add("command line", "", what)
            continue
        try:
            value = _compose(text, "", Path.cwd(), problems)
        except ConfigError:
            problems.add("command line", dotted, f"'{short(text)}' is not valid YAML")
            continue
        _put(root, keys, value, problems)


def _put(root: Node, keys: Sequence[str], value: Node, problems: Problems) -> None:
    """Where a section on the way is no mapping, that is a problem: it must not vanish unread."""
    node = root
    for depth, key in enumerate(keys[:-1], start=1):
        child = node.value.get(key)
        if child is None or child.value is None:
            child = node.value[key] = Node(value.where, value.folder, {})
        elif keys[:depth] in _CHOSEN and isinstance(child.value, str):  # its short form
            child = node.value[key] = Node(child.where, child.folder, {"use": child})
        elif not isinstance(child.value, dict):
            what = f"expected keys and values under it, got {describe(child)}"
            problems.add(child.where, ".".join(keys[:depth]), what)
            return
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
    """A value as shown in messages: `'fast' (text)`."""
    value = node.value
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "keys and values"
    if isinstance(value, list):
        return "a list"
    names = {bool: "true/false", int: "a whole number", float: "a number", str: "text"}
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return f"{short(text)} ({names.get(type(value), type(value).__name__)})"


def short(text: str) -> str:
    """A text, cut to a length that fits into a sentence."""
    return text if len(text) <= 80 else f"{text[:77]}..."


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
        reason = short(" ".join(str(error).split()))
        raise ConfigError(f"{source}: not valid YAML: {reason}") from error
    except RecursionError:
        raise ConfigError(f"{source}: nested deeper than {_DEPTH} levels") from None


class _Converter:
    """Turns YAML's own nodes into ours, within bounds: a file of 1 kB can name a billion values."""

    def __init__(
        self, loader: yaml.SafeLoader, source: str, folder: Path, problems: Problems
    ) -> None:
        self.loader, self.source, self.folder, self.problems = loader, source, folder, problems
        self.ancestors: list[int] = []
        self.count = 0
        self.merged: dict[int, dict[str, tuple[yaml.Node, yaml.Node]]] = {}

    def where(self, node: yaml.Node) -> str:
        return f"{self.source}:{node.start_mark.line + 1}" if self.source else "command line"

    def convert(self, node: yaml.Node, where: str | None = None) -> Node:
        """`where` is the line of the key that holds the node, which is what a reader looks for."""
        where = where or self.where(node)
        self.count += 1
        if self.count > _VALUES:
            raise ConfigError(
                f"{where}: more than {_VALUES:,} values, counting what each alias (*name) repeats; "
                "no configuration needs as many"
            )
        with self.inside(node, where):
            return Node(where, self.folder, self.value(node, where))

    @contextmanager
    def inside(self, node: yaml.Node, where: str) -> Iterator[None]:
        """While this node's children are read."""
        if id(node) in self.ancestors:
            raise ConfigError(f"{where}: an alias (*name) that contains itself")
        if len(self.ancestors) >= _DEPTH:
            raise ConfigError(f"{where}: nested deeper than {_DEPTH} levels")
        self.ancestors.append(id(node))
        try:
            yield
        finally:
            self.ancestors.pop()

    def value(self, node: yaml.Node, where: str) -> Any:
        if isinstance(node, yaml.MappingNode):
            return {
                name: self.convert(value, self.where(key))
                for name, (key, value) in self.items(node).items()
            }
        if isinstance(node, yaml.SequenceNode):
            return [self.convert(item) for item in node.value]
        try:
            value = self.loader.construct_object(node)
            if isinstance(value, int) and value.bit_length() > _BITS:
                raise ConfigError(f"{where}: {short(node.value)} is beyond 64 bits")
            return value
        except (ConfigError, yaml.YAMLError, RecursionError):
            raise
        except Exception as error:  # `!!bool x`, `!!int ""`, `!!timestamp x`
            kind = node.tag.rpartition(":")[2]
            raise ConfigError(
                f"{where}: not valid YAML: {short(repr(node.value))} cannot be a {kind}"
            ) from error

    def items(self, node: yaml.MappingNode) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """Its keys and values by name; those that it merges (<<) are overridden by its own."""
        if id(node) in self.merged:
            return self.merged[id(node)]
        self.report_duplicates(node)
        found: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in node.value:
            if key.tag == _MERGE:
                for source in self.merge_sources(key, value):
                    with self.inside(source, self.where(key)):
                        found = self.items(source) | found
        found |= {_key_text(key): (key, v) for key, v in node.value if key.tag != _MERGE}
        self.merged[id(node)] = found
        return found

    def merge_sources(self, key: yaml.Node, value: yaml.Node) -> list[yaml.MappingNode]:
        sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
        mappings = [source for source in sources if isinstance(source, yaml.MappingNode)]
        if len(mappings) != len(sources):
            raise ConfigError(f"{self.where(key)}: << merges keys and values, as in <<: *name")
        return mappings

    def report_duplicates(self, node: yaml.MappingNode) -> None:
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


def _refuse_non_configurations(path: Path) -> None:
    """Raises `ConfigError` where there is no file, or one that is clearly not a configuration."""
    if path.suffix.lower() in _SCANS:
        raise ConfigError(
            f"{path}: this is a scan, not a configuration; to train on it: "
            f"r2s run quickstart environment.objects={path}"
        )
    with contextlib.suppress(OSError, ValueError):  # reading the file reports these
        if path.is_dir() and (path / "config.yaml").is_file():
            raise ConfigError(f"{path}: a folder; its configuration is {path / 'config.yaml'}")
        if not path.exists():
            raise ConfigError(f"{path}: no such file{_nearby(path)}")


def _nearby(path: Path) -> str:
    folder = path.parent
    found = sorted(item.name for item in folder.glob("*.yaml")) if folder.is_dir() else []
    return f"; {folder} holds {', '.join(found[:8])}" if found else ""
