"""Refuses scenes with values that no physics can step, naming the value, before they are built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mujoco
import numpy as np

from r2s_core.errors import BackendError
from r2s_core.types import SceneSpec

#: Model fields that must not be below 0: of which elements, and what they are called.
NOT_NEGATIVE: Mapping[str, tuple[str, str]] = {
    "body_mass": ("body", "mass"),
    "body_inertia": ("body", "moment of inertia"),
    "geom_friction": ("geom", "friction"),
    "dof_armature": ("degree of freedom", "armature"),
    "dof_damping": ("degree of freedom", "damping"),
    "dof_frictionloss": ("degree of freedom", "dry friction"),
}


def check_scene(scene: SceneSpec) -> None:
    """Raises `BackendError` where the model, or one of its variants, has a value that is not
    finite, or negative where it must not be."""
    model, variants = scene.model, scene.variants
    if not (np.isfinite(model.opt.timestep) and model.opt.timestep > 0):
        raise BackendError(f"the scene's timestep is {model.opt.timestep:g} s; it must be above 0")
    _check(model, "qpos0", model.qpos0, ("coordinate", "position"), None)
    for name, words in NOT_NEGATIVE.items():
        if variants is not None and name in variants.fields:
            for variant, values in zip(variants.names, variants.fields[name], strict=True):
                _check(model, name, np.asarray(values), words, variant, minimum=0.0)
        else:
            _check(model, name, getattr(model, name), words, None, minimum=0.0)


def _check(
    model: mujoco.MjModel,
    field: str,
    values: Any,
    words: tuple[str, str],
    variant: str | None,
    minimum: float = -np.inf,
) -> None:
    bad = ~(np.isfinite(values) & (values >= minimum))
    if not bad.any():
        return
    place = tuple(np.argwhere(bad)[0])
    element, quantity = words
    name = getattr(model, element)(int(place[0])).name if element in ("body", "geom") else ""
    of = f" of {variant}" if variant is not None else ""
    limit = " and not below 0" if np.isfinite(minimum) else ""
    raise BackendError(
        f"the {quantity} of the {element} {name or place[0]}{of} is {values[place]:g} ({field}); "
        f"it must be finite{limit}"
    )
