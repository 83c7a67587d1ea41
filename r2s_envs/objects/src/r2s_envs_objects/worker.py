"""Does what `sandbox` asks in processes with limits; started by it, never imported.

    python -m r2s_envs_objects.worker

It imports the heavy libraries once and forks for each file, so that a file that crashes, hangs
or devours memory takes only its own process along. Without fork (Windows) files are done in this
process, which `sandbox` then starts anew after a crash.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from r2s_core.errors import AssetError
from r2s_envs_objects.limits import limit

IDLE = 60  # s without work after which the worker ends
MEMORY = 1_300 * 2**20  # bytes of address space of one file's process; with CoACD's own, < 2 GB
PROCESSOR = 50  # s


def main() -> None:
    """Serve requests from standard input until it ends or nothing comes for a while."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "w")
    importlib.import_module("r2s_envs_objects.pipeline")
    print("ready", file=answers, flush=True)
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # what native libraries print would be taken for an answer
        os.dup2(silence, stream)
    while request := _next(requests):
        if hasattr(os, "fork"):
            print(_forked(requests, *request), file=answers, flush=True)
        else:
            _do(*request)
            print("done", file=answers, flush=True)
        del request  # a file may be large


def _next(requests: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    alarm = getattr(signal, "alarm", lambda seconds: None)
    alarm(IDLE)  # its default action ends the process
    line = requests.readline()
    alarm(0)
    if not line:
        return None
    job = json.loads(line)
    return job, requests.read(job["size"])


def _forked(requests: BinaryIO, job: dict[str, Any], data: bytes) -> str:
    """The job in a process of its own: "done", or the name of the signal that ended it."""
    child = os.fork()
    if child == 0:
        try:
            limit(MEMORY, PROCESSOR)
            _do(job, data)
        finally:
            os._exit(0)
    status = os.waitpid(child, 0)[1]
    return signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else "done"


def _do(job: dict[str, Any], data: bytes) -> None:
    """Write result.npz into the job's folder, or error.txt with one sentence."""
    folder = Path(job["folder"])
    try:
        module, _, name = job["target"].partition(":")
        function = getattr(importlib.import_module(module), name)
        np.savez(folder / "partial.npz", **function(data, **job["arguments"]))
        (folder / "partial.npz").rename(folder / "result.npz")
        return
    except AssetError as error:
        message = str(error)
    except MemoryError:
        message = (
            f"{job['label']}: needs more than {MEMORY / 2**30:.1f} GB of memory; decimate the scan "
            "first"
        )
    except Exception as error:  # nothing that a file provokes is the user's to debug
        frame = traceback.extract_tb(error.__traceback__)[-1]
        cause = " ".join(str(error).split())[:200]
        message = (
            f"{job['label']}: cannot be made into an object ({type(error).__name__}: {cause}, in "
            f"{Path(frame.filename).name}:{frame.lineno}); export or scan it again"
        )
    (folder / "error.txt").write_text(message, encoding="utf-8")


if __name__ == "__main__":
    main()
