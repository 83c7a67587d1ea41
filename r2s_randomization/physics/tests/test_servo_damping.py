"""The Panda's armature holds its servos' damping, which is no rotor inertia to be varied."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r2s_core import registry
from r2s_core.backends.plugins import MujocoConfig
from r2s_core.config.schema import PhysicsConfig
from r2s_core.env import EngineOptions, VectorEnv
from r2s_core.env.build import with_physics
from r2s_core.testing import build_randomizer
from r2s_envs_pick_place.config import PickPlaceConfig
from r2s_envs_pick_place.scene import pick_object
from r2s_envs_pick_place.task.pick_place import PickPlace

_WORLDS = 3


def _played(physics, randomizers):
    """The arm's joints [T, W, 9] under the same draws, rad and m, as it is sent about."""
    task = PickPlace(PickPlaceConfig(action_space="joint"), pick_object.box())
    scene = with_physics(task.scene(), physics)
    backend = registry.build("backend", "mujoco", scene, _WORLDS, MujocoConfig())
    made = {name: build_randomizer(name, task, options) for name, options in randomizers.items()}
    env = VectorEnv(task, scene, backend, {}, EngineOptions(max_episode_steps=8), made)
    state, _ = env.reset(jax.random.key(2))
    rows = []
    for t in range(12):  # beyond a reset
        action = 0.1 * np.sin(t + np.arange(env.spec.action_size))  # no force is cut off
        state, _ = env.step(state, jnp.tile(jnp.asarray(action, jnp.float32), (_WORLDS, 1)))
        rows.append(np.asarray(state.physics.view.qpos)[:, :9])
    return np.stack(rows)


@functools.cache
def _usual():
    return _played(PhysicsConfig(), {})


@pytest.mark.parametrize(
    "randomizers",
    [
        {"armature": {"factor": [0.2, 0.5]}},
        {"joint_damping": {"factor": [5.0, 20.0]}},
        {"actuator_gain": {"damping": [0.3, 3.0], "stiffness": [0.5, 1.5]}},
        {
            "armature": {"factor": [0.5, 2.0]},
            "joint_damping": {"factor": [0.5, 20.0]},
            "actuator_gain": {"damping": [0.5, 2.0]},
        },
    ],
    ids=lambda randomizers: "+".join(randomizers),
)
def test_it_varies_the_motion_as_on_an_integrator_that_knows_the_damping(randomizers):
    euler = _played(PhysicsConfig(), randomizers)
    implicit = _played(PhysicsConfig(integrator="implicitfast"), randomizers)
    np.testing.assert_allclose(euler, implicit, atol=2e-5)
    assert np.abs(euler - _usual()).max() > 1e-3
