"""The conformance of reward terms."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from r2s_core import registry
from r2s_core.testing.requirements import require_array, require_finite, require_pure
from r2s_core.testing.starts import begun, first_physics, init_arguments
from r2s_core.testing.tasks import CartTask
from r2s_core.types import Array, Backend, RewardFn, Task, Transition


def check_reward(
    reward: RewardFn, task: Task[Any] | None = None, transitions: Transition | None = None
) -> None:
    """A reward term is float32[], finite, and a pure function of one world.

    Args:
        reward: the term, as its builder makes it.
        task: the task whose state it reads; by default a small one of the kit.
        transitions: the transitions to test it on, leaves [N, ...]; by default random play of the
            task.

    Raises:
        AssertionError: with a sentence that says what the term does wrong.
    """
    if transitions is None:
        transitions = sample_transitions(task or CartTask())
    values = require_pure(reward, (transitions,), "the reward term")
    require_array(values[0], (), "float32", "a reward term's value")
    require_finite(values, "the reward term")


def sample_transitions(
    task: Task[Any], worlds: int = 4, steps: int = 8, seed: int = 0
) -> Transition:
    """Random play of a task, from its own start states; leaves [worlds * steps, ...]."""
    scene = task.scene()
    config = registry.get("backend", "mujoco").default_options()
    backend: Backend = registry.build("backend", "mujoco", scene, worlds, config)
    key, init_key = jax.random.split(jax.random.key(seed))
    arguments = init_arguments(scene, init_key, worlds)
    state, qpos, qvel = jax.jit(jax.vmap(task.init))(*arguments)
    physics = first_physics(scene, backend, arguments, qpos, qvel)
    state = begun(task, state, physics)
    control = jax.jit(jax.vmap(task.control))
    judge = jax.jit(jax.vmap(lambda *seen: (task.terminated(*seen), task.success(*seen))))
    update = jax.jit(jax.vmap(task.update))
    transitions = []
    for action_key in jax.random.split(key, steps):
        action = _random_actions(task, action_key, worlds)
        ctrl = control(state, physics.view, action)
        moved = backend.step(physics, ctrl)
        updated = update(state, moved.view)
        terminated, success = judge(updated, moved.view)
        transitions.append(
            Transition(
                prev_view=physics.view,
                prev_task=state,
                action=action,
                view=moved.view,
                task=updated,
                terminated=terminated,
                success=success,
            )
        )
        physics, state = moved, updated
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *transitions)


def _random_actions(task: Task[Any], key: Array, worlds: int) -> Array:
    low, high = jnp.asarray(task.action_low), jnp.asarray(task.action_high)
    return jax.random.uniform(key, (worlds, len(low)), minval=low, maxval=high)
