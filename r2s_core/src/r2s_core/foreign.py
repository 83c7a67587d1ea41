"""Where other people's code is called: a failure in it is told as theirs, at its place.

    with calling("reward 'slow'", term):
        value = term(transition)

What goes wrong inside becomes one `R2SError`: `reward 'slow' failed at my_reward.py:7: TypeError:
...`. It names the machine instead where the machine is at fault, and lets through what is already
told in a sentence, a full disk, and the user's Ctrl-C. R2S_DEBUG=1 shows the traceback.
"""

from __future__ import annotations

import contextlib
import dis
import errno
import functools
import os
import sys
import sysconfig
import traceback
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from r2s_core.errors import R2SError

#: Frames of these are never "where it failed": the code that they were handed is.
_LIBRARIES = frozenset(
    {"flax", "jax", "jaxlib", "mujoco", "numpy", "optax", "pluggy", "r2s_core", "rich", "scipy"}
)
_INSTALLED = Path(sysconfig.get_path("purelib"))
#: How XLA begins what no Python code is the cause of.
_DEVICE_FAILED = ("INTERNAL", "UNAVAILABLE", "FAILED_PRECONDITION")
_RAISE = dis.opmap["RAISE_VARARGS"]


class ForeignError(R2SError):
    """Code of a plugin's or the user's own failed; the message says whose, where and how."""


class MachineError(R2SError):
    """The machine lacks what was asked of it: memory, or a device."""


@contextlib.contextmanager
def calling(
    whose: str,
    code: Any = None,
    *,
    advice: str = "",
    raising: type[R2SError] = ForeignError,
    may_print: bool = False,
) -> Iterator[None]:
    """Around every call into code that is not r2s's own.

    What that code prints goes to stderr: stdout is for results (unless it `may_print`).

    Args:
        whose: as the user knows it: "reward 'slow'", "hook plugin 'slack' (r2s-slack 1.0)".
        code: the function, object or module that is called, which tells its own lines in a
            traceback from those of the libraries around it.
        advice: what the user may do about a failure, the end of the sentence.
        raising: the error that a failure becomes.

    Raises:
        ForeignError: (or `raising`) for any exception of that code, `sys.exit` and a
            KeyboardInterrupt that it raised itself among them.
        MachineError: out of memory, or a device that JAX was told to use and that is not there.
    """
    try:
        with contextlib.redirect_stdout(sys.stdout if may_print else sys.stderr):
            yield
    except R2SError:
        raise
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        if _is_nobodys(error) or (may_print and isinstance(error, BrokenPipeError)):
            raise
        machine = machine_fault(error)
        if machine is not None:
            raise MachineError(f"{whose}: {machine}") from error
        place = where(error, code)
        at = f" at {place}" if place else ""
        if isinstance(error, ModuleNotFoundError):
            advice = "pip install the package that provides it"
        end = f"; {advice}" if advice else ""
        raise raising(f"{whose} failed{at}: {describe(error)}{end}") from error


def debugging() -> bool:
    """Whether the user wants to see tracebacks: R2S_DEBUG=1."""
    return os.environ.get("R2S_DEBUG", "") not in ("", "0")


def describe(error: BaseException) -> str:
    """The exception in one line: "ZeroDivisionError: division by zero"."""
    if isinstance(error, SystemExit):
        return f"it called sys.exit({'' if error.code is None else repr(error.code)})"
    if isinstance(error, KeyboardInterrupt):
        return "it raised KeyboardInterrupt"
    text = _first_paragraph(str(error))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def where(error: BaseException, code: Any = None) -> str | None:
    """ "my_reward.py:7 (slow)": the innermost line of `code`'s own or of other code like it.

    Code of libraries is passed over: what they were handed is at fault.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_shown(error.filename)}:{error.lineno}"
    home = _home(code)
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        file = frame.f_code.co_filename
        if (home is not None and _within(file, home)) or not _is_library(frame):
            name = frame.f_code.co_name
            return f"{_shown(file)}:{line}" + ("" if name.startswith("<") else f" ({name})")
    return None


def machine_fault(error: BaseException) -> str | None:
    """A sentence where the machine is at fault rather than any code; None where it is not."""
    text = str(error)
    if _no_device(error):
        asked = os.environ.get("JAX_PLATFORMS", "")
        by = f"JAX_PLATFORMS={asked} asks for" if asked else "it was told to use"
        why = f" ({describe(error)})" if text else ""
        return (
            f"JAX cannot start the device that {by}{why}; unset JAX_PLATFORMS to take what this "
            "machine has, or set it to cpu"
        )
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text:
        return (
            "there is not enough memory; choose fewer worlds (environment.num_parallel_envs) or "
            "smaller networks and buffers"
        )
    runtime = type(error).__name__ in ("JaxRuntimeError", "XlaRuntimeError")
    if runtime and text.startswith(_DEVICE_FAILED) and "allback error" not in text:
        return f"the device failed while it computed ({_first_paragraph(text)})"
    return None


def _no_device(error: BaseException) -> bool:
    """Whether JAX could not start a device, for which it has a text or only an assertion."""
    told = "Unable to initialize backend" in str(error)
    if told or not isinstance(error, AssertionError) or str(error) or "jax" not in sys.modules:
        return told
    try:
        sys.modules["jax"].devices()
    except Exception:
        return True
    return False


def _is_nobodys(error: BaseException) -> bool:
    if isinstance(error, KeyboardInterrupt):
        return _by_signal(error)
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def _by_signal(error: KeyboardInterrupt) -> bool:
    """Whether a signal's handler raised it: then no `raise` of the foreign code did."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return True
    code = trace.tb_frame.f_code
    raised = code.co_code[trace.tb_lasti] == _RAISE
    return not raised or trace.tb_frame.f_globals.get("__name__") == "r2s_core.signals"


def _home(code: Any) -> Path | None:
    """The folder of the package that `code` is from, or its file where it is in none."""
    while isinstance(code, functools.partial):
        code = code.func
    code = getattr(code, "__wrapped__", code)
    if isinstance(code, types.ModuleType):
        module = code.__name__
    elif isinstance(code, str):
        module = code
    else:
        module = getattr(code, "__module__", None) or type(code).__module__
    top = sys.modules.get(str(module).partition(".")[0])
    file = getattr(top, "__file__", None)
    if file is None or str(module).partition(".")[0] in _LIBRARIES - {"r2s_core"}:
        return None
    path = Path(file)
    return path.parent if path.name == "__init__.py" else path


def _within(file: str, home: Path) -> bool:
    return Path(file) == home or Path(file).is_relative_to(home)


def _is_library(frame: types.FrameType) -> bool:
    top = str(frame.f_globals.get("__name__", "")).partition(".")[0]
    if top in _LIBRARIES or top in sys.stdlib_module_names:
        return True
    return not top.startswith("r2s_") and _within(frame.f_code.co_filename, _INSTALLED)


def _shown(file: str) -> str:
    path = Path(file)
    with contextlib.suppress(OSError, ValueError):
        return str(path.relative_to(Path.cwd()))
    return file


def _first_paragraph(text: str) -> str:
    """JAX explains for pages; its first paragraph says what is wrong."""
    return " ".join(text.strip().partition("\n\n")[0].split())
