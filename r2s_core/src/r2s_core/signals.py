"""Ctrl-C and SIGTERM: finish the update, save, and leave."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

from r2s_core.errors import R2SError


class RunInterrupted(R2SError):
    """The user or the system stopped the run; it can be resumed."""

    def __init__(self, what: str, how_to_go_on: str, signum: int | None) -> None:
        super().__init__(f"Stopped {what}. {how_to_go_on}")
        self.exit_code = 128 + (signum or signal.SIGINT)  # 130 after Ctrl-C, as shells have it


@contextmanager
def interruptible_at_once() -> Iterator[None]:
    """Ctrl-C ends the process on the spot: for the seconds of importing, before `StopSignals`.

    There is nothing to save yet, and Python's own KeyboardInterrupt may be lost: raised within
    the callback that JAX hangs into the garbage collector, it is printed and the program goes on.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


class StopSignals:
    """While entered, SIGINT and SIGTERM raise KeyboardInterrupt, and `received` says which it was.

    Within `deferred()` the first one only sets `received`: whoever is at work looks there when it
    is convenient. Outside the main thread, where Python delivers no signals, this does nothing.
    """

    def __init__(self, notify: Any) -> None:
        """notify: called with a line for the user when a signal is deferred."""
        self.received: int | None = None
        self._defer = False
        self._notify = notify
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for signum in (signal.SIGINT, signal.SIGTERM):
                self._previous[signum] = signal.signal(signum, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Until left, the first signal waits for us; a second one interrupts all the same."""
        self._defer = True
        try:
            yield
        finally:
            self._defer = False

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if _in_garbage_collection(frame):
            # What is raised there is printed and lost; again in a moment, when that is over.
            threading.Timer(0.02, os.kill, (os.getpid(), signum)).start()
            return
        first, self.received = self.received is None, signum
        if not (self._defer and first):
            raise KeyboardInterrupt
        self._notify("stopping after this update; again stops at once")


class Ended(R2SError):
    """SIGTERM or SIGHUP ended a command that has nothing to go on with."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"ended by {signal.Signals(signum).name}")
        self.exit_code = 128 + signum


@contextmanager
def tidy_end() -> Iterator[None]:
    """SIGTERM and SIGHUP unwind the stack, as Ctrl-C does, and then raise `Ended`.

    So temporary folders and child processes end with a command that would else leave them. Further
    signals do not disturb the tidying; outside the main thread this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []

    def handle(signum: int, frame: FrameType | None) -> None:
        if _in_garbage_collection(frame):
            threading.Timer(0.02, os.kill, (os.getpid(), signum)).start()
        elif not received:
            received.append(signum)
            raise KeyboardInterrupt

    signums = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    heeded = [signum for signum in signums if signal.getsignal(signum) != signal.SIG_IGN]  # nohup
    previous = {signum: signal.signal(signum, handle) for signum in heeded}
    try:
        yield
    except KeyboardInterrupt:
        if received:
            raise Ended(received[0]) from None
        raise
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)


def _in_garbage_collection(frame: FrameType | None) -> bool:
    """Whether the main thread is within the callback that JAX hangs into the collector."""
    while frame is not None:
        if frame.f_code.co_name == "_xla_gc_callback":
            return True
        frame = frame.f_back
    return False
