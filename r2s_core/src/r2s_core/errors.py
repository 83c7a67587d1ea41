"""Errors that are the user's to fix: the command line prints their message, and no traceback."""

from __future__ import annotations


class R2SError(Exception):
    """A mistake or a missing thing outside r2s; `str(error)` says what, where and what to do."""

    exit_code = 1


class ConfigError(R2SError):
    """The configuration is wrong: unknown key, wrong type, out of range."""

    exit_code = 2


class PluginError(R2SError):
    """A plugin is missing, ambiguous or built for another contract."""

    exit_code = 2


class PluginLoadError(PluginError):
    """A plugin in use cannot be imported or built."""


class BackendError(R2SError):
    """A physics backend cannot do what was asked, or its capacities overflowed."""


class AssetError(R2SError):
    """A scanned object is refused."""


class TrainingDiverged(R2SError):
    """A loss or gradient became NaN or infinite."""
