"""The training loop: update, report, save, until there is a reason to stop."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from r2s_core.config import RunConfig
from r2s_core.config.flat import differing
from r2s_core.env.contract import exported, initial, updated
from r2s_core.errors import R2SError
from r2s_core.evaluation.curve import EvaluationCurve
from r2s_core.hooks import Hooks
from r2s_core.plugin import option
from r2s_core.record import checkpoint
from r2s_core.record.folder import learning_configuration, resume_command
from r2s_core.record.history import EVALUATED, History, SavedHistory
from r2s_core.system import documents
from r2s_core.system.foreign import calling
from r2s_core.system.progress import TrainingProgress
from r2s_core.system.run_files import CHECKPOINTS
from r2s_core.system.signals import RunInterrupted, StopSignals
from r2s_core.training.divergence import DivergenceWatch
from r2s_core.types import Algorithm, Checked, Environment, SavesPart

#: The columns that the loop itself writes.
_COLUMNS = frozenset({"step", "wall_s", "steps_per_second", EVALUATED})


@dataclasses.dataclass
class Training:
    """The state of training; all but the learner is small and JSON."""

    learner: Any
    step: int = 0  # environment steps over all worlds
    seconds: float = 0.0  # of training, compilation included, over all resumes
    compile_s: float = 0.0
    stopped_by: str = "total_timesteps"
    history: History = dataclasses.field(default_factory=History)


@dataclasses.dataclass(frozen=True)
class SavedTraining:
    """A checkpoint's metadata, stored with the learner.

    configuration: the settings that determine what is learned, by dotted key.
    """

    step: int = option(minimum=0)
    seconds: float = option(minimum=0.0)
    compile_s: float = option(minimum=0.0)
    history: SavedHistory = option()
    configuration: Mapping[str, Any] = option()


def start(
    algorithm: Algorithm[Any],
    config: RunConfig,
    run_dir: Path,
    resume: bool,
    note: Callable[[str], None],
) -> Training:
    """A fresh learner, or the run's newest intact checkpoint; `note` gets a line on which.

    Raises `CheckpointError` if the checkpoints do not belong to this configuration.
    """
    fresh = initial(f"algorithm '{config.algorithm}'", algorithm, jax.random.key(config.seed))
    template = _saved(algorithm, fresh)
    loaded = None
    if resume:
        check = functools.partial(_check_own, learning_configuration(config))
        loaded = checkpoint.load_latest(run_dir / CHECKPOINTS, template, check)
    if loaded is None:
        if resume:
            note("There is no checkpoint yet; starting from the beginning.")
        return Training(fresh)
    for problem in loaded.skipped:
        note(f"{problem}; continuing with the checkpoint before it.")
    meta = _read_meta(loaded.meta, loaded.path)
    if meta.step < config.training.total_timesteps:
        note(f"Resuming at step {meta.step:,}.")
    else:
        note(f"Training had finished, at step {meta.step:,}; evaluation and report are repeated.")
    if (omitted := getattr(algorithm, "omits", None)) is not None:
        note(f"The checkpoint omits {omitted}.")
    return Training(
        learner=_restored(algorithm, loaded.learner, fresh),
        step=meta.step,
        seconds=meta.seconds,
        compile_s=meta.compile_s,
        history=History(meta.history),
    )


def _read_meta(meta: Mapping[str, Any], path: Path) -> SavedTraining:
    return documents.parse(SavedTraining, meta, str(path), error=checkpoint.DamagedCheckpoint)


def _is_newer(key: str, saved: Mapping[str, Any]) -> bool:
    """Whether an option did not exist in the r2s that saved: its section did, its key did not.

    Its value is then the default, since the run's own config.yaml does not have the key.
    """
    section = key.rpartition(".")[0]
    return key not in saved and any(known.startswith(f"{section}.") for known in saved)


def _check_own(configuration: Mapping[str, Any], meta: Mapping[str, Any], path: Path) -> None:
    """Refuse the checkpoint of a run with other settings, even if its shapes fit."""
    saved = _read_meta(meta, path).configuration
    keys = [key for key in differing(saved, configuration) if not _is_newer(key, saved)]
    if not keys:
        return
    configured, trained = (str(x.get(keys[0]))[:80] for x in (configuration, saved))
    others = f" (and {', '.join(keys[1:6])})" if len(keys) > 1 else ""
    raise checkpoint.CheckpointError(
        f"{path} is of another run: {keys[0]} is {trained} there and {configured} here{others}. "
        "Resume with the configuration that it was trained with, or start a new run."
    )


@dataclasses.dataclass(frozen=True)
class RunContext:
    """The environment of a training: its parts, its folder and its listeners.

    began: `time.perf_counter()` at the start of this session's training time, which includes
    building and compiling. curve: evaluates during training; does not count as training time.
    """

    algorithm: Algorithm[Any]
    env: Environment[Any]
    config: RunConfig
    run_dir: Path
    hooks: Hooks
    progress: TrainingProgress
    signals: StopSignals
    began: float
    curve: EvaluationCurve | None = None


def train(training: Training, context: RunContext) -> None:
    """Continue `training` until its configuration, a hook or a signal stops it, and save.

    Raises `RunInterrupted` after a signal, with a checkpoint saved.
    """
    _Loop(training, context).run()
    if training.stopped_by == "signal":
        total = context.config.training.total_timesteps
        where = f"at {training.step:,} of {total:,} steps, all saved"
        command = resume_command(context.run_dir)
        raise RunInterrupted(where, f"Continue with: {command}", context.signals.received)


@dataclasses.dataclass
class _Loop:
    training: Training
    context: RunContext
    paused_s: float = 0.0  # spent on the evaluation curve, which is not training time

    def __post_init__(self) -> None:
        note = self.context.progress.note
        self.divergence = DivergenceWatch(self.context.env, self.training.history, note)

    @property
    def _label(self) -> str:
        return f"algorithm '{self.context.config.algorithm}'"

    def run(self) -> None:
        before, compiled, now = self.training.seconds, self.training.compile_s, self._clock()
        setup_s, durations, saved_at = now - self.context.began, [], now
        reason = self._reason_to_stop(hook=False)
        with contextlib.ExitStack() as work_to_save:
            while reason is None:
                hook_stops = self._update(before, compiles=not durations)
                # The first update compiles for a minute: if interrupted there, nothing is lost.
                if not durations:
                    work_to_save.enter_context(self.context.signals.deferred())
                durations.append(self._clock() - now)
                now = self._clock()
                reason = self._reason_to_stop(hook_stops)
                interval = self.context.config.training.checkpoint_interval_s
                if reason is None and now - saved_at >= interval:
                    self._save(compiled + _compile_seconds(setup_s, durations))
                    saved_at = now = self._clock()
            self.training.stopped_by = reason
            if durations:
                self._save(compiled + _compile_seconds(setup_s, durations))

    def _update(self, before: float, compiles: bool) -> bool:
        """One update, and its report to hooks and progress; True if a hook requests a stop."""
        state, began = self.training, self._clock()
        state.learner, metrics = updated(self._label, self.context.algorithm, state.learner)
        with calling(self._label, self.context.algorithm):
            row = _row(metrics)
        if isinstance(self.context.env, Checked):
            self.context.env.check()
        now = self._clock()
        state.step += self.context.algorithm.steps_per_update
        state.seconds = before + now - self.context.began
        speed = self.context.algorithm.steps_per_update / (now - began)
        row = {"wall_s": state.seconds, "steps_per_second": speed, **row, **self._evaluated()}
        state.history.append({"step": state.step, **row})
        self.divergence.update(state.step)
        hook_stops = self.context.hooks.metrics(state.step, row)
        # The first update is slow because it compiles; its speed would predict hours.
        self.context.progress.update(state.step, math.nan if compiles else speed, row)
        return hook_stops

    def _evaluated(self) -> dict[str, float]:
        """The evaluation curve's metrics, if this update reached one of its points."""
        state = self.training
        curve = self.context.curve
        before = state.step - self.context.algorithm.steps_per_update
        point = None if curve is None else curve.point(before, state.step)
        if curve is None or point is None:
            return {}
        jax.block_until_ready(state.learner)  # unfinished work counts as training time
        began = time.perf_counter()
        export = exported(self._label, self.context.algorithm, state.learner, self.context.env.spec)
        measured = curve.measure(export, self.context.env.spec, point)
        self.paused_s += time.perf_counter() - began
        return measured

    def _clock(self) -> float:
        """Seconds, stopped while the policy is evaluated."""
        return time.perf_counter() - self.paused_s

    def _reason_to_stop(self, hook: bool) -> str | None:
        options, state = self.context.config.training, self.training
        if self.context.signals.received is not None:
            return "signal"
        if state.step >= options.total_timesteps:
            return "total_timesteps"
        if hook:
            return "hook"
        if options.time_limit_s is not None and state.seconds >= options.time_limit_s:
            return "time_limit_s"
        wanted, success = options.stop_at_success, state.history.recent_success()
        if wanted is not None and success is not None and success >= wanted:
            return "stop_at_success"
        return None

    def _save(self, compile_s: float) -> None:
        """compile_s: over all resumes; a killed run's checkpoint must tell its own, too."""
        state = self.training
        state.compile_s = compile_s
        meta = SavedTraining(
            step=state.step,
            seconds=state.seconds,
            compile_s=state.compile_s,
            history=state.history.saved(),
            configuration=learning_configuration(self.context.config),
        )
        path = checkpoint.save(
            self.context.run_dir / CHECKPOINTS,
            _saved(self.context.algorithm, state.learner),
            dataclasses.asdict(meta),
            step=state.step,
            keep=self.context.config.training.keep_checkpoints,
        )
        self.context.hooks.checkpoint(path, state.step)


def _saved(algorithm: Algorithm[Any], learner: Any) -> Any:
    return algorithm.saved(learner) if isinstance(algorithm, SavesPart) else learner


def _restored(algorithm: Algorithm[Any], saved: Any, fresh: Any) -> Any:
    return algorithm.restored(saved, fresh) if isinstance(algorithm, SavesPart) else saved


def _compile_seconds(setup_s: float, durations: list[float]) -> float:
    """Set-up time, plus the excess of the first update over the others."""
    usual = statistics.median(durations[1:]) if len(durations) > 1 else 0.0
    return setup_s + max(durations[0] - usual, 0.0)


def _row(metrics: Mapping[str, Any]) -> dict[str, float]:
    """An algorithm's metrics; one named like a column of the loop becomes "algorithm/..."."""
    return {
        f"algorithm/{name}" if name in _COLUMNS else str(name): _number(name, value)
        for name, value in metrics.items()
    }


def _number(name: str, value: Any) -> float:
    if np.size(value) != 1:
        raise R2SError(
            f"The algorithm's metric {name} has shape {np.shape(value)}; a metric is one number."
        )
    return float(np.asarray(value).reshape(()))
