"""A key that must be held for the robot to move.

A terminal tells of a key that is held by repeating it, and nothing of its release: the robot stops
within `RELEASED_S` of it. This is no emergency stop: keep that at hand too.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import IO, Any

from r2s_deploy.errors import DeployError
from r2s_deploy.watch import Stopped

#: Keyboards repeat a key after up to 0.7 s, and then 20 to 30 times a second.
_FIRST_S, RELEASED_S = 0.9, 0.25
KEY = " "
_STOPPING = ("SIGINT", "SIGTERM", "SIGHUP")  # the last: the terminal was closed


class TerminalKey:
    """The space bar of a terminal."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._ended = descriptor, threading.Event()
        self._until = 0.0  # by time.monotonic
        self._thread = threading.Thread(target=self._listen, daemon=True, name="dead-man key")
        self._thread.start()

    @property
    def held(self) -> bool:
        """Whether it seems to be held."""
        return time.monotonic() < self._until

    def check(self) -> None:
        """Raises `Stopped` where the key is not held."""
        if not self.held:
            raise Stopped("the space bar was released")

    def close(self) -> None:
        """Listen no more."""
        self._ended.set()
        self._thread.join(1.0)

    def _listen(self) -> None:
        while not self._ended.is_set():
            if not select.select([self._descriptor], [], [], 0.05)[0]:
                continue
            if not (pressed := os.read(self._descriptor, 64)):
                return  # the terminal is gone
            now = time.monotonic()
            if pressed.strip(KEY.encode()):
                self._until = 0.0  # another key lets go, as pasted text does
                continue
            self._until = now + (RELEASED_S if self.held else _FIRST_S)


@contextlib.contextmanager
def terminal_key(terminal: IO[Any] | None = None) -> Iterator[TerminalKey]:
    """The space bar of a terminal, default: standard input, which shows no keys meanwhile.

    Raises `DeployError` where that is no terminal.
    """
    terminal = terminal or sys.stdin
    try:
        import termios
        import tty
    except ModuleNotFoundError as error:
        raise DeployError("the dead-man key needs a terminal of Linux or macOS") from error
    if terminal is None or not terminal.isatty():
        raise DeployError(
            "the dead-man key needs a terminal, and standard input is none: run it in one"
        )
    descriptor = terminal.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    key = TerminalKey(descriptor)
    try:
        yield key
    finally:
        key.close()
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


class Permission:
    """Whether the robot may move: nothing interrupted, and the key, if there is one, is held."""

    def __init__(self, key: TerminalKey | None) -> None:
        self.key, self._interrupted = key, threading.Event()

    def interrupt(self) -> None:
        """It may not move any more."""
        self._interrupted.set()

    def check(self) -> None:
        """Raises `Stopped` where it may not."""
        if self._interrupted.is_set():
            raise Stopped("it was interrupted")
        if self.key is not None:
            self.key.check()

    def wait(self) -> None:
        """Until it may; raises `Stopped` where it was interrupted."""
        while self.key is not None and not self.key.held:
            if self._interrupted.is_set():
                raise Stopped("it was interrupted")
            time.sleep(0.01)


@contextlib.contextmanager
def permission(*, with_key: bool) -> Iterator[Permission]:
    """Meanwhile Ctrl-C and a request to end stop the robot, and not this program at once.

    Raises `DeployError` where there is no terminal for the key.
    """
    with contextlib.ExitStack() as stack:
        key = stack.enter_context(terminal_key()) if with_key else None
        allowed = Permission(key)
        numbers = [getattr(signal, name) for name in _STOPPING if hasattr(signal, name)]
        before = {number: signal.getsignal(number) for number in numbers}

        def interrupt(*_: object) -> None:
            allowed.interrupt()
            for number, handler in before.items():
                signal.signal(number, handler)  # a second one ends what hangs

        for number, handler in before.items():
            signal.signal(number, interrupt)
            stack.callback(signal.signal, number, handler)
        yield allowed
