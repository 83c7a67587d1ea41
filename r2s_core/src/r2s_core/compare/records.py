"""Reads the files of runs, and groups runs that differ only in their seed."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from r2s_core.compare.plan import RESULT_LIMIT, is_finished
from r2s_core.config.flat import differing, flat
from r2s_core.errors import ConfigError, R2SError
from r2s_core.plugin import option
from r2s_core.record.folder import read_config, shown
from r2s_core.record.history import EVALUATED
from r2s_core.system.documents import read_document
from r2s_core.system.files import MIB, confined, read_json, read_text
from r2s_core.system.run_files import CONFIG, RESULT, is_run_folder

#: How many levels below a folder its runs may be; DIR/NAME/seed_0 are two.
_DEPTH = 3
#: The columns of metrics.csv that a comparison reads.
_COLUMNS = ("step", "wall_s", "episode/count", "episode/success", EVALUATED)
_METRICS_LIMIT = 1024 * MIB
#: Settings in which runs of one group may differ.
_OF_THE_RUN = ("seed", "output")


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run: its resolved configuration (`flat`), result.json, and rows of metrics."""

    path: Path
    config: Mapping[str, Any]
    result: Mapping[str, Any]
    rows: Sequence[Mapping[str, float]]

    @property
    def seed(self) -> int:
        return int(self.config["seed"])

    @property
    def success(self) -> float | None:
        """The success rate of the final evaluation; None where there was none."""
        return self.result.get("success_rate")

    @property
    def setting(self) -> dict[str, Any]:
        """The configuration without the keys in which runs of a group differ."""
        return {key: value for key, value in self.config.items() if key not in _OF_THE_RUN}


@dataclasses.dataclass(frozen=True)
class Result:
    """The part of result.json that a comparison reads."""

    finished_at: str
    wall_clock_s: float = option(minimum=0.0, maximum=1e12)
    env_steps: int = option(minimum=0)
    train_steps_per_second: float = option(minimum=0.0, maximum=1e15)
    compile_s: float | None = option(None, minimum=0.0, maximum=1e12)
    success_rate: float | None = option(None, minimum=0.0, maximum=1.0)
    success_ci95: tuple[float, float] | None = option(None, minimum=0.0, maximum=1.0)
    episodes: int | None = option(None, minimum=0)
    stopped_by: str | None = None
    hardware: Mapping[str, Any] | None = None


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs that differ only in their seed, ordered by it."""

    label: str
    runs: Sequence[Run]

    @property
    def setting(self) -> dict[str, Any]:
        return self.runs[0].setting

    @property
    def algorithm(self) -> str:
        return str(self.setting["algorithm"])


def find_runs(folder: Path) -> tuple[list[Path], list[str]]:
    """(finished runs in `folder`, or itself if it is one; a line for each skipped one).

    Raises `ConfigError` where there is none.
    """
    found, notes = [], []
    for path in _run_folders(folder, _DEPTH):
        original = path.with_name(re.sub(r"-old-\d+$", "", path.name))
        if path not in (folder, original) and original.exists():
            notes.append(f"{shown(path)} was replaced by {original.name}; skipped.")
        elif not is_finished(path):
            notes.append(f"{shown(path)} {_why_unfinished(path)}; skipped.")
        else:
            found.append(path)
    if not found:
        why = notes[0] if notes else f"there is no run in it, nor up to {_DEPTH} levels below."
        raise ConfigError(f"{folder}: nothing to compare: {why}")
    return found, notes


def _why_unfinished(path: Path) -> str:
    if (path / RESULT).exists():
        try:
            read_json(path / RESULT, limit=RESULT_LIMIT, what="a run's result")
        except R2SError:
            return f"has a damaged {RESULT}"
    return "is not finished"


def read_run(path: Path) -> Run:
    """A finished run; raises `ConfigError` naming the file that cannot be read.

    No code of the run is executed, and its plugins need not be installed.
    """
    config = flat(read_config(path))
    for key, kind in {"name": str, "seed": int, "algorithm": str}.items():
        value = config.get(key)
        if type(value) is not kind or (isinstance(value, int) and abs(value) >= 2**63):
            found = str(value)[:60]
            raise ConfigError(f"{shown(path / CONFIG)} is not of a run: its {key} is {found}")
    result = read_document(
        path / RESULT,
        Result,
        limit=RESULT_LIMIT,
        what="a run's result",
        unknown="ignore",
        error=ConfigError,
    )
    file = confined(path, _metrics_file(config), what="hooks.csv.file", error=ConfigError)
    rows = _rows(file) if file.exists() else []
    return Run(path, config, dataclasses.asdict(result), rows)


def group_runs(
    runs: Iterable[Run], labels: Mapping[Path, str] | None = None
) -> tuple[list[Group], list[str]]:
    """(groups in the order of the runs, a line for each skipped run).

    labels: folder of a run -> label of its group; by default the run's name and algorithm, with
    the differing settings where that is ambiguous.
    """
    found: dict[str, dict[int, Run]] = {}
    notes = []
    for run in runs:
        text = json.dumps(run.setting, sort_keys=True, default=str)
        group = found.setdefault(hashlib.sha256(text.encode()).hexdigest(), {})
        first = group.setdefault(run.seed, run)
        if first.path.resolve() != run.path.resolve():
            notes.append(
                f"{shown(run.path)} repeats {shown(first.path)} with the same seed, so it is not "
                "an independent sample; skipped."
            )
    members = [[group[seed] for seed in sorted(group)] for group in found.values()]
    names = _labels(members, labels or {})
    return [Group(name, runs) for name, runs in zip(names, members, strict=True)], notes


def _run_folders(folder: Path, depth: int) -> Iterator[Path]:
    if is_run_folder(folder):
        yield folder
    elif depth:
        for path in sorted(folder.iterdir(), key=_natural):
            if path.is_dir() and not path.name.startswith("."):
                yield from _run_folders(path, depth - 1)


def _natural(path: Path) -> list[tuple[int, str]]:
    """A sort key that puts seed_2 before seed_10."""
    return [(int(x) if x.isdigit() else -1, x) for x in re.split(r"(\d+)", path.name)]


def _metrics_file(config: Mapping[str, Any]) -> str:
    """The file of the CSV logger, whose label may differ from the plugin's name."""
    for key, use in config.items():
        if key.startswith("hooks.") and key.endswith(".use") and use in ("csv", "r2s-core:csv"):
            return str(config.get(key.removesuffix("use") + "file", "metrics.csv"))
    return "metrics.csv"


def _rows(path: Path) -> list[dict[str, float]]:
    """The complete rows in the order of their steps; damaged lines are skipped."""
    text = read_text(path, limit=_METRICS_LIMIT, what="a run's metrics", error=ConfigError)
    rows: list[dict[str, float]] = []
    try:
        for line in csv.DictReader(io.StringIO(text)):
            row = {name: _number(line.get(name)) for name in _COLUMNS}
            row = {name: value for name, value in row.items() if not math.isnan(value)}
            later = not rows or row.get("step", -math.inf) > rows[-1]["step"]
            if "step" in row and "wall_s" in row and later:
                rows.append(row)
    except csv.Error as error:
        raise ConfigError(f"{shown(path)} cannot be read: {error}") from error
    return rows


def _number(text: str | None) -> float:
    """The value of a field; NaN where it is empty, not a number, or not finite."""
    try:
        value = float(text or "nan")
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def _labels(members: Sequence[Sequence[Run]], given: Mapping[Path, str]) -> list[str]:
    labels = []
    for runs in members:
        found = [given[run.path.resolve()] for run in runs if run.path.resolve() in given]
        config = runs[0].config
        labels.append(found[0] if found else f"{config['name']} {config['algorithm']}")
    namesakes = [[i for i, other in enumerate(labels) if other == label] for label in labels]
    unique = []
    for i, same in enumerate(namesakes):
        settings = [members[k][0].setting for k in same]
        keys = differing(*settings)[:2] if len(same) > 1 else []
        values = [f"{key.rpartition('.')[2]}={settings[same.index(i)].get(key)}" for key in keys]
        unique.append(" ".join([labels[i], *values]))
    return [
        label if unique.count(label) == 1 else f"{label} ({unique[:i].count(label) + 1})"
        for i, label in enumerate(unique)
    ]
