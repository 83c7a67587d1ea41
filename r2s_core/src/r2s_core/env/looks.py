"""Visual randomization: the rendered model of one episode."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import jax
import mujoco
import numpy as np

from r2s_core.env.curriculum import Levels
from r2s_core.env.randomization import Randomization, model_field
from r2s_core.types import SceneSpec


class Looks:
    """The randomizers of the stage "visual", outside of the physics."""

    def __init__(self, randomizers: Mapping[str, Any], scene: SceneSpec) -> None:
        """randomizers: by name; those of other stages are left out."""
        visual = {name: r for name, r in randomizers.items() if r.stage == "visual"}
        self._fields = sorted({field for r in visual.values() for field in r.writes})
        self._randomization = Randomization(visual, scene)

    def __bool__(self) -> bool:
        return bool(self._fields)

    def of_episode(self, model: mujoco.MjModel, variant: int, episode: int) -> mujoco.MjModel:
        """A copy of the rendered model as it looks in an episode; on the host."""
        values = {field: model_field(model, field) for field in self._fields}
        levels = Levels({}, np.float32(0.0))  # type: ignore[arg-type]
        key = jax.random.fold_in(jax.random.key(0), episode)
        varied = self._randomization.vary("visual", key, values, levels, np.int32(variant))  # type: ignore[arg-type]
        changed = copy.copy(model)
        for field in self._fields:
            getattr(changed, field)[...] = np.asarray(varied[field])
        return changed
