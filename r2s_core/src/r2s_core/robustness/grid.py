"""The perturbations that a policy is tried under, from a YAML file; imports nothing heavy."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from r2s_core.errors import ConfigError

DEFAULT_GRID = Path(__file__).with_name("grid.yaml")
_KEYS = {"unit", "values", "scale", "changes", "cases"}
_VALUE = "$"


@dataclasses.dataclass(frozen=True)
class Case:
    """One perturbation in one strength.

    overrides: `key=value`, on top of the run's configuration without its own randomization.
    """

    perturbation: str
    label: str
    overrides: tuple[str, ...]


def read_grid(path: Path = DEFAULT_GRID) -> list[Case]:
    """The cases of a grid file, in its order.

    A perturbation has `changes` for each of its `values` (times `scale`), of a `unit`; or `cases`,
    each with changes of its own. Raises ConfigError where the file does not say that.
    """
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; name a file of perturbations") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(tree, dict) or not tree:
        raise ConfigError(f"{path}: expected perturbations by name, and found none")
    return [case for name, entry in tree.items() for case in _cases(path, str(name), entry)]


def _cases(path: Path, name: str, entry: Any) -> list[Case]:
    where = f"{path}: {name}"
    if not isinstance(entry, dict) or set(entry) - _KEYS:
        raise ConfigError(f"{where}: expected only the keys {', '.join(sorted(_KEYS))}")
    if "cases" in entry:
        if not isinstance(entry["cases"], dict) or set(entry) != {"cases"}:
            raise ConfigError(f"{where}: expected changes by the name of each case, and no more")
        return [
            Case(name, str(label), _overrides(where, changes, None))
            for label, changes in entry["cases"].items()
        ]
    values, unit = entry.get("values"), str(entry.get("unit", ""))
    if not isinstance(values, list) or not values:
        raise ConfigError(f"{where}: `values` must be a list of what {_VALUE} stands for")
    scale = entry.get("scale")
    cases = []
    for value in values:
        told = value if scale is None else value * scale
        label = f"x {value}" if unit == "x" else f"{value} {unit}".strip()
        cases.append(Case(name, label, _overrides(where, entry.get("changes"), told)))
    return cases


def _overrides(where: str, changes: Any, value: Any) -> tuple[str, ...]:
    if not isinstance(changes, dict) or not changes:
        raise ConfigError(f"{where}: `changes` must give keys of the configuration their values")
    return tuple(f"{key}={json.dumps(_filled(change, value))}" for key, change in changes.items())


def _filled(tree: Any, value: Any) -> Any:
    if isinstance(tree, Mapping):
        return {key: _filled(item, value) for key, item in tree.items()}
    if isinstance(tree, list):
        return [_filled(item, value) for item in tree]
    return value if tree == _VALUE else tree
