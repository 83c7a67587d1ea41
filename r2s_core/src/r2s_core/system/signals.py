"""Ctrl-C, SIGTERM and SIGHUP (a closing terminal): finish the update, save, and exit."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

from r2s_core.errors import R2SError

_INT, _TERM = int(signal.SIGINT), int(signal.SIGTERM)
#: SIGHUP, which Windows does not have.
HANGUP = getattr(signal, "SIGHUP", None)
#: How long the main thread may take to notice a signal; it may be in a compiler for a minute.
_PATIENCE_S = 3.0
#: Set for a run whose parent holds the other end of its stdin: see `stop_with_parent`.
STOP_WITH_PARENT = "R2S_STOP_WITH_PARENT"


class RunInterrupted(R2SError):
    """The user or the system stopped the run; it can be resumed."""

    def __init__(self, what: str, how_to_continue: str, signum: int | None) -> None:
        super().__init__(f"Stopped {what}. {how_to_continue}")
        self.exit_code = 128 + (signum or _INT)  # 130 after Ctrl-C, as in shells


class Ended(R2SError):
    """SIGTERM or SIGHUP ended a command that cannot be resumed."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"ended by {signal.Signals(signum).name}")
        self.exit_code = 128 + signum


@contextmanager
def tidy_end() -> Iterator[None]:
    """SIGTERM and SIGHUP unwind the stack, as Ctrl-C does, and then raise `Ended`.

    So temporary folders and child processes are cleaned up. Further such signals do not interrupt
    the clean-up; outside the main thread this does nothing.
    """
    received: list[int] = []

    def handle(signum: int, frame: FrameType | None) -> None:
        if _retried_later(signum, frame) or (received and signum != _INT):
            return
        received.append(signum)
        raise KeyboardInterrupt

    ignored = signal.getsignal(_INT) == signal.SIG_IGN  # in the background of a script
    with handling([_TERM, HANGUP] if ignored else [_INT, _TERM, HANGUP], handle):
        try:
            yield
        except KeyboardInterrupt:
            if received and received[0] != _INT:
                raise Ended(received[0]) from None
            raise


@contextmanager
def interruptible_at_once() -> Iterator[None]:
    """Ctrl-C ends the process at once: for the seconds of importing, before `StopSignals`.

    There is nothing to save yet, and Python's own KeyboardInterrupt may be lost: raised within
    JAX's garbage-collector callback, it is printed and the program continues.
    """
    with handling([_INT], signal.SIG_DFL):
        yield


def stop_with_parent() -> None:
    """If the parent requested it, SIGTERM this process once the parent is gone.

    Whatever ends the parent, even SIGKILL, closes its end of our stdin.
    """
    if os.environ.pop(STOP_WITH_PARENT, None) is None:
        return

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 4096):
                pass
            os.kill(os.getpid(), _TERM)

    threading.Thread(target=watch, daemon=True).start()


class StopSignals:
    """While entered, SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt, and `received` says which
    it was.

    Within `deferred()` the first one only sets `received`, which the loop polls. Where the main
    thread does not return from a compiler within a few seconds, the process prints `last_words`
    and exits. Outside the main thread, where Python delivers no signals, this does nothing.
    """

    def __init__(
        self, notify: Callable[[str], Any], last_words: Callable[[], str] | None = None
    ) -> None:
        """notify: called with a line for the user when a signal is deferred. last_words: returns
        the line to print before a forced exit; None: wait as long as it takes.
        """
        self.received: int | None = None
        self._defer = False
        self._notify, self._last_words = notify, last_words
        self._left = threading.Event()
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> StopSignals:
        self._stack.enter_context(handling([_INT, _TERM, HANGUP], self._handle))
        if self._last_words is not None and _in_main_thread():
            self._watch(self._last_words)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._left.set()
        self._stack.close()

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Within it the first signal is deferred; a second one interrupts at once."""
        self._defer = True
        try:
            yield
        finally:
            self._defer = False

    def check(self) -> None:
        """Raises KeyboardInterrupt where a signal was deferred."""
        if self.received is not None:
            raise KeyboardInterrupt

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if _retried_later(signum, frame):
            return
        first, self.received = self.received is None, signum
        if not (self._defer and first):
            raise KeyboardInterrupt
        self._notify("stopping after this update; a second signal stops at once")

    def _watch(self, last_words: Callable[[], str]) -> None:
        """Start a thread that sees each signal at once, whatever the main thread does."""
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        previous = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        self._stack.callback(os.close, writer)  # ends the thread
        self._stack.callback(signal.set_wakeup_fd, previous)
        handled = {_INT, _TERM, HANGUP}

        def watch() -> None:
            seen = 0
            with os.fdopen(reader, "rb", buffering=0) as numbers:
                while number := numbers.read(1):
                    seen += number[0] in handled
                    if number[0] not in handled or (self._defer and seen == 1):
                        continue
                    if not self._left.wait(_PATIENCE_S):
                        _end(number[0], last_words())

        threading.Thread(target=watch, daemon=True).start()


def _end(signum: int, words: str) -> None:
    with contextlib.suppress(Exception):
        print(words, file=sys.stderr, flush=True)
    os._exit(128 + signum)


@contextmanager
def handling(signums: list[Any], handler: Any) -> Iterator[None]:
    """In the main thread, `handler` for these signals; an ignored hangup (nohup) stays ignored."""
    previous = {}
    if _in_main_thread():
        for signum in signums:
            if signum is None or (signum == HANGUP and signal.getsignal(signum) == signal.SIG_IGN):
                continue
            previous[signum] = signal.signal(signum, handler)
    try:
        yield
    finally:
        for signum, old in previous.items():
            signal.signal(signum, old)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _retried_later(signum: int, frame: FrameType | None) -> bool:
    """Whether the main thread is within JAX's garbage-collector callback; then it is sent again.

    An exception there is printed and lost, so the signal must arrive after the callback.
    """
    while frame is not None:
        if frame.f_code.co_name == "_xla_gc_callback":
            threading.Timer(0.02, os.kill, (os.getpid(), signum)).start()
            return True
        frame = frame.f_back
    return False
