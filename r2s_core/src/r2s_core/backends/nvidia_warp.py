"""NVIDIA Warp, which the backend and the renderer `warp` run on."""

from __future__ import annotations

import importlib
from typing import Any

import jax

from r2s_core.errors import BackendError


def require_warp(user: str, without: str, elsewhere: str) -> Any:
    """The module `warp`.

    Args:
      user: what needs it, for messages. without, elsewhere: the configuration's key and value to
        use where it is not installed, and on devices that it does not run on.

    Raises `BackendError` in these cases.
    """
    try:
        warp = importlib.import_module("warp")
    except ImportError as error:
        raise BackendError(
            f"the {user} needs NVIDIA Warp: pip install 'mujoco-mjx[warp]', or use {without}"
        ) from error
    if jax.default_backend() not in ("gpu", "cpu"):
        raise BackendError(
            f"the {user} runs on NVIDIA GPUs and, slowly, on CPUs, not on "
            f"{jax.default_backend()}; use {elsewhere}"
        )
    # Otherwise it logs every kernel that it loads.
    warp.config.log_level = max(warp.config.log_level, warp.LOG_WARNING)
    return warp
