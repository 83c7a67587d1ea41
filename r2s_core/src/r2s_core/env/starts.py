"""How episodes start: fresh or from the start-state bank, with which variant and which model."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from r2s_core.env.curriculum import Levels, level_of
from r2s_core.env.randomization import Randomization
from r2s_core.env.scene_check import NOT_NEGATIVE
from r2s_core.env.variants import Variation
from r2s_core.types import Array, Named, SceneSpec, pytree

#: The task's own level in a curriculum; those of rewards and randomizers are "rewards.NAME" and
#: "randomization.NAME".
TASK_LEVEL = "task"


@pytree
class Start:
    """Where episodes start; leaves [W, ...]."""

    task: Any
    qpos: Array  # float32[W, nq]
    qvel: Array  # float32[W, nv]
    fields: Named  # model fields
    memory: dict[str, Any]  # of the "action" and "wrench" randomizers, by stage
    variant: Array  # int32[W]
    valid: Array  # bool[W]; False: physics could not start there, so a substitute takes its place


class Starts:
    """Draws starts. Pure functions."""

    def __init__(
        self,
        task: Any,
        scene: SceneSpec,
        randomization: Randomization,
        variants: Variation,
        no_action: Array,
        *,
        has_bank: bool,
        has_difficulty: bool,
    ) -> None:
        self._task, self._randomization, self._variants = task, randomization, variants
        self._has_bank, self._has_difficulty = has_bank, has_difficulty
        self._no_action = no_action
        self._no_wrench = jnp.zeros((scene.model.nbody, 6), jnp.float32)
        rest = scene.model.qpos0, np.zeros(scene.model.nv)
        self._rest = tuple(jnp.asarray(x, jnp.float32) for x in rest)

    def draw(self, key: Array, num_worlds: int, share: Array, levels: Levels) -> Start:
        """The starts of all worlds. share: float32[], of episodes that start from the bank."""
        variant_key, worlds_key = jax.random.split(key)
        variant = self._variants.draw(variant_key)
        keys = jax.random.split(worlds_key, num_worlds)
        return jax.vmap(self._one, in_axes=(0, None, None, 0))(keys, share, levels, variant)

    def _one(self, key: Array, share: Array, levels: Levels, variant: Array) -> Start:
        """The start of one world."""
        fresh, bank, choice, reset, model, action, wrench = jax.random.split(key, 7)
        source = self._task
        if self._has_difficulty:
            source = source.at_level(level_of(levels, TASK_LEVEL))
        task, qpos, qvel = source.init(fresh, variant)
        from_bank = jnp.bool_(False)
        if self._has_bank:
            banked = source.init_from_bank(bank, variant)
            from_bank = jax.random.uniform(choice) < share
            task, qpos, qvel = jax.tree.map(
                lambda b, f: jnp.where(from_bank, b, f), banked, (task, qpos, qvel)
            )
        vary, context = self._randomization, (levels, variant)
        values = {"qpos": qpos, "qvel": qvel, "banked": from_bank}
        start = vary.vary("reset", reset, values, *context)
        nominal = vary.nominal | self._variants.fields(variant)
        damping = vary.servo_damping
        fields = damping.put_back(vary.vary("model", model, damping.taken_out(nominal), *context))
        memory = {
            "action": vary.first("action", action, {"action": self._no_action}, *context)[0],
            "wrench": vary.first("wrench", wrench, {"wrench": self._no_wrench}, *context)[0],
        }
        motion = start["qpos"], start["qvel"]
        # A NaN would pass through the observation into a learner's statistics before the physics
        # could report it. Such a world starts at rest, and counts as diverged one step later.
        valid = _finite((task, motion, fields, memory)) & _within(motion, mujoco.mjMAXVAL)
        for name in NOT_NEGATIVE.keys() & fields.keys():
            valid &= (fields[name] >= 0).all()
        qpos, qvel = _choose(valid, motion, self._rest)
        return Start(
            task=_choose(valid, task, _no_nan(task)),
            qpos=qpos,
            qvel=qvel,
            fields=_choose(valid, fields, nominal),
            memory=_choose(valid, memory, _no_nan(memory)),
            variant=variant,
            valid=valid,
        )


def _choose(condition: Array, yes: Any, no: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)


def _is_float(leaf: Array) -> bool:
    return jnp.issubdtype(jnp.result_type(leaf), jnp.floating)


def _finite(tree: Any) -> Array:
    """bool[]"""
    found = [jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree) if _is_float(leaf)]
    return jnp.stack(found).all() if found else jnp.bool_(True)


def _within(tree: Any, limit: float) -> Array:
    """bool[]"""
    return jnp.stack([(jnp.abs(leaf) <= limit).all() for leaf in jax.tree.leaves(tree)]).all()


def _no_nan(tree: Any) -> Any:
    def replaced(leaf: Array) -> Array:
        return jnp.where(jnp.isfinite(leaf), leaf, 0.0) if _is_float(leaf) else leaf

    return jax.tree.map(replaced, tree)
