"""A Franka Panda picks a scanned object up and brings it to a goal.

`Real2SimPickAndPlace` is the whole environment from Python. The other names are what it is made of,
for tasks of your own with this robot and its table; `r2s new task --robot panda NAME` writes one:

    asset = load_object("scan.stl", ObjectOptions())              # of r2s_envs_objects
    thing = PickObject.from_asset(asset)                          # how it rests, where to grasp it
    model = build_scene([thing.shape], SceneOptions()).compile()  # what physics steps
    arm = Arm.from_model(model, READY)                            # forward kinematics, Jacobian
    ctrl = LAWS["ee_delta"](arm, view, action)                    # action [5] -> servo targets [9]
    dressed = render_spec([thing.shape])                          # the same world, for pictures
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from r2s_envs_pick_place.interface import Real2SimPickAndPlace
    from r2s_envs_pick_place.robot.control import ACTION_NAMES, LAWS, Arm
    from r2s_envs_pick_place.scene.build import (
        SceneObject,
        SceneOptions,
        box_object,
        build_scene,
        render_spec,
    )
    from r2s_envs_pick_place.scene.pick_object import PickObject
    from r2s_envs_pick_place.task.pick_place import CENTRE, READY

__all__ = [
    "ACTION_NAMES",
    "CENTRE",
    "LAWS",
    "READY",
    "Arm",
    "PickObject",
    "Real2SimPickAndPlace",
    "SceneObject",
    "SceneOptions",
    "box_object",
    "build_scene",
    "render_spec",
]

_MODULES = {
    "robot.control": ("ACTION_NAMES", "LAWS", "Arm"),
    "interface": ("Real2SimPickAndPlace",),
    "scene.pick_object": ("PickObject",),
    "scene.build": ("SceneObject", "SceneOptions", "box_object", "build_scene", "render_spec"),
    "task.pick_place": ("CENTRE", "READY"),
}


def __getattr__(name: str) -> Any:
    """JAX and MuJoCo are imported when a part is asked for, not when the package is listed."""
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
