"""Answers that an algorithm must find with the options that read demonstrations.

Each check takes `make`, (environment, options as in the YAML) -> the algorithm, its networks small.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from r2s_core.errors import ConfigError
from r2s_core.record import checkpoint
from r2s_core.testing import environments
from r2s_core.testing.requirements import require, require_equal

Make = Callable[..., Any]
_WORLDS = 16


def check_cloned_start(make: Make) -> None:
    """Before any update the policy reproduces the labels, not the noise on what was executed."""
    env = environments.bandit(_WORLDS)
    shown = environments.recorded(env, lambda observation: observation, 20, jax.random.key(2))
    shown = dataclasses.replace(shown, action=shown.action + 0.5)
    env = environments.WithDemonstrations(env, shown)
    algorithm = make(env, cloning_steps=500)
    obs = {"policy": jnp.linspace(-0.7, 0.7, 15)[:, None]}
    action = algorithm.policy(algorithm.init(jax.random.key(0)), True)(obs, jax.random.key(0))
    worst = float(jnp.max(jnp.abs(action - obs["policy"])))
    require(worst < 0.1, f"the cloned policy is up to {worst:.3f} from the labels")
    for made, expected in ((algorithm, {"rewards", "demonstrations"}), (make(env), {"rewards"})):
        found = set(made.learns_from)
        require(found == expected, f"learns_from tells {found}; it must tell {expected}")


def check_schedules_and_resuming(
    make: Make, critic_of: Callable[[Any], Any], **options: Any
) -> None:
    """While the critic warms up it alone learns; the cloning term falls to exactly 0; and a
    checkpoint, in which there are no demonstrations, continues bit for bit.

    make: also takes `total_timesteps`. critic_of: from a learner, the critic's parameters. options:
    others that read demonstrations.
    """
    driven = shown_point_mass(environments.HostDriven)
    steps = make(driven, cloning_steps=1, total_timesteps=1).steps_per_update
    algorithm = make(
        driven,
        cloning_steps=20,
        critic_warmup=0.5,
        cloning_coefficient=2.0,
        cloning_until=0.75,
        total_timesteps=4 * steps,
        **options,
    )
    learner = algorithm.init(jax.random.key(3))
    acts, weights, critics, learners = [], [], [], [learner]
    for _ in range(5):
        acts.append(_actions(algorithm, learner))
        critics.append(_host(critic_of(learner)))
        learner, metrics = algorithm.update(learner)
        weights.append(float(metrics["cloning_coefficient"]))
        learners.append(_copy(learner))
    # In its first update an off-policy algorithm has nothing to learn from yet.
    np.testing.assert_allclose(weights[1:], [4 / 3, 2 / 3, 0.0, 0.0], rtol=1e-6, atol=0.0)
    require_equal(acts[0], acts[2], "the policy while the critic warms up")
    require(_differ(critics[1], critics[2]), "the critic does not warm up")
    require(_differ(acts[2], acts[3]), "the policy does not learn once the critic has warmed up")
    _check_resuming(algorithm, learners[3])


def check_options_are_refused(make: Make) -> None:
    """Options that read demonstrations, without any."""
    env = environments.point_mass(_WORLDS)
    for option in ("cloning_steps", "cloning_coefficient"):
        _refused(lambda option=option: make(env, **{option: 1, "total_timesteps": 1}), option)
    shown = shown_point_mass()
    for options in ({"cloning_coefficient": 1.0}, {"cloning_steps": 1, "critic_warmup": 0.1}):
        _refused(lambda o=options: make(shown, **o, total_timesteps=None), "total_timesteps")


def check_lock(make: Make, updates: int, **options: Any) -> None:
    """A combination lock that random actions do not open is opened after what was shown.

    options: those that read demonstrations.
    """
    lock = environments.combination_lock(64)
    shown = environments.recorded(lock, environments.open_the_lock, 32, jax.random.key(2))
    algorithm = make(environments.WithDemonstrations(lock, shown), **options)
    learner, metrics = algorithm.update_many(algorithm.init(jax.random.key(0)), updates)
    require(
        not np.nansum(metrics["reward/reward"][:2]) > 0,
        "the lock opened before anything was learned",
    )
    obs = {"policy": jnp.eye(len(environments.COMBINATION))}
    action = np.asarray(algorithm.policy(learner, True)(obs, jax.random.key(0)))[:, 0]
    wrong = np.flatnonzero(np.sign(action) != environments.COMBINATION)
    require(not len(wrong), f"the policy does not know the signs of the stages {wrong}")


def shown_point_mass(
    driven: Callable[[Any], Any] = lambda env: env,
) -> environments.WithDemonstrations:
    """A point mass with demonstrations of a good policy; `driven` changes the environment."""
    env, expert = environments.point_mass(_WORLDS), environments.push_to_the_middle
    shown = environments.recorded(env, expert, 40, jax.random.key(2))
    return environments.WithDemonstrations(driven(env), shown)


def _check_resuming(algorithm: Any, learner: Any) -> None:
    """learner: one that this leaves unusable."""
    saved = algorithm.saved(learner)
    require(not jax.tree.leaves(saved.demonstrations), "demonstrations are saved")
    other = algorithm.init(jax.random.key(9))
    with tempfile.TemporaryDirectory() as folder:
        path = checkpoint.save(Path(folder), saved, {}, step=1)
        loaded, _ = checkpoint.load(path, algorithm.saved(other))
    loaded = algorithm.restored(loaded, other)
    require_equal(
        algorithm.update(learner)[0],
        algorithm.update(loaded)[0],
        "an update after resuming with demonstrations that were recorded again",
    )


def _actions(algorithm: Any, learner: Any) -> np.ndarray:
    """What the deterministic policy does in some states."""
    obs = {"policy": jax.random.normal(jax.random.key(5), (64, 2), jnp.float32)}
    return np.asarray(algorithm.policy(learner, True)(obs, jax.random.key(0)))


def _host(tree: Any) -> Any:
    return jax.tree.map(np.array, tree)


def _copy(tree: Any) -> Any:
    return jax.tree.map(jnp.copy, tree)


def _differ(tree: Any, other: Any) -> bool:
    pairs = zip(jax.tree.leaves(tree), jax.tree.leaves(other), strict=True)
    return any(not np.array_equal(a, b) for a, b in pairs)


def _refused(build: Callable[[], Any], words: str) -> None:
    try:
        build()
    except ConfigError as error:
        require(words in str(error), f"the refusal does not name {words}: {error}")
        return
    require(False, f"{words}: it is not refused")
