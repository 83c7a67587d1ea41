"""A robot picks up a scanned object and brings it to a goal.

`Real2SimPickAndPlace` is the whole environment from Python. The other names are its building
blocks, for tasks of your own at this table; `r2s new task --robot panda NAME` writes one:

    asset = load_object("scan.stl", ObjectOptions())              # from r2s_envs_objects
    pick_object = PickObject.from_asset(asset)                    # how it rests, where to grasp it
    options = SceneOptions(robot=build_robot("panda"))            # from r2s_core.registry
    model = build_scene([pick_object.shape], options).compile()   # what physics steps
    dressed = render_spec([pick_object.shape], options)           # the same world, for pictures
    seen = camera_spec(pick_object.shape, options)                # and, leaner, for cameras
    cameras = default_cameras(options.robot)                      # `front` and `wrist`

The control laws, `Arm` and `LAWS`, are in `r2s_envs_robots`; `Slots` in `r2s_core.robot` gives the
robot's addresses in the model.
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
        camera_spec,
        render_spec,
    )
    from r2s_envs_pick_place.scene.cameras import default_cameras
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
    "camera_spec",
    "default_cameras",
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
        "camera_spec",
        "render_spec",
    ),
    "scene.cameras": ("default_cameras",),
}


def __getattr__(name: str) -> Any:
    """Import JAX and MuJoCo when a name is first used, not when the package is listed."""
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
