"""How many contacts a pick makes, for backends that allocate a fixed capacity."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from r2s_core.backends.mujoco import MujocoBackend
from r2s_core.backends.plugins import MujocoConfig
from r2s_core.backends.silence import silenced
from r2s_core.types import SceneSpec
from r2s_envs_pick_place.task.script import Scripted

_WORLDS = 16  # per object


def worst_case(task: Scripted) -> tuple[int, int]:
    """The most contacts and constraint rows of one world over scripted picks, on C MuJoCo."""
    scene = task.scene()
    most = np.zeros(2, int)
    for variant in range(len(task.objects)):
        most = np.maximum(most, _of_variant(task, scene.of_variant(variant), variant))
    return int(most[0]), int(most[1])


@silenced()
def _of_variant(task: Scripted, scene: SceneSpec, variant: int) -> np.ndarray:
    keys = jax.random.split(jax.random.key(0), _WORLDS)
    backend = MujocoBackend(scene, _WORLDS, MujocoConfig())
    state, qpos, qvel = jax.vmap(lambda key: task.init(key, jnp.int32(variant)))(keys)
    control = jax.jit(jax.vmap(task.expert_ctrl))
    physics = backend.init({}, qpos, qvel)
    data, most = mujoco.MjData(scene.model), np.zeros(2, int)
    for _ in range(task.info.episode_steps):
        physics = backend.step(physics, control(state, physics.view))
        for data.qpos, data.qvel in zip(physics.view.qpos, physics.view.qvel, strict=True):
            mujoco.mj_forward(scene.model, data)
            most = np.maximum(most, (data.ncon, data.nefc))
    return most
