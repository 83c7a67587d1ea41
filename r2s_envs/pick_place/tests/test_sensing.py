"""What the robot measures, what follows from it, and what makes the task easier or harder."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r2s_core import rotation
from r2s_core.backends.mujoco import MujocoBackend
from r2s_core.backends.plugins import MujocoConfig
from r2s_core.env import EngineOptions, VectorEnv
from r2s_core.testing import build_randomizer
from r2s_envs_objects import load_object
from r2s_envs_pick_place.config import OBSERVATIONS, PickPlaceConfig
from r2s_envs_pick_place.scene import pick_object
from r2s_envs_pick_place.scene.pick_object import PickObject
from r2s_envs_pick_place.task.pick_place import PickPlace
from r2s_envs_robots.panda.robot import panda

WORLDS = 6
EVERYTHING = tuple(OBSERVATIONS)


def make(*things: PickObject, randomizers: Any = None, worlds=WORLDS, **options) -> Any:
    config = PickPlaceConfig(action_space="ee_delta", observations=EVERYTHING, **options)
    task = PickPlace(config, *(things or (pick_object.box(),)))
    scene = task.scene()
    made = {n: build_randomizer(n, task, o) for n, o in (randomizers or {}).items()}
    backend = MujocoBackend(scene, worlds, MujocoConfig())
    return VectorEnv(task, scene, backend, {}, EngineOptions(60), made)


@pytest.fixture(scope="module")
def grasping() -> tuple[Any, Any]:
    """Worlds in the middle of a pick."""
    env = make()
    control = jax.jit(jax.vmap(env.task.expert_ctrl))
    update = jax.jit(jax.vmap(env.task.update))
    state, _ = env.reset(jax.random.key(0))
    physics, task = state.physics, state.task
    for _ in range(25):
        physics = env.backend.step(physics, control(task, physics.view))
        task = update(task, physics.view)
    return env, dataclasses.replace(state, physics=physics, task=task)


def test_readings_as_they_are_show_the_truth(grasping):
    env, state = grasping
    task, view = state.task, jax.tree.map(jnp.asarray, state.physics.view)
    assert np.asarray(task.touching).any()

    def observe(task, view):
        told, seen = env.task.perceived(task, view, env.task.readings(task, view))
        return env.task.observe(task, view)["policy"], env.task.observe(told, seen)["policy"]

    truth, perceived = jax.jit(jax.vmap(observe))(task, view)
    np.testing.assert_allclose(perceived, truth, atol=2e-5)


def test_the_hand_is_where_the_angles_put_it(grasping):
    env, state = grasping
    view = state.physics.view
    grip, hand = jax.jit(jax.vmap(env.task.arm.forward))(jnp.asarray(view.qpos[:, :7]))
    np.testing.assert_allclose(grip, view.site_xpos[:, env.task.arm.slots.grip], atol=1e-5)
    same = np.abs(np.sum(np.asarray(hand) * view.xquat[:, env.task.arm.slots.hand], axis=1))
    np.testing.assert_allclose(same, 1.0, atol=1e-5)


def test_everything_that_follows_from_a_reading_errs_with_it(grasping):
    """The object seen 1 cm off in x: so are the ways to it and from it."""
    env, state = grasping
    task, view = jax.tree.map(lambda x: jnp.asarray(x)[0], (state.task, state.physics.view))
    readings = dict(env.task.readings(task, view))
    readings["object_position"] = readings["object_position"] + jnp.array([0.01, 0.0, 0.0])
    names = env.spec.observations["policy"].names
    truth = env.task.observe(task, view)["policy"]
    seen = env.task.observe(*env.task.perceived(task, view, readings))["policy"]
    off = dict(zip(names, np.asarray(seen - truth), strict=True))
    assert off["object_position_x"] == pytest.approx(0.01, abs=1e-5)
    assert off["ee_to_object_x"] == pytest.approx(0.01, abs=1e-4)
    assert off["object_to_goal_x"] == pytest.approx(-0.01, abs=1e-5)
    grasp = [off[f"grasp_point_in_gripper_{axis}"] for axis in "xyz"]
    assert np.linalg.norm(grasp) == pytest.approx(0.01, abs=1e-4)
    for name in ("goal_x", "joint1_angle", "object_quaternion_w", "grasped"):
        assert off[name] == pytest.approx(0.0, abs=1e-5)


def test_the_engine_s_policy_reads_with_errors_and_its_reward_does_not():
    noise = {"sensor_noise": {"readings": ["object_position"], "bias": 0.02}}
    plain, noisy = make(), make(randomizers=noise)
    states = [env.reset(jax.random.key(3)) for env in (plain, noisy)]
    steps = [
        env.step(state, jnp.zeros((WORLDS, 5)))
        for env, (state, _) in zip((plain, noisy), states, strict=True)
    ]
    place = list(plain.spec.observations["policy"].names).index("object_position_x")
    seen = [np.asarray(step.obs["policy"])[:, place] for _, step in steps]
    assert np.abs(seen[0] - seen[1]).max() > 5e-3
    for name, value in steps[0][1].metrics.items():
        np.testing.assert_allclose(value, steps[1][1].metrics[name], atol=1e-6, err_msg=name)


@pytest.mark.parametrize("goal", ["air", "place"])
def test_a_level_brings_the_goal_nearer_to_the_object(goal):
    task = PickPlace(PickPlaceConfig(goal=goal), pick_object.box())
    keys = jax.random.split(jax.random.key(0), 500)

    def distance(level, key):
        state, qpos, _ = task.at_level(jnp.float32(level)).init(key, jnp.int32(0))
        return jnp.linalg.norm(state.goal - qpos[9:12])

    far, half, near = (
        np.asarray(jax.jit(jax.vmap(lambda key, level=level: distance(level, key)))(keys))
        for level in (1.0, 0.5, 0.0)
    )
    assert (near <= far + 1e-5).all()
    assert near.mean() < half.mean() < far.mean()
    as_it_is = jax.jit(jax.vmap(lambda key: task.init(key, jnp.int32(0))[0].goal))(keys)
    at_one = jax.jit(
        jax.vmap(lambda key: task.at_level(jnp.float32(1.0)).init(key, jnp.int32(0))[0].goal)
    )(keys)
    np.testing.assert_allclose(at_one, as_it_is, atol=1e-6)
    if goal == "place":  # still to be carried, so that pushing is no way out
        np.testing.assert_allclose(near, np.minimum(far, 0.10), atol=1e-4)
    else:
        np.testing.assert_allclose(near, 0.10 - 0.03, atol=1e-3)  # above it, at the lowest


@pytest.fixture(scope="module")
def lying() -> list[PickObject]:
    return PickObject.from_asset(load_object("sample:soap")).in_all_poses(panda().gripper)


def test_an_object_starts_in_every_pose_that_it_comes_to_rest_in(lying):
    assert len(lying) > 1
    assert [thing.name for thing in lying][:2] == ["soap (pose 1)", "soap (pose 2)"]
    assert all(thing.shape is lying[0].shape for thing in lying)
    for thing in lying:
        turn = np.asarray(rotation.to_matrix(jnp.asarray(thing.rest_quat)), np.float64)
        lowest = (thing.shape.points @ turn.T)[:, 2].min()
        assert lowest + thing.rest_height == pytest.approx(0.0, abs=2e-3)  # on the table


def test_poses_are_variants_of_one_model_and_are_grasped_where_they_lie(lying):
    """A scripted pick lifts the object out of each of them."""
    things = lying[:3]
    worlds = 2 * len(things)
    config = PickPlaceConfig(action_space="ee_delta")
    task = PickPlace(config, *things)
    scene = task.scene()
    assert scene.variants is not None
    assert not scene.variants.fields  # the same body, lying otherwise
    assert task.info.objects == ("soap",)
    backend = MujocoBackend(scene, worlds, MujocoConfig())
    played = tuple(range(len(things)))
    env = VectorEnv(task, scene, backend, {}, EngineOptions(200, variants=played))
    state, _ = env.reset(jax.random.key(2))
    control = jax.jit(jax.vmap(task.expert_ctrl))
    update = jax.jit(jax.vmap(task.update))
    physics, told = state.physics, state.task
    for _ in range(60):
        physics = backend.step(physics, control(told, physics.view))
        told = update(told, physics.view)
    lifted = np.asarray(told.ever_lifted).reshape(len(things), 2)
    assert lifted[0].all()
    assert lifted.mean() >= 0.5
