"""Work on untrusted files, in another process with limits on time and memory."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np

from r2s_core.errors import AssetError, R2SError
from r2s_core.system.worker import python_command
from r2s_envs_objects.guard.limits import patience

SECONDS = 55.0  # for one file, on a machine that is not busy
STARTUP = 60.0  # s; the worker's imports take about one
GRACE = 2.0  # s for a worker to exit by itself
_ROOM = "free some space there, or name another in TMPDIR"

_idle: list[_Worker] = []
_lock = threading.Lock()


def call(target: str, data: bytes, arguments: dict[str, Any], label: str) -> dict[str, Any]:
    """The result of `target` ("module:function") on a file's content, in a process with limits.

    The function is called as function(data, **arguments) and returns named arrays; the arguments
    must survive JSON. label: the file's name in errors. AssetError, of one sentence, if the
    function raises anything, crashes, or needs too much time or memory; R2SError if the machine
    is at fault rather than the file.
    """
    try:
        temporary = tempfile.TemporaryDirectory(prefix="r2s-object-")
    except OSError as error:
        cause = error.strerror or str(error)
        raise R2SError(f"the temporary folder cannot be used ({cause}); {_ROOM}") from error
    with temporary as folder:
        job = {"target": target, "arguments": arguments, "label": label, "size": len(data)}
        ended = _perform(json.dumps(job | {"folder": folder}).encode() + b"\n", data)
        result, error = Path(folder) / "result.npz", Path(folder) / "error.txt"
        if result.exists():
            with np.load(result, allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        if error.exists() and ended == "done":
            raise AssetError(error.read_text(encoding="utf-8"))
    if ended == "full":
        raise R2SError(f"the temporary folder {tempfile.gettempdir()} is full; {_ROOM}")
    if ended in ("timeout", "SIGXCPU"):
        raise AssetError(f"{label}: took more than {SECONDS:.0f} s; decimate or clean it first")
    how = "ran out of memory" if ended == "done" else f"was ended by {ended}"
    raise AssetError(
        f"{label}: the process that read it {how}: damaged or too complex; export it again, or "
        "decimate it first"
    )


def _perform(head: bytes, data: bytes) -> str:
    """Have a worker do it: "done", "timeout", or what ended the process."""
    worker, fresh = _take()
    ended = worker.perform(head, data)
    if ended == "gone" and not fresh:  # its idle time ran out just now
        worker = _Worker()
        ended = worker.perform(head, data)
    with _lock:
        if worker.alive():
            _idle.append(worker)
    return ended


def _take() -> tuple[_Worker, bool]:
    """An idle worker of this process, or a new one, and whether it is new."""
    with _lock:
        while _idle:
            worker = _idle.pop()
            if worker.owner == os.getpid() and worker.alive():
                return worker, False
    return _Worker(), True


class _Worker:
    """A `worker` process; it serves one file at a time."""

    def __init__(self) -> None:
        self.owner = os.getpid()  # a fork of this process must not share the pipes
        self.late = False
        one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        self.process = subprocess.Popen(
            python_command("-m", "r2s_envs_objects.guard.worker"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,  # so that closing does not wait to flush
            env=os.environ | one_thread | {"MALLOC_ARENA_MAX": "1"},
            start_new_session=True,  # this process passes Ctrl-C on
        )
        # It exits by itself when idle, and must not remain as a zombie.
        threading.Thread(target=self.process.wait, daemon=True).start()
        if self._answer(STARTUP) != "ready":
            assert self.process.stderr is not None
            lines = self.process.stderr.read().decode(errors="replace").strip().splitlines()
            self.end()
            raise R2SError(
                "the process that reads scans did not start "
                f"({lines[-1] if lines else 'no reason'}); "
                "check the installation with `r2s plugins --check`"
            )

    def alive(self) -> bool:
        """Whether it can take another file."""
        return self.process.poll() is None

    def perform(self, head: bytes, data: bytes) -> str:
        """Process a file: "done", "timeout", "gone", or the signal that ended the work."""
        try:
            self._send(head)
            self._send(data)
            answer = self._answer(patience(SECONDS))
        except OSError:
            answer = ""
        except BaseException:  # Ctrl-C: it must not go on working
            self.end()
            raise
        if answer:
            return answer
        self.end()
        return "timeout" if self.late else "gone"

    def _send(self, data: bytes) -> None:
        assert self.process.stdin is not None
        rest = memoryview(data)
        while rest:
            rest = rest[self.process.stdin.write(rest) :]

    def _answer(self, seconds: float) -> str:
        timer = threading.Timer(seconds, self._give_up)
        timer.daemon = True
        timer.start()
        try:
            assert self.process.stdout is not None
            return self.process.stdout.readline().decode().strip()
        finally:
            timer.cancel()

    def _give_up(self) -> None:
        self.late = True
        self._stop()  # the thread that waits for the answer then reads an end of file

    def _stop(self) -> None:
        """End it and its work: it exits by itself when its standard input is closed."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(GRACE)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(OSError):
                self.process.kill()  # the kernel then ends its work

    def end(self) -> None:
        """End it and all its children."""
        self._stop()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5.0)
        for pipe in (self.process.stdout, self.process.stderr):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()


@atexit.register
def _end_all() -> None:
    with _lock:
        for worker in _idle:
            if worker.owner == os.getpid():
                worker.end()
        _idle.clear()
