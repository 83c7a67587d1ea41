"""Processes of `r2s object fix`, one for each thread that calls `Crew.fix`."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from r2s_core.system.worker import python_command

SECONDS = 600.0  # time limit for one scan
GRACE = 5.0  # s for a terminated process to clean up
_R2S = ("-m", "r2s_core")


class Crew:
    """The running processes."""

    def __init__(self, options: Sequence[str]) -> None:
        self._options = tuple(options)
        self._running: set[subprocess.Popen[str]] = set()
        self._dismissed = False
        self._lock = threading.Lock()

    def fix(self, scan: Path, folder: Path) -> dict[str, Any] | str:
        """The output of `r2s object fix --json` for a scan, or why there is none."""
        process = self._begin(scan, folder)
        try:
            return _outcome(process)
        finally:
            with self._lock:
                self._running.discard(process)

    def _begin(self, scan: Path, folder: Path) -> subprocess.Popen[str]:
        # One thread each: there are as many processes as there are cores.
        one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        arguments = ["--json", *self._options, "-o", str(folder), "--", str(scan)]
        with self._lock:
            if self._dismissed:
                raise KeyboardInterrupt
            process = subprocess.Popen(
                python_command(*_R2S, "object", "fix", *arguments),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                env=os.environ | one,
                start_new_session=True,  # so that it can be killed with its children
            )
            self._running.add(process)
        return process

    def dismiss(self) -> None:
        """End every running process, by SIGTERM first, on which it cleans up."""
        with self._lock:
            self._dismissed = True
            running = list(self._running)
        for process in running:
            with contextlib.suppress(OSError):
                process.terminate()
        until = time.monotonic() + GRACE
        for process in running:
            try:
                process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                _kill(process)
                process.wait()


def _outcome(process: subprocess.Popen[str]) -> dict[str, Any] | str:
    """Wait for it; return the facts of its certificate, or why there is none."""
    try:
        out, err = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
        _kill(process)
        process.communicate()
        return f"took more than {SECONDS:.0f} s; decimate or clean the scan first"
    if process.returncode < 0:
        return f"its process was ended by {signal.Signals(-process.returncode).name}"
    with contextlib.suppress(ValueError, IndexError):
        facts = json.loads(out.strip().splitlines()[-1])
        if isinstance(facts, dict) and "verdict" in facts:
            return facts
    lines = err.strip().splitlines()
    return lines[-1] if lines else f"its process ended with status {process.returncode}"


def _kill(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
