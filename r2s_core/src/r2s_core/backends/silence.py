"""MuJoCo's own warnings: counted where they arise, but neither printed nor logged.

An unstable world warns at every step: a run would print millions of lines and write as many to
MUJOCO_LOG.TXT in the working directory.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import mujoco

_lock = threading.Lock()
_depth = 0
_loud: mujoco.MjLogConfig | None = None


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Within it MuJoCo logs nothing, on any thread; MjData still counts its warnings."""
    global _depth, _loud
    with _lock:
        if _depth == 0:
            _loud, quiet = mujoco.MjLogConfig.get(), mujoco.MjLogConfig.get()
            quiet.logto_console = quiet.logto_file = False
            quiet.set()
        _depth += 1
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0 and _loud is not None:
                _loud.set()
