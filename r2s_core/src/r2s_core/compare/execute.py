"""Runs the jobs, one `r2s run` after another, each in its own process."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from types import FrameType

from rich.console import Console

from r2s_core.compare.plan import Job, State
from r2s_core.errors import ConfigError, R2SError
from r2s_core.record.folder import shown
from r2s_core.system.signals import HANGUP, STOP_WITH_PARENT, handling
from r2s_core.system.worker import python_command


class ComparisonStopped(R2SError):
    """The user or the system stopped it; the same command continues it."""

    def __init__(self, signum: int) -> None:
        super().__init__("Stopped; the same command continues from here.")
        self.exit_code = 128 + signum  # 130 after Ctrl-C, as for `r2s run`


def run_jobs(
    jobs: Sequence[Job], states: Sequence[State], console: Console, options: Sequence[str] = ()
) -> list[str]:
    """Run each job that is not finished, with these options; returns a line per failed one.

    A failed run (training diverged, for example) is reported and the others continue; unreported,
    its absence would make the numbers look too good. Raises `ComparisonStopped` after a signal,
    once the current run has saved itself, and `ConfigError` where a run refuses to start.
    """
    failed = []
    with _Signals() as signals:
        for number, (job, state) in enumerate(zip(jobs, states, strict=True), 1):
            where = f"[{number}/{len(jobs)}] {job.label}, seed {job.config.seed}"
            if state == "finished":
                console.print(f"{where}: finished already, in {shown(job.folder)}")
                continue
            how = ": continued" if state == "interrupted" else ""
            console.print(f"{where}{how}")
            resume = ["--resume"] if how else []
            status = signals.run(
                python_command("-m", "r2s_core", *job.arguments, *options, *resume)
            )
            if signals.received is not None:
                raise ComparisonStopped(signals.received)
            if status == ConfigError.exit_code:  # other runs would fail too; it has said why
                raise ConfigError(f"{job.label}, seed {job.config.seed}: cannot be run")
            if status:
                failed.append(
                    f"{job.label}, seed {job.config.seed} failed (exit status {status}) and is not "
                    f"in the numbers; its files are in {shown(job.folder)}."
                )
    return failed


class _Signals:
    """Forwards SIGINT, SIGTERM and SIGHUP to the current run, once each, and waits for it.

    The run has its own session: otherwise Ctrl-C would reach it directly too, and a second signal
    stops a run at once, without saving.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> _Signals:
        self._handling = handling([signal.SIGINT, signal.SIGTERM, HANGUP], self._handle)
        self._handling.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._handling.__exit__(None, None, None)

    def run(self, command: Sequence[str]) -> int:
        """The exit status of a command; its stdout is dropped, stderr shows its progress."""
        if self.received is not None:
            return 128 + self.received
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # never written to: its closing tells the run that we are gone
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, STOP_WITH_PARENT: "1"},
        ) as child:
            self._child = child
            if self.received is not None:  # it arrived before there was a child to forward it to
                self._forward(self.received)
            try:
                return child.wait()
            finally:
                self._child = None

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        self.received = signum
        self._forward(signum)

    def _forward(self, signum: int) -> None:
        if self._child is not None:
            self._child.send_signal(signal.SIGTERM if signum == HANGUP else signum)
