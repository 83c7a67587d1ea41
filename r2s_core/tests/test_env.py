"""The engine on a tiny MuJoCo scene: a slider that is pushed, with known physics."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from r2s_core.backends.mujoco import MujocoBackend
from r2s_core.backends.plugins import MujocoConfig
from r2s_core.env import EngineOptions, VectorEnv
from r2s_core.errors import BackendError, R2SError
from r2s_core.rollout import rollout
from r2s_core.task_info import TaskInfo
from r2s_core.types import Array, ArraySpec, Named, SceneSpec, View, pytree

XML = """
<mujoco><option timestep="0.01" gravity="0 0 0"/>
  <worldbody><body><joint name="x" type="slide" axis="1 0 0"/><geom size=".1" mass="2"/></body>
  </worldbody>
  <actuator><motor joint="x"/></actuator></mujoco>
"""
WORLDS, STEPS = 6, 8


@pytree
class Count:
    steps: Array
    start: Array


class Slider:
    """Pushed along a rail; ends when it has gone a metre."""

    info = TaskInfo()
    action_low = np.array([-1.0], np.float32)
    action_high = np.array([1.0], np.float32)

    def __init__(self, bank: float | None = None) -> None:
        self.bank = bank
        self.built = False

    def scene(self) -> SceneSpec:
        model = mujoco.MjModel.from_xml_string(XML)
        return SceneSpec(model, substeps=5, view_fields=frozenset({"time", "qpos", "qvel", "ctrl"}))

    def init(self, key: Array, variant: Array) -> tuple[Count, Array, Array]:
        x = jax.random.uniform(key, (1,), minval=-0.1, maxval=0.1)
        return Count(jnp.int32(0), x[0]), x, jnp.zeros(1)

    def control(self, task: Count, view: View, action: Array) -> Array:
        return 100.0 * action

    def update(self, task: Count, view: View) -> Count:
        return dataclasses.replace(task, steps=task.steps + 1)

    def observe(self, task: Count, view: View) -> Named:
        return {"policy": jnp.concatenate([view.qpos, view.qvel])}

    def terminated(self, task: Count, view: View) -> Array:
        return view.qpos[0] > 1.0

    def success(self, task: Count, view: View) -> Array:
        return view.qpos[0] > 0.5

    def metrics(self, task: Count, view: View) -> Named:
        return {"steps": task.steps.astype(jnp.float32)}


class BankedSlider(Slider):
    def build_start_bank(self, backend: Any, key: Array) -> None:
        self.built = True

    def init_from_bank(self, key: Array, variant: Array) -> tuple[Count, Array, Array]:
        return Count(jnp.int32(0), jnp.float32(0.7)), jnp.full(1, 0.7), jnp.zeros(1)


def make(
    task: Slider | None = None, worlds: int = WORLDS, randomizers=None, **options
) -> VectorEnv:
    task = task or Slider()
    scene = task.scene()
    backend = MujocoBackend(scene, worlds, MujocoConfig(threads=1))
    rewards = {
        "forward": (lambda t: t.view.qpos[0] - t.prev_view.qpos[0], 2.0),
        "effort": (lambda t: -jnp.abs(t.action[0]), 0.5),
    }
    engine = EngineOptions(max_episode_steps=options.pop("steps", STEPS), **options)
    return VectorEnv(task, scene, backend, rewards, engine, randomizers)


@functools.cache
def plain() -> VectorEnv:
    """Without options, for those who leave it as it is: compiled once."""
    return make()


def push(value: float, worlds: int = WORLDS) -> Any:
    return np.full((worlds, 1), value, np.float32)


def test_reward_is_the_weighted_sum_of_terms_that_see_both_views():
    env = plain()
    state, obs = env.reset(jax.random.key(0))
    state, step = env.step(state, push(0.1))
    moved = np.asarray(step.obs["policy"] - obs["policy"])[:, 0]
    np.testing.assert_allclose(step.terms["forward"], moved, rtol=1e-5)
    np.testing.assert_allclose(step.terms["effort"], -0.1, rtol=1e-6)
    np.testing.assert_allclose(step.reward, 2 * moved - 0.05, rtol=1e-5)


def test_the_view_is_current_and_physics_is_newtons():
    env = plain()
    state, obs = env.reset(jax.random.key(0))
    _, step = env.step(state, push(0.1))
    # 10 N on 2 kg for 5 semi-implicit Euler steps of 0.01 s.
    np.testing.assert_allclose(step.obs["policy"][:, 1], 5 * 0.01 * 5.0, rtol=1e-5)
    expected = np.asarray(obs["policy"][:, 0]) + 5.0 * 0.01**2 * (1 + 2 + 3 + 4 + 5)
    np.testing.assert_allclose(step.obs["policy"][:, 0], expected, rtol=1e-5)


def test_actions_beyond_the_bounds_are_clipped():
    env = plain()
    state, _ = env.reset(jax.random.key(0))
    _, inside = env.step(state, push(1.0))
    state, _ = env.reset(jax.random.key(0))
    _, beyond = env.step(state, push(7.0))
    np.testing.assert_array_equal(inside.obs["policy"], beyond.obs["policy"])


def test_truncation_resets_and_shows_where_the_episode_ended():
    env = plain()
    state, _ = env.reset(jax.random.key(0))
    total = np.zeros(WORLDS)
    step: Any = None
    for t in range(STEPS):
        state, step = env.step(state, push(0.02))
        total += np.asarray(step.reward)
        assert bool(step.truncated.all()) == (t == STEPS - 1)
    assert not step.terminated.any()
    np.testing.assert_allclose(step.episode_return, total, rtol=1e-5)
    assert (np.asarray(step.episode_length) == STEPS).all()
    assert (np.asarray(step.metrics["steps"]) == STEPS).all()
    final, first = np.asarray(step.final_obs["policy"]), np.asarray(step.obs["policy"])
    assert (final[:, 1] > 0.1).all(), "the last observation of the old episode still moves"
    assert (first[:, 1] == 0).all(), "the first of the new one is at rest"
    assert (np.abs(first[:, 0]) <= 0.1).all()
    state, step = env.step(state, push(0.0))
    assert (np.asarray(step.episode_length) == 1).all()


def test_termination_wins_over_truncation_and_only_ended_worlds_are_reset():
    env = make(steps=100)
    state, _ = env.reset(jax.random.key(0))
    action = push(0.0)
    action[0] = 1.0
    step: Any = None
    for _ in range(100):
        state, step = env.step(state, action)
        if step.done.any():
            break
    assert np.asarray(step.terminated).tolist() == [True] + [False] * (WORLDS - 1)
    assert not step.truncated.any()
    assert bool(step.success[0])
    assert step.final_obs["policy"][0, 0] > 1.0
    assert abs(step.obs["policy"][0, 0]) <= 0.1
    np.testing.assert_array_equal(step.obs["policy"][1:], step.final_obs["policy"][1:])


def test_equal_keys_give_equal_episodes_and_resets_differ_between_worlds():
    def run(seed: int) -> np.ndarray:
        env = plain()
        state, _ = env.reset(jax.random.key(seed))
        out = []
        for _ in range(2 * STEPS):
            state, step = env.step(state, push(0.1))
            out.append(np.asarray(step.obs["policy"]))
        return np.stack(out)

    np.testing.assert_array_equal(run(3), run(3))
    assert not np.array_equal(run(3), run(4))
    starts = run(3)[STEPS - 1, :, 0]
    assert len(np.unique(starts)) == WORLDS


def test_an_old_state_can_be_stepped_again():
    env = plain()
    state, _ = env.reset(jax.random.key(0))
    later, first = env.step(state, push(0.3))
    env.step(later, push(-0.5))
    _, again = env.step(state, push(0.3))
    np.testing.assert_array_equal(first.obs["policy"], again.obs["policy"])


def test_stagger_spreads_the_ends_of_the_first_episodes():
    env = make(worlds=64, stagger=True)
    state, _ = env.reset(jax.random.key(0))
    ended = []
    for _ in range(STEPS):
        state, step = env.step(state, push(0.0, 64))
        ended.append(int(np.asarray(step.truncated).sum()))
    assert sum(ended) == 64
    assert max(ended) < 32


def test_a_diverged_world_is_ended_counted_and_shows_no_nan():
    env = make(steps=1000)
    state, _ = env.reset(jax.random.key(0))
    action = push(0.0)
    broken = env.backend.step

    def explode(physics, ctrl):
        wild: Any = np.array(ctrl)
        wild[2] = 1e30
        return broken(physics, wild)

    env.backend.step = explode  # type: ignore[method-assign]
    state, step = env.step(state, action)
    assert np.asarray(step.diverged).tolist() == [i == 2 for i in range(WORLDS)]
    assert bool(step.truncated[2])
    assert not bool(step.terminated[2])
    assert step.reward[2] == 0
    for leaf in jax.tree.leaves((step.final_obs, step.obs, step.reward)):
        assert np.isfinite(np.asarray(leaf)).all()


class HeavierMass:
    stage = "model"
    writes = frozenset({"body_mass"})

    def __call__(self, key: Array, values: Named) -> Named:
        scale = jax.random.uniform(key, (), minval=1.0, maxval=4.0)
        return {"body_mass": values["body_mass"] * scale}


def test_a_model_randomizer_samples_from_nominal_at_every_reset():
    env = make(randomizers={"mass": HeavierMass()}, steps=2)
    state, _ = env.reset(jax.random.key(0))
    seen: Any = []
    velocity: Any = None
    for _ in range(12):
        state, step = env.step(state, push(0.1))
        mass = np.asarray(state.physics.fields["body_mass"])[:, 1]
        seen.append(mass)
        velocity = np.asarray(step.final_obs["policy"])[:, 1]
    seen = np.stack(seen)
    assert (seen >= 2.0).all()
    assert (seen <= 8.0).all(), "samples must not compound"
    assert len(np.unique(seen[-1])) == WORLDS
    assert not np.array_equal(seen[0], seen[-1])
    masses = seen[-2]  # in force during the last step, whose episode began the step before
    np.testing.assert_allclose(velocity, 10 * 0.1 / masses, rtol=1e-4)


def test_a_field_that_the_backend_cannot_vary_is_refused_by_name():
    class Impossible(HeavierMass):
        writes = frozenset({"nq"})

    with pytest.raises(BackendError, match="nq"):
        make(randomizers={"bad": Impossible()})


def test_a_randomizer_that_breaks_its_word_is_named():
    class Liar(HeavierMass):
        def __call__(self, key: Array, values: Named) -> Named:
            return {}

    env = make(randomizers={"liar": Liar()})
    with pytest.raises(R2SError, match="liar"):
        env.reset(jax.random.key(0))


def test_the_start_bank_serves_its_share_of_training_episodes():
    env = make(BankedSlider(), worlds=400, start_bank_share=0.25)
    _, obs = env.reset(jax.random.key(0))
    banked = np.isclose(np.asarray(obs["policy"])[:, 0], 0.7)
    assert 0.15 < banked.mean() < 0.35
    with pytest.raises(R2SError, match="no start-state bank"):
        make(Slider(), start_bank_share=0.25)


def test_the_start_banks_share_falls_evenly_to_zero():
    env = make(BankedSlider(), worlds=400, steps=1, start_bank_share=0.8, start_bank_steps=10)
    state, _ = env.reset(jax.random.key(0))
    shares = []
    for _ in range(12):
        state, step = env.step(state, jnp.zeros((400, 1)))  # every step ends an episode
        shares.append(np.isclose(np.asarray(step.obs["policy"])[:, 0], 0.7).mean())
    expected = 0.8 * np.maximum(1 - np.arange(1, 13) / 10, 0)
    np.testing.assert_allclose(shares, expected, atol=0.1)
    assert shares[-2:] == [0.0, 0.0]


def test_rollout_stacks_steps_and_continues():
    env = plain()
    state, obs = env.reset(jax.random.key(0))

    def act(params, obs, key):
        return params * jnp.ones((WORLDS, 1)), {"seen": obs["policy"][:, 0]}

    state, obs, one = rollout(env, jax.jit(act), 0.1, state, obs, jax.random.key(1), 3)
    assert one.action.shape == (3, WORLDS, 1)
    np.testing.assert_array_equal(one.extras["seen"], one.obs["policy"][..., 0])
    np.testing.assert_array_equal(one.step.final_obs["policy"][:-1], one.obs["policy"][1:])
    _, _, two = rollout(env, jax.jit(act), 0.1, state, obs, jax.random.key(2), 3)
    np.testing.assert_array_equal(two.obs["policy"][0], one.step.final_obs["policy"][-1])


# The latest actions among the observations.

HISTORY = 3


class NamedSlider(Slider):
    """With names, a critic and a picture."""

    info = TaskInfo(
        action_names=("force",), observation_names={"policy": ("x", "v"), "critic": ("x",)}
    )

    def observe(self, task, view):
        return {
            **super().observe(task, view),
            "critic": view.qpos,
            "picture": jnp.zeros((2, 2, 3), jnp.uint8),
        }


class Weak:
    """Halves what is asked for."""

    stage = "action"
    writes = frozenset({"action"})

    def __call__(self, key, values):
        return {"action": 0.5 * values["action"]}


def past(obs):
    return np.asarray(obs["policy"])[:, -HISTORY:]


def test_the_newest_comes_first_and_before_the_first_there_was_none():
    env = make(action_history=HISTORY)
    state, obs = env.reset(jax.random.key(0))
    np.testing.assert_array_equal(past(obs), np.zeros((WORLDS, HISTORY)))
    seen = []
    for force in (0.1, -0.2, 0.3, 0.4):
        state, step = env.step(state, push(force))
        seen.append(past(step.obs)[0])
    wanted = [[0.1, 0, 0], [-0.2, 0.1, 0], [0.3, -0.2, 0.1], [0.4, 0.3, -0.2]]
    np.testing.assert_allclose(seen, wanted)


def test_an_episode_s_end_shows_its_own_actions_and_the_next_starts_without():
    env = make(action_history=HISTORY)
    state, _ = env.reset(jax.random.key(0))
    forces = 0.01 * np.arange(1, STEPS + 1)
    steps = []
    for force in forces:
        state, step = env.step(state, push(force))
        steps.append(step)
    assert np.asarray(steps[-1].truncated).all()
    last = np.tile(forces[: -HISTORY - 1 : -1], (WORLDS, 1))
    np.testing.assert_allclose(past(steps[-1].final_obs), last, rtol=1e-6)
    np.testing.assert_array_equal(past(steps[-1].obs), np.zeros((WORLDS, HISTORY)))


def test_it_is_what_was_asked_for_within_bounds_not_what_came_of_it():
    steps = []
    for randomizers in ({}, {"weak": Weak()}):
        env = make(action_history=HISTORY, randomizers=randomizers)
        steps.append(env.step(env.reset(jax.random.key(0))[0], push(7.0))[1])
    for step in steps:
        np.testing.assert_array_equal(past(step.obs)[:, 0], 1.0)
    speeds = [np.asarray(step.obs["policy"])[:, 1] for step in steps]
    np.testing.assert_allclose(speeds[1], 0.5 * speeds[0], rtol=1e-5)


def test_every_flat_group_has_it_and_the_names_tell():
    env = make(NamedSlider(), action_history=2)
    _, obs = env.reset(jax.random.key(0))
    shapes = {group: values.shape[1:] for group, values in obs.items()}
    assert shapes == {name: group.shape for name, group in env.spec.observations.items()}
    assert shapes == {"policy": (4,), "critic": (3,), "picture": (2, 2, 3)}
    asked = ("action_force_1_ago", "action_force_2_ago")
    names = {name: group.names for name, group in env.spec.observations.items()}
    assert names == {"policy": ("x", "v", *asked), "critic": ("x", *asked), "picture": ()}


def test_without_it_nothing_is_different():
    env = plain()
    assert env.spec.observations == {"policy": ArraySpec((2,))}
    state, _ = env.reset(jax.random.key(0))
    _, step = env.step(state, push(0.5))
    assert step.obs["policy"].shape == (WORLDS, 2)
