"""The start-state bank: snapshots along scripted picks (DESIGN: start states).

Starting some training episodes with the gripper at the object, or the object in the gripper,
lets a policy meet the late stages of the task before it has learned the early ones (reverse
curriculum: Florensa et al. 2017; reference state initialisation: Peng et al. 2018).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from r2s_core.errors import R2SError
from r2s_core.types import Array, Backend
from r2s_envs_pick_place.script import ScriptedPick

if TYPE_CHECKING:
    from r2s_envs_pick_place.task import PickPlace

#: Control steps of a scripted pick, and how many of its snapshots are kept per world.
_STEPS, _KEPT = 60, 12


def record(task: PickPlace, backend: Backend, key: Array) -> Any:
    """(task states, qpos [N, nq], qvel [N, nv]) along the scripted picks that succeeded.

    Each snapshot gets a goal of its own, so that a bank of a few thousand covers the task.

    Raises:
      R2SError: the script never succeeds on this object.
    """
    script = ScriptedPick(task.arm, task.observer, task.thing)
    control = jax.jit(jax.vmap(lambda state, view: script.ctrl(state.goal, view)))
    update = jax.jit(jax.vmap(task.update))
    start_key, goal_key, pick_key = jax.random.split(key, 3)
    starts = jax.random.split(start_key, backend.num_worlds)
    state, qpos, qvel = jax.jit(jax.vmap(task.init))(starts)
    physics = backend.init({}, qpos, qvel)
    snapshots = []
    for _ in range(_STEPS):
        physics = backend.step(physics, control(state, physics.view), task.scene().substeps)
        state = update(state, physics.view)
        snapshots.append((np.asarray(physics.view.qpos), np.asarray(physics.view.qvel)))
    succeeded = np.flatnonzero(np.asarray(jax.vmap(task.success)(state, physics.view)))
    if not len(succeeded):
        raise R2SError(
            f"the scripted pick never lifts {task.thing.shape.name} to its goal, so there are no "
            "start states to train from; set environment.start_state_share: 0"
        )
    rng = np.random.default_rng(np.asarray(jax.random.key_data(pick_key)).tolist())
    times = rng.integers(0, _STEPS, (len(succeeded), _KEPT))
    worlds = np.repeat(succeeded[:, None], _KEPT, 1)
    qpos = np.stack([q for q, _ in snapshots])[times, worlds].reshape(-1, qpos.shape[-1])
    qvel = np.stack([v for _, v in snapshots])[times, worlds].reshape(-1, qvel.shape[-1])
    fresh, _, _ = jax.vmap(task.init)(jax.random.split(goal_key, len(qpos)))
    return fresh, jnp.asarray(qpos), jnp.asarray(qvel)
