"""A Franka Panda picks a scanned object up and brings it to a goal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from r2s_envs_pick_place.interface import Real2SimPickAndPlace

__all__ = ["Real2SimPickAndPlace"]


def __getattr__(name: str) -> Any:
    """JAX and MuJoCo are imported when the environment is asked for, not when it is listed."""
    if name == "Real2SimPickAndPlace":
        from r2s_envs_pick_place.interface import Real2SimPickAndPlace

        return Real2SimPickAndPlace
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
