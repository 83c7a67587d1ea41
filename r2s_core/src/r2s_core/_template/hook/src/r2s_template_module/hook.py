"""The hook: an object whose methods are called during a run, between compiled chunks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from r2s_core.hooks import hookimpl

from r2s_template_module.plugin import TemplateNameConfig


def make(config: TemplateNameConfig, run_dir: Path) -> StopWithoutProgress:
    """Build the hook. Whatever it writes belongs in `run_dir`, the run's folder."""
    return StopWithoutProgress(config)


class StopWithoutProgress:
    """Asks to stop after `patience` updates in which the metric made no progress.

    `r2s_core.hooks.HookSpecs` lists the other events (a checkpoint, the run's end) and the
    arguments of each method; omit what you do not need.
    """

    #: False: a failure of the hook is reported once, and training continues. True: the run ends.
    failure_is_fatal = False

    def __init__(self, config: TemplateNameConfig) -> None:
        self.config = config
        self.best, self.waited = -math.inf, 0

    @hookimpl
    def r2s_run_start(self, step: int) -> None:
        """A run starts, or resumes at `step`: reset."""
        self.best, self.waited = -math.inf, 0

    @hookimpl
    def r2s_metrics(self, metrics: Mapping[str, float]) -> bool:
        """Called after every update; True stops training: the policy is saved and evaluated."""
        value = metrics.get(self.config.metric, math.nan)
        if not math.isfinite(value):  # no episode ended in this update
            return False
        if value > self.best + self.config.gain:
            self.best, self.waited = value, 0
        else:
            self.waited += 1
        return self.waited >= self.config.patience
