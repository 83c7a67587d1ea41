"""The conformance of randomizers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args, get_type_hints

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from r2s_core import registry
from r2s_core.testing.requirements import (
    require,
    require_equal,
    require_finite,
    require_pure,
    require_same_layout,
)
from r2s_core.testing.tasks import CartTask
from r2s_core.types import Named, Randomizer, SceneSpec, Task

_STAGES = get_args(get_type_hints(Randomizer)["stage"])
_KEYS = 16


def check_randomizer(
    make: Callable[[mujoco.MjModel], Randomizer], task: Task[Any] | None = None
) -> None:
    """A randomizer returns exactly what it declares, varies it, and is a pure function of its key.

    Args:
        make: builds it for a model, as `lambda model: registry.build("randomizer", ..., model)`.
        task: the task whose model, start states, actions or observations it varies; by default
            a small one of the kit's own.

    Raises:
        AssertionError: with a sentence that says what the randomizer does wrong.
    """
    task = task or CartTask()
    scene = task.scene()
    randomizer = make(scene.model)
    stage, writes = randomizer.stage, randomizer.writes
    require(stage in _STAGES, f"stage is {stage!r}; it must be one of {', '.join(_STAGES)}")
    require(
        isinstance(writes, frozenset) and writes,
        f"writes is {writes!r}; it must be a frozenset of the names that it returns",
    )
    values = nominal_values(randomizer, task, scene)
    keys = jax.random.split(jax.random.key(0), _KEYS)
    before = jax.tree.map(jnp.array, values)
    returned = randomizer(keys[0], values)
    require_equal(
        dict(values), before, "the values given to the randomizer, which it must not change"
    )
    require(
        set(returned) == set(writes),
        f"it returns {sorted(returned)}, but `writes` declares {sorted(writes)}",
    )
    written = {name: values[name] for name in sorted(writes)}
    require_same_layout(
        written, {name: returned[name] for name in sorted(writes)}, "what it returns"
    )
    batch = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (_KEYS, *leaf.shape)), values)
    samples = require_pure(
        lambda key, one: dict(randomizer(key, one)), (keys, batch), "the randomizer"
    )
    require_finite(samples, "the randomizer")
    for name, sample in samples.items():
        require(
            len(np.unique(np.asarray(sample).reshape(_KEYS, -1), axis=0)) > 1,
            f"{name} is the same under {_KEYS} different keys: use the key that is given",
        )
    if stage == "reset":
        _require_unit_quaternions(scene.model, np.asarray(samples.get("qpos", batch["qpos"])))


def nominal_values(randomizer: Randomizer, task: Task[Any], scene: SceneSpec) -> Named:
    """What the engine would give to a randomizer of this stage, for one world."""
    key = jax.random.key(1)
    if randomizer.stage == "model":
        return {name: _model_field(scene.model, name) for name in sorted(randomizer.writes)}
    state, qpos, qvel = task.init(key)
    if randomizer.stage == "reset":
        return {"qpos": qpos, "qvel": qvel}
    if randomizer.stage == "action":
        return {"action": jnp.asarray(task.action_low, jnp.float32)}
    config = registry.get("backend", "mujoco").plugin.config()
    backend = registry.build("backend", "mujoco", scene, 1, config)
    view = backend.init({}, qpos[None], qvel[None]).view
    return dict(task.observe(state, jax.tree.map(lambda leaf: jnp.asarray(leaf)[0], view)))


def _model_field(model: mujoco.MjModel, name: str) -> jax.Array:
    field = getattr(model, name, None)
    require(
        isinstance(field, np.ndarray) and np.issubdtype(field.dtype, np.floating),
        f"`writes` names {name}, which is no array of floats in MjModel",
    )
    return jnp.asarray(field, jnp.float32)


def _require_unit_quaternions(model: mujoco.MjModel, qpos: np.ndarray) -> None:
    """qpos [N, nq]: MuJoCo normalises silently, so a sum of noise would pass unseen."""
    free, ball = int(mujoco.mjtJoint.mjJNT_FREE), int(mujoco.mjtJoint.mjJNT_BALL)
    for kind, start in zip(model.jnt_type, model.jnt_qposadr, strict=True):
        if kind in (free, ball):
            first = start + (3 if kind == free else 0)
            norms = np.linalg.norm(qpos[:, first : first + 4], axis=1)
            require(
                np.allclose(norms, 1.0, atol=1e-3),
                f"qpos[{first}:{first + 4}] is a quaternion, but its length becomes {norms}",
            )
