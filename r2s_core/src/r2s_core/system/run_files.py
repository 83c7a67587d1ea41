"""The names of what a run leaves in its folder, and how such a folder is known."""

from __future__ import annotations

from pathlib import Path

CONFIG = "config.yaml"
RESULT = "result.json"
CHECKPOINTS = "checkpoints"
MARK = ".r2s-run"  # tells a run's folder from others, and is locked while the run lasts


def is_run_folder(path: Path) -> bool:
    """Whether a run was started in `path`; whatever else has a config.yaml is none of ours."""
    return (path / CONFIG).exists() and any((path / x).exists() for x in (MARK, RESULT))
