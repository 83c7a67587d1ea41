"""The command line of Python child processes."""

from __future__ import annotations

import sys

from r2s_core.errors import R2SError


def python_command(*arguments: str) -> list[str]:
    """The command line of this Python with `arguments`, such as ("-m", "r2s_core").

    `-P` keeps the working directory out of the import path: files next to a scan, such as a
    stranger's trimesh.py or json.py, are data and must not run as modules. Modules that the
    user put on PYTHONPATH are still found. Raises R2SError where Python does not know its own
    executable (embedded in another program).
    """
    if not sys.executable:
        raise R2SError(
            "Python does not know its own executable, so no worker process can be started; "
            "run r2s from a Python installation"
        )
    return [sys.executable, "-P", *arguments]
