"""Whom a policy learns from: the task's scripted expert, or the policy of a trained run."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from r2s_core.config import RunConfig
from r2s_core.config.schema import SCRIPT
from r2s_core.env.spec import empty_view
from r2s_core.errors import ConfigError
from r2s_core.policy import packed
from r2s_core.policy.network import as_function
from r2s_core.policy.saved import SavedPolicy, numbered
from r2s_core.suggest import did_you_mean
from r2s_core.types import Array, ArraySpec, HasExpert, Named, SceneSpec, Task, View

#: (the task's state, view) of one world -> its action float32[A]; see `HasExpert`.
Expert = Callable[[Any, View], Array]


def expert_of(config: RunConfig, task: Task[Any], scene: SceneSpec) -> Expert | None:
    """The expert that a run can ask in every state; None where it learns from none.

    Raises `ConfigError` where the task has no scripted expert, or does not observe or do what the
    run's policy reads or does.
    """
    source = config.demonstrations.source
    if source is None:
        return None
    if isinstance(source, Path):
        return _trained(source, task, scene) if packed.is_policy(source) else None
    assert source == SCRIPT
    if not isinstance(task, HasExpert):
        raise ConfigError(
            f"demonstrations.source: script: the task {type(task).__name__} has no scripted "
            "expert; give it the method `expert`, or drop `demonstrations`"
        )
    return task.expert


def _trained(path: Path, task: Task[Any], scene: SceneSpec) -> Expert:
    """The policy, on the numbers that it reads: found by their names in what the task observes.

    It reads the true values, without sensor errors, as a scripted expert does.
    """
    where = f"demonstrations.source: {path}"
    policy = packed.load(path)
    offered = _offered(task, scene)
    if any(spec.is_image for spec in policy.observations.values()):
        raise ConfigError(
            f"{where}: its policy reads images, and an expert has to decide by numbers; name a run "
            "without cameras"
        )
    picks = {
        group: _picks(spec, offered, f"{where}: its policy reads")
        for group, spec in policy.observations.items()
    }
    _check_action(policy, task, scene, where)
    act = as_function(policy)

    def expert(state: Any, view: View) -> Array:
        return act(_read(picks, task.observe(state, view)))

    return expert


def _check_action(policy: SavedPolicy, task: Task[Any], scene: SceneSpec, where: str) -> None:
    """Raises `ConfigError` where a policy's actions are not the task's. where: its name."""
    theirs, names = policy.spec, numbered(task.info.action_names, len(task.action_low))
    rate, robot = 1.0 / scene.control_dt, policy.contract["provenance"].get("robot")
    if theirs.action_chunk > 1:
        raise ConfigError(
            f"{where}: its policy plans {theirs.action_chunk} control steps at once, and an expert "
            "is asked in each; name a run without action_chunk"
        )
    if robot and task.info.robot and robot != task.info.robot:
        raise ConfigError(
            f"{where}: it was trained with the robot {robot}, and this environment has "
            f"{task.info.robot}"
        )
    if theirs.action_names != names:
        raise ConfigError(
            f"{where}: it acts by {', '.join(theirs.action_names)}, and this environment by "
            f"{', '.join(names)}; choose the same action space for both"
        )
    if not math.isclose(theirs.control_rate_hz, rate, rel_tol=1e-5):
        raise ConfigError(
            f"{where}: it acts {theirs.control_rate_hz:g} times a second, and this environment "
            f"{rate:g} times"
        )
    for bound, limits in (("low", theirs.action_low), ("high", theirs.action_high)):
        ours = np.asarray(getattr(task, f"action_{bound}"), np.float32)
        if not np.array_equal(np.asarray(limits, np.float32), ours):
            raise ConfigError(f"{where}: the {bound} bounds of its actions differ from these")


def _offered(task: Task[Any], scene: SceneSpec) -> dict[str, tuple[str, int]]:
    """Where the task observes each named number: name -> (group, index)."""

    def first(key: Array) -> Named:
        return task.observe(task.init(key, jnp.int32(0))[0], empty_view(scene))

    groups = jax.eval_shape(first, jax.random.key(0))
    names = task.info.observation_names
    return {
        name: (group, i)
        for group in reversed(list(groups))  # the policy's own come first, so they win
        for i, name in enumerate(names.get(group, ()))
    }


def _picks(
    spec: ArraySpec, offered: dict[str, tuple[str, int]], reads: str
) -> list[tuple[str, int]]:
    for name in spec.names:
        if name not in offered:
            raise ConfigError(
                f"{reads} {name}, which this environment does not observe"
                f"{did_you_mean(name, offered)}; add it to the observations, or to "
                "critic_observations, which only training reads"
            )
    return [offered[name] for name in spec.names]


def _read(picks: dict[str, list[tuple[str, int]]], observed: Named) -> Named:
    return {
        group: jnp.stack([observed[of][i] for of, i in chosen]) for group, chosen in picks.items()
    }
