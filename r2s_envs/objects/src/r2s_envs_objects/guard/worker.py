"""Does the work of `sandbox` in processes with limits; started by it, never imported.

    python -m r2s_envs_objects.guard.worker

It imports the heavy libraries once and forks for each file, so that a file that crashes, hangs or
exhausts memory kills only its own process. When the calling process is gone, however it ended, the
work is ended too and its folder removed. Without fork (Windows) files are processed here, and
`sandbox` restarts this process after a crash.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import json
import os
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from r2s_core.errors import AssetError
from r2s_envs_objects.guard.limits import adopt_orphans, end_with_parent, limit

IDLE = 60  # s without work after which the worker ends
MEMORY = 1_300 * 2**20  # bytes of address space of one file's process; with CoACD's own, < 2 GB
PROCESSOR = 50  # s
DONE, FULL = "done", "full"  # answers, besides the name of the signal that killed the work


def main() -> None:
    """Serve requests from standard input until it is closed or idle for `IDLE` s."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "w")
    importlib.import_module("r2s_envs_objects.preparation.pipeline")
    adopt_orphans()
    print("ready", file=answers, flush=True)
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # output of native libraries would be mistaken for an answer
        os.dup2(silence, stream)
    while request := _next(requests):
        if hasattr(os, "fork"):
            print(_forked(requests, *request), file=answers, flush=True)
        else:
            print(_do(*request), file=answers, flush=True)
        del request  # a file may be large


def _next(requests: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    alarm = getattr(signal, "alarm", lambda seconds: None)
    alarm(IDLE)  # its default action ends the process
    line = requests.readline()
    alarm(0)
    if not line:
        return None
    job = json.loads(line)
    data = requests.read(job["size"])
    return (job, data) if len(data) == job["size"] else None


def _forked(requests: BinaryIO, job: dict[str, Any], data: bytes) -> str:
    """Run the job in a fork: `DONE`, `FULL`, or the name of the signal that killed it."""
    ended, held = os.pipe()  # the child holds one end, which is closed however it exits
    child = os.fork()
    if child == 0:
        answer = DONE
        try:
            os.setpgid(0, 0)  # its own group, so that its children can be killed with it
            end_with_parent()
            tempfile.tempdir = job["folder"]
            limit(MEMORY, PROCESSOR)
            answer = _do(job, data)
        finally:
            os._exit(errno.ENOSPC if answer == FULL else 0)
    os.close(held)
    # No request comes during the work: if the pipe is readable, the caller has ended.
    ready = select.select([requests, ended], [], [])[0]
    os.close(ended)
    with contextlib.suppress(OSError):
        os.killpg(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    _reap()
    if requests in ready:
        shutil.rmtree(job["folder"], ignore_errors=True)
        os._exit(0)  # unloading the heavy libraries would take seconds
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return FULL if os.WEXITSTATUS(status) == errno.ENOSPC else DONE


def _reap() -> None:
    """Wait for the processes that a job left behind, which have just been killed."""
    until = time.monotonic() + 0.5
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0] or time.monotonic() < until:
            time.sleep(0.002)


def _do(job: dict[str, Any], data: bytes) -> str:
    """Write result.npz into the job's folder, or error.txt with one sentence: `DONE`; or `FULL`."""
    folder = Path(job["folder"])
    try:
        module, _, name = job["target"].partition(":")
        function = getattr(importlib.import_module(module), name)
        np.savez(folder / "partial.npz", **function(data, **job["arguments"]))
        (folder / "partial.npz").rename(folder / "result.npz")
        return DONE
    except AssetError as error:
        message = str(error)
    except MemoryError:
        message = (
            f"{job['label']}: needs more than {MEMORY / 2**30:.1f} GB of memory; decimate the scan "
            "first"
        )
    except Exception as error:  # the user should not have to debug what a file provokes
        if _is_full(error):
            return FULL
        frame = traceback.extract_tb(error.__traceback__)[-1]
        cause = " ".join(str(error).split())[:200]
        message = (
            f"{job['label']}: cannot be made into an object ({type(error).__name__}: {cause}, in "
            f"{Path(frame.filename).name}:{frame.lineno}); export or scan it again"
        )
    try:
        (folder / "error.txt").write_text(message, encoding="utf-8", errors="backslashreplace")
    except OSError:
        return FULL
    return DONE


def _is_full(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


if __name__ == "__main__":
    main()
