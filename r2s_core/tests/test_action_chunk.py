"""Chunks of actions: executed one after the other, then the policy is asked again."""

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
from r2s_core.demonstrations.episode import Episode, stacked
from r2s_core.env import EngineOptions, VectorEnv
from r2s_core.env.action_chunk import chunk_names, chunks
from r2s_core.errors import ConfigError, R2SError
from r2s_core.policy.network import as_jax
from r2s_core.policy.saved import PolicyError, as_saved
from r2s_core.testing.tasks import CartTask
from r2s_core.training.run import make_algorithm
from r2s_core.types import PolicyExport

WORLDS, STEPS, CHUNK = 3, 7, 3


class Named(CartTask):
    """With names."""

    def __init__(self) -> None:
        super().__init__()
        self.info = dataclasses.replace(self.info, action_names=("force",))


def make(chunk: int = CHUNK, **options: Any) -> VectorEnv:
    task = Named()
    scene = task.scene()
    engine = EngineOptions(max_episode_steps=STEPS, action_chunk=chunk, **options)
    backend = MujocoBackend(scene, WORLDS, MujocoConfig())
    return VectorEnv(
        task, scene, backend, {"a": (lambda transition: transition.action[0], 1.0)}, engine
    )


@pytest.fixture(scope="module")
def env() -> VectorEnv:
    return make()


def played(env: VectorEnv, actions: np.ndarray) -> np.ndarray:
    """The action executed in each step, float[T, W]: this environment rewards it."""
    state, _ = env.reset(jax.random.key(0))
    rewards = []
    for action in actions:
        state, step = env.step(state, action)
        rewards.append(np.asarray(step.reward))
    return np.stack(rewards)


def test_a_plan_is_executed_to_its_end_and_an_episode_begins_a_new_one(env):
    """Seven steps an episode, so the third plan ends with it after one of three steps."""
    given = np.random.default_rng(0).uniform(-1, 1, (10, WORLDS, CHUNK)).astype(np.float32)
    wanted = [given[t - t % CHUNK, :, t % CHUNK] for t in range(STEPS)]
    wanted += [given[STEPS + t - t % CHUNK, :, t % CHUNK] for t in range(3)]
    np.testing.assert_allclose(played(env, given), wanted, rtol=1e-6)


def test_it_is_clipped_like_an_action(env):
    assert played(env, np.full((1, WORLDS, CHUNK), 7.0, np.float32)).tolist() == [[1.0] * WORLDS]
    with pytest.raises(R2SError, match=r"\[3, 3\]"):
        played(env, np.zeros((1, WORLDS, 1), np.float32))


def test_the_spec_says_what_is_in_it(env):
    assert env.spec.action_names == ("force", "force_1_ahead", "force_2_ahead")
    assert env.spec.action_size == CHUNK
    assert env.spec.action_chunk == CHUNK
    assert chunk_names(("x", "y"), 2) == ("x", "y", "x_1_ahead", "y_1_ahead")
    assert chunk_names((), 2) == ()


def test_a_recording_acts_in_every_step(env):
    single = env.from_the_start()
    assert single.spec.action_names == ("force",)
    given = np.random.default_rng(0).uniform(-1, 1, (4, WORLDS, 1)).astype(np.float32)
    np.testing.assert_allclose(played(single, given), given[..., 0], rtol=1e-6)
    np.testing.assert_array_equal(played(single, given), played(make(1), given))


def test_staggered_episodes_begin_where_a_plan_does():
    state, _ = make(stagger=True).reset(jax.random.key(3))
    assert (np.asarray(state.elapsed) % CHUNK == 0).all()
    assert np.asarray(state.elapsed).any()


def test_labels_are_what_comes_next_in_the_episode():
    actions = np.arange(8.0).reshape(4, 2)
    wanted = [[0, 1, 2, 3, 4, 5], [2, 3, 4, 5, 6, 7], [4, 5, 6, 7, 6, 7], [6, 7, 6, 7, 6, 7]]
    assert chunks(actions, 3).tolist() == wanted
    obs = {"policy": np.zeros((4, 1), np.float32)}
    episode = Episode(obs, actions.astype(np.float32), actions.astype(np.float32), True)
    assert stacked([episode, episode], 3).label.tolist() == wanted * 2


def _export(size: int) -> PolicyExport:
    kernel = np.ones((4, size), np.float32)
    return PolicyExport.mlp(
        layers=((kernel, np.arange(size, dtype=np.float32)),),
        activation="elu",
        observation_mean=np.zeros(4, np.float32),
        observation_std=np.ones(4, np.float32),
        observation_clip=5.0,
        output="tanh",
    )


def test_a_saved_policy_says_for_how_many_steps_it_plans(env):
    saved = as_saved(_export(CHUNK), env.spec, task="cart")
    assert saved.spec.action_chunk == CHUNK
    obs = {"policy": jnp.ones((WORLDS, 4))}
    assert as_jax(saved, env, "cart")(obs, jax.random.key(0)).shape == (WORLDS, CHUNK)
    assert as_saved(_export(1), make(1).spec, task="cart").spec.action_chunk == 1
    with pytest.raises(PolicyError, match="action chunk is 3, the environment's 1"):
        as_jax(saved, make(1), "cart")


def test_what_learns_from_rewards_is_refused(env):
    config = load_mapping({"backend": "mujoco", "algorithm": "ppo"})
    with pytest.raises(ConfigError, match=r"environment.action_chunk: .* a single action"):
        make_algorithm(config, env)
