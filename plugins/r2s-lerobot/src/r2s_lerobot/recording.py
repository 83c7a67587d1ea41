"""`r2s demo record`: an expert's episodes, written while they are played."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from r2s_core import device, registry
from r2s_core.config import RunConfig
from r2s_core.demonstrations.episode import Episode
from r2s_core.demonstrations.recording import record
from r2s_core.env import VectorEnv
from r2s_core.env.build import make_environment
from r2s_core.errors import ConfigError, R2SError
from r2s_core.policy.saved import action_names
from r2s_core.record import inputs
from r2s_core.record.folder import shown
from r2s_core.rollout import rollout_bytes
from r2s_core.system import files
from r2s_core.system.console import stderr_console, stdout_console
from r2s_core.system.foreign import calling
from r2s_core.system.progress import percent
from r2s_core.system.run_files import CONFIG
from r2s_core.system.signals import RunInterrupted, StopSignals
from r2s_core.types import EXPERT_GROUP, ArraySpec
from r2s_lerobot import layout
from r2s_lerobot.claim import Claim
from r2s_lerobot.features import Description
from r2s_lerobot.progress import RecordingProgress
from r2s_lerobot.videos import Codec
from r2s_lerobot.write import Writer

#: Episodes are written once this much has been played or this time has passed.
_BUFFER, _INTERVAL_S = 64 * files.MIB, 5.0
_NOTHING = "Nothing had been recorded yet."


def record_data_set(config: RunConfig, folder: Path, codec: Codec) -> None:
    """Record `config.demonstrations.episodes` episodes of its source to a new folder.

    codec: of the cameras' videos.

    Raises:
      RunInterrupted: after SIGINT or SIGTERM; the folder then holds the whole episodes so far.
      R2SError: any other problem that a user can fix. Here too what was played is kept.
    """
    console, folder = stderr_console(), folder.absolute()
    with Claim(folder) as claim:
        signals = _ending_at_once(claim)  # Python's own handling loses Ctrl-C within JAX
        try:
            with signals:
                session = _prepared(config, folder, codec, claim, console)
        except KeyboardInterrupt:
            raise RunInterrupted("recording", _NOTHING, signals.received) from None
        session.run()
    stdout_console().print(session.summary())


def _ending_at_once(claim: Claim) -> StopSignals:
    """For the time before the first episode, in which nothing is lost."""

    def last_words() -> str:
        claim.release()
        return f"Stopped recording. {_NOTHING}"

    return StopSignals(lambda line: None, last_words)


def _prepared(
    config: RunConfig, folder: Path, codec: Codec, claim: Claim, console: Console
) -> _Recording:
    device.announce(device.select_device(config.training.use_gpu))
    config = device.resolve_backend(config)
    kept = inputs.collect(config, folder / layout.OURS)
    console.print("preparing objects and scene ...")
    env = make_environment(config, training=True)
    if not isinstance(env, VectorEnv):
        raise ConfigError(
            f"the environment {config.environment.use} is not a task in r2s's engine, so it has no "
            "expert to record"
        )
    spec = env.spec
    device.check_memory(
        rollout_bytes(spec, spec.max_episode_steps),
        f"environment.num_parallel_envs: an episode in each of {spec.num_worlds:,} worlds",
        "lower it",
    )
    return _Recording(config, kept, env, folder, codec, claim, console)


class _NotWritten(R2SError):
    """The data set cannot be written, which is not the fault of the environment that is played."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"{error.filename}: {error.strerror}")
        self.error = error


class _Recording:
    def __init__(
        self,
        config: RunConfig,
        kept: inputs.Inputs,
        env: VectorEnv,
        folder: Path,
        codec: Codec,
        claim: Claim,
        console: Console,
    ) -> None:
        # Without chunks: an expert chooses, and is recorded, in every control step.
        self.config, self.kept, self.env = config, kept, env.from_the_start()
        self.folder, self.claim, self.console = folder, claim, console
        self.writer = Writer(folder, _description(config, self.env, codec))
        self.played = self.succeeded = 0
        self.signals = StopSignals(lambda line: None)
        self.is_whole = True  # False while the writer is at work
        self.last_flush = time.monotonic()
        self.progress = RecordingProgress(config.demonstrations.episodes or 0, console)

    def run(self) -> None:
        """Record; see `record_data_set`."""
        try:
            self._record()
            with self.signals, self.signals.deferred():
                self._flush(complete=True)
        except KeyboardInterrupt:
            self._save()
            if self.signals.received is None and not self.writer.written:
                raise  # it came before there was anything to tell
            raise RunInterrupted("recording", self._so_far(), self.signals.received) from None
        except _NotWritten as stopped:
            if stopped.error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise stopped.error from None
            raise R2SError(
                f"the disk is full while writing {stopped.error.filename}; {self._so_far()} Free "
                "some space before you record more."
            ) from stopped.error
        except R2SError:
            self._save()
            if self.writer.written:
                self.console.print(self._so_far())
            raise

    def _record(self) -> None:
        wanted = self.config.demonstrations
        assert wanted.episodes is not None
        episodes = record(
            self.env,
            self.config.seed,
            wanted.episodes,
            successful_only=wanted.successful_only,
            noise_std=wanted.noise_std,
            attempted=self._attempted,
        )
        with calling(f"environment '{self.config.environment.use}'", self.env.task):
            first = self._first(episodes)
            with self.progress, self.signals:
                self._keep(chain([first], episodes))

    def _first(self, episodes: Iterator[Episode]) -> Episode:
        """The first episode, after a compilation that nothing is lost by ending."""

        lasting, self.signals = self.signals, _ending_at_once(self.claim)
        with self.signals:
            wanted = self.config.demonstrations.episodes
            self.console.print(f"recording {wanted:,} episodes; compiling ...")
            first = next(episodes)
        self.signals = lasting
        return first

    def _keep(self, episodes: Iterator[Episode]) -> None:
        for episode in episodes:
            with self._undisturbed():
                self.writer.add(episode)

    def _attempted(self, played: int, succeeded: int) -> None:
        """After each round."""
        self.played += played
        self.succeeded += succeeded
        self.progress.update(self.writer.episodes, self.played, self.succeeded)
        due = time.monotonic() - self.last_flush > _INTERVAL_S and self.writer.episodes > 0
        if due or self.writer.buffered_bytes > _BUFFER:
            with self._undisturbed():
                self._flush()

    @contextmanager
    def _undisturbed(self) -> Iterator[None]:
        """Within it a first signal waits, so that the writer's work is done or not begun."""
        self.is_whole = False
        with self.signals.deferred():
            yield
        self.is_whole = True
        self.signals.check()

    def _save(self) -> None:
        """Write what is whole, when the recording ends early."""
        if self.is_whole and self.writer.episodes:
            with self.signals, self.signals.deferred():
                self._flush()

    def _flush(self, complete: bool = False) -> None:
        try:
            if not self.writer.written:
                self._begin()
            self.writer.flush(self._facts(complete))
        except OSError as error:
            raise _NotWritten(error) from error
        self.last_flush = time.monotonic()

    def _begin(self) -> None:
        """The configuration, and copies of the files that it names."""
        ours = self.folder / layout.OURS
        ours.mkdir(parents=True, exist_ok=True)
        self.kept.write(ours)
        values = inputs.portable(self.kept.config.resolved(), ours)
        del values["output"]
        text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
        files.write_text(ours / CONFIG, f"# What was recorded: {self.config.name}.\n{text}")

    def _facts(self, complete: bool) -> dict[str, Any]:
        wanted, source = self.config.demonstrations, self.config.demonstrations.source
        return {
            "format": layout.FORMAT,
            "name": self.config.name,
            "expert": f"run {source.name}" if isinstance(source, Path) else source,
            "noise_std": wanted.noise_std,
            "successful_only": wanted.successful_only,
            "seed": self.config.seed,
            "worlds": self.env.spec.num_worlds,
            "backend": self.config.backend.use,
            "groups": [*self.writer.description.groups, *self.writer.description.images],
            "episodes_wanted": wanted.episodes,
            "episodes_played": self.played,
            "episodes_succeeded": self.succeeded,
            "complete": complete,
            "versions": device.versions(
                registry.find("environment", self.config.environment.use).dist, "r2s-lerobot"
            ),
        }

    def _so_far(self) -> str:
        if self.writer.written:
            return (
                f"{shown(self.folder)} is a data set of the {self.writer.written:,} episodes "
                "recorded so far."
            )
        return _NOTHING

    def summary(self) -> str:
        """A line about what was recorded."""
        writer, share = self.writer, percent(self.succeeded / max(self.played, 1))
        lines = [
            f"{shown(self.folder)}: {writer.episodes:,} episodes, {writer.frames:,} control steps; "
            f"of {self.played:,} played, {share} succeeded"
        ]
        crf = writer.description.codec.crf
        lines += [
            f"{name}: with CRF {crf} its images are at most {loss.largest} of 255 levels from what "
            f"was seen, {loss.mean:.2f} on average"
            for name, loss in writer.losses.items()
            if crf
        ]
        return "\n".join(lines)


def _description(config: RunConfig, env: VectorEnv, codec: Codec) -> Description:
    spec = env.spec
    groups = {name: of for name, of in spec.observations.items() if name != EXPERT_GROUP}
    images = {name: of for name, of in groups.items() if of.is_image}
    numbers = [name for name in groups if name not in images]
    policy_first = sorted(numbers, key=lambda name: name != "policy")
    return Description(
        groups={name: _names(name, groups[name]) for name in policy_first},
        images=images,
        codec=codec,
        actions=tuple(action_names(spec)),
        rate_hz=1.0 / spec.control_dt,
        executed=config.demonstrations.noise_std > 0,
        task=spec.task.success or config.name,
        robot=spec.task.robot,
    )


def _names(group: str, spec: ArraySpec) -> tuple[str, ...]:
    if len(spec.shape) != 1:
        raise ConfigError(
            f"the observation group {group} has shape {list(spec.shape)}; only lists of numbers "
            "and images are recorded"
        )
    return spec.names or tuple(f"{group}_{i}" for i in range(spec.shape[0]))
