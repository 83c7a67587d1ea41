"""The conformance of algorithms."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from r2s_core.policy.saved import load_policy, save_policy
from r2s_core.record import checkpoint
from r2s_core.testing import environments
from r2s_core.testing.requirements import (
    leaves,
    require,
    require_array,
    require_equal,
    require_finite,
    require_same_layout,
)
from r2s_core.types import Algorithm, Environment

_WORLDS = 32

MakeAlgorithm = Callable[[Environment[Any]], Algorithm[Any]]


def check_algorithm(
    make: MakeAlgorithm, learning_steps: int = 60_000, expert: bool = False
) -> None:
    """An algorithm learns, is deterministic, and keeps all of its state in its learner.

    Args:
        make: builds it for an environment: `lambda env: registry.build("algorithm", ..., env, c)`.
        learning_steps: environment steps within which it must halve the loss of doing nothing in
            a one-step bandit; 0 skips this.
        expert: whether the environments have an expert, for an algorithm that imitates one.

    Raises:
        AssertionError: with a sentence that says what the algorithm does wrong.
    """
    point: Environment[Any] = environments.point_mass(_WORLDS)
    bandit: Environment[Any] = environments.bandit(64)
    if expert:
        point = environments.WithExpert(point, environments.push_to_the_middle)
        bandit = environments.WithExpert(bandit, lambda observation: observation)
    driven = environments.HostDriven(point)
    algorithm = make(driven)
    learner = _check_update(algorithm, driven)
    _check_policy(algorithm, driven, learner)
    _check_checkpoint(algorithm, learner)
    _check_export(algorithm, driven, learner)
    # One environment for both: a traced update is compiled once, which is what takes the time.
    algorithm = make(bandit)
    _check_policy(algorithm, bandit, _check_update(algorithm, bandit))
    if learning_steps:
        check_learning(algorithm, learning_steps)


def check_learning(algorithm: Algorithm[Any], learning_steps: int) -> None:
    """In the bandit the deterministic policy must halve the loss of doing nothing, or better."""
    learner = algorithm.init(jax.random.key(0))
    for _ in range(-(-learning_steps // algorithm.steps_per_update)):
        learner, _ = algorithm.update(learner)
    _, obs = environments.bandit(512).reset(jax.random.key(1))
    action = algorithm.policy(learner, True)(obs, jax.random.key(2))
    loss = float(jnp.mean(jnp.square(action - obs["policy"])))
    idle = float(jnp.mean(jnp.square(obs["policy"])))
    require(
        loss < 0.5 * idle,
        f"after {learning_steps:,} steps of the bandit the policy's loss is {loss:.3g}; it must be "
        f"below {0.5 * idle:.3g}, half the loss of a policy that does nothing",
    )


def _check_update(algorithm: Algorithm[Any], env: Environment[Any]) -> Any:
    """Pure in the learner, which keeps its layout; returns a learner after two updates."""
    count = algorithm.steps_per_update
    require(
        isinstance(count, int) and count > 0 and count % env.spec.num_worlds == 0,
        f"steps_per_update is {count!r}; it must be a positive multiple of {env.spec.num_worlds},"
        " the number of worlds",
    )
    key = jax.random.key(0)
    first, again, other = (algorithm.init(k) for k in (key, key, jax.random.key(1)))
    require_equal(first, again, "init with the same key")
    require(_differ(first, other), "init with another key gives the same learner: use the key")
    for path, leaf in jax.tree_util.tree_flatten_with_path(first)[0]:
        require(
            isinstance(leaf, jax.Array | np.ndarray | np.generic),
            f"the learner's leaf {jax.tree_util.keystr(path)} is {type(leaf).__name__}, not an "
            "array",
        )
    # Each call gets its own copy: an algorithm may donate the learner's buffers.
    after, metrics = algorithm.update(_copy(first))
    repeated, _ = algorithm.update(_copy(first))
    require_same_layout(first, after, "update must return a learner like its argument")
    require_equal(after, repeated, "update of the same learner, a second time")
    require(_differ(first, after), "update changes nothing in the learner")
    for name, value in metrics.items():
        require(np.ndim(value) == 0, f"the metric {name} has shape {np.shape(value)}, not []")
        require(not np.isinf(np.asarray(value)), f"the metric {name} is infinite")
    require_finite(after, "the learner after an update")
    return algorithm.update(after)[0]


def _check_policy(algorithm: Algorithm[Any], env: Environment[Any], learner: Any) -> None:
    """Shapes, bounds, and what the key may change."""
    _, obs = env.reset(jax.random.key(2))
    keys = jax.random.split(jax.random.key(3))
    for deterministic in (True, False):
        policy = algorithm.policy(learner, deterministic)
        one, same, other = policy(obs, keys[0]), policy(obs, keys[0]), policy(obs, keys[1])
        what = "the deterministic policy" if deterministic else "the policy"
        shape = (env.spec.num_worlds, env.spec.action_size)
        require_array(one, shape, "float32", f"an action of {what}")
        require_finite(one, what)
        require_equal(one, same, f"{what}, called twice")
        low, high = np.asarray(env.spec.action_low), np.asarray(env.spec.action_high)
        within = (np.asarray(one) >= low - 1e-5) & (np.asarray(one) <= high + 1e-5)
        require(within.all(), f"{what} leaves the action bounds")
        if deterministic:
            require_equal(one, other, "the deterministic policy under another key")
    fewer = jax.tree.map(lambda leaf: leaf[:3], obs)
    policy = algorithm.policy(learner, True)
    require_equal(
        np.asarray(policy(fewer, keys[0])),
        np.asarray(policy(obs, keys[0]))[:3],
        "the deterministic policy for three worlds, against the same worlds among more",
        rtol=1e-4,
        atol=1e-5,
    )


def _check_checkpoint(algorithm: Algorithm[Any], learner: Any) -> None:
    """A learner that was saved and loaded goes on as if nothing had happened."""
    with tempfile.TemporaryDirectory() as folder:
        path = checkpoint.save(Path(folder), learner, {}, step=1)
        loaded, _ = checkpoint.load(path, algorithm.init(jax.random.key(9)))
    require_equal(learner, loaded, "a learner after saving and loading")
    require_equal(
        algorithm.update(_copy(learner))[0],
        algorithm.update(_copy(loaded))[0],
        "an update after saving and loading: something is kept outside the learner",
    )


def _check_export(algorithm: Algorithm[Any], env: Environment[Any], learner: Any) -> None:
    """What runs on the robot is what was trained."""
    _, obs = env.reset(jax.random.key(4))
    expected = algorithm.policy(learner, True)(obs, jax.random.key(0))
    with tempfile.TemporaryDirectory() as folder:
        save_policy(Path(folder), algorithm.export(learner), env.spec, task="kit")
        exported = load_policy(folder)(obs["policy"])
    require_equal(
        np.asarray(expected),
        exported,
        "the deterministic policy against its export",
        rtol=1e-3,
        atol=1e-4,
    )


def _copy(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf.copy(), tree)


def _differ(tree: Any, other: Any) -> bool:
    pairs = zip(leaves(tree), leaves(other), strict=True)
    return any(not np.array_equal(a, b) for (_, a), (_, b) in pairs)
