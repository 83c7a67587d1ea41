"""The folder that a run leaves: who may write to it, and what becomes of what was there."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from r2s_core.config import RunConfig, load_config
from r2s_core.errors import ConfigError, R2SError

CONFIG = "config.yaml"
RESULT = "result.json"
CHECKPOINTS = "checkpoints"
_MARK = ".r2s-run"  # tells a run's folder from others, and is locked while the run lasts
#: What may differ when a run is resumed: how long, how judged and watched, never what is learned.
_FREE = ("name", "output", "training", "evaluation", "hooks")


@contextmanager
def open_run_folder(run_dir: Path, config: RunConfig, resume: bool) -> Iterator[list[str]]:
    """Make `run_dir` ready for a run of `config` and hold it against other processes.

    A new run never overwrites: an earlier run in its place is moved to `<name>-old-<n>`. Yields
    lines for the user. Raises `R2SError` if another process is running there, if `run_dir` holds
    something that is no run, or, on resume, if the run there was configured otherwise.
    """
    notes: list[str] = []
    if resume and (run_dir / CONFIG).exists():
        _check_resumable(run_dir, config)
    elif not resume and (run_dir / _MARK).exists():
        notes.append(_move_aside(run_dir))
    elif run_dir.exists() and any(run_dir.iterdir()) and not (run_dir / _MARK).exists():
        # A folder that merely has a config.yaml may be anyone's, even the working directory.
        raise R2SError(
            f"{run_dir} holds files that are not of a run; name another folder with --output."
        )
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise R2SError(f"Cannot make the folder {run_dir}: {error.strerror}.") from error
    with _locked(run_dir):
        _write_config(run_dir / CONFIG, config)
        yield notes


def is_run_folder(path: Path) -> bool:
    """Whether a run was started in `path`; whatever else has a config.yaml is none of ours."""
    return (path / CONFIG).exists() and any((path / x).exists() for x in (_MARK, RESULT))


def resume_command(run_dir: Path) -> str:
    """What a user types to go on with the run."""
    return f"r2s run {shown(run_dir / CONFIG)} --resume"


def config_hash(config: RunConfig) -> str:
    """SHA-256 of what determines the policy: the configuration without where it is written."""
    resolved = {k: v for k, v in config.resolved().items() if k not in ("name", "output")}
    return hashlib.sha256(json.dumps(resolved, sort_keys=True).encode()).hexdigest()


def learning_configuration(config: RunConfig) -> dict[str, Any]:
    """What must not differ when a run is resumed, by dotted key, as JSON has it."""
    resolved = {k: v for k, v in config.resolved().items() if k not in _FREE}
    return json.loads(json.dumps(flat(resolved), sort_keys=True))


def shown(path: Path) -> Path:
    """A path as a user would type it from the working directory."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _move_aside(run_dir: Path) -> str:
    with _locked(run_dir):
        n = 1
        while (old := run_dir.with_name(f"{run_dir.name}-old-{n}")).exists():
            n += 1
        run_dir.rename(old)
    return f"The earlier run is now {shown(old)}."


def _check_resumable(run_dir: Path, config: RunConfig) -> None:
    path = run_dir / CONFIG
    saved, wanted = learning_configuration(load_config(path)), learning_configuration(config)
    for key in differing(saved, wanted):
        raise ConfigError(
            f"{key} is {wanted.get(key)}, but the run in {run_dir} has {saved.get(key)}; "
            "resume with its own config.yaml, or run without --resume."
        )


def differing(*configs: Mapping[str, Any]) -> list[str]:
    """The dotted keys that are not the same in all of some `flat` configurations, sorted."""
    first, keys = configs[0], sorted(set().union(*configs))
    return [key for key in keys if any(c.get(key) != first.get(key) for c in configs)]


def flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, by dotted key: {"a": {"b": 1}} -> {"a.b": 1}."""
    if not isinstance(tree, Mapping):
        return {prefix: tree}
    flattened: dict[str, Any] = {}
    for key, value in tree.items():
        flattened |= flat(value, f"{prefix}.{key}" if prefix else str(key))
    return flattened


def _write_config(path: Path, config: RunConfig) -> None:
    text = yaml.safe_dump(config.resolved(), sort_keys=False, allow_unicode=True)
    temporary = path.with_suffix(".writing")
    temporary.write_text(
        f"# The complete configuration of this run; `r2s run` takes it as it is.\n{text}",
        encoding="utf-8",
    )
    os.replace(temporary, path)


@contextmanager
def _locked(run_dir: Path) -> Iterator[None]:
    """Hold the folder; the kernel lets go of it however the process ends."""
    with open(run_dir / _MARK, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise R2SError(
                f"Another r2s is running in {run_dir}; wait for it, or name another folder "
                "with --output."
            ) from error
        yield
