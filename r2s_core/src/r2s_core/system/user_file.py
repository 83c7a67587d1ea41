"""Functions in the user's own files, named in YAML: `use: path/to/file.py:function`.

This is the only place that runs such a file.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from r2s_core.errors import PluginLoadError
from r2s_core.suggest import did_you_mean
from r2s_core.system.foreign import calling
from r2s_core.system.trust import digest, trusted_source


def is_file_reference(name: str) -> bool:
    """Whether `name` means a function in a file (`path/to/file.py:function`), not a plugin."""
    return name.rpartition(":")[0].endswith(".py")


def load_function(reference: str) -> Callable[..., Any]:
    """The function that `path/to/file.py:function` names.

    The file runs once for all functions that are loaded from it, until its content changes.

    Raises:
        UntrustedCodeError: the user has not trusted the file's content.
        PluginLoadError: the file is missing or fails, or has no such function.
    """
    location, _, attribute = reference.rpartition(":")
    path = Path(location)
    if not path.is_file():
        raise PluginLoadError(f"{location}: no such file (named by `use: {reference}`)")
    module = _run(path.absolute(), trusted_source(reference))
    function = getattr(module, attribute, None)
    if not callable(function):
        known = [name for name, value in vars(module).items() if callable(value)]
        raise PluginLoadError(
            f"{location} defines no function '{attribute}'{did_you_mean(attribute, known)}"
        )
    return function


@functools.lru_cache(maxsize=64)
def _run(path: Path, source: bytes) -> ModuleType:
    """The file as a module; runs the source that was trusted, without reading the file again."""
    name = f"_r2s_file_{path.stem}_{digest(bytes(path) + source)[:12]}"
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module  # dataclasses look up their module here
    try:
        with calling(f"the file {path.name}", module, raising=PluginLoadError):
            exec(compile(source, path, "exec", dont_inherit=True), vars(module))
    except BaseException:
        del sys.modules[name]
        raise
    return module
