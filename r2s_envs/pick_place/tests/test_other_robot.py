"""The task with another robot than the Panda: what follows from the robot does."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r2s_core.backends.mujoco import MujocoBackend
from r2s_core.backends.plugins import MujocoConfig
from r2s_core.config import load_mapping
from r2s_core.env.contract import check_task
from r2s_core.errors import ConfigError
from r2s_envs_objects import NotGraspableError, ObjectOptions, load_object
from r2s_envs_pick_place import SceneOptions, box_object, build_scene
from r2s_envs_pick_place.config import OBSERVATIONS, PickPlaceConfig
from r2s_envs_pick_place.hold import instrument as hold
from r2s_envs_pick_place.hold.check import check
from r2s_envs_pick_place.scene import pick_object
from r2s_envs_pick_place.task.pick_place import PickPlace
from r2s_envs_robots.ur5e_2f85.robot import ur5e_2f85

WORLDS = 16
UR5E = ur5e_2f85()


def _task(**options) -> PickPlace:
    return PickPlace(PickPlaceConfig(robot="ur5e_2f85", **options), pick_object.box())


def test_the_script_picks_with_it():
    task = _task()
    backend = MujocoBackend(task.scene(), WORLDS, MujocoConfig())
    control, update = jax.jit(jax.vmap(task.expert_ctrl)), jax.jit(jax.vmap(task.update))
    keys = jax.random.split(jax.random.key(0), WORLDS)
    state, qpos, qvel = jax.jit(jax.vmap(lambda key: task.init(key, jnp.int32(0))))(keys)
    physics = backend.init({}, qpos, qvel)
    for _ in range(task.info.episode_steps):
        physics = backend.step(physics, control(state, physics.view))
        state = update(state, physics.view)
    assert np.mean(jax.jit(jax.vmap(task.success))(state, physics.view)) >= 0.9  # 1.0 in 64 worlds
    assert np.asarray(physics.ok).all()


def test_every_observation_and_both_action_spaces_have_six_joints():
    joint = _task(observations=tuple(OBSERVATIONS), action_space="joint")
    assert len(joint.info.action_names) == 8
    assert "joint6_angle" in joint.info.observation_names["policy"]
    assert "joint7_angle" not in joint.info.observation_names["policy"]
    told = check_task("environment 'pick'", joint, joint.scene())
    read = jax.eval_shape(joint.observe, told.task, told.view)["policy"]
    assert read.shape == (len(joint.info.observation_names["policy"]),)
    assert len(_task(action_space="ee_delta").info.action_names) == 5


def test_it_holds_a_box_still_as_the_panda_does():
    model = build_scene([box_object(mass=0.2)], SceneOptions(robot=UR5E)).compile()
    grasp = hold.Grasp((*UR5E.workspace, 0.03), 0.1)
    report = hold.hold(model, UR5E, grasp, shake=hold.Shake(), approach=0.1)
    assert report.held
    assert report.slip < 1e-3
    assert report.penetration < 1e-3
    assert report.opening == pytest.approx(0.04, abs=2e-3)


def test_a_certificate_says_whose_gripper_tried():
    asset = load_object("sample:bottle", ObjectOptions(robot="ur5e_2f85"))
    result = check(asset, UR5E, pictures=False)
    assert result.passed
    assert (result.details["robot"], result.details["gripper"]) == ("ur5e_2f85", "Robotiq 2F-85")


def test_each_gripper_judges_for_itself(tmp_path):
    """A block of 80 mm fits into 85, but not into 80."""
    trimesh = pytest.importorskip("trimesh")
    block = tmp_path / "block.stl"
    trimesh.creation.box((0.08, 0.08, 0.05)).export(block)
    with pytest.raises(NotGraspableError, match="too wide for the 80 mm gripper"):
        load_object(block)
    assert load_object(block, ObjectOptions(robot="ur5e_2f85")).robot == "ur5e_2f85"
    wider = tmp_path / "wider.stl"
    trimesh.creation.box((0.084, 0.084, 0.05)).export(wider)
    with pytest.raises(NotGraspableError, match=r"too wide for the 85 mm gripper.*limit 81"):
        load_object(wider, ObjectOptions(robot="ur5e_2f85"))


def test_a_misspelt_robot_is_told_with_its_place():
    with pytest.raises(ConfigError, match=r"no robot named 'ur5' is installed.*panda, ur5e_2f85"):
        load_mapping({"environment": {"robot": "ur5"}})
    with pytest.raises(ConfigError, match="did you mean panda"):
        load_mapping({"environment": {"robot": "pandas"}})


def test_official_meshes_are_refused_where_there_are_none():
    with pytest.raises(ConfigError, match="ur5e_2f85 has no official meshes; set"):
        _task(official_meshes=True)
