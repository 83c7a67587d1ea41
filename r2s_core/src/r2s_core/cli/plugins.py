"""`r2s plugins` and `r2s info`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Any

from r2s_core import registry
from r2s_core.config.convert import field_types, type_name
from r2s_core.config.schema import EngineConfig, to_plain
from r2s_core.errors import PluginError
from r2s_core.plugin import GROUPS
from r2s_core.registry import Entry
from r2s_core.suggest import did_you_mean
from r2s_core.system.foreign import OURS, calling
from r2s_core.system.text import printable


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `plugins`."""
    parser.epilog = """examples:
  r2s plugins
  r2s plugins reward       only the rewards
  r2s plugins --check      import every plugin, build none, and report those that are broken
  r2s plugins --json"""
    parser.add_argument(
        "kind", metavar="KIND", nargs="?", choices=list(GROUPS), help=", ".join(GROUPS)
    )
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    parser.add_argument(
        "--check",
        action="store_true",
        help="import all manifests and builders; exit 1 if an import fails (nothing is built)",
    )


def main(args: argparse.Namespace) -> int:
    """List the plugins, and check them if requested."""
    entries = [entry for kind in GROUPS for entry in registry.discover(kind)]
    entries = [entry for entry in entries if args.kind in (None, entry.kind)]
    errors = {entry: registry.check(entry) for entry in entries} if args.check else {}
    broken = {entry: str(error) for entry, error in errors.items() if error}
    if args.json:
        rows = [dataclasses.asdict(entry) for entry in entries]
        if args.check:
            rows = [row | {"error": broken.get(e)} for row, e in zip(rows, entries, strict=True)]
        print(json.dumps(rows, indent=2))
    else:
        checked = ("CHECK",) if args.check else ()
        rows = [("KIND", "NAME", "PACKAGE", "VERSION", *checked, "SUMMARY")]
        print_table(rows + [_row(entry, errors) for entry in entries])
        for message in broken.values():
            print(printable(message), file=sys.stderr)
    for line in registry.damaged():
        print(printable(line), file=sys.stderr)
    return 1 if broken or (args.check and registry.damaged()) else 0


def _row(entry: Entry, errors: dict[Entry, Any]) -> tuple[str, ...]:
    name = registry.name_in_yaml(entry)
    checked = ("BROKEN" if errors[entry] else "ok",) if errors else ()
    summary = _summary(entry, imported=bool(errors))
    if name != entry.name:
        summary = f"offered twice: write {name}"
    return entry.kind, entry.name, entry.dist, entry.version, *checked, summary


def _summary(entry: Entry, imported: bool) -> str:
    """The plugin's summary; of a third-party package, which is not imported for it, the command
    that shows it."""
    if entry.dist not in OURS and not imported:
        return f"see r2s info {entry.kind}:{entry.name}"
    try:
        return registry.load_manifest(entry).plugin.summary
    except PluginError:  # --check reports it
        return ""


def configure_info(parser: argparse.ArgumentParser) -> None:
    """The arguments of `info`."""
    parser.epilog = """examples:
  r2s info algorithm:ppo
  r2s info reach                        the kind may be left out where the name is unique
  r2s info runs/quickstart              a trained policy: what it reads and gives"""
    parser.add_argument(
        "plugin",
        metavar="KIND:NAME",
        help=f"KIND: {', '.join(GROUPS)}; or the folder of a run, or of its policy",
    )
    parser.add_argument("--json", action="store_true", help="machine-readable output")


def _is_path(text: str) -> bool:
    """Whether `r2s info TEXT` is about a policy's files and not about a plugin."""
    if os.sep in text:
        return True
    named = any(entry.name == text for kind in GROUPS for entry in registry.discover(kind))
    return not named and Path(text).exists()


def main_info(args: argparse.Namespace) -> int:
    """Show one plugin and its options, or a policy."""
    if _is_path(args.plugin):
        from r2s_core.cli import policy_info  # it imports NumPy

        policy_info.show(Path(args.plugin), args.json)
        return 0
    installed = _find(args.plugin)
    entry, plugin = installed.entry, installed.plugin
    with calling(str(entry), plugin.config):
        options = _options(plugin.config)
    if args.json:
        print(
            json.dumps(
                {
                    **dataclasses.asdict(entry),
                    "summary": plugin.summary,
                    "contract": plugin.contract,
                    "target": plugin.target,
                    "options": options,
                },
                indent=2,
                default=repr,
            )
        )
        return 0
    print(printable(f"{entry.kind} {entry.name}: {plugin.summary}"))
    source = f"{entry.dist} {entry.version}"
    print(printable(f"from {source}, contract {plugin.contract}, {plugin.target}") + "\n")
    _print_options("options", options)
    if entry.kind == "environment":
        _print_options("\noptions of the engine, in the same section", _options(EngineConfig))
    return 0


def _find(text: str) -> registry.Installed:
    kind, colon, name = text.partition(":")
    if colon and kind in GROUPS:
        return registry.get(kind, name)
    matches = [entry for k in GROUPS for entry in registry.discover(k) if entry.name == text]
    if len({entry.kind for entry in matches}) == 1:
        return registry.get(matches[0].kind, text)
    if matches:
        choices = " or ".join(f"{entry.kind}:{entry.qualified}" for entry in matches)
        raise PluginError(f"'{text}' is offered more than once; say which: {choices}")
    if colon:
        hint = did_you_mean(kind, GROUPS) or f"; kinds: {', '.join(GROUPS)}"
        raise PluginError(f"no kind of plugin is called '{kind}'{hint}")
    names = {entry.name for k in GROUPS for entry in registry.discover(k)}
    raise PluginError(
        f"no plugin named '{text}' is installed{did_you_mean(text, names)}; "
        "`r2s plugins` lists what is"
    )


def _options(config: type, within: str = "") -> list[dict[str, Any]]:
    """A configuration dataclass's fields as plain data; those of a section as `section.name`."""
    rows = []
    for field, kind in zip(dataclasses.fields(config), field_types(config).values(), strict=True):
        name = f"{within}{field.name}"
        if isinstance(kind, type) and dataclasses.is_dataclass(kind):
            rows += _options(kind, f"{name}.")
            continue
        required = (
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        )
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        limits = {k: to_plain(v) for k, v in field.metadata.items() if k != "doc"}
        rows.append(
            {
                "name": name,
                "type": type_name(kind),
                "required": required,
                "default": None if required else to_plain(default),
                "limits": limits,
                "doc": field.metadata.get("doc", ""),
            }
        )
    return rows


def _print_options(title: str, options: list[dict[str, Any]]) -> None:
    if not options:
        print(f"{title}: none")
        return
    print(f"{title}:")
    words = {"minimum": ">=", "maximum": "<=", "above": ">", "below": "<", "choices": "of"}
    rows = []
    for option in options:
        limits = [f"{words[k]} {_show(v)}" for k, v in option["limits"].items()]
        default = "required" if option["required"] else f"= {_show(option['default'])}"
        kind = ", ".join([option["type"], *limits])
        rows.append((f"  {option['name']}", default, kind, option["doc"]))
    print_table(rows)


def _show(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=repr)


def print_table(rows: list[tuple[str, ...]]) -> None:
    """Print rows in aligned columns; a long cell shifts only its own row."""
    rows = [tuple(map(printable, row)) for row in rows]
    widths = [min(28, max(len(row[i]) for row in rows)) for i in range(len(rows[0]))]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        print("  ".join(cells).rstrip())
