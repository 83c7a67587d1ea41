"""Collecting experience; hides whether the environment is traced or driven from the host."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from r2s_core.types import Array, Environment, EnvSpec, Named, Step, pytree

#: (params, obs [W, ...], key) -> (action float32[W, A], extras with leaves [W, ...]).
Act = Callable[[Any, Named, Any], tuple[Array, Named]]


@pytree
class Trajectory:
    """T control steps of W worlds; leaves [T, W, ...]."""

    obs: Named  # what the action was chosen on
    action: Array
    extras: Named  # what `act` returned beside the action, e.g. log-probabilities
    step: Step  # `step.obs` is dropped (None): it equals `obs` one step later


def rollout(
    env: Environment,
    act: Act,
    params: Any,
    state: Any,
    obs: Named,
    key: Any,
    length: int,
    watch: Callable[[Any], Named] = lambda state: {},
) -> tuple[Any, Named, Trajectory]:
    """Run `act` for `length` control steps.

    Args:
      act: pure and jittable; jitted by the caller where the environment is host-driven.
      params: passed through to `act`.
      state, obs: the environment's current ones, from `env.reset` or an earlier rollout.
      key: a PRNG key, split into one per step; or per-step inputs of `act`, leaves [length, ...].
      watch: from the environment's state before a step, what is kept of it among the extras.

    Returns:
      The environment's state and observation after the last step, and the trajectory.
    """
    inputs = key
    if isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        inputs = jax.random.split(key, length) if key.ndim == 0 else key

    def one(carry: tuple[Any, Named], x: Any) -> tuple[tuple[Any, Named], Trajectory]:
        state, obs = carry
        read = _single(obs)
        action, extras = act(params, read, x)
        extras = {**extras, **watch(state)}
        state, step = env.step(state, action)
        kept = _single(Step(**{**vars(step), "obs": None}))  # type: ignore[arg-type]
        return (state, step.obs), Trajectory(obs=read, action=action, extras=extras, step=kept)

    if env.spec.traceable:
        (state, obs), trajectory = jax.lax.scan(one, (state, obs), inputs, length=length)
        return state, obs, trajectory

    steps = []
    for x in _rows(inputs, length):
        (state, obs), step = one((state, obs), x)
        steps.append(step)
    # np.asarray is free for CPU arrays; one stack per leaf instead of one XLA program each.
    trajectory = jax.tree.map(lambda *leaves: np.stack([np.asarray(x) for x in leaves]), *steps)
    return state, obs, trajectory


def rollout_bytes(spec: EnvSpec, length: int) -> int:
    """A lower bound on the bytes of a `Trajectory` of `length` control steps."""
    observed = sum(group.nbytes for group in spec.observations.values())
    return length * spec.num_worlds * (2 * observed + 4 * (spec.action_size + 1))


def _single(tree: Any) -> Any:
    """The tree with float64 leaves cast to float32: under JAX_ENABLE_X64 an environment may return
    either, and learning uses float32."""

    def one(x: Any) -> Any:
        return x.astype(np.float32) if getattr(x, "dtype", None) == np.float64 else x

    return jax.tree.map(one, tree)


def _rows(tree: Any, length: int) -> list[Any]:
    """The per-step inputs as a list. Rows of NumPy arrays are views; rows of JAX arrays cost a
    dispatch each, so they are unstacked in a single dispatch."""
    if all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(tree)):
        return [jax.tree.map(lambda leaf, t=t: leaf[t], tree) for t in range(length)]
    return _unstack(tree, length)


@partial(jax.jit, static_argnums=1)
def _unstack(tree: Any, length: int) -> list[Any]:
    return [jax.tree.map(lambda x, t=t: x[t], tree) for t in range(length)]
