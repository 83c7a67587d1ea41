"""The names of the files in a run's folder, and how such a folder is recognised."""

from __future__ import annotations

from pathlib import Path

CONFIG = "config.yaml"
RESULT = "result.json"
CHECKPOINTS = "checkpoints"
MARK = ".r2s-run"  # marks a run's folder, and is locked during the run


def is_run_folder(path: Path) -> bool:
    """Whether a run was started in `path`; a config.yaml alone does not make a run's folder."""
    return (path / CONFIG).exists() and any((path / x).exists() for x in (MARK, RESULT))
