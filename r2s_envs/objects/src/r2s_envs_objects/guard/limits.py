"""What a process may take: so far as the system can tell it, and nothing where it cannot."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal


def limit(memory: int, processor: int) -> None:
    """Bound this process and its children, each, to bytes of address space and processor seconds.

    Where the system has no such limits (Windows; macOS for memory), it goes on without.
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
    """Have the system end this process as soon as the one that started it ends (Linux only)."""
    _process_control(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def adopt_orphans() -> None:
    """Become the parent of what this process's children leave behind, to end it (Linux only)."""
    _process_control(36, 1)  # PR_SET_CHILD_SUBREAPER


def _process_control(option: int, value: int) -> None:
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def patience(seconds: float) -> float:
    """How long to wait for work of `seconds` alone on a core: longer on a busy machine."""
    try:
        waiting = os.getloadavg()[0] / (os.cpu_count() or 1)
    except (AttributeError, OSError):
        return seconds
    return seconds * min(max(waiting, 1.0), 3.0)
