"""Finds plugins by their entry points, and imports only what is used.

Loading has two stages. An entry point names a `Plugin` manifest in a light module: `discover`
reads package metadata only, `get` imports one manifest, and `load_target` imports the heavy
builder that it names. So listing never imports, and a broken plugin that nobody uses harms nobody.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from r2s_core.errors import PluginError, PluginLoadError, R2SError
from r2s_core.plugin import CONTRACT_VERSION, GROUPS, Kind, Plugin
from r2s_core.suggest import did_you_mean
from r2s_core.trust import trusted_source


@dataclasses.dataclass(frozen=True)
class Entry:
    """An installed plugin as package metadata tells of it; nothing of it is imported yet."""

    kind: Kind
    name: str
    location: str  # "module:attribute" of the manifest
    dist: str
    version: str

    @property
    def qualified(self) -> str:
        """`dist:name`, which names this plugin even when two packages offer the same name."""
        return f"{self.dist}:{self.name}"

    def __str__(self) -> str:
        return f"{self.kind} plugin '{self.name}' ({self.dist} {self.version})"


@dataclasses.dataclass(frozen=True)
class Installed:
    """A plugin whose manifest was imported and whose contract version fits."""

    entry: Entry
    plugin: Plugin


def discover(kind: Kind) -> list[Entry]:
    """Every installed plugin of a kind, sorted by name and package; imports no plugin."""
    return [entry for entry in _entries(tuple(sys.path)) if entry.kind == kind]


def find(kind: Kind, name: str) -> Entry:
    """The one installed plugin called `name` or `dist:name`, else a `PluginError` that helps."""
    entries = discover(kind)
    if ":" in name:
        matches = [entry for entry in entries if entry.qualified == name]
    else:
        matches = [entry for entry in entries if entry.name == name]
    if len(matches) == 1:
        return matches[0]
    if matches:
        offers = " and ".join(f"{entry.dist} {entry.version}" for entry in matches)
        choices = " or ".join(entry.qualified for entry in matches)
        raise PluginError(f"{kind} '{name}' is offered by {offers}; say which: {choices}")
    known = sorted({entry.name for entry in entries})
    raise PluginError(
        f"no {kind} named '{name}' is installed{did_you_mean(name, known) or ';'} "
        f"installed: {', '.join(known) or 'none'}; "
        "pip install the package that provides it, and `r2s plugins` will list it"
    )


def get(kind: Kind, name: str) -> Installed:
    """Import the manifest of the plugin called `name` or `dist:name`."""
    return load_manifest(find(kind, name))


def load_manifest(entry: Entry) -> Installed:
    """Import an entry's manifest; refuse what is no manifest or speaks another contract."""
    plugin = _import_from(entry, entry.location)
    if not isinstance(plugin, Plugin):
        raise _broken(entry, entry.location, f"it is {type(plugin).__name__}, not a Plugin")
    if plugin.contract != CONTRACT_VERSION:
        core = importlib.metadata.version("r2s-core")
        older = plugin.contract < CONTRACT_VERSION
        raise PluginError(
            f"{entry} was built for contract {plugin.contract}, but r2s-core {core} speaks "
            f"contract {CONTRACT_VERSION}; upgrade {entry.dist if older else 'r2s-core'}"
        )
    if (plugin.kind, plugin.name) != (entry.kind, entry.name):
        found = f"its manifest says {plugin.kind} '{plugin.name}'"
        raise _broken(
            entry, entry.location, f"{found}, its entry point {entry.kind} '{entry.name}'"
        )
    return Installed(entry, plugin)


def load_target(installed: Installed) -> Callable[..., Any]:
    """Import the builder that a manifest names; this is where JAX may come in."""
    entry, target = installed.entry, installed.plugin.target
    builder = _import_from(entry, target)
    if not callable(builder):
        raise _broken(entry, target, f"it is {type(builder).__name__}, not callable")
    return builder


def build(kind: Kind, name: str, *args: Any) -> Any:
    """Build a plugin; `args` are those of its kind's builder, in order (see `r2s_core.plugin`).

    For a reward, `name` may also be `path/to/file.py:function`.
    """
    if kind == "reward" and is_file_reference(name):
        return load_function(name)
    installed = get(kind, name)
    builder = load_target(installed)
    try:
        return builder(*args)
    except R2SError:
        raise
    except Exception as error:
        raise _broken(installed.entry, installed.plugin.target, _describe(error)) from error


def check(entry: Entry) -> R2SError | None:
    """Import the manifest and the builder of one plugin; the error that a user would meet."""
    try:
        load_target(load_manifest(entry))
    except R2SError as error:
        return error
    return None


def is_file_reference(name: str) -> bool:
    """Whether `name` means a function in a file (`path/to/file.py:function`), not a plugin."""
    return name.rpartition(":")[0].endswith(".py")


def load_function(reference: str) -> Callable[..., Any]:
    """The function that `path/to/file.py:function` names, run from its file.

    Raises:
        UntrustedCodeError: the user has not trusted what is in the file.
        PluginLoadError: the file is missing or fails, or has no such function.
    """
    location, _, attribute = reference.rpartition(":")
    path = Path(location)
    if not path.is_file():
        raise PluginLoadError(f"{location}: no such file (named by `use: {reference}`)")
    spec = importlib.util.spec_from_file_location(f"_r2s_file_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    source = trusted_source(reference)
    module = importlib.util.module_from_spec(spec)
    try:
        exec(compile(source, path, "exec"), vars(module))  # what was trusted, not a second reading
    except Exception as error:
        raise PluginLoadError(f"{location} cannot be imported: {_describe(error)}") from error
    function = getattr(module, attribute, None)
    if not callable(function):
        known = [name for name, value in vars(module).items() if callable(value)]
        raise PluginLoadError(
            f"{location} defines no function '{attribute}'{did_you_mean(attribute, known)}"
        )
    return function


@functools.lru_cache(maxsize=8)
def _entries(path: tuple[str, ...]) -> tuple[Entry, ...]:
    """All plugins on the import path; keyed by it, so that a changed path is read again."""
    points = importlib.metadata.entry_points()
    entries = [
        Entry(
            kind=kind,
            name=point.name,
            location=point.value,
            dist=point.dist.name if point.dist else "unknown",
            version=point.dist.version if point.dist else "unknown",
        )
        for kind, group in GROUPS.items()
        for point in points.select(group=group)
    ]
    return tuple(sorted(entries, key=lambda entry: (entry.kind, entry.name, entry.dist)))


def _import_from(entry: Entry, location: str) -> Any:
    """The object at "module:attribute"; whatever goes wrong names the plugin and its package."""
    module_name, _, attribute = location.partition(":")
    try:
        value: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            value = getattr(value, part)
    except Exception as error:
        raise _broken(entry, location, _describe(error)) from error
    return value


def _broken(entry: Entry, target: str, cause: str) -> PluginLoadError:
    return PluginLoadError(
        f"{entry} cannot be loaded from {target}: {cause}; reinstall it with its dependencies "
        f"(pip install --force-reinstall {entry.dist}), report it to its author, "
        f"or choose another {entry.kind}"
    )


def _describe(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
