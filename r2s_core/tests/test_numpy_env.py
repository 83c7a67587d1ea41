"""The NumPy face of environments: what it returns, and what it refuses."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from r2s_core.backends.mujoco import MujocoBackend
from r2s_core.backends.plugins import MujocoConfig
from r2s_core.config import load_mapping
from r2s_core.env import EngineOptions, VectorEnv
from r2s_core.env.looks import Looks
from r2s_core.env.vector_env import Origin
from r2s_core.errors import ConfigError, R2SError
from r2s_core.numpy_env import NumpyEnv, make
from r2s_core.rendering import render
from r2s_core.task_info import TaskInfo
from r2s_core.testing.environments import HostDriven, corridor, point_mass
from r2s_core.testing.tasks import CartTask
from r2s_core.types import pytree

_DRAWN = """
<mujoco>
  <visual><headlight ambient="1 1 1" diffuse="0 0 0" specular="0 0 0"/></visual>
  <worldbody>
    <camera name="top" pos="0 0 4"/>
    <body name="cart" pos="0 0 .3"><joint type="slide" axis="1 0 0"/>
      <geom name="cart" type="box" size=".2 .2 .05" rgba="1 0 0 1"/>
      <body><joint type="hinge" axis="0 1 0"/><geom size=".01"/></body></body>
    <body pos="0 9 0"><freejoint/><geom size=".01"/></body>
    <body name="goal_marker" mocap="true">
      <geom type="sphere" size=".1" rgba="0 1 0 1" contype="0" conaffinity="0"/></body>
  </worldbody>
</mujoco>
"""


@pytree
class Goal:
    target: jax.Array
    goal: jax.Array  # float32[3], m


class Drawn(CartTask):
    """The cart, with a goal at its target that pictures show."""

    def scene(self):
        def spec(variant):
            return mujoco.MjSpec.from_string(_DRAWN)

        return dataclasses.replace(super().scene(), render_spec=spec)

    info = TaskInfo(markers={"goal_marker": "goal"})

    def init(self, key, variant) -> Any:
        state, qpos, qvel = super().init(key, variant)
        return Goal(state.target, jnp.stack([state.target, 0.8, 0.3])), qpos, qvel


def cart(worlds=3, steps=4, task=None):
    task = task or CartTask()
    scene = task.scene()
    backend = MujocoBackend(scene, worlds, MujocoConfig())
    rewards = {"stay": (lambda transition: -jnp.abs(transition.view.qpos[0]), 2.0)}
    return VectorEnv(task, scene, backend, rewards, EngineOptions(max_episode_steps=steps))


@pytest.mark.parametrize("host", [False, True], ids=["compiled", "host-driven"])
def test_it_plays_what_the_environment_under_it_plays(host):
    env = corridor(2, "termination", length=3)
    env = HostDriven(env) if host else env
    numpy_env = NumpyEnv(env)
    obs, info = numpy_env.reset(seed=7)
    state, expected = env.reset(jax.random.key(7))
    assert info == {}
    for _ in range(7):
        np.testing.assert_array_equal(obs, expected["policy"])
        assert (obs.dtype, obs.flags.writeable) == (np.float32, True)
        obs, reward, terminated, truncated, info = numpy_env.step(np.zeros((2, 1)))
        state, step = env.step(state, jnp.zeros((2, 1)))
        expected = step.obs
        np.testing.assert_array_equal(reward, step.reward)
        np.testing.assert_array_equal(terminated, step.terminated)
        np.testing.assert_array_equal(truncated, step.truncated)
        assert ("final_obs" in info) == ("final_info" in info) == bool(step.done.any())
        if step.done.any():
            np.testing.assert_array_equal(info["final_obs"], step.final_obs["policy"])
            np.testing.assert_array_equal(info["final_info"]["episode"]["r"], step.episode_return)
            np.testing.assert_array_equal(info["final_info"]["episode"]["l"], [3, 3])


def test_a_truncated_episode_shows_its_last_observation_and_metrics():
    env = cart(steps=4)
    numpy_env = NumpyEnv(env, obs_groups=True)
    numpy_env.reset(seed=0)
    for _ in range(3):
        assert "final_obs" not in numpy_env.step(np.ones((3, 1)))[4]
    obs, _, terminated, truncated, info = numpy_env.step(np.ones((3, 1)))
    assert truncated.all()
    assert not terminated.any()
    assert set(obs) == set(info["final_obs"]) == {"policy"}
    moved = info["final_obs"]["policy"][:, 2]  # the cart's velocity
    assert (moved > 0.05).all()
    assert (np.abs(moved - obs["policy"][:, 2]) > 0.01).all()
    distance = info["final_info"]["metrics"]["distance"]
    np.testing.assert_allclose(distance, np.abs(info["final_obs"]["policy"][:, 0]), rtol=1e-5)


def test_seeds_repeat_and_resets_without_one_go_on():
    env = NumpyEnv(point_mass(4))

    def starts(*seeds):
        return [env.reset(seed)[0] for seed in seeds]

    first, second = starts(3, None), starts(3, None)
    np.testing.assert_array_equal(first, second)
    a, b, c = starts(3, None, None)
    d = starts(4)[0]
    assert not any(np.array_equal(x, y) for x, y in ((a, b), (b, c), (a, d)))
    unseeded = [NumpyEnv(point_mass(4)).reset()[0] for _ in range(2)]
    assert not np.array_equal(*unseeded)
    np.testing.assert_array_equal(env.reset(np.int64(3))[0], a)
    env.reset(2**32 - 1)
    for seed in (-1, 2**32, 0.5, True, [1, 2, 3, 4]):
        with pytest.raises(R2SError, match=r"it must be one whole number, from 0 to 4294967295"):
            env.reset(seed)  # type: ignore[arg-type]


def test_mistakes_are_told_in_one_sentence():
    env = NumpyEnv(point_mass(2))
    with pytest.raises(R2SError, match=r"reset\(\) starts the worlds; call it before step"):
        env.step(np.zeros((2, 1)))
    env.reset(0)
    with pytest.raises(R2SError, match=r"shape \[2\], but step takes numbers, one row .* \[2, 1\]"):
        env.step(np.zeros(2))
    with pytest.raises(R2SError, match="no array of numbers"):
        env.step("left")
    with pytest.raises(R2SError, match="the action of world 1 is nan at index 0; it must be finit"):
        env.step([[0.0], [np.nan]])
    assert env.render() is None
    env.close()
    env.close()
    for call in (env.reset, env.render, lambda: env.step(np.zeros((2, 1)))):
        with pytest.raises(R2SError, match="the environment is closed"):
            call()
    with pytest.raises(R2SError, match="render_mode is 'human'; use 'rgb_array'"):
        NumpyEnv(point_mass(2), render_mode="human")
    with pytest.raises(R2SError, match="cannot be rendered: its scene needs a `render_spec`"):
        NumpyEnv(cart(), render_mode="rgb_array")


@pytest.fixture
def graphics(monkeypatch):
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    if render.probe_gl() is None:
        pytest.skip(render.missing_gl_advice())


def _column(frame, channel):
    others = np.delete(frame, channel, axis=-1).max(axis=-1)
    return float(np.nonzero((frame[..., channel] > 150) & (others < 80))[1].mean())


@pytest.mark.usefixtures("graphics")
def test_render_draws_every_world_where_it_stands_and_close_ends_the_renderer():
    env = NumpyEnv(cart(task=Drawn(), steps=50), render_mode="rgb_array", width=96, height=64)
    obs, _ = env.reset(seed=0)
    for _ in range(2):
        frames = env.render()
        assert frames is not None
        assert (frames.shape, frames.dtype) == ((3, 64, 96, 3), np.uint8)
        apart = [_column(frame, 0) - _column(frame, 1) for frame in frames]
        # The cart's distance to its goal, 4 m below a camera of 45 degrees: 27 m^-1.
        np.testing.assert_allclose(apart, 64 / 2 / np.tan(np.pi / 8) / 3.7 * obs[:, 0], atol=2.0)
        for _ in range(20):
            obs, *_ = env.step(np.ones((3, 1)))
    assert env._pictures is not None
    assert env._pictures._renderer is not None
    worker = env._pictures._renderer._worker
    assert worker.poll() is None
    env.close()
    assert worker.poll() is not None


class Paint:
    stage = "visual"
    writes = frozenset({"geom_rgba"})

    def __call__(self, key, values):
        colours = jax.random.uniform(key, values["geom_rgba"].shape).at[:, 3].set(1.0)
        return {"geom_rgba": colours}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"camera": "tpo"}, "no camera 'tpo'; did you mean top"),
        ({"width": 0}, "width is 0; it must be a whole number, 1 to 4096"),
        ({"height": 7.5}, "height is 7.5; it must be"),
    ],
)
def test_pictures_that_cannot_be_are_refused_at_once(wrong, told):
    with pytest.raises(R2SError, match=told):
        NumpyEnv(cart(task=Drawn()), render_mode="rgb_array", **wrong)  # type: ignore[arg-type]


@pytest.mark.usefixtures("graphics")
def test_looks_differ_between_worlds_and_change_with_the_episode():
    inner = cart(task=Drawn(), steps=2)
    looks = Looks({"paint": Paint()}, inner.scene)
    inner.origin = Origin(load_mapping({}), looks, lambda worlds: inner)
    env = NumpyEnv(inner, render_mode="rgb_array", width=48, height=32, camera="top")
    env.reset(seed=0)

    def colours():
        frames = env.render()
        assert frames is not None
        return [tuple(frame.reshape(-1, 3).max(0)) for frame in frames]

    first = colours()
    assert len(set(first)) == 3
    env.step(np.zeros((3, 1)))
    assert colours() == first
    env.step(np.zeros((3, 1)))  # the episodes end
    assert not set(colours()) & set(first)
    env.close()


def test_make_takes_an_environment_that_is_made_already():
    assert make(point_mass(2), 2).num_envs == 2
    with pytest.raises(ConfigError, match="the environment has 2 worlds, not 3"):
        make(point_mass(2), 3)
    with pytest.raises(ConfigError, match="takes no further options"):
        make(point_mass(2), 2, object="x")
    for two in ({"num_parallel_envs": 7}, {"overrides": ["environment.num_parallel_envs=7"]}):
        with pytest.raises(ConfigError, match="num_parallel_envs is make's num_envs"):
            make({}, 2, **two)  # type: ignore[arg-type]
    for wrong in ("a=b", [3]):
        with pytest.raises(ConfigError, match='overrides is a list of "key=value" texts'):
            make({}, 2, overrides=wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="File name too long"):
        make("x" * 400)
    with pytest.raises(ConfigError, match="environment: expected keys and values under it"):
        make({"environment": "touch"}, 2)  # and not the default task
    with pytest.raises(ConfigError, match=r"must be a path, a name, .* not int"):
        make(3)  # type: ignore[arg-type]


def test_an_unknown_name_is_told_the_samples_and_environments(tiny):
    with pytest.raises(ConfigError, match=r"^touhc: no such file, run, sample .* mean touch\?; th"):
        make("touhc")
