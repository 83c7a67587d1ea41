"""The conformance of environments and of tasks."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from r2s_core import registry
from r2s_core.env import EngineOptions, VectorEnv
from r2s_core.env.contract import check_task
from r2s_core.env.info_check import check_info
from r2s_core.system.foreign import ForeignError
from r2s_core.task_info import TaskInfo
from r2s_core.testing.requirements import (
    ABSOLUTE,
    RELATIVE,
    require,
    require_array,
    require_equal,
    require_finite,
    require_pure,
    require_same_layout,
)
from r2s_core.testing.starts import first_physics, init_arguments
from r2s_core.types import (
    Array,
    Backend,
    Environment,
    HasBegin,
    HasDifficulty,
    HasReadings,
    HasStartBank,
    Step,
    Task,
    View,
)

_WORLDS, _EPISODE = 4, 6


def check_environment(made: Task[Any] | Environment[Any]) -> None:
    """An environment keeps the contract of `r2s_core.types`; so does a task run by the engine.

    Args:
        made: what the environment's builder returned: a `Task`, whose functions are then also
            checked one by one, or a complete `Environment`.

    Raises:
        AssertionError: with a sentence that says what is wrong.
    """
    if hasattr(made, "spec"):
        _check_vectorised(made)  # type: ignore[arg-type]
        return
    task: Task[Any] = made  # type: ignore[assignment]
    _check_task(task)
    scene = task.scene()
    config = registry.get("backend", "mujoco").default_options()
    backend = registry.build("backend", "mujoco", scene, _WORLDS, config)
    _check_vectorised(VectorEnv(task, scene, backend, {}, EngineOptions(_EPISODE)))


def _check_task(task: Task[Any]) -> None:
    """Every function of a task is pure, of one world, and of the declared shape."""
    scene = task.scene()
    model = scene.model
    require(isinstance(task.info, TaskInfo), f"info is {type(task.info).__name__}, not a TaskInfo")
    try:
        check_task("the task", task, scene)  # what a run checks before it begins
    except ForeignError as error:
        raise AssertionError(str(error)) from error
    low, high = np.asarray(task.action_low), np.asarray(task.action_high)
    arguments = init_arguments(scene, jax.random.key(0), _WORLDS)
    state, qpos, qvel = require_pure(task.init, arguments, "init")
    require_array(qpos[0], (model.nq,), "float32", "the qpos of init")
    require_array(qvel[0], (model.nv,), "float32", "the qvel of init")
    require_finite((state, qpos, qvel), "init")

    config = registry.get("backend", "mujoco").default_options()
    backend = registry.build("backend", "mujoco", scene, _WORLDS, config)
    view = first_physics(scene, backend, arguments, qpos, qvel).view
    view = jax.tree.map(jnp.asarray, view)
    if isinstance(task, HasBegin):
        begun = require_pure(task.begin, (state, view), "begin")
        require_same_layout(state, begun, "begin must return a state like the one of init")
        state = begun
    if isinstance(task, HasDifficulty):
        _check_difficulty(task, arguments)
    if isinstance(task, HasStartBank):
        _check_start_bank(task, backend, arguments)
    action = jax.random.uniform(jax.random.key(1), (_WORLDS, len(low)), minval=low, maxval=high)
    ctrl = require_pure(task.control, (state, view, action), "control")
    require_array(ctrl[0], (model.nu,), "float32", "the ctrl of control")
    updated = require_pure(task.update, (state, view), "update")
    require_same_layout(state, updated, "update must return a state like the one of init")
    for name in ("terminated", "success"):
        flags = require_pure(getattr(task, name), (updated, view), name)
        require_array(flags[0], (), "bool", f"the value of {name}")
    for name in ("observe", "metrics"):
        require_finite(require_pure(getattr(task, name), (updated, view), name), name)
    observation = jax.jit(task.observe)(*jax.tree.map(lambda leaf: leaf[0], (updated, view)))
    for name, group in observation.items():
        image, found = np.ndim(group) == 3, np.asarray(group).dtype
        dtype, shape = ("uint8", np.shape(group)) if image else ("float32", (np.size(group),))
        if image and found == np.uint16:
            dtype, shape = "uint16", (*shape[:2], 1)
        require_array(group, shape, dtype, f"the observation group {name}")
    if isinstance(task, HasReadings):
        _check_readings(task, updated, view)


def _check_difficulty(task: Any, arguments: tuple[Array, ...]) -> None:
    """Any level gives a finite start of the same layout; the highest is the task as configured."""
    plain = jax.jit(jax.vmap(task.init))(*arguments)

    @jax.jit
    def at(level: Array) -> Any:
        return jax.vmap(task.at_level(level).init)(*arguments)

    for level in (0.0, 0.37, 1.0):
        easier = at(jnp.float32(level))
        require_same_layout(plain, easier, f"init at the level {level:g}")
        require_finite(easier, f"init at the level {level:g}")
    require_equal(
        plain, easier, "init at the level 1, which is the task itself", RELATIVE, ABSOLUTE
    )


def _check_start_bank(task: Any, backend: Backend, arguments: tuple[Array, ...]) -> None:
    """Starts from the bank are like those of `init`."""
    task.build_start_bank(backend, jax.random.key(2))
    fresh = jax.jit(jax.vmap(task.init))(*arguments)
    banked = require_pure(task.init_from_bank, arguments, "init_from_bank")
    require_same_layout(fresh, banked, "init_from_bank must return what init does")
    require_finite(banked, "init_from_bank")


def _check_readings(task: Any, state: Any, view: View) -> None:
    """Readings without errors give the observation of the true state."""
    readings = require_pure(task.readings, (state, view), "readings")
    require_finite(readings, "readings")
    for name, reading in readings.items():
        require(np.asarray(reading).dtype == np.float32, f"the reading {name} is not float32")
        if name.endswith("quaternion"):
            norms = np.linalg.norm(np.asarray(reading), axis=-1)
            require(
                reading.shape == (_WORLDS, 4) and np.allclose(norms, 1.0, atol=1e-3),
                f"the reading {name} must be a unit quaternion, float32[4]",
            )

    def observe(state: Any, view: View, readings: Any) -> Any:
        return dict(task.observe(*task.perceived(state, view, readings)))

    observed = require_pure(observe, (state, view, readings), "perceived")
    truth = dict(jax.jit(jax.vmap(task.observe))(state, view))
    require_equal(truth, observed, "the observation from readings without errors", 1e-3, 1e-3)


def _check_vectorised(env: Environment[Any]) -> None:
    """Shapes, determinism, immutability, auto-reset, truncation and termination."""
    spec = env.spec
    key = jax.random.key(3)
    state, obs = env.reset(key)
    require_equal(obs, env.reset(key)[1], "reset with the same key")
    _check_observation(env, obs, "the observation of reset")

    action = _random_action(env, jax.random.key(4))
    after, step = env.step(state, action)
    again, same = env.step(state, action)
    require_equal(step, same, "stepping the same state twice")
    shapes = {name: group.shape for name, group in spec.observations.items()}
    described = (spec.task, step.metrics, shapes, spec.action_size)
    check_info("the environment", *described, AssertionError)
    require_equal(after, again, "the state after stepping the same state twice")
    require_same_layout(state, after, "step must return a state like the one of reset")
    if spec.traceable:
        _, traced = jax.jit(env.step)(state, action)
        require_equal(step, traced, "step under jit", RELATIVE, ABSOLUTE)
    _check_auto_reset(env)


def _check_auto_reset(env: Environment[Any]) -> None:
    """Play past the end of an episode, with separate accounting to compare with."""
    spec = env.spec
    worlds = spec.num_worlds
    step_env = jax.jit(env.step) if spec.traceable else env.step
    state, _ = env.reset(jax.random.key(5))
    lengths, returns = None, np.zeros(worlds, np.float64)
    ended = np.zeros(worlds, bool)
    for key in jax.random.split(jax.random.key(6), spec.max_episode_steps + 3):
        state, step = step_env(state, _random_action(env, key))
        _check_step(env, step)
        terminated, truncated = np.asarray(step.terminated), np.asarray(step.truncated)
        done, length = terminated | truncated, np.asarray(step.episode_length)
        # A first episode may have been started at any length, to spread the ends over time.
        lengths = length if lengths is None else lengths + 1
        returns = returns + np.asarray(step.reward)
        require_equal(length, lengths.astype(np.int32), "episode_length against our own count")
        require_equal(
            np.asarray(step.episode_return),
            returns.astype(np.float32),
            "episode_return against our own sum",
            rtol=1e-3,
            atol=1e-4,
        )
        timed_out = truncated & ~np.asarray(step.diverged)
        require(
            (length[timed_out] >= spec.max_episode_steps).all(),
            f"truncated after {length[timed_out]} steps, before max_episode_steps "
            f"{spec.max_episode_steps}",
        )
        require(
            done[length >= spec.max_episode_steps].all(),
            f"an episode continues after max_episode_steps {spec.max_episode_steps}",
        )
        for name in step.obs:
            kept = np.asarray(step.obs[name])[~done], np.asarray(step.final_obs[name])[~done]
            require_equal(*kept, f"obs and final_obs[{name}] of a world that is not done")
        lengths, returns = np.where(done, 0, lengths), np.where(done, 0.0, returns)
        ended |= done
    require(ended.all(), f"no episode ended within max_episode_steps {spec.max_episode_steps}")


def _check_step(env: Environment[Any], step: Step) -> None:
    worlds = (env.spec.num_worlds,)
    for name in ("terminated", "truncated", "success", "diverged"):
        require_array(getattr(step, name), worlds, "bool", name)
    require_array(step.reward, worlds, "float32", "reward")
    require_array(step.episode_return, worlds, "float32", "episode_return")
    require_array(step.episode_length, worlds, "int32", "episode_length")
    for name, term in step.terms.items():
        require_array(term, worlds, "float32", f"the reward term {name}")
    for name, metric in step.metrics.items():
        require_array(metric, worlds, "float32", f"the metric {name}")
    for field in ("stages", "headline"):
        for name in getattr(env.spec.task, field):
            value = np.asarray(step.metrics[name])
            require(
                ((value >= -ABSOLUTE) & (value <= 1.0 + ABSOLUTE)).all(),
                f"info.{field} shows the metric {name} as a rate, in [0, 1], but it is "
                f"{float(value[np.abs(value - 0.5).argmax()]):.3g}",
            )
    _check_observation(env, step.obs, "obs")
    _check_observation(env, step.final_obs, "final_obs")
    require_finite(step, "a step")
    both = np.asarray(step.terminated) & np.asarray(step.truncated)
    require(not both.any(), "a world is terminated and truncated; it may only be terminated then")


def _check_observation(env: Environment[Any], obs: Any, what: str) -> None:
    groups = env.spec.observations
    require(
        set(obs) == set(groups),
        f"{what} has the groups {sorted(obs)}, but spec.observations {sorted(groups)}",
    )
    for name, group in groups.items():
        full = (env.spec.num_worlds, *group.shape)
        require_array(obs[name], full, group.dtype, f"{what}, group {name}")
    require_finite(obs, what)


def _random_action(env: Environment[Any], key: Array) -> Array:
    low, high = jnp.asarray(env.spec.action_low), jnp.asarray(env.spec.action_high)
    return jax.random.uniform(
        key, (env.spec.num_worlds, env.spec.action_size), minval=low, maxval=high
    )
