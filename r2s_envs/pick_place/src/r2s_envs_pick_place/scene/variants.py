"""Many objects in one model: the model is compiled for each, and compared for differences."""

from __future__ import annotations

import mujoco

from r2s_core.env.variants import differing_fields
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

    def refused(field: str) -> AssetError:
        return AssetError(
            f"the objects {', '.join(objects.names)} do not fit into one model ({field} differs in "
            "size); train on them one by one"
        )

    fields = differing_fields(models, _SHARED, refused)
    held_out = tuple(member.held_out for member in objects.members)
    return models[0], Variants(objects.names, held_out, fields)
