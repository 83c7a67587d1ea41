"""The spec of a vectorised environment, and checks of its arguments against it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from r2s_core.camera import Camera
from r2s_core.env.action_chunk import chunk_names
from r2s_core.env.action_history import with_action_names, with_actions
from r2s_core.env.felt import names_of, observe_of
from r2s_core.errors import ConfigError, R2SError
from r2s_core.types import (
    EXPERT_GROUP,
    Array,
    ArraySpec,
    Backend,
    EnvSpec,
    Named,
    SceneSpec,
    Task,
    View,
)


def make_spec(
    task: Task[Any],
    scene: SceneSpec,
    backend: Backend,
    max_episode_steps: int,
    action_history: int,
    has_expert: bool = False,
    action_chunk: int = 1,
    vision: Literal["rgb_and_state", "rgb"] | None = None,
    cameras: Mapping[str, Camera] | None = None,
    traceable: bool | None = None,
) -> EnvSpec:
    """The spec of a task in a backend's worlds.

    action_history: past actions observed. has_expert: what an expert does is observed too.
    action_chunk: control steps in an action. vision: what a policy that sees reads. cameras: that
    it sees with, by name. traceable: default: as the backend.
    """
    observe = observe_of(task, vision)

    def first_observation(key: Array) -> Named:
        state, _, _ = task.init(key, jnp.int32(0))
        past_actions = jnp.zeros((action_history, len(low)), jnp.float32)
        return with_actions(observe(state, empty_view(scene)), past_actions)

    low = np.asarray(task.action_low, np.float32)
    groups = jax.eval_shape(first_observation, jax.random.key(0))
    info = task.info
    past = info.action_names or tuple(map(str, range(len(low))))
    known = names_of(dict(info.observation_names), groups, vision)
    names = with_action_names(known, past, action_history)
    images = {g: x for n, camera in (cameras or {}).items() for g, x in camera.groups(n).items()}
    for name in (*images, *((EXPERT_GROUP,) if has_expert else ())):
        if name in groups:
            what = "the expert's action" if name == EXPERT_GROUP else "a camera"
            raise ConfigError(
                f"the task {type(task).__name__} has an observation group '{name}' of its own, the "
                f"name of {what}; give one of them another name"
            )
    observations = {
        name: ArraySpec(leaf.shape, str(leaf.dtype), tuple(names.get(name, ())))
        for name, leaf in groups.items()
    } | images
    if has_expert:
        observations[EXPERT_GROUP] = ArraySpec(low.shape, "float32", info.action_names)
    return EnvSpec(
        num_worlds=backend.num_worlds,
        observations=observations,
        action_low=np.tile(low, action_chunk),
        action_high=np.tile(np.asarray(task.action_high, np.float32), action_chunk),
        max_episode_steps=max_episode_steps,
        control_dt=scene.control_dt,
        traceable=backend.traceable if traceable is None else traceable,
        action_names=chunk_names(info.action_names, action_chunk),
        action_chunk=action_chunk,
        task=info if vision is None else dataclasses.replace(info, observation_names=known),
        cameras=dict(cameras or {}),
    )


def empty_view(scene: SceneSpec) -> View:
    """A view of zeros of one world, with only the fields that the scene declares."""
    m = scene.model
    shapes = {
        "time": (),
        "qpos": (m.nq,),
        "qvel": (m.nv,),
        "ctrl": (m.nu,),
        "xpos": (m.nbody, 3),
        "xquat": (m.nbody, 4),
        "site_xpos": (m.nsite, 3),
        "site_xmat": (m.nsite, 3, 3),
        "sensordata": (m.nsensordata,),
    }
    unknown = scene.view_fields - set(shapes)
    if unknown:
        raise R2SError(f"the scene declares view fields that do not exist: {sorted(unknown)}")
    zeros = {k: jnp.zeros(v, jnp.float32) for k, v in shapes.items() if k in scene.view_fields}
    return View.of(zeros)


def checked_key(key: Any, unknown: Mapping[str, Any]) -> Array:
    """The PRNG key that `reset` was given, typed or raw; `unknown`: its other arguments.

    Raises R2SError for anything else, such as the integer seeds of other libraries.
    """
    if isinstance(key, jax.Array) and not unknown:
        if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) and key.shape == ():
            return key
        if key.dtype == jnp.uint32 and key.shape == (2,):
            return jax.random.wrap_key_data(key)
    given = ", ".join([*(() if key is None else (repr(key),)), *(f"{k}=..." for k in unknown)])
    raise R2SError(
        f"reset({given}): an environment starts from a PRNG key and returns (state, obs): "
        "state, obs = env.reset(jax.random.key(0))"
    )


def checked_action(action: Any, spec: EnvSpec) -> Array:
    """The action that `step` was given, an array or nested lists of numbers [W, A].

    Raises R2SError for anything else.
    """
    wanted = (spec.num_worlds, spec.action_size)
    takes = f"step takes numbers, one row for each world: {list(wanted)}"
    if not isinstance(action, jax.Array | np.ndarray):
        try:
            action = np.asarray(action, np.float32)
        except (TypeError, ValueError) as error:
            raise R2SError(f"the action is no array of numbers ({error}); {takes}") from error
    elif isinstance(action, np.ndarray) and action.dtype.kind not in "biuf":
        raise R2SError(f"the action is an array of {action.dtype}; {takes}")
    if action.shape != wanted:
        raise R2SError(f"the action has the shape {list(action.shape)}, but {takes}")
    return action  # type: ignore[return-value]
