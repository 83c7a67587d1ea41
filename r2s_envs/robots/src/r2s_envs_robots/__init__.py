"""Robot arms with parallel grippers, as plugins of the kind `robot`, and their control laws.

robot = build_robot("panda")                 # of r2s_core.registry: a `r2s_core.robot.Robot`
arm = Arm.of(model, robot, robot.ready)      # forward kinematics, Jacobian
ctrl = LAWS["ee_delta"](arm, view, action)   # action [5] -> servo targets [n + 2]
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from r2s_envs_robots.control import LAWS, Arm

__all__ = ["LAWS", "Arm"]


def __getattr__(name: str) -> Any:
    """JAX is imported when a part is asked for, not when the package is listed."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.control"), name)
