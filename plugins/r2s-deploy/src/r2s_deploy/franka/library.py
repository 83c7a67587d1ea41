"""The library franka-rs: where it is, and calls of it that must not take forever."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from typing import Any

from r2s_deploy.robot import RobotError


def load() -> Any:
    try:
        library = importlib.import_module("franka")
        library.JointTargets  # noqa: B018  # other packages are called franka too
    except (ImportError, AttributeError) as error:
        raise RobotError(
            "a Franka needs the library franka-rs (Linux on x86-64): pip install franka-rs, or "
            "r2s-deploy[franka]"
        ) from error
    return library


def within(seconds: float, call: Callable[[], Any], late: str) -> Any:
    """What `call` gives, or raises; `RobotError` where that takes too long."""
    done: list[tuple[Any, BaseException | None]] = []

    def work() -> None:
        try:
            done.append((call(), None))
        except BaseException as error:  # a panic of the library is not an Exception
            done.append((None, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if not done:
        raise RobotError(
            f"{late} within {seconds:g} s: is another program connected to it? check its cable"
        )
    value, error = done[0]
    if error is not None:
        raise error
    return value
