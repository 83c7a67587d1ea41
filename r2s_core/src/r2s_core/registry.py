"""Finds plugins by their entry points, and imports only what is used.

Loading has two stages. An entry point names a `Plugin` manifest in a light module: `discover`
reads package metadata only, `get` imports one manifest, and `load_target` imports the heavy
builder that it names. So listing never imports, and a broken plugin does no harm until it is used.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import importlib.metadata
import sys
import typing
from collections.abc import Callable
from typing import Any

from r2s_core.errors import PluginError, PluginLoadError, R2SError
from r2s_core.plugin import CONTRACT_VERSION, GROUPS, Kind, Plugin
from r2s_core.suggest import did_you_mean
from r2s_core.system.foreign import OURS, calling, describe
from r2s_core.system.text import say_once
from r2s_core.system.user_file import is_file_reference, load_function

#: The packages of known plugins, for advice on what to install.
_PACKAGES: dict[tuple[Kind, str], str] = {
    ("algorithm", "ppo"): "r2s-algos-ppo",
    ("algorithm", "sac"): "r2s-algos-sac",
    ("algorithm", "ddpg"): "r2s-algos-ddpg",
    ("algorithm", "bc"): "r2s-algos-bc",
    ("robot", "panda"): "r2s-envs-robots",
    ("robot", "ur5e_2f85"): "r2s-envs-robots",
    ("command", "object"): "r2s-envs-objects",
    ("command", "scene"): "r2s-envs-pick-place",
    ("command", "demo"): "r2s-lerobot",
}
_TASK = "info action_low action_high scene init control update observe terminated success metrics"
#: Attributes that a built plugin must have, by kind; `r2s_core.types` has the full contracts.
_PARTS: dict[Kind, str] = {
    "algorithm": "steps_per_update init update policy export",
    "environment": _TASK,
    "robot": "name add dress arm_joints finger_joints home ready gripper",
    "reward": "__call__",
    "randomizer": "stage writes",
    "backend": "name num_worlds batchable variant traceable init step reset",
    "camera": "position quaternion field_of_view size channels mount period groups",
    "renderer": "name num_worlds traceable variable render",
}


@dataclasses.dataclass(frozen=True)
class Entry:
    """An installed plugin as package metadata describes it; nothing of it is imported yet."""

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

    def default_options(self) -> Any:
        """Its configuration with all defaults."""
        with _loading(self.entry, self.plugin.config):
            return self.plugin.config()


def discover(kind: Kind) -> list[Entry]:
    """Every installed plugin of a kind, sorted by name and package; imports no plugin."""
    return [entry for entry in _scan(tuple(sys.path))[0] if entry.kind == kind]


def damaged() -> tuple[str, ...]:
    """A line for each installed package whose metadata cannot be read; its plugins are unknown."""
    return _scan(tuple(sys.path))[1]


def find(kind: Kind, name: str) -> Entry:
    """The one installed plugin called `name` or `dist:name`.

    Raises `PluginError`, saying what to do, where there is none or more than one.
    """
    entries = discover(kind)
    if ":" in name:
        matches = [entry for entry in entries if entry.qualified == name]
    else:
        matches = [entry for entry in entries if entry.name == name]
    if len(matches) > 1 and (ours := [entry for entry in matches if entry.dist in OURS]):
        for other in matches:
            if other not in ours:
                say_once(
                    f"{kind} '{name}' is offered by {other.dist} too; {ours[0].dist}'s is used "
                    f"(write {other.qualified} for the other)"
                )
        matches = ours
    if len(matches) == 1:
        return matches[0]
    if matches:
        offers = " and ".join(f"{entry.dist} {entry.version}" for entry in matches)
        choices = " or ".join(entry.qualified for entry in matches)
        raise PluginError(f"{kind} '{name}' is offered by {offers}; say which: {choices}")
    known = sorted({entry.name for entry in entries})
    meant = did_you_mean(name, known)
    missing = f"no {kind} named '{name}' is installed{meant or ';'} installed: "
    missing += ", ".join(known) or "none"
    if meant and kind == "command":  # a typing error is likelier than a missing package
        raise PluginError(missing)
    package = _PACKAGES.get((kind, name), "the package that provides it")
    raise PluginError(
        f"{missing}; pip install {package}, and `r2s plugins` will list it"
        + ("" if kind == "command" or (kind, name) in _PACKAGES else _or_new(kind))
    )


def default(kind: Kind) -> str | None:
    """The plugin of a kind for configurations that name none.

    The only one that is installed, else the one whose manifest sets `default`; None where neither
    decides. Those of r2s come first, so that installing third-party packages changes nothing.
    """
    entries = discover(kind)
    if len({entry.name for entry in entries}) == 1:
        return entries[0].name
    for group in (True, False):
        candidates = [entry for entry in entries if (entry.dist in OURS) is group]
        found = sorted({entry.name for entry in candidates if _is_default(entry)})
        if found:
            return found[0] if len(found) == 1 else None
    return None


def _is_default(entry: Entry) -> bool:
    try:
        return load_manifest(entry).plugin.default
    except PluginError:  # reported where it is used
        return False


def _or_new(kind: Kind) -> str:
    return f" (`r2s new {'task' if kind == 'environment' else kind} NAME` writes one)"


def get(kind: Kind, name: str) -> Installed:
    """Import the manifest of the plugin called `name` or `dist:name`."""
    return load_manifest(find(kind, name))


def name_in_yaml(entry: Entry) -> str:
    """The name that resolves to this plugin: its own, or `dist:name` where that is ambiguous."""
    namesakes = [e for e in discover(entry.kind) if e.name == entry.name]
    unambiguous = len(namesakes) == 1 or (
        entry.dist in OURS and not any(e.dist in OURS for e in namesakes if e != entry)
    )
    return entry.name if unambiguous else entry.qualified


def load_manifest(entry: Entry) -> Installed:
    """Import an entry's manifest.

    Raises `PluginError` where it is not a manifest or was built for another contract.
    """
    plugin = _import_from(entry, entry.location)
    if not isinstance(plugin, Plugin):
        raise _broken(entry, entry.location, f"it is {type(plugin).__name__}, not a Plugin")
    if type(plugin.contract) is not int:
        found = f"its contract is {plugin.contract!r}, not a whole number"
        raise _broken(entry, entry.location, found)
    if plugin.contract != CONTRACT_VERSION:
        core = importlib.metadata.version("r2s-core")
        older = plugin.contract < CONTRACT_VERSION
        raise PluginError(
            f"{entry} was built for contract {plugin.contract}, but r2s-core {core} implements "
            f"contract {CONTRACT_VERSION}; upgrade {entry.dist if older else 'r2s-core'}"
        )
    if fault := _malformed(entry, plugin):
        raise _broken(entry, entry.location, fault)
    return Installed(entry, plugin)


def _malformed(entry: Entry, plugin: Plugin) -> str | None:
    """What is wrong with the fields of a manifest; None where they are right."""
    for field in ("name", "kind", "summary", "target"):
        if not isinstance(value := getattr(plugin, field), str):
            return f"its {field} is {value!r}, not text"
    if (plugin.kind, plugin.name) != (entry.kind, entry.name):
        return (
            f"its manifest says {plugin.kind} '{plugin.name}', "
            f"its entry point {entry.kind} '{entry.name}'"
        )
    if not all(plugin.target.partition(":")):
        return f"its target is '{plugin.target}', not module:callable"
    if not (isinstance(plugin.config, type) and dataclasses.is_dataclass(plugin.config)):
        return f"its config is {plugin.config!r}, not a dataclass of options"
    if plugin.configure is not None and not callable(plugin.configure):
        return f"its configure is {plugin.configure!r}, not a function"
    with _loading(entry, plugin.config):
        typing.get_type_hints(plugin.config)  # a name in them may not exist
    return None


def load_target(installed: Installed) -> Callable[..., Any]:
    """Import the builder that a manifest names; this may import JAX."""
    entry, target = installed.entry, installed.plugin.target
    builder = _import_from(entry, target)
    if not callable(builder):
        raise _broken(entry, target, f"it is {type(builder).__name__}, not callable")
    return builder


def load_inputs(installed: Installed) -> Callable[..., Any] | None:
    """A plugin's function `Plugin.inputs`, if it has one."""
    target = installed.plugin.inputs
    return None if target is None else _import_from(installed.entry, target)


def build(kind: Kind, name: str, *args: Any) -> Any:
    """Build a plugin; `args` are those of its kind's builder, in order (see `r2s_core.plugin`).

    For a reward, `name` may also be `path/to/file.py:function`.
    """
    if kind == "reward" and is_file_reference(name):
        return load_function(name)
    installed = get(kind, name)
    entry, builder = installed.entry, load_target(installed)
    with _loading(entry, builder):
        made = builder(*args)
        whole = kind == "environment" and hasattr(made, "step")
        parts = "spec reset step" if whole else _PARTS.get(kind, "")
        missing = [part for part in parts.split() if not hasattr(made, part)]
    if missing:
        what = "nothing" if made is None else type(made).__name__
        found = f"it returned {what}, no {kind}: there is no {', '.join(missing)}"
        raise _broken(entry, installed.plugin.target, found)
    if kind in ("robot", "backend") and made.name != entry.name:
        raise _broken(entry, installed.plugin.target, f"its name is {made.name!r}")
    return made


def build_robot(name: str) -> Any:
    """The robot plugin `name` with its default options; see `r2s_core.robot.Robot`."""
    return build("robot", name, get("robot", name).default_options())


def check(entry: Entry) -> R2SError | None:
    """Import the manifest and the builder of one plugin; the error that it would raise."""
    try:
        load_target(load_manifest(entry))
    except R2SError as error:
        return error
    return None


@functools.lru_cache(maxsize=8)
def _scan(path: tuple[str, ...]) -> tuple[tuple[Entry, ...], tuple[str, ...]]:
    """All plugins on the import path, and a line for each package that could not be read.

    Keyed by the path, so that a changed path is read again. Of two packages with the same name the
    first on the path is imported, so the other's entry points do not count.
    """
    found: dict[str, list[Entry]] = {}
    damaged = []
    for dist in importlib.metadata.distributions():
        try:
            offered = _entries_of(dist)
        except Exception as error:  # whatever a broken installation raises
            place = getattr(dist, "_path", "a package")
            damaged.append(f"{place}: its metadata cannot be read: {describe(error)}")
            continue
        if offered:
            found.setdefault(offered[0].dist, offered)
    entries = [entry for offered in found.values() for entry in offered]
    entries.sort(key=lambda entry: (entry.kind, entry.name, entry.dist))
    return tuple(entries), tuple(damaged)


def _entries_of(dist: importlib.metadata.Distribution) -> list[Entry]:
    """The plugins that a package offers; most offer none, and for those only one file is read."""
    if "r2s." not in (dist.read_text("entry_points.txt") or ""):
        return []
    name, version = dist.metadata["Name"], dist.metadata["Version"]
    if not name:
        raise ValueError("there is no name in METADATA")
    points = dist.entry_points
    return [
        Entry(kind, point.name, point.value, name, version or "unknown")
        for kind, group in GROUPS.items()
        for point in points.select(group=group)
    ]


def _import_from(entry: Entry, location: str) -> Any:
    """The object at "module:attribute"; errors name the plugin and its package."""
    module_name, _, attribute = location.partition(":")
    with _loading(entry, module_name):
        value: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            value = getattr(value, part)
    return value


def _loading(entry: Entry, code: Any) -> contextlib.AbstractContextManager[None]:
    """The context for code that a plugin runs when it is imported or built."""
    return calling(str(entry), code, advice=_advice(entry), raising=PluginLoadError)


def _broken(entry: Entry, target: str, cause: str) -> PluginLoadError:
    return PluginLoadError(f"{entry} cannot be used: {target}: {cause}; {_advice(entry)}")


def _advice(entry: Entry) -> str:
    return f"report it to the authors of {entry.dist}, or choose another {entry.kind}"
