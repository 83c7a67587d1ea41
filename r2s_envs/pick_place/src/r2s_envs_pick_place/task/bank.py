"""The start-state bank: snapshots along scripted picks (DESIGN: start states).

Starting some training episodes with the gripper at the object, or the object in the gripper,
lets a policy practise the late stages of the task before it has learned the early ones (reverse
curriculum: Florensa et al. 2017; reference state initialisation: Peng et al. 2018).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from r2s_core.env.variants import Variation
from r2s_core.errors import R2SError
from r2s_core.types import Array, Backend
from r2s_envs_pick_place.task.script import Scripted
from r2s_envs_pick_place.task.state import HOLD_STEPS

_KEPT = 12  # snapshots per world


class Bank(NamedTuple):
    """N snapshots, grouped by object. The goal is sampled anew when an episode starts from one, at
    the curriculum's level then."""

    qpos: Array  # [N, nq]
    qvel: Array  # [N, nv]
    first: np.ndarray  # int[K]: index of each object's first snapshot
    number: np.ndarray  # int[K]: of snapshots; zero where the script never succeeds on an object


def record(task: Scripted, backend: Backend, key: Array) -> Bank:
    """Snapshots along the successful scripted picks of the training objects.

    Raises:
      R2SError: the script never succeeds on any object.
    """
    scene, objects = task.scene(), task.objects
    control = jax.jit(jax.vmap(task.expert_ctrl))
    update = jax.jit(jax.vmap(task.update))
    start_key, variant_key, pick_key = jax.random.split(key, 3)
    starts = jax.random.split(start_key, backend.num_worlds)
    seen = tuple(k for k, member in enumerate(objects.members) if not member.held_out)
    variation = Variation(scene, backend, seen)
    variant = variation.draw(variant_key)
    state, qpos, qvel = jax.jit(jax.vmap(task.init))(starts, variant)
    physics = backend.init(jax.vmap(variation.fields)(variant), qpos, qvel)
    snapshots, arrived = [], []
    for _ in range(task.info.episode_steps):
        physics = backend.step(physics, control(state, physics.view))
        state = update(state, physics.view)
        snapshots.append((np.asarray(physics.view.qpos), np.asarray(physics.view.qvel)))
        arrived.append(np.asarray(state.placed | (state.steps_near >= HOLD_STEPS)))
    succeeded = np.flatnonzero(np.asarray(jax.vmap(task.success)(state, physics.view)))
    if not len(succeeded):
        raise R2SError(
            f"the scripted pick never brings {' or '.join(objects.names)} to its goal, so "
            "there are no start states to train from; set environment.start_state_share: 0"
        )
    rng = np.random.default_rng(np.asarray(jax.random.key_data(pick_key)).tolist())
    times = rng.integers(
        0, _ends(np.stack(arrived)[:, succeeded])[:, None], (len(succeeded), _KEPT)
    )
    worlds = np.repeat(succeeded[:, None], _KEPT, 1)
    qpos = np.stack([q for q, _ in snapshots])[times, worlds].reshape(-1, qpos.shape[-1])
    qvel = np.stack([v for _, v in snapshots])[times, worlds].reshape(-1, qvel.shape[-1])
    variant = np.asarray(variant)[worlds].ravel()  # sorted, as the worlds are
    count = np.bincount(variant, minlength=len(objects))
    return Bank(jnp.asarray(qpos), jnp.asarray(qvel), np.cumsum(count) - count, count)


def _ends(arrived: np.ndarray) -> np.ndarray:
    """int[W]: the step of the picks [T, W] at which snapshots end: once the object is placed or has
    been held at the goal, an episode would only collect reward with little to learn."""
    return np.where(arrived.any(axis=0), arrived.argmax(axis=0), len(arrived))
