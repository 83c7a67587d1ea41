"""The command line: `r2s COMMAND ...`.

Commands are plugins too (group `r2s.commands`), so this module knows none of them; it finds the
requested one, imports its light part for the arguments, then runs its target.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import gc
import importlib.metadata
import io
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from r2s_core import registry
from r2s_core.errors import PluginLoadError, R2SError
from r2s_core.system.foreign import OURS, ForeignError, calling, debugging
from r2s_core.system.signals import tidy_end
from r2s_core.system.streams import open_standard_streams
from r2s_core.system.text import printable

_EPILOG = """examples:
  r2s run quickstart         train, evaluate, report
  r2s run quickstart seed=3  the same with another seed
  r2s eval runs/quickstart   evaluate again
  r2s compare quickstart     five seeds, one report
  r2s plugins                what is installed
  r2s info algorithm:ppo     its options

`r2s COMMAND --help` shows details. R2S_DEBUG=1 shows the traceback of an error."""

#: Errors caused by a path that the user chose.
_PLACES = frozenset(
    {errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENOENT, errno.EEXIST}
)
#: Commands that only read configurations and packages.
_LIGHT = frozenset({"info", "new", "plugins", "schema", "validate"})


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status. Users' mistakes are reported without a traceback."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        os.getcwd()
    except FileNotFoundError:
        print("the working directory no longer exists; cd to another", file=sys.stderr)
        return 1
    try:
        with tidy_end():
            return _dispatch(arguments)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `r2s plugins | head`: the reader has gone, and that is fine
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (R2SError, OSError) as error:
        message = _message(error)
        if debugging() or message is None:
            raise
        print(printable(message, lines=True), file=sys.stderr)
        return error.exit_code if isinstance(error, R2SError) else 1


def program() -> NoReturn:
    """`main` as a process of its own."""
    open_standard_streams()
    _let_others_warn()
    # Imports and JAX's tracing make many objects, few of them in cycles: looking for those as often
    # as Python does by default takes a tenth of the time until a training begins.
    gc.set_threshold(10_000, 20, 20)
    for stream in (sys.stdout, sys.stderr):  # an ASCII terminal shows `ö` as `\\xf6`
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    status = main()
    if status > 128:  # stopped by a signal
        # JAX may be compiling in its own thread, which would crash when the interpreter is torn
        # down; everything that we had open is closed.
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):  # the reader has gone
                stream.flush()
        os._exit(status)
    sys.exit(status)


def _let_others_warn() -> None:
    """PYTHONWARNINGS=error is meant for one's own code; third-party packages warn of each other on
    import, which would then fail. Child processes inherit what is set here."""
    if all(action != "error" for action, *_ in warnings.filters):
        return
    print("PYTHONWARNINGS=error is ignored: packages that r2s imports warn.", file=sys.stderr)
    os.environ.pop("PYTHONWARNINGS", None)
    warnings.resetwarnings()
    for quiet in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
        warnings.simplefilter("ignore", quiet)


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help())
        return 0
    if arguments[0] == "help":  # `r2s help run` is `r2s run --help`
        return _dispatch([*arguments[1:2], "--help"])
    if arguments[0] in ("-V", "--version", "version"):
        print(f"r2s {importlib.metadata.version('r2s-core')}")
        return 0
    command = registry.get("command", arguments[0])
    _check_python(arguments[0])
    parser = Parser(
        prog=f"r2s {arguments[0]}",
        description=command.plugin.summary,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if command.plugin.configure is not None:
        with calling(str(command.entry), command.plugin.configure):
            command.plugin.configure(parser)
    # Intermixed, so that key=value may also follow --options; argparse supports that only for
    # commands without subcommands.
    has_verbs = getattr(parser, "_subparsers", None) is not None
    parse = parser.parse_args if has_verbs else parser.parse_intermixed_args
    parsed = parse(arguments[1:])
    return _run(command, parsed)


def _run(command: registry.Installed, arguments: argparse.Namespace) -> int:
    """The exit status of a command; an error in a third-party one is attributed to it."""
    target = registry.load_target(command)
    if command.entry.dist in OURS:
        return int(target(arguments) or 0)
    with calling(str(command.entry), target, may_print=True):
        try:
            status = target(arguments)
        except SystemExit as end:  # as programs end
            if isinstance(end.code, str):
                raise R2SError(end.code) from end
            status = end.code
        return int(status or 0)


class Parser(argparse.ArgumentParser):
    """argparse's, with the error on the first line, before the usage."""

    def error(self, message: str) -> NoReturn:
        """Exit with status 2."""
        sentence = printable(f"{self.prog}: {message}", lines=True)
        self.exit(2, f"{sentence}\n{self.format_usage()}`{self.prog} --help` shows details\n")


def _check_python(command: str) -> None:
    """Raises `R2SError` on Windows for what needs processes that can be forked and limited, and
    under -OO for what imports TensorFlow Probability (through distrax), which edits docstrings."""
    if command in _LIGHT:
        return
    if sys.flags.optimize > 1:
        raise R2SError(
            f"`r2s {command}` needs packages that read their own docstrings, and Python runs "
            "without (PYTHONOPTIMIZE=2 or python -OO); unset that, or set it to 1"
        )
    if sys.platform == "win32":
        raise R2SError(
            f"`r2s {command}` runs on Linux and macOS, not on Windows itself; install WSL 2 "
            "(wsl --install) and use r2s there as on Linux. Available here: "
            + ", ".join(sorted(_LIGHT))
        )


def _help() -> str:
    """The list of commands; third-party packages are not imported, so none can break it."""
    lines = ["usage: r2s COMMAND [-h] ...", "", "commands:"]
    for entry in registry.discover("command"):
        if entry.dist in OURS:
            summary = registry.load_manifest(entry).plugin.summary
        else:
            summary = f"from {entry.dist} {entry.version}"
        lines.append(printable(f"  {entry.name:<10} {summary}"))
    return "\n".join([*lines, "", _EPILOG])


def _message(error: R2SError | OSError) -> str | None:
    """What the user reads; None for an error that is no mistake of theirs."""
    if isinstance(error, R2SError):
        more = isinstance(error, ForeignError | PluginLoadError) and error.__cause__ is not None
        return f"{error}\nR2S_DEBUG=1 shows the traceback" if more else str(error)
    where = f" while writing {error.filename}" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full{where}; free some space and start it again"
    if error.errno == errno.EFBIG:
        return f"{error.strerror}{where}: more than `ulimit -f` allows; raise it and start it again"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) and error.filename:
        if (closed := _closed_folder(Path(error.filename))) is not None:
            return f"{error.filename}: {error.strerror}; you have no access to {closed}"
        return f"{error.filename}: {error.strerror}; choose a folder that you can write to"
    if error.errno in _PLACES and error.filename:
        return f"{error.filename}: {error.strerror}; check the path"
    return None


def _closed_folder(path: Path) -> Path | None:
    """The outermost parent folder of `path` that the user cannot access, if there is one."""
    for folder in reversed(path.absolute().parents):
        if not os.access(folder, os.X_OK):
            return folder if folder.is_dir() else None
    return None
