"""How episodes start: soundly, on the physics of the run, with a state that knows where things
are."""

from __future__ import annotations

import dataclasses
import functools
import gc
import weakref
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r2s_core.backends.mujoco import MujocoBackend
from r2s_core.backends.plugins import MujocoConfig
from r2s_core.config import PhysicsConfig, load_mapping
from r2s_core.env import EngineOptions, VectorEnv, build
from r2s_core.errors import R2SError
from r2s_core.keys import key_for
from r2s_core.task_info import TaskInfo
from r2s_core.testing.tasks import CartState, CartTask
from r2s_core.types import Array, View, pytree

WORLDS, STEPS = 4, 3


def make(task, rewards=None, **options) -> VectorEnv:
    scene = task.scene()
    backend = MujocoBackend(scene, WORLDS, MujocoConfig(threads=1))
    return VectorEnv(task, scene, backend, rewards or {}, EngineOptions(STEPS, **options))


@pytree
class Place(CartState):
    cart: Array  # float32[], m: where the view has it


class Placed(CartTask):
    """Keeps in its state what the view shows, as manipulation tasks do."""

    def init(self, key, variant):
        state, qpos, qvel = super().init(key, variant)
        return Place(state.target, jnp.float32(0.0)), qpos, qvel

    def begin(self, task: Any, view: View) -> Any:
        return dataclasses.replace(task, cart=view.qpos[0])

    def update(self, task, view):
        return self.begin(task, view)


def test_shaping_by_a_potential_of_the_state_telescopes_from_the_first_step_on():
    """Sum of phi(task) - phi(prev_task) over an episode: the last phi less the first view's."""
    env = make(Placed(), {"shaped": (lambda t: t.task.cart - t.prev_task.cart, 1.0)})
    state, _ = env.reset(jax.random.key(0))
    push, step = jnp.ones((WORLDS, 1)), None
    for _ in range(2):  # the second episode begins with an auto-reset
        first = np.array(state.physics.view.qpos[:, 0])
        np.testing.assert_array_equal(state.task.cart, first)
        for _ in range(STEPS - 1):
            state, step = env.step(state, push)
        last = np.array(state.physics.view.qpos[:, 0])
        assert step is not None
        np.testing.assert_allclose(step.episode_return, last - first, atol=1e-6)
        state, _ = env.step(state, push)


class Timed(CartTask):
    """Notes how long a control step of its bank's physics lasts."""

    info = TaskInfo(start_state_share=1.0, rewards={})

    def build_start_bank(self, backend, key):
        _, qpos, qvel = jax.vmap(self.init, (0, None))(jax.random.split(key, WORLDS), jnp.int32(0))
        physics = backend.init({}, qpos, qvel)
        ctrl = jnp.zeros((WORLDS, 1))
        self.seconds = float(backend.step(physics, ctrl).view.time[0])

    def init_from_bank(self, key, variant):
        return self.init(key, variant)


@pytest.mark.parametrize("factor", [1.0, 0.5, 0.25])
def test_the_bank_s_control_steps_are_as_long_as_the_run_s(factor):
    config = load_mapping({"environment": {"num_parallel_envs": WORLDS}, "backend": "mujoco"})
    physics = PhysicsConfig(timestep_factor=factor)
    engine = dataclasses.replace(config.environment.engine, physics=physics)
    environment = dataclasses.replace(config.environment, engine=engine)
    task = Timed()
    env = build.wrap_task(task, dataclasses.replace(config, environment=environment), training=True)
    assert task.seconds == pytest.approx(env.spec.control_dt) == pytest.approx(0.02)


def test_a_pyramid_of_friction_gets_room_for_its_rows():
    scene = dataclasses.replace(CartTask().scene(), worst_case=lambda: (12, 48))
    cones: Any = {"pyramidal": 48, "elliptic": 96}  # the cart's own is pyramidal
    for cone, rows in cones.items():
        other = build.with_physics(scene, PhysicsConfig(timestep_factor=0.5, cone=cone))
        assert other.worst_case is not None
        assert other.worst_case() == (12, rows)


class Broken(CartTask):
    """Starts some worlds with a NaN, with one in its own state, or too far away to be believed."""

    def init(self, key, variant):
        state, qpos, qvel = super().init(key, variant)
        kind = jax.random.randint(jax.random.fold_in(key, 9), (), 0, 6)
        first = jnp.where(kind == 0, jnp.nan, jnp.where(kind == 1, 1e30, qpos[0]))
        return CartState(jnp.where(kind == 2, jnp.nan, state.target)), qpos.at[0].set(first), qvel


class WrongMass:
    """Draws a NaN for some worlds, and what is below 0 for others."""

    stage: Literal["model"] = "model"
    writes = frozenset({"body_mass"})

    def __call__(self, key, values):
        u, mass = jax.random.uniform(key), values["body_mass"]
        return {"body_mass": jnp.where(u < 0.1, jnp.nan, jnp.where(u < 0.2, -mass, mass))}


def test_an_unsound_start_is_counted_and_nothing_downstream_sees_a_nan(capfd):
    task, worlds = Broken(), 64
    backend = MujocoBackend(task.scene(), worlds, MujocoConfig(threads=1))
    options, randomizers = EngineOptions(STEPS), {"mass": WrongMass()}
    env = VectorEnv(task, task.scene(), backend, {}, options, randomizers)
    state, obs = env.reset(jax.random.key(0))
    seen, sound, push = [obs], np.asarray(state.physics.ok), jnp.zeros((worlds, 1))
    assert 0.4 < 1 - sound.mean() < 0.8, "half by init, a fifth of the others by their mass"
    for _ in range(3):
        state, step = env.step(state, push)
        np.testing.assert_array_equal(step.diverged, ~sound)
        np.testing.assert_array_equal(np.asarray(step.truncated)[~sound], True)
        seen += [step.obs, step.final_obs, step.reward, step.metrics]
        sound = np.asarray(state.physics.ok)
    assert all(np.isfinite(np.asarray(x)).all() for x in jax.tree.leaves(seen))
    assert capfd.readouterr().err == "", "MuJoCo keeps quiet"


def test_purposes_do_not_share_random_numbers():
    keys = [key_for(0, "curve"), key_for(0, "bank"), key_for(1, "curve"), jax.random.key(0)]
    keys += list(jax.random.split(jax.random.key(0), 8))
    assert len({tuple(np.asarray(jax.random.key_data(key)).tolist()) for key in keys}) == 12


@functools.cache
def plain() -> VectorEnv:
    return make(CartTask())


@pytest.mark.parametrize("reset", [lambda e: e.reset(0), lambda e: e.reset(seed=0)])
def test_reset_says_what_it_takes(reset):
    with pytest.raises(R2SError, match=r"env\.reset\(jax\.random\.key\(0\)\)"):
        reset(plain())


def test_a_list_is_an_action_and_another_shape_is_refused_by_name():
    env = plain()
    state, _ = env.reset(jax.random.PRNGKey(0))
    _, listed = env.step(state, [[0.5]] * WORLDS)  # type: ignore[arg-type]
    _, array = env.step(state, jnp.full((WORLDS, 1), 0.5))
    np.testing.assert_array_equal(listed.obs["policy"], array.obs["policy"])
    for wrong in ([0.5], [0.5] * WORLDS, np.zeros((WORLDS, 2)), [[1.0], []], "left", None):
        with pytest.raises(R2SError, match=r"one row for each world: \[4, 1\]"):
            env.step(state, wrong)  # type: ignore[arg-type]


def test_an_environment_that_nobody_holds_is_freed_with_its_task():
    env = make(CartTask())
    state, _ = env.reset(jax.random.key(0))
    env.step(state, jnp.zeros((WORLDS, 1)))
    task = weakref.ref(env.task)
    del env, state
    gc.collect()
    assert task() is None
