"""The perturbations that a policy is evaluated under, from a YAML file; imports nothing heavy."""

from __future__ import annotations

import dataclasses
import fnmatch
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from r2s_core.config.convert import plain
from r2s_core.config.nodes import Problems, read_file
from r2s_core.errors import ConfigError
from r2s_core.suggest import did_you_mean

AppliesTo = Literal["cameras", "state"]
DEFAULT_GRID = Path(__file__).with_name("grid.yaml")
_KEYS = {"unit", "values", "scale", "changes", "cases", "for"}
_VALUE = "$"
_MOST_CASES = 1000
_LARGEST = 2**63


@dataclasses.dataclass(frozen=True)
class Case:
    """One perturbation at one strength.

    overrides: `key=value`, on top of the run's configuration without its own randomization.
    applies_to: policies that see with "cameras", or those that read the task's "state" as it is
    without cameras; None: all.
    """

    perturbation: str
    label: str
    overrides: tuple[str, ...]
    applies_to: AppliesTo | None = None


def read_grid(path: Path = DEFAULT_GRID) -> list[Case]:
    """The cases of a grid file, in its order.

    A perturbation has `changes` for each of its `values` (times `scale`), with a `unit`; or
    `cases`, each with its own changes. `for: cameras` or `for: state` says whose policies it is
    for. Raises ConfigError where the file has another form.
    """
    problems = Problems()
    tree = plain(read_file(path, problems))
    problems.raise_if_any()
    if not tree:
        raise ConfigError(f"{path}: expected perturbations by name, and found none")
    cases = [case for name, entry in tree.items() for case in _cases(path, str(name), entry)]
    if len(cases) > _MOST_CASES:
        raise ConfigError(f"{path}: {len(cases):,} cases; play at most {_MOST_CASES:,}")
    return cases


def chosen(cases: Sequence[Case], only: Sequence[str]) -> list[Case]:
    """The cases of the perturbations in `only`, by name or shell pattern; all where it is empty.

    Raises ConfigError where a pattern fits none.
    """
    names = list(dict.fromkeys(case.perturbation for case in cases))
    for pattern in only:
        if not fnmatch.filter(names, pattern):
            raise ConfigError(
                f"--only {pattern}: there is no such perturbation{did_you_mean(pattern, names)}; "
                f"there are {', '.join(names)}"
            )
    fits = {name for name in names for pattern in only if fnmatch.fnmatchcase(name, pattern)}
    return [case for case in cases if not only or case.perturbation in fits]


def _cases(path: Path, name: str, entry: Any) -> list[Case]:
    where = f"{path}: {name}"
    if not isinstance(entry, dict) or set(entry) - _KEYS:
        raise ConfigError(
            f"{where}: expected only the keys {', '.join(sorted(_KEYS))}, as in "
            "{unit: x, values: [0.5, 2], changes: {randomization.mass: {factor: [$, $]}}}"
        )
    applies_to = entry.get("for")
    if "for" in entry and applies_to not in get_args(AppliesTo):
        raise ConfigError(f"{where}: `for` is {applies_to!r}; give cameras or state, or drop it")
    if "cases" in entry:
        alone = set(entry) <= {"cases", "for"}
        if not isinstance(entry["cases"], dict) or not entry["cases"] or not alone:
            raise ConfigError(f"{where}: expected changes by the name of each case, nothing else")
        return [
            Case(name, str(label), _overrides(where, changes, None), applies_to)
            for label, changes in entry["cases"].items()
        ]
    values, unit = entry.get("values"), str(entry.get("unit", ""))
    if not isinstance(values, list) or not values:
        raise ConfigError(f"{where}: `values` must be a list of what {_VALUE} stands for")
    scale = entry.get("scale")
    if scale is not None and not all(map(_is_number, (scale, *values))):
        raise ConfigError(f"{where}: with `scale`, it and all `values` must be finite numbers")
    cases = []
    for value in values:
        scaled = value if scale is None else value * scale
        label = f"x {value}" if unit == "x" else f"{value} {unit}".strip()
        overrides = _overrides(where, entry.get("changes"), scaled)
        cases.append(Case(name, label, overrides, applies_to))
    return cases


def _overrides(where: str, changes: Any, value: Any) -> tuple[str, ...]:
    if not isinstance(changes, dict) or not changes:
        raise ConfigError(f"{where}: `changes` must give keys of the configuration their values")
    return tuple(
        f"{key}={json.dumps(_filled(change, value), default=str)}"
        for key, change in changes.items()
    )


def _is_number(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and abs(value) <= _LARGEST  # which NaN is not


def _filled(tree: Any, value: Any) -> Any:
    if isinstance(tree, Mapping):
        return {key: _filled(item, value) for key, item in tree.items()}
    if isinstance(tree, list):
        return [_filled(item, value) for item in tree]
    return value if tree == _VALUE else tree
