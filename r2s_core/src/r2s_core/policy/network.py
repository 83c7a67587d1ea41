"""A policy's network in JAX: what it is made of, and a saved policy as a function of JAX arrays."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from r2s_core.policy.saved import PolicyError, SavedPolicy, action_names, observation_names
from r2s_core.types import Array, Environment, EnvSpec, Named, Policy

#: What may stand between the layers; the same names as in `PolicyExport.activation`.
ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = {
    "elu": lambda x: jnp.where(x >= 0, x, jnp.exp(jnp.minimum(x, 0.0)) - 1.0),
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
    "swish": jax.nn.swish,
}


def squash(raw: Array, output: Literal["clip", "tanh"]) -> Array:
    """Raw actions [..., A] brought into [-1, 1]."""
    return jnp.tanh(raw) if output == "tanh" else jnp.clip(raw, -1.0, 1.0)


def scale_action(y: Array, low: Array, high: Array) -> Array:
    """From [-1, 1] to [low, high], float32[..., A]."""
    return low + (y + 1.0) / 2.0 * (high - low)


def as_jax(policy: SavedPolicy, env: Environment[Any], task: str) -> Policy:
    """A saved policy as a jitted `Policy` of `env`; raises `PolicyError` if it does not fit.

    task: the environment's plugin name.
    """
    contract, group = policy.contract, policy.contract["observation"]["group"]
    for what, own, wanted in _interface(policy, env.spec, task):
        if own != wanted:
            raise PolicyError(
                f"The policy's {what} is {own}, the environment's {wanted}; evaluate it with the "
                "configuration that it was trained with."
            )
    tensors = {name: jnp.asarray(tensor) for name, tensor in policy.tensors.items()}
    act = _network(
        group,
        contract["network"]["layers"],
        contract["network"]["activation"],
        contract["observation"]["clip"],
        contract["action"]["squashing"],
    )
    return jax.tree_util.Partial(act, tensors)


def _interface(policy: SavedPolicy, spec: EnvSpec, task: str) -> Iterator[tuple[str, Any, Any]]:
    """What must agree: (what, the policy's, the environment's)."""
    contract = policy.contract
    observation, action = contract["observation"], contract["action"]
    shape = spec.observation_shapes.get(observation["group"], ())
    size = shape[0] if len(shape) == 1 else 0
    yield "task", contract["task"], task
    yield "number of observations", policy.observation_size, size
    yield "number of actions", policy.action_size, spec.action_size
    for kind, mine, theirs in (
        ("observation", observation["names"], observation_names(spec, observation["group"])),
        ("action", action["names"], action_names(spec)),
    ):
        for i, pair in enumerate(zip(mine, theirs, strict=True)):
            yield f"{kind} {i}", *pair
    rate = round(1 / spec.control_dt, 6)
    own = contract["control_rate_hz"]  # steps divided for finer physics round otherwise
    yield "control rate in Hz", own, own if math.isclose(own, rate, rel_tol=1e-5) else rate
    for bound, limits in (("low", spec.action_low), ("high", spec.action_high)):
        wanted = np.asarray(limits, np.float32).tolist()
        for name, *pair in zip(action["names"], action[bound], wanted, strict=True):
            yield f"action.{bound} of {name}", *pair


@functools.lru_cache(maxsize=8)
def _network(
    group: str, layers: int, activation_name: str, clip: float, output: Literal["clip", "tanh"]
) -> Callable[[Named, Named, Array], Array]:
    """(tensors, obs, key) -> action; weights are arguments, so that others need no compiling."""
    activation = ACTIVATIONS[activation_name]

    @jax.jit
    def act(tensors: Named, obs: Named, key: Array) -> Array:
        x = (obs[group] - tensors["observation.mean"]) / tensors["observation.std"]
        x = jnp.clip(x, -clip, clip)
        for i in range(layers):
            # As in training: in TF32, JAX's default on recent GPUs, it would be another policy.
            x = jnp.matmul(x, tensors[f"layers.{i}.kernel"], precision=jax.lax.Precision.HIGHEST)
            x += tensors[f"layers.{i}.bias"]
            x = activation(x) if i + 1 < layers else squash(x, output)
        return scale_action(x, tensors["action.low"], tensors["action.high"])

    return act
