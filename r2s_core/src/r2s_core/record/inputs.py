"""The files that a run depends on besides its configuration, kept in the run's own folder.

A run names scans and reward files anywhere on the disk. So that it can be moved, copied to another
machine or sent to a colleague, it keeps in `inputs/` each reward file and whatever its environment
and randomizers need (see `Plugin.inputs`), every file named by the hash of its content, and
its config.yaml names these copies. `inputs/inputs.json` records where they came from.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from r2s_core import registry
from r2s_core.config import EnvironmentConfig, RunConfig, Use, user_code
from r2s_core.config.flat import flat
from r2s_core.demonstrations.source import keep as keep_source
from r2s_core.errors import ConfigError, R2SError
from r2s_core.system import files, trust
from r2s_core.system.documents import read_document

INPUTS = "inputs"
#: The largest file that is kept, bytes.
LIMIT = 2048 * files.MIB  # of which most can be demonstrations with images
_RECORD = "inputs.json"
_HASHED = re.compile(r"-([0-9a-f]{16})\.\w*$")
_KEPT = re.compile(r"^.*[/\\]inputs[/\\]([^/\\]+-[0-9a-f]{16}\.\w+(:\w+)?)$")


_U = TypeVar("_U", Use, EnvironmentConfig)


class Keep(Protocol):
    """Keeps a file in the run's folder; see `Plugin.inputs`."""

    def __call__(self, name: str, data: bytes, source: Path | None = None) -> Path:
        """The future path of `data`, for the configuration.

        name: such as "mug.npz"; the hash of `data` is added to it. source: the user's file that it
        was made from, so that a change of it is noticed when the run is resumed.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Record:
    """`inputs.json`: where a run's inputs came from.

    written: dotted keys of the configuration -> their values before they named the kept files.
    sources: the user's files -> SHA-256 of their content. Paths are relative to the folder of the
    configuration file, so that both stay valid when a whole project is moved.
    """

    written: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    sources: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The result of `collect`; nothing is written yet. config: with the kept files' paths."""

    config: RunConfig
    kept: Mapping[str, bytes]
    record: Record

    def write(self, run_dir: Path) -> None:
        """Write the files and the record of them to `run_dir/inputs`."""
        if not self.kept:
            return
        folder = run_dir / INPUTS
        folder.mkdir(exist_ok=True)
        for name, data in self.kept.items():
            files.write_bytes(folder / name, data)
        files.write_json(folder / _RECORD, dataclasses.asdict(self.record))


def collect(config: RunConfig, run_dir: Path) -> Inputs:
    """The files that a run of `config` in `run_dir` depends on, and `config` with their paths.

    Raises `R2SError` where one cannot be read or an object is refused.
    """
    collected = _Collected(run_dir / INPUTS, config.base_dir)
    changed = _with_kept_rewards(_with_kept_options(config, collected), collected)
    changed = keep_source(changed, collected)
    before, after = flat(config.resolved()), flat(changed.resolved())
    written = {key: value for key, value in before.items() if after.get(key) != value}
    record = Record(relative_to(written, config.base_dir), collected.sources)
    return Inputs(changed, collected.kept, record)


def verify(run_dir: Path) -> None:
    """Raises `R2SError` where a kept file is no longer the one that the run was trained with."""
    folder = run_dir / INPUTS
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        named = _HASHED.search(path.name)
        if named is None:
            continue
        data = files.read_bytes(path, limit=LIMIT, what="an input of the run")
        if not _sha256(data).startswith(named[1]):
            raise R2SError(
                f"{path}: its content (SHA-256 {_sha256(data)[:16]}...) is not what its name says, "
                "which the run was trained with; copy the run's folder again from the original"
            )


def read_record(run_dir: Path) -> Record:
    """The record of the inputs' origins; empty where nothing is kept."""
    path = run_dir / INPUTS / _RECORD
    if not path.exists():
        return Record()
    return read_document(path, Record, limit=files.MIB, what="the record of a run's inputs")


def check_sources(record: Record, base_dir: Path) -> None:
    """Raises `ConfigError` where a file that an input was made from has changed since.

    Files that no longer exist are ignored: the run has its own copies.
    """
    for name, sha256 in record.sources.items():
        path = base_dir / name
        if not path.is_file():
            continue
        data = files.read_bytes(path, limit=LIMIT, what="an input of the run", error=ConfigError)
        if _sha256(data) != sha256:
            raise ConfigError(
                f"{path} has changed since the run began (SHA-256 {_sha256(data)[:16]}..., then "
                f"{sha256[:16]}...); resume with the run's own config.yaml, which uses the copy, "
                "or run without --resume"
            )


def object_names(config: RunConfig) -> str | None:
    """The objects' names from the configuration; None where it names no objects."""
    objects = getattr(config.environment.options, "objects", ())
    return ", ".join(Path(str(source)).name for source in objects) or None


def portable(value: Any, run_dir: Path | None = None) -> Any:
    """A configuration's values with each kept file as `inputs/NAME`, wherever the run is.

    run_dir: change only the files that this run keeps.
    """
    if isinstance(value, Mapping):
        return {key: portable(item, run_dir) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [portable(item, run_dir) for item in value]
    kept = _KEPT.match(value) if isinstance(value, str) else None
    if kept is None or (run_dir is not None and not _lies_in(run_dir / INPUTS, value)):
        return value
    return f"{INPUTS}/{kept[1]}"


def relative_to(values: Mapping[str, Any], base_dir: Path) -> dict[str, Any]:
    """`flat` values with every absolute path made relative to `base_dir`."""

    def moved(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [moved(item) for item in value]
        if isinstance(value, str) and os.path.isabs(value):
            return os.path.relpath(value, base_dir)
        return value

    return {key: moved(value) for key, value in values.items()}


def _lies_in(folder: Path, path: str) -> bool:
    return Path(path).parent in (folder, folder.resolve())


@dataclasses.dataclass
class _Collected:
    folder: Path
    base_dir: Path
    kept: dict[str, bytes] = dataclasses.field(default_factory=dict)
    sources: dict[str, str] = dataclasses.field(default_factory=dict)

    def __call__(self, name: str, data: bytes, source: Path | None = None) -> Path:
        stem, suffix = os.path.splitext(_HASHED.sub(lambda m: name[m.end(1) :], name))
        plain = re.sub(r"[^\w.-]+", "_", stem).strip("._")[:60] or "input"
        unique = f"{plain}-{_sha256(data)[:16]}{suffix}"
        self.kept[unique] = data
        if source is not None:
            content = files.read_bytes(source, limit=LIMIT, what="an input of the run")
            known = os.path.relpath(source.absolute(), self.base_dir)
            self.sources[known] = _sha256(content)
        return self.folder / unique


def _with_kept_options(config: RunConfig, keep: Keep) -> RunConfig:
    environment = _kept("environment", config.environment, keep)
    varied = {name: _kept("randomizer", use, keep) for name, use in config.randomization.items()}
    return dataclasses.replace(config, environment=environment, randomization=varied)


def _kept(kind: Literal["environment", "randomizer"], use: _U, keep: Keep) -> _U:
    """What uses a plugin, with options that name kept files."""
    made = registry.load_inputs(registry.get(kind, use.use))
    return use if made is None else dataclasses.replace(use, options=made(use.options, keep))


def _with_kept_rewards(config: RunConfig, keep: Keep) -> RunConfig:
    terms = dict(config.environment.engine.rewards or {})
    for key, reference in user_code.reward_files(config):
        name, path = key.removeprefix("environment.rewards."), trust.location(reference)
        kept = keep(path.name, trust.read_source(path), path)
        use = f"{kept}:{reference.rpartition(':')[2]}"
        terms[name] = dataclasses.replace(terms[name], use=use)
    if not terms:
        return config
    engine = dataclasses.replace(config.environment.engine, rewards=terms)
    return dataclasses.replace(
        config, environment=dataclasses.replace(config.environment, engine=engine)
    )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
