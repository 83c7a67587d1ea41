"""Output errors do not end a run: a closed pipe, a closed terminal, a full log."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


def open_standard_streams() -> None:
    """Open the null device for stdin, stdout or stderr where the process has none (`2>&-`).

    Otherwise the next file that is opened becomes stderr to C libraries, which write into it.
    """
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(descriptor, mode, closefd=False))


@contextmanager
def lasting_streams() -> Iterator[None]:
    """While entered, failing writes to stdout and stderr are ignored.

    `r2s run ... | head -2` trains to its end; later output goes to the null device.
    """
    before = sys.stdout, sys.stderr  # None, in a process that was started without
    sys.stdout, sys.stderr = (stream and _Lasting(stream) for stream in before)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        sys.stdout, sys.stderr = before


class _Lasting:
    """A text stream whose writes never fail; everything else is the stream's own."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._try(lambda: self._stream.write(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _try(self, write: Callable[[], Any]) -> None:
        try:
            write()
        except (OSError, ValueError):  # ValueError: the stream is closed
            # This also protects other writers to the same descriptor, such as C libraries.
            with contextlib.suppress(OSError, ValueError):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, self._stream.fileno())
                os.close(null)
                write()
