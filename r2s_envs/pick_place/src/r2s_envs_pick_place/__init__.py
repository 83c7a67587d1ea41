"""A robot picks a scanned object up and brings it to a goal.

`Real2SimPickAndPlace` is the whole environment from Python. The other names are what it is made of,
for tasks of your own at this table; `r2s new task --robot panda NAME` writes one:

    asset = load_object("scan.stl", ObjectOptions())              # of r2s_envs_objects
    thing = PickObject.from_asset(asset)                          # how it rests, where to grasp it
    options = SceneOptions(robot=build_robot("panda"))            # of r2s_core.registry
    model = build_scene([thing.shape], options).compile()         # what physics steps
    dressed = render_spec([thing.shape], options)                 # the same world, for pictures

What moves the robot, `Arm` and `LAWS`, is in `r2s_envs_robots`; where its numbers stand in the
model, `Slots` of `r2s_core.robot` says.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from r2s_envs_pick_place.interface import Real2SimPickAndPlace
    from r2s_envs_pick_place.scene.build import (
        OBJECT_BODY,
        OBJECT_JOINT,
        SceneObject,
        SceneOptions,
        box_object,
        build_scene,
        render_spec,
    )
    from r2s_envs_pick_place.scene.pick_object import PickObject

__all__ = [
    "OBJECT_BODY",
    "OBJECT_JOINT",
    "PickObject",
    "Real2SimPickAndPlace",
    "SceneObject",
    "SceneOptions",
    "box_object",
    "build_scene",
    "render_spec",
]

_MODULES = {
    "interface": ("Real2SimPickAndPlace",),
    "scene.pick_object": ("PickObject",),
    "scene.build": (
        "OBJECT_BODY",
        "OBJECT_JOINT",
        "SceneObject",
        "SceneOptions",
        "box_object",
        "build_scene",
        "render_spec",
    ),
}


def __getattr__(name: str) -> Any:
    """JAX and MuJoCo are imported when a part is asked for, not when the package is listed."""
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
