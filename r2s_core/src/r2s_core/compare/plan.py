"""The runs of a comparison: configurations, varied, with several seeds; all checked first."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import yaml

from r2s_core.config import RunConfig, load_config
from r2s_core.config.nodes import Problems, apply_overrides, read_file
from r2s_core.config.samples import locate
from r2s_core.errors import ConfigError, R2SError
from r2s_core.record.folder import changed_keys, shown
from r2s_core.system import files
from r2s_core.system.run_files import RESULT, is_run_folder

#: Evaluations during training, unless the configuration sets their number.
CURVE_POINTS = 20
#: Limit of a run's result.json, bytes.
RESULT_LIMIT = 16 * files.MIB
#: Keys that `r2s compare` sets itself -> the option to use instead.
_OURS = {"seed": "--seeds", "output": "--output"}

State = Literal["new", "interrupted", "finished"]


@dataclasses.dataclass(frozen=True)
class Job:
    """One run. config: what `source` with `overrides` resolves to; its output is the run's."""

    label: str
    source: Path
    overrides: tuple[str, ...]
    config: RunConfig

    @property
    def folder(self) -> Path:
        return self.config.output

    @property
    def arguments(self) -> list[str]:
        """The arguments of `r2s`."""
        folder = ["--output", str(self.folder)]
        return ["run", str(self.source), *self.overrides, f"seed={self.config.seed}", *folder]


def sort_inputs(inputs: Sequence[str]) -> tuple[list[Path], list[Path], list[str]]:
    """(YAML files, folders, overrides) among the arguments; a path may well contain a "=".

    A sample configuration's name stands for its file."""
    files, folders, overrides = [], [], []
    for text in inputs:
        path = Path(text)
        if path.is_dir():
            folders.append(path)
        elif path.exists() or "=" not in text:
            path = locate(path)
            if not path.exists():
                raise ConfigError(f"{text}: no such file or folder, and no key=value either")
            files.append(path)
        else:
            overrides.append(text)
    if not files and not folders:
        raise ConfigError("nothing to compare; name a YAML file, or the folder of a run")
    return files, folders, overrides


def make_jobs(
    files: Sequence[Path],
    overrides: Sequence[str],
    vary: Sequence[str],
    seeds: int,
    output: Path,
) -> list[Job]:
    """The runs of every file, variant and seed, in the order in which to run them.

    Raises `ConfigError` with a line for everything that is wrong with any of it.
    """
    if seeds < 1:
        raise ConfigError(f"--seeds is {seeds}, but at least one run of each is needed")
    if not files and (overrides or vary):
        raise ConfigError(f"{[*overrides, *vary][0]}: an existing run cannot be changed; "
                          "values are for YAML files")  # fmt: skip
    _refuse_ours([*overrides, *vary])
    variants = [tuple(pairs) for pairs in itertools.product(*map(_values, vary))]
    loaded = _load_all(files, overrides, variants)
    names = _names(files, [config for config, *_ in loaded[:: len(variants)]])
    jobs = []
    for (config, source, changes, values), name in zip(
        loaded, [name for name in names for _ in variants], strict=True
    ):
        label = " ".join([name, *values])
        folder = output.absolute() / _folder_name(label)
        for seed in range(seeds):
            seeded = dataclasses.replace(config, seed=seed, output=folder / f"seed_{seed}")
            jobs.append(Job(label, source, changes, seeded))
    _refuse_shared_folders(jobs)
    # Seed by seed, not group by group: a slow phase of the machine then affects all groups alike,
    # and after an early stop all groups have equally many runs.
    return sorted(jobs, key=lambda job: job.config.seed)


def state_of(job: Job) -> State:
    """How far the job is already; raises `ConfigError` where its folder holds something else."""
    folder = job.folder
    if not folder.exists() or not any(folder.iterdir()):
        return "new"
    if not is_run_folder(folder):
        raise ConfigError(
            f"{shown(folder)} has files that are not a run's; name another folder with --output"
        )
    auto = job.config.backend.use == "auto"
    for key, (saved, wanted) in changed_keys(folder, job.config).items():
        # `auto` was resolved on the machine that ran it.
        if key == "output" or (key.split(".")[0] == "backend" and auto):
            continue
        raise ConfigError(
            f"{key} is {wanted}, but the run in {shown(folder)} has {saved}; "
            "name another folder with --output, or remove that one"
        )
    return "finished" if is_finished(folder) else "interrupted"


def is_finished(folder: Path) -> bool:
    """Whether the run there has finished: result.json is written before the video, and after."""
    try:
        result = files.read_json(folder / RESULT, limit=RESULT_LIMIT, what="a run's result")
    except R2SError:
        return False
    return isinstance(result, dict) and "finished_at" in result


def _load_all(
    files: Sequence[Path],
    overrides: Sequence[str],
    variants: Sequence[tuple[tuple[str, str], ...]],
) -> list[tuple[RunConfig, Path, tuple[str, ...], list[str]]]:
    """(configuration, file, overrides, the varied values) of every file and variant."""
    loaded, problems = [], []
    for path, variant in itertools.product(files, variants):
        changes = [*overrides, *(f"{key}={value}" for key, value in variant)]
        try:
            load_config(path, changes)
            changes = [*_curve(path, changes), *changes]
            config = load_config(path, changes)
        except ConfigError as error:
            problems += str(error).splitlines()
            continue
        loaded.append((config, path, tuple(changes), [value for _, value in variant]))
    if problems:
        raise ConfigError("\n".join(dict.fromkeys(problems)))
    return loaded


def _curve(path: Path, overrides: Sequence[str]) -> list[str]:
    """Requests evaluations during training, unless the file or the command line sets a number."""
    root = read_file(path, Problems())
    apply_overrides(root, overrides, Problems())
    evaluation = root.value.get("evaluation")
    values: Any = evaluation.value if evaluation is not None else None
    is_set = isinstance(values, dict) and "curve_points" in values
    return [] if is_set else [f"evaluation.curve_points={CURVE_POINTS}"]


def _values(vary: str) -> list[tuple[str, str]]:
    """The (key, value) pairs of one --vary; a value may be a YAML list, which contains commas."""
    key, _, text = vary.partition("=")
    try:
        node = yaml.compose(f"[{text}]", yaml.SafeLoader)
    except yaml.YAMLError:
        node = None
    items = node.value if isinstance(node, yaml.SequenceNode) else []
    values = [text[x.start_mark.index - 1 : x.end_mark.index - 1].strip() for x in items]
    if not key or not values or not all(values):
        raise ConfigError(f"--vary {vary}: expected KEY=V1,V2,... as in algorithm=ppo,sac")
    if len(set(values)) < len(values):
        raise ConfigError(f"--vary {vary}: a value is written twice")
    return [(key, value) for value in values]


def _refuse_ours(changes: Sequence[str]) -> None:
    for change in changes:
        key = change.partition("=")[0]
        if key in _OURS:
            raise ConfigError(f"{change}: r2s compare sets {key} itself; see {_OURS[key]}")


def _names(files: Sequence[Path], configs: Sequence[RunConfig]) -> list[str]:
    """A name for each file: its configuration's, or the file's own where those are the same."""
    names = [config.name for config in configs]
    names = [
        name if names.count(name) == 1 else path.stem
        for name, path in zip(names, files, strict=True)
    ]
    for name, path in zip(names, files, strict=True):
        if names.count(name) > 1:
            raise ConfigError(
                f"{path}: another configuration is called {name} too; give it another `name`"
            )
    return names


def _refuse_shared_folders(jobs: Sequence[Job]) -> None:
    labels: dict[Path, str] = {}
    for job in jobs:
        other = labels.setdefault(job.folder, job.label)
        if other != job.label:
            raise ConfigError(f"'{other}' and '{job.label}' would share {shown(job.folder)}")


def _folder_name(label: str) -> str:
    return re.sub(r"[^\w.=+-]+", "-", label).strip("-.")[:100] or "run"
