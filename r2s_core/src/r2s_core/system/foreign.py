"""Calls into third-party code, whose failures are attributed to it, with file and line.

    with calling("reward 'slow'", term):
        value = term(transition)

An exception inside becomes one `R2SError`: `reward 'slow' failed at my_reward.py:7: TypeError:
...`. It names the machine instead where the machine is at fault. `R2SError`, a full disk and the
user's Ctrl-C pass through unchanged. R2S_DEBUG=1 shows the traceback.
"""

from __future__ import annotations

import contextlib
import dis
import errno
import importlib.util
import os
import sys
import sysconfig
import traceback
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from r2s_core.errors import R2SError

#: The packages of r2s itself, whose plugins take precedence over others of the same name.
OURS = frozenset(
    {
        "r2s",
        "r2s-core",
        "r2s-algos-common",
        "r2s-algos-ppo",
        "r2s-algos-sac",
        "r2s-algos-ddpg",
        "r2s-algos-bc",
        "r2s-envs-objects",
        "r2s-envs-pick-place",
        "r2s-gymnasium",
        "r2s-lerobot",
        "r2s-envs-robots",
        "r2s-randomization-physics",
        "r2s-randomization-sensor",
        "r2s-randomization-objects",
        "r2s-randomization-visual",
    }
)
#: The packages that plugins are built on.
_FOUNDATIONS = frozenset({"r2s_core", "r2s_algos_common"})
#: Frames of these are never reported as the place of a failure: the code passed to them is.
_LIBRARIES = _FOUNDATIONS | {
    *("distrax", "flax", "jax", "jaxlib", "mujoco", "numpy", "optax", "pluggy", "rich", "scipy")
}
_INSTALLED = Path(sysconfig.get_path("purelib"))
#: JAX's errors where Python or NumPy needs the value of a tracer.
_NOT_TRACEABLE = frozenset(
    {
        "ConcretizationTypeError",
        "NonConcreteBooleanIndexError",
        "TracerArrayConversionError",
        "TracerBoolConversionError",
        "TracerIntegerConversionError",
    }
)
#: Prefixes of XLA's errors that no Python code causes.
_DEVICE_FAILED = ("INTERNAL", "UNAVAILABLE", "FAILED_PRECONDITION")
_INSTALL = "pip install the package that provides it"
_RAISE = dis.opmap["RAISE_VARARGS"]


class ForeignError(R2SError):
    """Code of a plugin or the user failed; the message says which, where and how."""


class MachineError(R2SError):
    """The machine lacks a required resource: memory, or a device."""


@contextlib.contextmanager
def calling(
    whose: str,
    code: Any = None,
    *,
    advice: str | Callable[[BaseException], str] = "",
    raising: type[R2SError] = ForeignError,
    may_print: bool = False,
) -> Iterator[None]:
    """The context of every call into code that is not r2s's own.

    Output of that code goes to stderr, since stdout is for results (unless it `may_print`).

    Args:
        whose: the code's name for messages: "reward 'slow'", "hook plugin 'slack' (r2s-slack 1.0)".
        code: the function, object or module that is called, to distinguish its own lines in a
            traceback from those of libraries.
        advice: what the user can do about a failure, as the end of the sentence; or a function
            from the exception to that.
        raising: the error that a failure becomes.

    Raises:
        ForeignError: (or `raising`) for any exception of that code, including `sys.exit` and a
            KeyboardInterrupt that it raised itself.
        MachineError: out of memory, or a device that JAX was told to use is missing.
    """
    try:
        with contextlib.redirect_stdout(sys.stdout if may_print else sys.stderr):
            yield
    except R2SError:
        raise
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        if _passes_through(error) or (may_print and isinstance(error, BrokenPipeError)):
            raise
        machine = machine_fault(error)
        if machine is not None:
            raise MachineError(f"{whose}: {machine}") from error
        place = where(error, code)
        at = f" at {place}" if place else ""
        remedy = advice if isinstance(advice, str) else advice(error)
        if isinstance(error, ModuleNotFoundError):
            own, missing = (_top(name) for name in (_module_of(code), error.name or ""))
            broken = f"it is of {own} itself, which is broken"
            remedy = ": ".join(filter(None, [broken, remedy])) if own == missing else _INSTALL
        end = f"; {remedy}" if remedy else ""
        raise raising(f"{whose} failed{at}: {describe(error)}{end}") from error


def is_ours(code: Any) -> bool:
    """Whether a function or the class of an object is from r2s's own packages."""
    return _top(_module_of(code)).replace("_", "-") in OURS


def debugging() -> bool:
    """Whether the user wants to see tracebacks: R2S_DEBUG=1."""
    return os.environ.get("R2S_DEBUG", "") not in ("", "0")


def describe(error: BaseException) -> str:
    """The exception in one line: "ZeroDivisionError: division by zero"."""
    if isinstance(error, SystemExit):
        return f"it called sys.exit({'' if error.code is None else repr(error.code)})"
    if isinstance(error, KeyboardInterrupt):
        return "it raised KeyboardInterrupt"
    text, name = str(error), type(error).__name__
    if type(error).__module__.startswith("jax"):  # whose explanations fill pages
        text = text.strip().partition("\n")[0]
    text = _first_paragraph(text)
    if name in _NOT_TRACEABLE:
        text += " (in jax.numpy: jnp.where in place of `if`, and no float() or numpy on arguments)"
    return f"{name}: {text}" if text else name


def where(error: BaseException, code: Any = None) -> str | None:
    """ "my_reward.py:7 (slow)": the innermost line that is not of a library.

    Lines of libraries are skipped: the code passed to them is at fault.
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


def defined_at(code: Any) -> str | None:
    """ "my_reward.py:3": where a function, or what an object does when called, is defined."""
    function = _plain(code)
    if not hasattr(function, "__code__"):
        function = getattr(type(function), "__call__", None)  # noqa: B004  (its code is wanted)
    found = getattr(function, "__code__", None)
    return None if found is None else f"{_shown(found.co_filename)}:{found.co_firstlineno}"


def machine_fault(error: BaseException) -> str | None:
    """A sentence where the machine is at fault and not the code; None otherwise."""
    text = str(error)
    if _no_device(error):
        requested = os.environ.get("JAX_PLATFORMS", "")
        by = f"JAX_PLATFORMS={requested} selects" if requested else "it was told to use"
        why = f" ({describe(error)})" if text else ""
        return (
            f"JAX cannot start the device that {by}{why}; unset JAX_PLATFORMS to use what this "
            "machine has, or set it to cpu"
        )
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text:
        return (
            "there is not enough memory; choose fewer worlds (environment.num_parallel_envs) or "
            "smaller networks and buffers"
        )
    runtime = type(error).__name__ in ("JaxRuntimeError", "XlaRuntimeError")
    if runtime and text.startswith(_DEVICE_FAILED) and "allback error" not in text:
        return f"the device failed while computing ({_first_paragraph(text)})"
    return None


def _no_device(error: BaseException) -> bool:
    """Whether JAX could not start a device, which it reports by message or by a bare assertion."""
    reported = "Unable to initialize backend" in str(error)
    if reported or not isinstance(error, AssertionError) or str(error) or "jax" not in sys.modules:
        return reported
    try:
        sys.modules["jax"].devices()
    except Exception:
        return True
    return False


def _passes_through(error: BaseException) -> bool:
    """Whether the error is not the called code's: the user's Ctrl-C, or a full disk."""
    if isinstance(error, KeyboardInterrupt):
        return _by_signal(error)
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def _by_signal(error: KeyboardInterrupt) -> bool:
    """Whether a signal handler raised it, and not a `raise` in the called code."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return True
    code = trace.tb_frame.f_code
    raised = code.co_code[trace.tb_lasti] == _RAISE
    return not raised or trace.tb_frame.f_globals.get("__name__") == "r2s_core.system.signals"


def _home(code: Any) -> Path | None:
    """The folder of the package that `code` is from, or its file where it is in none."""
    module = _module_of(code)
    top = _top(module)
    package = _file_of(top)
    file = _file_of(module) or package
    if file is None or top in _LIBRARIES - _FOUNDATIONS:
        return None
    if package is not None and Path(package).name == "__init__.py":
        folder = Path(package).parent
        return folder if Path(file).is_relative_to(folder) else Path(file)
    return Path(file)


def _file_of(module: str) -> str | None:
    """The file of a module, also of a top-level one whose import has failed."""
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None and "." not in module:
        with contextlib.suppress(ImportError, ValueError):
            file = getattr(importlib.util.find_spec(module), "origin", None)
    return file


def _module_of(code: Any) -> str:
    """The name of the module that a function, or the class of an object, is defined in."""
    code = _plain(code)
    if isinstance(code, str):
        return code
    if isinstance(code, types.ModuleType):
        return code.__name__
    return str(getattr(code, "__module__", None) or type(code).__module__)


def _top(module: str) -> str:
    """The package of a module."""
    return module.partition(".")[0]


def _plain(code: Any) -> Any:
    """The function inside partials, methods and decorators such as `jax.jit`."""
    for _ in range(100):
        for part in ("func", "__func__", "__wrapped__"):
            if hasattr(code, part):
                code = getattr(code, part)
                break
        else:
            break
    return code


def _within(file: str, home: Path) -> bool:
    return Path(file) == home or Path(file).is_relative_to(home)


def _is_library(frame: types.FrameType) -> bool:
    top = _top(str(frame.f_globals.get("__name__", "")))
    if top in _LIBRARIES or top in sys.stdlib_module_names:
        return True
    return not top.startswith("r2s_") and _within(frame.f_code.co_filename, _INSTALLED)


def _shown(file: str) -> str:
    path = Path(file)
    with contextlib.suppress(OSError, ValueError):
        return str(path.relative_to(Path.cwd()))
    return file


def _first_paragraph(text: str) -> str:
    """The first paragraph in one line; what follows only explains."""
    return " ".join(text.strip().partition("\n\n")[0].split())
