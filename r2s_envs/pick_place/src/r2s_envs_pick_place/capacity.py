"""How many contacts a pick makes, for backends that must set room aside for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import mujoco
import numpy as np

from r2s_core.backends.mujoco import MujocoBackend
from r2s_core.backends.plugins import MujocoConfig
from r2s_envs_pick_place.script import ScriptedPick

if TYPE_CHECKING:
    from r2s_envs_pick_place.task import PickPlace

_WORLDS, _STEPS = 16, 60


def worst_case(task: PickPlace) -> tuple[int, int]:
    """The most contacts and constraint rows of one world over scripted picks, on C MuJoCo."""
    scene, script = task.scene(), ScriptedPick.of(task)
    backend = MujocoBackend(scene, _WORLDS, MujocoConfig())
    control = jax.jit(jax.vmap(lambda state, view: script.ctrl(state, view)))
    state, qpos, qvel = jax.vmap(task.init)(jax.random.split(jax.random.key(0), _WORLDS))
    physics = backend.init({}, qpos, qvel)
    data, most = mujoco.MjData(scene.model), np.zeros(2, int)
    for _ in range(_STEPS):
        physics = backend.step(physics, control(state, physics.view), scene.substeps)
        for qpos, qvel in zip(physics.view.qpos, physics.view.qvel, strict=True):
            data.qpos, data.qvel = qpos, qvel
            mujoco.mj_forward(scene.model, data)
            most = np.maximum(most, (data.ncon, data.nefc))
    return int(most[0]), int(most[1])
