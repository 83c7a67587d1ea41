"""A task's expert: its action is observed in every state of training, as the label of what is."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r2s_core.backends.mujoco import MujocoBackend
from r2s_core.backends.plugins import MujocoConfig
from r2s_core.config import load_mapping
from r2s_core.env import EngineOptions, VectorEnv
from r2s_core.env.build import wrap_task
from r2s_core.env.contract import check_task
from r2s_core.errors import ConfigError
from r2s_core.system.foreign import ForeignError
from r2s_core.testing.environment_kit import check_environment
from r2s_core.testing.tasks import CartTask
from r2s_core.training.run import make_algorithm
from r2s_core.types import EXPERT_GROUP, Array, View

WORLDS = 3


class Expert(CartTask):
    """Drives towards the target; far from it, it would act beyond the bounds."""

    def expert(self, task: Any, view: View) -> Array:
        return 10.0 * (task.target - view.qpos[:1])


def environment(action_history: int = 0, **options: Any) -> VectorEnv:
    task = Expert()
    scene = task.scene()
    backend = MujocoBackend(scene, WORLDS, MujocoConfig())
    engine = EngineOptions(max_episode_steps=3, action_history=action_history)
    return VectorEnv(task, scene, backend, {}, engine, expert=task.expert, **options)


@pytest.mark.parametrize("action_history", [0, 2])
def test_its_action_is_observed_within_bounds_and_before_a_reset_too(action_history):
    env = environment(action_history)
    assert env.spec.observations[EXPERT_GROUP].shape == (1,)
    assert env.spec.observations["policy"].shape == (4 + action_history,)
    state, obs = env.reset(jax.random.key(0))
    ends = 0
    for _ in range(4):  # each episode lasts 3 steps
        expected = 10.0 * (state.task.target[:, None] - np.asarray(state.physics.view.qpos)[:, :1])
        np.testing.assert_allclose(obs[EXPERT_GROUP], np.clip(expected, -1, 1), atol=1e-6)
        state, stepped = env.step(state, jnp.asarray(obs[EXPERT_GROUP]))
        obs, done = stepped.obs, np.asarray(stepped.done)
        differs = np.asarray(stepped.final_obs[EXPERT_GROUP] != obs[EXPERT_GROUP])[:, 0]
        np.testing.assert_array_equal(differs[~done], False)
        ends += int(differs[done].sum())  # after an end, the new episode's label replaces the old
    assert ends


def test_it_drives_to_the_target():
    env = environment()
    state, obs = env.reset(jax.random.key(1))
    near = np.abs(np.asarray(obs["policy"])[:, 0])
    for _ in range(2):
        state, stepped = env.step(state, obs[EXPERT_GROUP])
        obs = stepped.obs
    assert (np.abs(np.asarray(obs["policy"])[:, 0]) < near).all()


def config(**demonstrations: Any) -> Any:
    return load_mapping(
        {"backend": "mujoco", "environment": {"num_parallel_envs": WORLDS}}
        | ({"demonstrations": demonstrations} if demonstrations else {})
    )


def test_training_has_it_where_demonstrations_are_configured_and_evaluation_never():
    task = Expert()
    task.info = dataclasses.replace(task.info, rewards={})
    for settings, training, has in (
        (config(source="script"), True, True),
        (config(source="script"), False, False),
        (config(), True, False),
    ):
        env = wrap_task(task, settings, training=training)
        assert (EXPERT_GROUP in env.spec.observations) == has


def test_a_task_without_one_is_refused():
    task = CartTask()
    task.info = dataclasses.replace(task.info, rewards={})
    with pytest.raises(ConfigError, match="CartTask has no scripted expert"):
        wrap_task(task, config(source="script"), training=True)


def test_an_algorithm_that_would_ignore_it_is_refused():
    with pytest.raises(ConfigError, match="the algorithm ppo, with its options, does not learn"):
        make_algorithm(config(source="script"), environment())


def test_an_expert_of_another_shape_is_refused():
    class Wrong(CartTask):
        def expert(self, task: Any, view: View) -> Array:
            return jnp.zeros(3)

    task = Wrong()
    with pytest.raises(ForeignError, match=r"expert.*an action, \[1\]"):
        check_task("environment 'cart'", task, task.scene())


def test_an_environment_with_it_keeps_the_contract():
    check_environment(environment())
