"""`template_name` keeps the contract, and can be solved."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from r2s_core.env import EngineOptions, VectorEnv
from r2s_core.testing import check_environment, check_reward
from r2s_template_module.plugin import SharpnessConfig, TemplateNameConfig


@pytest.fixture(scope="module")
def task():
    from r2s_core import registry

    return registry.build("environment", "template_name", TemplateNameConfig())


@pytest.mark.parametrize("name", ["template_name_reach", "template_name_push"])
def test_the_rewards_keep_the_contract(registry, task, name):
    check_reward(registry.build("reward", name, SharpnessConfig()), task)


def test_the_task_keeps_the_contract(task):
    check_environment(task)


def test_pushing_straight_at_the_goal_solves_it(registry, task):
    """A hand that goes behind the object and on towards the goal."""
    scene, worlds = task.scene(), 32
    config = registry.get("backend", "mujoco").default_options()
    backend = registry.build("backend", "mujoco", scene, worlds, config)
    push = registry.build("reward", "template_name_push", SharpnessConfig())
    env = VectorEnv(task, scene, backend, {"push": (push, 1.0)}, EngineOptions(60))
    state, obs = env.reset(jax.random.key(0))
    assert not np.asarray(jax.vmap(task.success)(state.task, state.physics.view)).any()
    solved = np.zeros(worlds, bool)
    for _ in range(59):
        state, step = env.step(state, _pusher(obs["policy"]))
        obs = step.obs
        solved |= np.asarray(step.success)
        assert not np.asarray(step.diverged).any()
    height = np.asarray(obs["policy"])[:, 2]
    assert np.all(np.abs(height - 0.018) < 0.015)  # the hand has stayed low
    assert solved.mean() > 0.5  # an idle hand solves none


def test_a_policy_with_cameras_sees_the_scene(task):
    from r2s_core.config import load_mapping
    from r2s_core.env.build import make_environment

    environment = {"use": "template_name", "num_parallel_envs": 2, "vision_enabled": True}
    config = load_mapping({"environment": environment}, to_train=False)
    env = make_environment(config, training=False)
    _, obs = env.reset(jax.random.key(0))
    assert env.spec.observations["policy"].names == task.info.observation_names["proprioception"]
    for camera in ("front", "wrist"):
        assert np.asarray(obs[camera]).std(axis=(1, 2, 3)).min() > 10.0  # not of one colour


@jax.jit
def _pusher(obs):
    """float32[W, 16] -> actions [W, 2]."""
    to_object, to_goal = obs[:, 12:14], obs[:, 14:16]
    far = jnp.linalg.norm(to_goal, axis=1, keepdims=True)
    way = to_goal / (far + 1e-6)
    beside = to_object - (to_object * way).sum(1, keepdims=True) * way  # off the line of the push
    ahead = jnp.linalg.norm(beside, axis=1, keepdims=True) < 0.02
    motion = 2.0 * beside + jnp.where(ahead, 0.02 * way, 0.0)
    return jnp.where(far < 0.02, 0.0, jnp.clip(motion / 0.05, -1.0, 1.0))
