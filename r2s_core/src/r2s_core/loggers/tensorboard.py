"""Metrics as TensorBoard events, through tensorboardX (no TensorFlow needed)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from r2s_core.errors import ConfigError, PluginError
from r2s_core.hooks import hookimpl
from r2s_core.loggers.plugin import TensorBoardConfig
from r2s_core.system.files import confined


def make(config: TensorBoardConfig, run_dir: Path) -> TensorBoardLogger:
    """Build the hook.

    Raises:
        PluginError: tensorboardX is not installed.
        ConfigError: the folder is not within the run's.
    """
    try:
        import tensorboardX  # noqa: F401  (an optional dependency)
    except ImportError as error:
        raise PluginError(
            "hook 'tensorboard' needs tensorboardX; pip install 'r2s-core[tensorboard]'"
        ) from error
    what = "hooks.tensorboard.folder"
    folder = confined(run_dir, config.folder, what=what, error=ConfigError)
    if folder.is_symlink():
        raise ConfigError(f"{folder} is a link; remove it or set {what} to another name")
    return TensorBoardLogger(folder)


class TensorBoardLogger:
    """Scalars by metric name; a resumed run purges those after the step that it resumes from."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.writer: Any = None

    @hookimpl
    def r2s_run_start(self, step: int) -> None:
        """Open the event file."""
        from tensorboardX import SummaryWriter

        self.writer = SummaryWriter(str(self.folder), purge_step=step + 1 if step else None)

    @hookimpl
    def r2s_metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write one scalar per metric."""
        for name, value in metrics.items():
            self.writer.add_scalar(name, float(value), step)

    @hookimpl
    def r2s_checkpoint(self) -> None:
        """Flush the metrics that a resumed run would keep."""
        self.writer.flush()

    @hookimpl
    def r2s_run_end(self) -> None:
        """Close the event file."""
        self.writer.close()
