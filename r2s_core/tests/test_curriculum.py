"""Levels rise on a schedule or with success, and what they are of follows."""

import copy
from typing import Any, Literal

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from r2s_core import registry
from r2s_core.backends.plugins import MujocoConfig
from r2s_core.env import EngineOptions, VectorEnv
from r2s_core.env.curriculum import MARGIN, Curriculum, Growth, level_of
from r2s_core.errors import R2SError
from r2s_core.testing.tasks import CartTask

WORLDS = 8


def advance(curriculum, levels, successes, steps):
    """Steps in each of which every world's episode ends."""
    for _ in range(steps):
        success = jnp.arange(WORLDS) < successes
        levels = curriculum.advance(levels, jnp.ones(WORLDS, bool), success)
    return levels


def test_a_schedule_rises_evenly_from_its_start_to_one_and_stays():
    curriculum = Curriculum({"task": Growth(start=0.2, steps=10)}, WORLDS)
    levels, seen = curriculum.init(), []
    for _ in range(14):
        seen.append(float(level_of(levels, "task")))
        levels = curriculum.advance(levels, jnp.zeros(WORLDS, bool), jnp.zeros(WORLDS, bool))
    np.testing.assert_allclose(seen, np.minimum(0.2 + 0.08 * np.arange(14), 1.0), atol=1e-5)


def test_with_success_it_rises_falls_and_waits():
    growth = Growth(at_success=0.75, episodes=100 * WORLDS)
    curriculum = Curriculum({"task": growth}, WORLDS)
    levels = advance(curriculum, curriculum.init(), 4, 30)  # half succeed
    assert float(level_of(levels, "task")) == 0.0
    levels = advance(curriculum, levels, 8, 50)
    risen = float(level_of(levels, "task"))
    assert 0.45 < risen <= 0.5  # 50 rounds of episodes, but for the first in which few had
    same = advance(curriculum, levels, 6, 10)  # 0.75 of them: enough
    assert float(level_of(same, "task")) > risen
    fallen = advance(curriculum, levels, 2, 40)
    assert float(level_of(fallen, "task")) < risen - 0.3
    between = Curriculum({"task": Growth(at_success=0.8, episodes=800)}, WORLDS)
    levels = advance(between, levels, 6, 30)  # recent success comes to 0.75, within the margin
    held = float(level_of(levels, "task"))
    assert 0.8 - MARGIN < 0.75
    assert float(level_of(advance(between, levels, 6, 20), "task")) == pytest.approx(held)


def test_what_has_no_curriculum_is_at_one():
    assert float(level_of(Curriculum({}, WORLDS).init(), "rewards.any")) == 1.0


class Far(CartTask):
    """Starts as far off as its level says; succeeds under a hard push."""

    level = 1.0

    def at_level(self, level):
        easier = copy.copy(self)
        easier.level = level
        return easier

    def init(self, key, variant):
        state, qpos, qvel = super().init(key, variant)
        return state, qpos.at[0].set(0.4 * self.level), qvel.at[0].set(0.0)

    def success(self, task, view):
        return view.ctrl[0] > 4.0


class Wider:
    """Scales the box's mass by what the level says."""

    stage: Literal["model"] = "model"
    writes = frozenset({"body_mass"})

    def __call__(self, key, values):
        return {"body_mass": values["body_mass"] * (1.0 + values["level"])}


def make(growths, task=None, steps=2):
    task = task or Far()
    scene = task.scene()
    backend = registry.build("backend", "mujoco", scene, WORLDS, MujocoConfig())
    rewards = {"push": (lambda transition: transition.action[0], 1.0)}
    options = EngineOptions(max_episode_steps=steps, growths=growths)
    return VectorEnv(task, scene, backend, rewards, options, {"wider": Wider()})


def test_the_engine_s_levels_reach_the_task_its_rewards_and_its_randomizers():
    growth = Growth(steps=10)
    names = ("task", "rewards.push", "randomization.wider")
    env = make(dict.fromkeys(names, growth))
    state, _ = env.reset(jax.random.key(0))
    np.testing.assert_allclose(state.physics.view.qpos[:, 0], 0.0, atol=1e-6)
    mass = env.scene.model.body_mass
    np.testing.assert_allclose(np.asarray(state.physics.fields["body_mass"])[0], mass, rtol=1e-6)
    step: Any = None
    for t in range(1, 11):
        state, step = env.step(state, jnp.full((WORLDS, 1), 0.5))
        np.testing.assert_allclose(step.reward, 0.5 * (t - 1) / 10, atol=1e-5)
        np.testing.assert_allclose(step.terms["push"], 0.5)  # as it is, unweighted
        np.testing.assert_allclose(step.metrics["level/task"], (t - 1) / 10, atol=1e-5)
    assert bool(step.done.all())  # and the new episodes are at the last level
    np.testing.assert_allclose(state.physics.view.qpos[:, 0], 0.4, atol=1e-4)
    np.testing.assert_allclose(
        np.asarray(state.physics.fields["body_mass"])[0], 2.0 * mass, rtol=1e-4
    )


def test_success_of_ended_episodes_drives_it():
    env = make({"task": Growth(at_success=0.5, episodes=4 * WORLDS)})
    state, _ = env.reset(jax.random.key(0))
    step: Any = None
    for _ in range(6):
        state, step = env.step(state, jnp.zeros((WORLDS, 1)))
    np.testing.assert_allclose(step.metrics["level/task"], 0.0)
    for _ in range(16):
        state, step = env.step(state, jnp.ones((WORLDS, 1)))
    np.testing.assert_allclose(step.metrics["level/task"], 1.0)


def test_a_task_without_difficulty_has_no_level():
    with pytest.raises(R2SError, match="CartTask has no difficulty"):
        make({"task": Growth(steps=1)}, CartTask())


def test_physics_stepped_otherwise_is_the_same_world():
    """Half the timestep with twice the substeps: control as often, motion alike."""
    from r2s_core.config import PhysicsConfig
    from r2s_core.env.build import with_physics

    scene = CartTask().scene()
    assert with_physics(scene, PhysicsConfig()) is scene
    finer = with_physics(
        scene, PhysicsConfig(timestep_factor=0.5, integrator="RK4", cone="elliptic")
    )
    assert finer.control_dt == pytest.approx(scene.control_dt)
    assert finer.substeps == 2 * scene.substeps
    assert finer.model.opt.integrator == mujoco.mjtIntegrator.mjINT_RK4
    assert finer.model.opt.cone == mujoco.mjtCone.mjCONE_ELLIPTIC
    assert scene.model.opt.timestep == pytest.approx(0.01)  # the original is as it was
