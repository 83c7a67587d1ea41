"""`r2s new`: writes the package of a new plugin from a working template."""

from __future__ import annotations

import argparse
import keyword
import re
import shutil
from pathlib import Path

from r2s_core import registry
from r2s_core.errors import ConfigError, R2SError
from r2s_core.plugin import Kind

#: Where the templates are; `plugins/_template` in the repository points here.
TEMPLATES = Path(__file__).parent.parent / "_template"

#: Template -> kind of plugin and the first part of the package's name.
_KINDS: dict[str, tuple[Kind, str]] = {
    "reward": ("reward", "r2s-rewards"),
    "task": ("environment", "r2s-envs"),
    "algorithm": ("algorithm", "r2s-algos"),
    "randomizer": ("randomizer", "r2s-randomization"),
    "robot": ("robot", "r2s-robots"),
    "panda": ("environment", "r2s-envs"),  # a task with the shipped robot
    "hook": ("hook", "r2s-hooks"),
    "backend": ("backend", "r2s-backends"),
    "camera": ("camera", "r2s-cameras"),
    "renderer": ("renderer", "r2s-renderers"),
}

#: In YAML these are no text.
_YAML_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})

#: How the plugin is then used in YAML.
_USAGE = {
    "reward": "environment:\n  rewards:\n    {name}: {{weight: 1.0}}",
    "task": "environment:\n  use: {name}",
    "algorithm": "algorithm: {name}",
    "randomizer": "randomization:\n  {name}: {{}}",
    "robot": "environment:\n  robot: {name}",
    "hook": "hooks:\n  csv: {{}}\n  {name}: {{}}",
    "backend": "backend: {name}",
    "camera": "environment:\n  cameras:\n    front: {{use: {name}, position: [1.15, 0.0, 0.75], "
    "look_at: [0.5, 0.0, 0.1]}}",
    "renderer": "environment:\n  vision_enabled: true\n  renderer: {name}",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.epilog = """examples:
  r2s new reward gentle_touch
  r2s new hook tell_slack
  r2s new task stack_cups --output ~/robots
  r2s new task push_cup --robot panda           on the shipped robot, with a scan to push"""
    parser.add_argument("kind", metavar="KIND", choices=list(_USAGE), help=", ".join(_USAGE))
    parser.add_argument("name", metavar="NAME", help="as it will be written in YAML: my_reward")
    parser.add_argument(
        "--robot", choices=["panda"], help="for a task: with this robot at a table, and a scan"
    )
    parser.add_argument(
        "--output", type=Path, default=Path(), metavar="DIR", help="where to create the folder"
    )


def main(args: argparse.Namespace) -> int:
    """Write the package and print the next steps."""
    if args.robot is not None and args.kind != "task":
        raise ConfigError(f"--robot is for tasks; a {args.kind} has none")
    folder = create(args.robot or args.kind, args.name, args.output)
    usage = _USAGE[args.kind].format(name=args.name)
    print(f"wrote {folder}; next:\n")
    print(f"  pip install -e {folder}    # without an index: --no-deps --no-build-isolation too")
    print(f"  pytest {folder}\n\nthen in your YAML:\n")
    print("\n".join(f"  {line}" for line in usage.splitlines()))
    return 0


def create(template: str, name: str, output: Path) -> Path:
    """Write the package of a new plugin.

    Args:
        template: one of `_KINDS`.
        name: the plugin's name, lower case with underscores.
        output: the folder in which the package's folder is created.

    Raises:
        R2SError: the name cannot be used, or the folder exists already.
    """
    kind, prefix = _KINDS[template]
    if keyword.iskeyword(name) or name in _YAML_WORDS:
        raise R2SError(
            f"'{name}' is a word of Python or YAML and cannot name a plugin; choose another, as in "
            f"my_{name}"
        )
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        better = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_0123456789") or "my_plugin"
        raise R2SError(f"'{name}' cannot name a plugin; use a-z, 0-9 and _, as in {better}")
    taken = [entry for entry in registry.discover(kind) if entry.name == name]
    if taken:
        raise R2SError(f"the {kind} '{name}' exists already, in {taken[0].dist}; choose another")
    dist = f"{prefix}-{name.replace('_', '-')}"
    folder = output / dist
    if folder.exists():
        raise R2SError(f"{folder} exists already; choose another name or --output")
    words = {
        "r2s-template-dist": dist,
        "r2s_template_module": dist.replace("-", "_"),
        "template_name": name,
        "TemplateName": "".join(part.capitalize() for part in name.split("_")),
    }
    try:
        _write(TEMPLATES / template, folder, words)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)  # it was not there before
        raise R2SError(
            f"{error.filename or folder} cannot be written ({error.strerror}); choose another "
            "--output"
        ) from error
    return folder


def _write(template: Path, folder: Path, words: dict[str, str]) -> None:
    for source in sorted(template.rglob("*")):
        if source.is_dir() or "__pycache__" in source.parts:
            continue
        target = folder / _replace(str(source.relative_to(template)), words)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_replace(source.read_text(encoding="utf-8"), words), encoding="utf-8")


def _replace(text: str, words: dict[str, str]) -> str:
    for old, new in words.items():
        text = text.replace(old, new)
    return text
