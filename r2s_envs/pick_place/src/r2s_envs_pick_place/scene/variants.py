"""Many objects in one model: the model is compiled for each, and compared for differences."""

from __future__ import annotations

import mujoco
import numpy as np
from mujoco.batch import MODEL_FIELDS

from r2s_core.errors import AssetError
from r2s_core.types import Variants
from r2s_envs_pick_place.scene import build as scene
from r2s_envs_pick_place.scene.build import SceneOptions
from r2s_envs_pick_place.scene.pick_object import ObjectSet

#: Keyframes, the engine's options, and the bodies' bounding volumes, which MuJoCo computes for each
#: world from the shared tree.
_SHARED = ("opt.", "key_", "bvh_aabb")


def build_models(
    objects: ObjectSet, options: SceneOptions
) -> tuple[mujoco.MjModel, Variants | None]:
    """The model that physics steps, with the first object, and the fields that the others change.

    Raises AssetError if the objects' models do not have the same sizes.
    """
    compiled = {
        id(shape): scene.build_scene([shape], options, objects.shapes).compile()
        for shape in objects.shapes
    }
    models = [compiled[id(member.shape)] for member in objects.members]
    if len(models) == 1:
        return models[0], None
    fields = {}
    for name in sorted(n for n in MODEL_FIELDS if not n.startswith(_SHARED)):
        values = [np.array(getattr(model, name)) for model in models]
        if any(value.shape != values[0].shape for value in values):
            raise AssetError(
                f"the objects {', '.join(objects.names)} do not fit into one model ({name} differs "
                "in size); train on them one by one"
            )
        if any((value != values[0]).any() for value in values):
            fields[name] = np.stack(values)
    held_out = tuple(member.held_out for member in objects.members)
    return models[0], Variants(objects.names, held_out, fields)
