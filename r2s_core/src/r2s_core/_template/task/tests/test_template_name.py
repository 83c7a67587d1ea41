"""`template_name` keeps the contract, and can be solved."""

import jax
import jax.numpy as jnp
import pytest
from r2s_core.env import EngineOptions, VectorEnv
from r2s_core.testing import check_environment, check_reward
from r2s_template_module.plugin import DistanceConfig, TemplateNameConfig

_LINK = 0.2  # m


@pytest.fixture
def task(registry):
    return registry.build("environment", "template_name", TemplateNameConfig())


@pytest.fixture
def distance(registry):
    return registry.build("reward", "template_name_distance", DistanceConfig())


def test_the_task_keeps_the_contract(task):
    check_environment(task)


def test_the_reward_keeps_the_contract(task, distance):
    check_reward(distance, task)


def test_inverse_kinematics_solves_it(registry, task, distance):
    """A servo to the posture that touches the target: success, and most of the reward."""
    scene, worlds = task.scene(), 64
    config = registry.get("backend", "mujoco").default_options()
    backend = registry.build("backend", "mujoco", scene, worlds, config)
    env = VectorEnv(task, scene, backend, {"distance": (distance, 1.0)}, EngineOptions(60))
    state, obs = env.reset(jax.random.key(0))
    for _ in range(60):
        state, step = env.step(state, _servo(obs["policy"]))
        obs = step.obs
    assert step.truncated.all()
    assert step.success.mean() > 0.9
    assert step.episode_return.mean() > 0.6 * 60


@jax.jit
def _servo(obs):
    """float32[W, 8] -> actions [W, 2]."""
    angles = jnp.arctan2(obs[:, :2], obs[:, 2:4])
    total = jnp.cumsum(angles, axis=1)
    tip = _LINK * jnp.stack([jnp.cos(total).sum(1), jnp.sin(total).sum(1)], axis=1)
    target = tip + obs[:, 6:8]
    squared = jnp.sum(jnp.square(target), axis=1)
    elbow = jnp.arccos(jnp.clip(squared / (2 * _LINK**2) - 1.0, -1.0, 1.0))
    shoulder = jnp.arctan2(target[:, 1], target[:, 0]) - elbow / 2
    error = jnp.stack([shoulder, elbow], axis=1) - angles
    error = (error + jnp.pi) % (2 * jnp.pi) - jnp.pi
    return jnp.clip(8.0 * error - 0.8 * 10.0 * obs[:, 4:6], -1.0, 1.0)
