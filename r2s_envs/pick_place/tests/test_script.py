"""The scripted expert: it acts as a policy does, and it succeeds."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r2s_core.backends.mujoco import MujocoBackend
from r2s_core.backends.plugins import MujocoConfig
from r2s_core.types import HasExpert
from r2s_envs_pick_place.config import PickPlaceConfig
from r2s_envs_pick_place.scene import pick_object
from r2s_envs_pick_place.task.pick_place import PickPlace
from r2s_envs_pick_place.task.state import HOLD_STEPS

WORLDS = 32


class Played(NamedTuple):
    """actions [T, W, A]; states: the task's, leaves [T, W, ...]."""

    task: PickPlace
    actions: np.ndarray
    states: Any


@functools.cache
def played(steps: int = 80, opened: tuple[int, int] = (0, 0), **options: Any) -> Played:
    """The expert in every world; its hand is forced open in the steps from `opened[0]` on."""
    task = PickPlace(PickPlaceConfig(**options), pick_object.box())
    backend = MujocoBackend(task.scene(), WORLDS, MujocoConfig())
    expert, control, update = (
        jax.jit(jax.vmap(f)) for f in (task.expert, task.control, task.update)
    )
    keys = jax.random.split(jax.random.key(0), WORLDS)
    state, qpos, qvel = jax.jit(jax.vmap(lambda key: task.init(key, jnp.int32(0))))(keys)
    physics, actions, states = backend.init({}, qpos, qvel), [], []
    for step in range(steps):
        action = np.array(expert(state, physics.view))
        if opened[0] <= step < opened[1]:
            action[:, -1] = 1.0
        physics = backend.step(physics, control(state, physics.view, action))
        state = update(state, physics.view)
        actions.append(action)
        states.append(jax.device_get(state))
    return Played(task, np.stack(actions), jax.tree.map(lambda *x: np.stack(x), *states))


OPTIONS = [
    {"action_space": "ee_delta"},
    {"action_space": "joint"},
    {"action_space": "joint", "goal": "place"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_it_succeeds_within_an_episode_acting_within_bounds(options):
    task, actions, states = played(**options)
    assert isinstance(task, HasExpert)
    assert actions.shape == (task.info.episode_steps, WORLDS, len(task.action_low))
    assert np.abs(actions).max() <= 1.0
    assert (states.steps_near[-1] >= HOLD_STEPS).mean() >= 0.95  # 1.0 in 128 worlds


def test_it_lifts_slowly_and_only_once_the_grip_has_settled():
    """A tug at the first touch was how it dropped what it lifted."""
    _, actions, states = played(**OPTIONS[0])
    told = (actions[..., -1] < 0).argmax(axis=0)  # the step at which each world's gripper closes
    lift = states.object_position[..., 2] - states.rest_height
    off = (lift > 0.005).argmax(axis=0)
    assert (off - told >= 3).all()
    low, rise = lift[:-1], np.diff(lift, axis=0)
    assert rise[(low > 0.002) & (low < 0.008)].max() < 0.03


def test_it_picks_up_again_what_it_has_lost():
    _, _, states = played(steps=130, opened=(24, 30), **OPTIONS[0])
    lost = states.ever_grasped[30] & ~states.grasped[30]
    assert lost.mean() > 0.6  # the others had not closed yet
    assert (states.steps_near[-1] >= HOLD_STEPS)[lost].mean() >= 0.9
