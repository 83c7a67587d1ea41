"""The task: what it observes, what counts as a grasp and as success; and a script solves it."""

from __future__ import annotations

import dataclasses
import gc
import weakref
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from r2s_core import registry, rotation
from r2s_core.backends.mujoco import MujocoBackend
from r2s_core.backends.plugins import MujocoConfig
from r2s_core.config import PhysicsConfig
from r2s_core.env import EngineOptions, VectorEnv
from r2s_core.env.build import with_physics
from r2s_core.testing import check_environment
from r2s_core.types import Transition
from r2s_envs_pick_place.config import OBSERVATIONS, PickPlaceConfig
from r2s_envs_pick_place.scene import pick_object
from r2s_envs_pick_place.task import capacity
from r2s_envs_pick_place.task.bank import Bank
from r2s_envs_pick_place.task.observation import observation_names
from r2s_envs_pick_place.task.pick_place import PickPlace
from r2s_envs_pick_place.task.state import GOAL_RADIUS, HOLD_STEPS
from r2s_envs_robots.panda.robot import panda

CENTRE = np.array(panda().workspace, np.float32)

WORLDS = 16
_NO = jnp.bool_(False)


def make(share: float = 0.0, steps: int = 60, **options) -> VectorEnv:
    task = PickPlace(PickPlaceConfig(**options), pick_object.box())
    scene = task.scene()
    backend = MujocoBackend(scene, WORLDS, MujocoConfig())
    if share:
        task.build_start_bank(backend, jax.random.key(1))
    rewards = {
        name: (registry.build("reward", name, registry.get("reward", name).plugin.config()), weight)
        for name, weight in (task.info.rewards or {}).items()
    }
    return VectorEnv(task, scene, backend, rewards, EngineOptions(steps, share))


@pytest.fixture(scope="module")
def env() -> VectorEnv:
    return make(action_space="ee_delta")


def test_the_default_interface_is_25_numbers_in_and_9_out():
    env = make()
    assert {n: g.shape for n, g in env.spec.observations.items()} == {"policy": (25,)}
    assert env.spec.action_size == 9
    assert len(env.spec.observations["policy"].names) == 25


def test_with_two_objects_it_keeps_the_contract():
    taller = pick_object.box((0.02, 0.025, 0.035), mass=0.2)
    check_environment(PickPlace(PickPlaceConfig(), pick_object.box(), taller))


def test_every_observation_part_has_a_name_for_each_number():
    env = make(observations=("pose",), critic_observations=tuple(OBSERVATIONS))
    _, obs = env.reset(jax.random.key(0))
    count = sum(len(observation_names(7)[part]) for part in OBSERVATIONS)
    assert obs["critic"].shape == (WORLDS, count)
    assert np.isfinite(np.asarray(obs["critic"])).all()


def test_the_25_numbers_are_what_their_names_say(env):
    state, obs = env.reset(jax.random.key(0))
    named = dict(
        zip(env.spec.observations["policy"].names, np.asarray(obs["policy"]).T, strict=True)
    )
    view = state.physics.view
    for i, axis in enumerate("xyz"):
        place = view.qpos[:, 9 + i]
        np.testing.assert_allclose(named[f"object_position_{axis}"], place, atol=1e-6)
        goal = np.asarray(state.task.goal)[:, i]
        np.testing.assert_allclose(named[f"object_to_goal_{axis}"], goal - place, atol=1e-6)
        grip = view.site_xpos[:, env.task.arm.slots.grip, i]
        np.testing.assert_allclose(named[f"ee_to_object_{axis}"], place - grip, atol=1e-6)


def test_quaternions_do_not_jump_where_the_gripper_points_down():
    reference = jnp.array([0.0, 1.0, 0.0, 0.0])
    down = np.array([1e-3, 1.0, 0.0, 0.0])
    near = np.array([-1e-3, 1.0, 0.0, 0.0])
    for other in (near, -near):
        a, b = (rotation.nearest_sign(jnp.asarray(q), reference) for q in (down, other))
        assert np.abs(np.asarray(a - b)).max() < 0.01


def test_starts_and_goals_cover_their_ranges():
    task = PickPlace(PickPlaceConfig(), pick_object.box())
    state, qpos, _ = jax.jit(jax.vmap(task.init, (0, None)))(
        jax.random.split(jax.random.key(0), 2000), jnp.int32(0)
    )
    place, goal = np.asarray(qpos[:, 9:11]) - CENTRE, np.asarray(state.goal)
    assert 0.115 < np.abs(place).max() <= 0.12 + 1e-6
    assert 0.115 < np.abs(goal[:, :2] - CENTRE).max() <= 0.12 + 1e-6
    assert 0.10 - 1e-6 <= goal[:, 2].min() < 0.11
    assert 0.39 < goal[:, 2].max() <= 0.40 + 1e-6
    yaw = 2 * np.arctan2(qpos[:, 15], qpos[:, 12])
    assert np.ptp(np.mod(yaw, 2 * np.pi)) > 6.0
    corner = np.corrcoef(np.column_stack([place, goal, yaw]).T)
    assert np.abs(corner - np.eye(6)).max() < 0.1, "starts and goals are drawn independently"


def drive(env: Any, steps: int, seed: int = 0, action=None):
    """The scripted pick, or a constant action, without resets: states and views by step."""
    control = jax.jit(jax.vmap(env.task.expert_ctrl))
    update = jax.jit(jax.vmap(env.task.update))
    state, _ = env.reset(jax.random.key(seed))
    task, physics = state.task, state.physics
    for _ in range(steps):
        physics = env.backend.step(physics, control(task, physics.view))
        task = update(task, physics.view)
        yield task, physics.view


def test_a_scripted_pick_succeeds_and_success_is_what_it_says(env):
    history = [task for task, _ in drive(env, 90)]
    last = history[-1]
    success = np.asarray(jax.jit(jax.vmap(env.task.success))(last, None))
    assert success.mean() >= 0.9
    near = np.stack([np.asarray(t.goal_distance) < GOAL_RADIUS for t in history[-HOLD_STEPS:]])
    np.testing.assert_array_equal(success, near.all(axis=0))
    assert np.asarray(last.ever_lifted)[success].all()


def test_pressing_closed_fingers_on_the_top_is_no_grasp(env):
    """The exploit of ENV_NOTES, trap 1."""
    arm, update = env.task.arm, jax.jit(jax.vmap(env.task.update))

    @jax.jit
    @jax.vmap
    def press(view):
        target = view.qpos[9:12] + jnp.array([0.0, 0.0, 0.025])
        move = jnp.clip(0.5 * (target - view.site_xpos[arm.slots.grip]), -0.03, 0.03)
        twist = jnp.concatenate([move, arm.downward(view, jnp.float32(0.0))])
        targets = arm.clip(view.qpos[:7] + arm.joint_step(view, twist), view)
        return jnp.concatenate([targets, jnp.full(2, -0.02)])

    state, _ = env.reset(jax.random.key(0))
    task, physics = state.task, state.physics
    touched = np.zeros(WORLDS, bool)
    for _ in range(40):
        physics = env.backend.step(physics, press(physics.view))
        task = update(task, physics.view)
        touched |= np.asarray(task.touching).any(axis=1)
    assert touched.mean() > 0.5, "the fingers do press on the box"
    assert not np.asarray(task.ever_grasped).any()


def test_an_object_grasped_far_from_its_grasp_point_was_reached():
    """A mug is held by whichever side of its rim: no stage may be rarer than the one after it."""
    aside = dataclasses.replace(pick_object.box(), grasp_offset=(0.0, 0.12, 0.0))
    task = PickPlace(PickPlaceConfig(), aside)
    state, qpos, qvel = task.init(jax.random.key(0), jnp.int32(0))
    backend = MujocoBackend(task.scene(), 1, MujocoConfig())
    view = jax.tree.map(lambda x: jnp.asarray(x[0]), backend.init({}, qpos[None], qvel[None]).view)
    assert not task.update(state, view).ever_reached
    grip, closing = view.site_xpos[task.arm.slots.grip], view.site_xmat[task.arm.slots.grip][:, 1]
    sensors = view.sensordata
    for address in task.observer.pad_addresses:
        sensors = sensors.at[address].set(1.0).at[address + 4 : address + 7].set(closing)
    held = dataclasses.replace(
        view, qpos=view.qpos.at[9:12].set(grip + jnp.array([0.0, 0.0, 0.1])), sensordata=sensors
    )
    after = task.update(state, held)
    assert after.reach_distance > 0.1, "the grip is nowhere near the grasp point"
    stages = [bool(after.ever_reached), bool(after.ever_grasped), bool(after.ever_lifted)]
    assert stages == [True, True, True]


def test_an_object_that_leaves_the_table_ends_the_episode(env):
    state, _ = env.reset(jax.random.key(0))
    view = jax.tree.map(lambda x: x[0], state.physics.view)
    task = jax.tree.map(lambda x: x[0], state.task)
    for place, ends in (
        ([0.5, 0.0, 0.03], False),
        ([1.0, 0.0, 0.03], True),
        ([0.5, 0, -0.2], True),
    ):
        moved = dataclasses.replace(task, object_position=jnp.asarray(place, jnp.float32))
        assert bool(env.task.terminated(moved, view)) == ends


def test_end_effector_actions_move_the_gripper_along_the_axis(env):
    for axis in range(3):
        state, _ = env.reset(jax.random.key(0))
        grip = env.task.arm.slots.grip
        before = state.physics.view.site_xpos[:, grip]
        action = np.zeros((WORLDS, 5), np.float32)
        action[:, axis], action[:, 4] = 0.5, 1.0
        for _ in range(6):
            state, _ = env.step(state, action)
        moved = state.physics.view.site_xpos[:, grip] - before
        assert (moved[:, axis] > 0.03).all()
        assert (np.abs(np.delete(moved, axis, 1)) < 0.3 * moved[:, [axis]]).all()
        approach = state.physics.view.site_xmat[:, grip, :, 2]
        assert (approach[:, 2] < -0.99).all(), "the gripper keeps pointing down"


def test_joint_actions_never_ask_for_more_than_the_allowed_lead():
    env = make()
    state, _ = env.reset(jax.random.key(0))
    rng = np.random.default_rng(0)
    for _ in range(10):
        before = state.physics.view.qpos[:, :7]
        action: Any = rng.uniform(-1, 1, (WORLDS, 9)).astype(np.float32)
        state, _ = env.step(state, action)
        lead = np.abs(state.physics.view.ctrl[:, :7] - before)
        assert lead.max() <= 0.2 + 1e-5


def test_joint_actions_of_zero_bring_the_elbow_home_and_leave_the_gripper_where_it_is():
    env = make()
    state, _ = env.reset(jax.random.key(0))
    arm: Any = env.task.arm  # type: ignore[attr-defined]
    # Swing the elbow along the null space of the hand's motion: a posture that nobody asked for.
    jacobian = np.asarray(jax.jit(jax.vmap(arm.jacobian))(state.physics.view))
    swing = np.linalg.svd(jacobian).Vh[:, -1]
    qpos = jnp.asarray(state.physics.view.qpos).at[:, :7].add(0.3 * swing)
    physics = env.backend.reset(
        state.physics, jnp.ones(WORLDS, bool), {}, qpos, jnp.zeros((WORLDS, 15))
    )
    state = dataclasses.replace(state, physics=physics)
    grip_before = state.physics.view.site_xpos[:, arm.slots.grip]
    for _ in range(30):
        state, _ = env.step(state, jnp.zeros((WORLDS, 9)))
    view = state.physics.view
    assert np.abs(view.qpos[:, :7] - qpos[:, :7]).max(-1).min() > 0.1, "the elbow came home"
    assert np.linalg.norm(view.site_xpos[:, arm.slots.grip] - grip_before, axis=-1).max() < 0.02


def test_the_grasp_is_read_in_the_grippers_frame_and_knows_half_turns():
    task = PickPlace(PickPlaceConfig(observations=("grasp",)), pick_object.box())
    _, start, _ = task.init(jax.random.key(0), jnp.int32(0))
    # Narrow along its x: turned by 90 degrees it lies as the home gripper closes, along y.
    yaws = np.deg2rad([0.0, 45.0, 90.0, -90.0, 270.0, 60.0, 105.0])
    qpos = np.repeat(np.asarray(start)[None], len(yaws), 0)
    qpos[:, :7] = panda().ready
    qpos[:, 9:12] = [0.55, -0.1, 0.03]
    qpos[:, 12:16] = np.stack([np.cos(yaws / 2), 0 * yaws, 0 * yaws, np.sin(yaws / 2)], -1)
    backend = MujocoBackend(task.scene(), len(yaws), MujocoConfig())
    view = backend.init({}, jnp.asarray(qpos), jnp.zeros((len(yaws), 15))).view
    state, _, _ = jax.jit(jax.vmap(task.init, (0, None)))(
        jax.random.split(jax.random.key(0), len(yaws)), jnp.int32(0)
    )
    state = jax.jit(jax.vmap(task.update))(state, view)
    turns = np.deg2rad([90.0, 45.0, 0.0, 0.0, 0.0, 30.0, 15.0])  # at most
    np.testing.assert_allclose(state.aligned, 1 - turns / (np.pi / 2), atol=1e-3)
    read = np.asarray(jax.jit(jax.vmap(task.observe))(state, view)["policy"])
    np.testing.assert_allclose(np.abs(read[:, 3]), turns, atol=1e-3)
    assert read[5, 3] * read[6, 3] < 0, "which way to turn"
    np.testing.assert_allclose(read[:, 4], np.cos(2 * turns), atol=2e-3)
    np.testing.assert_allclose(read[:, 5], np.sin(2 * read[:, 3]), atol=2e-3)
    grip = np.asarray(view.site_xpos[:, task.arm.slots.grip])
    distance = np.linalg.norm(qpos[:, 9:12] - grip, axis=-1)
    np.testing.assert_allclose(np.linalg.norm(read[:, :3], axis=-1), distance, atol=1e-5)
    np.testing.assert_allclose(read[:, 2], grip[:, 2] - 0.03, atol=2e-3)  # ahead is down


def test_the_hands_motion_is_what_mujoco_makes_of_the_joints_velocities():
    task = PickPlace(PickPlaceConfig(observations=("ee_motion",)), pick_object.box())
    rng = np.random.default_rng(0)
    state, start, _ = task.init(jax.random.key(0), jnp.int32(0))
    qpos, qvel = np.repeat(np.asarray(start)[None], 8, 0), rng.normal(size=(8, 15)) * 0.5
    qpos[:, :7] += 0.3 * rng.normal(size=(8, 7))
    model = task.scene().model
    data, jacobian = mujoco.MjData(model), np.zeros((6, model.nv))
    backend = MujocoBackend(task.scene(), 8, MujocoConfig())
    view = backend.init({}, jnp.asarray(qpos), jnp.asarray(qvel)).view
    read = jax.jit(jax.vmap(task.observe, (None, 0)))(state, view)["policy"]
    for world in range(8):
        data.qpos[:], data.qvel[:] = qpos[world], qvel[world]
        mujoco.mj_forward(model, data)
        mujoco.mj_jacSite(model, data, jacobian[:3], jacobian[3:], task.arm.slots.grip)
        wanted = (jacobian @ data.qvel)[[0, 1, 2, 5]]
        np.testing.assert_allclose(read[world], wanted, atol=2e-5)


def test_the_bank_starts_episodes_all_along_the_pick():
    env = make(share=1.0, action_space="ee_delta")
    state, _ = env.reset(jax.random.key(5))
    heights = state.physics.view.qpos[:, 11]
    assert (heights > 0.08).any(), "some start with the object in the air"
    assert (heights < 0.04).any(), "and some with the object on the table"
    assert not np.asarray(state.task.ever_grasped).any(), "nobody is credited for the script's work"


def test_a_start_from_the_bank_has_a_goal_as_hard_as_the_curriculum_then_has_it():
    task = PickPlace(PickPlaceConfig(), pick_object.box())
    keys = jax.random.split(jax.random.key(0), 64)
    _, qpos, qvel = jax.jit(jax.vmap(task.init, (0, None)))(keys, jnp.int32(0))
    task._bank = Bank(qpos, qvel, np.array([0]), np.array([64]))

    def goals(level: float) -> tuple[np.ndarray, np.ndarray]:
        easier = task.at_level(jnp.float32(level))
        state, start, _ = jax.jit(jax.vmap(easier.init_from_bank, (0, None)))(keys, jnp.int32(0))
        return np.asarray(state.goal), np.asarray(start)[:, 9:11]

    easy, place = goals(0.0)
    np.testing.assert_allclose(easy[:, :2], place, atol=1e-6)
    np.testing.assert_allclose(easy[:, 2], task.config.goal_height[0], atol=1e-6)
    hard, place = goals(1.0)
    assert hard[:, 2].max() > 0.35
    assert np.abs(np.corrcoef(np.column_stack([hard, place]).T) - np.eye(5)).max() < 0.5
    half, _ = goals(0.5)
    np.testing.assert_allclose(half, (easy + hard) / 2, atol=1e-6)


def test_an_episode_knows_from_its_start_where_things_are(env):
    state, _ = env.reset(jax.random.key(0))
    task, view = state.task, state.physics.view
    np.testing.assert_array_equal(task.object_position, view.qpos[:, 9:12])
    np.testing.assert_array_equal(task.ee_position, view.site_xpos[:, env.task.arm.slots.grip])
    assert (np.asarray(task.reach_distance) > 0.1).all()
    assert not np.asarray(task.ever_reached | task.ever_grasped).any()


def test_a_finer_timestep_records_as_good_a_bank():
    task = PickPlace(PickPlaceConfig(action_space="ee_delta"), pick_object.box())
    scene = with_physics(task.scene(), PhysicsConfig(timestep_factor=0.5))
    backend = MujocoBackend(scene, WORLDS, MujocoConfig())
    task.build_start_bank(backend, jax.random.key(1))
    assert task._bank.number[0] >= 0.8 * 12 * WORLDS


def test_a_task_is_freed_though_it_was_asked_for_its_worst_case(monkeypatch):
    calls = []
    monkeypatch.setattr(capacity, "worst_case", lambda task: calls.append(1) or (7, 9))
    task = PickPlace(PickPlaceConfig(), pick_object.box())
    worst_case = task.scene().worst_case
    assert worst_case is not None
    assert [worst_case(), worst_case()] == [(7, 9)] * 2
    assert len(calls) == 1, "measured once"
    held = weakref.ref(task)
    del task, worst_case
    gc.collect()
    assert held() is None


def test_placing_asks_to_let_go():
    task = PickPlace(PickPlaceConfig(goal="place"), pick_object.box())
    state, qpos, qvel = task.init(jax.random.key(0), jnp.int32(0))
    assert float(state.goal[2]) == pytest.approx(task.objects.members[0].rest_height)
    backend = MujocoBackend(task.scene(), 1, MujocoConfig())
    at_goal = qpos.at[9:11].set(state.goal[:2])
    view = jax.tree.map(
        lambda x: jnp.asarray(x[0]), backend.init({}, at_goal[None], qvel[None]).view
    )
    lifted = dataclasses.replace(state, ever_lifted=jnp.bool_(True))
    assert int(task.update(lifted, view).steps_near) == 1
    assert int(task.update(state, view).steps_near) == 0, "pushed there is not placed"
    held = dataclasses.replace(
        view, sensordata=view.sensordata.at[jnp.array(task.observer.pad_addresses)].set(1.0)
    )
    assert int(task.update(lifted, held).steps_near) == 0, "held at the goal is not placed"


def test_a_goal_on_the_table_is_away_from_the_object():
    task = PickPlace(PickPlaceConfig(goal="place"), pick_object.box())
    state, qpos, _ = jax.jit(jax.vmap(task.init, (0, None)))(
        jax.random.split(jax.random.key(0), 2000), jnp.int32(0)
    )
    assert np.linalg.norm(np.asarray(state.goal)[:, :2] - qpos[:, 9:11], axis=1).min() > 0.08


def test_a_script_puts_the_object_down_at_its_goal_and_lets_go():
    env = make(goal="place", action_space="ee_delta")
    last, view = list(drive(env, 110))[-1]
    assert np.asarray(jax.jit(jax.vmap(env.task.success))(last, view)).mean() >= 0.7


def test_letting_go_at_the_goal_pays_more_than_holding_on():
    env = make(goal="place")
    state, _ = env.reset(jax.random.key(0))
    one = jax.tree.map(lambda x: jnp.asarray(x)[0], (state.task, state.physics.view))

    def pay(**facts) -> float:
        task = dataclasses.replace(one[0], object_position=one[0].goal, **facts)
        transition = Transition(one[1], task, jnp.zeros(9), one[1], task, _NO, _NO)
        return sum(float(env.rewards[n](transition)) * float(w) for n, w in env._weights.items())

    held = pay(grasped=~_NO, placed=_NO)
    assert pay(grasped=_NO, placed=~_NO) > held > pay(grasped=_NO, placed=_NO)
