"""Episodes whose failure is known are of that kind: worlds driven to fail, each in its own way."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r2s_core.backends.mujoco import MujocoBackend
from r2s_core.backends.plugins import MujocoConfig
from r2s_envs_pick_place.config import PickPlaceConfig
from r2s_envs_pick_place.scene import pick_object
from r2s_envs_pick_place.task.failure import FAILURES, kinds
from r2s_envs_pick_place.task.pick_place import PickPlace
from r2s_envs_pick_place.task.state import fresh_state

_STILL = jnp.array([0.0, 0.0, 0.0, 0.0, 1.0])


def opened(action: Any, when: Any) -> Any:
    return action.at[4].set(jnp.where(when, 1.0, action[4]))


def closed(action: Any, when: Any) -> Any:
    return action.at[4].set(jnp.where(when, -1.0, action[4]))


#: (the expert's action, the task's state, control steps so far) -> what is done instead.
DRIVERS: dict[str, Any] = {
    "as the expert": lambda action, state, time: action,
    "aims elsewhere": lambda action, state, time: action,
    "drops it elsewhere": lambda action, state, time: opened(action, state.ever_lifted),
    "carries away": lambda action, state, time: action,
    "stays": lambda action, state, time: _STILL,
    "stays and the object flies": lambda action, state, time: _STILL,
    "never closes": lambda action, state, time: opened(action, True),
    "opens at once": lambda action, state, time: opened(action, state.ever_grasped),
    "never opens": lambda action, state, time: closed(action, state.ever_lifted),
    "only squeezes": lambda action, state, time: jnp.where(state.ever_grasped, -_STILL, action),
    "starts late (air)": lambda action, state, time: jnp.where(time < 45, _STILL, action),
    "starts late (place)": lambda action, state, time: jnp.where(time < 28, _STILL, action),
}
#: m: where the expert's goal is off the task's.
ELSEWHERE = {
    "aims elsewhere": (0.0, 0.12, 0.0),
    "drops it elsewhere": (0.0, 0.12, 0.0),
    "carries away": (0.0, 0.6, 0.0),
}

KNOWN: dict[Any, dict[str, str]] = {
    "air": {
        "as the expert": "",
        "stays": "never_reached",
        "stays and the object flies": "knocked_away",
        "never closes": "missed_grasp",
        "opens at once": "slipped",
        "only squeezes": "not_lifted",
        "drops it elsewhere": "dropped",
        "aims elsewhere": "off_goal",
        "carries away": "off_goal",
        "starts late (air)": "out_of_time",
    },
    "place": {
        "as the expert": "",
        "opens at once": "slipped",
        "only squeezes": "not_lifted",
        "drops it elsewhere": "dropped",
        "aims elsewhere": "off_goal",
        "never opens": "not_released",
        "starts late (place)": "out_of_time",
    },
}


def played(goal: Any, drivers: list[str]) -> tuple[Any, Any, Any]:
    """The task, and its last state and view; a world for each driver."""
    task = PickPlace(PickPlaceConfig(goal=goal, action_space="ee_delta"), pick_object.box())
    scene, worlds = task.scene(), len(drivers)
    backend = MujocoBackend(scene, worlds, MujocoConfig())
    off = jnp.array([ELSEWHERE.get(name, (0.0, 0.0, 0.0)) for name in drivers])

    @jax.jit
    def control(state: Any, view: Any, time: Any) -> Any:
        aimed = dataclasses.replace(state, goal=state.goal + off)
        actions = jax.vmap(task.expert)(aimed, view)
        for world, name in enumerate(drivers):
            own = jax.vmap(DRIVERS[name], (0, 0, None))(actions, state, time)
            actions = actions.at[world].set(own[world])
        return jax.vmap(task.control)(state, view, actions)

    update = jax.jit(jax.vmap(task.update))
    keys = jax.random.split(jax.random.key(4), worlds)
    state, qpos, qvel = jax.vmap(lambda key: task.init(key, jnp.int32(0)))(keys)
    flies = np.array([name == "stays and the object flies" for name in drivers])
    push = jnp.array([3.0, 0.0, 0.0])  # m/s
    qvel = jax.vmap(task.observer.body.velocity.put)(qvel, flies[:, None] * push)
    physics = backend.init({}, qpos, qvel)
    for time in range(task.info.episode_steps):
        physics = backend.step(physics, control(state, physics.view, time))
        state = update(state, physics.view)
    return task, state, physics.view


@pytest.mark.parametrize("goal", KNOWN)
def test_episodes_that_were_made_to_fail_are_of_the_kind_that_they_were_made_for(goal):
    known = KNOWN[goal]
    task, state, view = played(goal, list(known))
    metrics = jax.vmap(task.metrics)(state, view)
    names = task.info.failures
    assert metrics.keys() >= names.keys()
    found = {
        driver: "".join(name for name in names if metrics[name][world] > 0.5)
        for world, driver in enumerate(known)
    }
    assert found == known
    succeeded = np.asarray(jax.vmap(task.success)(state, view))
    assert list(succeeded) == [kind == "" for kind in known.values()]


@pytest.mark.parametrize("goal", FAILURES)
def test_whatever_happened_exactly_one_kind_fits(goal):
    rng, number = np.random.default_rng(0), 20_000

    def some(x: Any) -> Any:
        shape = (number, *np.shape(x))
        if x.dtype == bool:
            return rng.random(shape) < 0.5
        if np.issubdtype(x.dtype, np.integer):
            return rng.integers(0, 15, shape)
        return rng.normal(0.0, 0.03, shape).astype(np.float32)

    fresh = fresh_state(jnp.zeros(3), jnp.zeros(2), jnp.float32(0.0), jnp.int32(0))
    state, outside = jax.tree.map(some, fresh), rng.random(number) < 0.2
    found = jax.vmap(lambda s, out: kinds(s, out, goal))(state, outside)
    counts = np.stack([np.asarray(x) for x in found.values()]).sum(axis=0)
    assert set(found) == set(FAILURES[goal])
    assert (counts == 1).all()
    seen = {name for name, which in found.items() if np.asarray(which).any()}
    assert seen == set(FAILURES[goal])
