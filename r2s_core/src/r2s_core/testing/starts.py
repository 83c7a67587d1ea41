"""Starts a task's episodes as the engine does, for the kit's checks."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from r2s_core.env.variants import Variation
from r2s_core.types import Array, Backend, HasBegin, Physics, SceneSpec, Task


def init_arguments(scene: SceneSpec, key: Array, worlds: int) -> tuple[Array, Array]:
    """Arguments of `Task.init`, leaves [worlds, ...]: keys, and each variant in turn."""
    variants = 1 if scene.variants is None else len(scene.variants)
    return jax.random.split(key, worlds), jnp.arange(worlds, dtype=jnp.int32) % variants


def first_physics(
    scene: SceneSpec, backend: Backend, arguments: tuple[Array, ...], qpos: Array, qvel: Array
) -> Physics:
    """The worlds in their start states, each with the model of its variant."""
    fields: Any = {}
    if scene.variants is not None:
        fields = jax.jit(jax.vmap(Variation(scene, backend, None).fields))(arguments[1])
    physics = backend.init(fields, qpos, qvel)
    assert np.asarray(physics.ok).all(), "the physics refuses a start state of init"
    return physics


def begun(task: Task[Any], state: Any, physics: Physics) -> Any:
    """The state of an episode that starts there; see `r2s_core.types.HasBegin`."""
    if not isinstance(task, HasBegin):
        return state
    return jax.jit(jax.vmap(task.begin))(state, jax.tree.map(jnp.asarray, physics.view))
