"""Runs what is to be run, one `r2s run` after another, each a process of its own."""

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
    """The user or the system stopped it; the same command goes on."""

    def __init__(self, signum: int) -> None:
        super().__init__("Stopped; the same command goes on from here.")
        self.exit_code = 128 + signum  # 130 after Ctrl-C, as for `r2s run`


def run_jobs(
    jobs: Sequence[Job], states: Sequence[State], console: Console, options: Sequence[str] = ()
) -> list[str]:
    """Run each job that is not finished, with these options; a line for each that failed.

    A run that fails (training diverged, say) is told and the others go on: without it the numbers
    would look better than they are only if nobody knew. Raises `ComparisonStopped` after a signal,
    once the run under way has saved itself, and `ConfigError` where a run refuses to start.
    """
    failed = []
    with _Signals() as signals:
        for number, (job, state) in enumerate(zip(jobs, states, strict=True), 1):
            where = f"[{number}/{len(jobs)}] {job.label}, seed {job.config.seed}"
            if state == "finished":
                console.print(f"{where}: finished already, in {shown(job.folder)}")
                continue
            how = ": going on" if state == "interrupted" else ""
            console.print(f"{where}{how}")
            resume = ["--resume"] if how else []
            status = signals.run(
                python_command("-m", "r2s_core", *job.arguments, *options, *resume)
            )
            if signals.received is not None:
                raise ComparisonStopped(signals.received)
            if status == ConfigError.exit_code:  # no other run would fare better; it has said why
                raise ConfigError(f"{job.label}, seed {job.config.seed}: cannot be run")
            if status:
                failed.append(
                    f"{job.label}, seed {job.config.seed} failed (exit status {status}) and is in "
                    f"none of the numbers; {shown(job.folder)} holds what there is of it."
                )
    return failed


class _Signals:
    """Hands SIGINT, SIGTERM and SIGHUP on to the run under way, once each, and waits for it.

    The run is in a session of its own: Ctrl-C would reach it directly too, and of two signals the
    second stops a run at once, without saving.
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
        """The exit status of a command; its stdout is dropped, stderr shows how it goes."""
        if self.received is not None:
            return 128 + self.received
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # never written to: its end tells the run that we are gone
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, STOP_WITH_PARENT: "1"},
        ) as child:
            self._child = child
            if self.received is not None:  # it came just now, before there was anyone to tell
                self._tell(self.received)
            try:
                return child.wait()
            finally:
                self._child = None

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        self.received = signum
        self._tell(signum)

    def _tell(self, signum: int) -> None:
        if self._child is not None:
            self._child.send_signal(signal.SIGTERM if signum == HANGUP else signum)
