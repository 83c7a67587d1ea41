"""Resource limits of a process, where the platform supports them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal


def limit(memory: int, processor: int) -> None:
    """Limit this process and each of its children: address space in bytes, CPU time in seconds.

    Where the platform has no such limits (Windows; macOS for memory), none are set.
    """
    try:
        import resource
    except ImportError:
        return
    for name, value in {"RLIMIT_AS": memory, "RLIMIT_CPU": processor, "RLIMIT_CORE": 0}.items():
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        if hard != resource.RLIM_INFINITY:
            value = min(value, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (value, hard))


def end_with_parent() -> None:
    """Have the kernel kill this process as soon as its parent ends (Linux only)."""
    _process_control(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def adopt_orphans() -> None:
    """Become the parent of orphaned grandchildren, so that they can be killed (Linux only)."""
    _process_control(36, 1)  # PR_SET_CHILD_SUBREAPER


def _process_control(option: int, value: int) -> None:
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def patience(seconds: float) -> float:
    """How long to wait for work that takes `seconds` on an idle core: longer on a busy machine."""
    try:
        waiting = os.getloadavg()[0] / (os.cpu_count() or 1)
    except (AttributeError, OSError):
        return seconds
    return seconds * min(max(waiting, 1.0), 3.0)
