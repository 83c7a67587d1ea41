"""A policy's network in JAX: what it is made of, and a saved policy as a function of JAX arrays."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from r2s_core.policy import graph
from r2s_core.policy.saved import PolicyError, SavedPolicy, action_names
from r2s_core.policy_export import Layer
from r2s_core.types import Array, Environment, EnvSpec, Named, Policy

#: What may stand between the layers.
ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = {
    name: functools.partial(lambda function, x: function(x, jnp), function)
    for name, function in graph.ACTIVATIONS.items()
}


def squash(raw: Array, output: Literal["clip", "tanh"]) -> Array:
    """Raw actions [..., A] brought into [-1, 1]."""
    return graph.SQUASHES[output](raw, jnp)


def scale_action(y: Array, low: Array, high: Array) -> Array:
    """From [-1, 1] to [low, high], float32[..., A]."""
    return low + (y + 1.0) / 2.0 * (high - low)


def as_jax(policy: SavedPolicy, env: Environment[Any], task: str) -> Policy:
    """A saved policy as a jitted `Policy` of `env`; raises `PolicyError` if it does not fit.

    task: the environment's plugin name.
    """
    for what, own, wanted in _interface(policy, env.spec, task):
        if own != wanted:
            raise PolicyError(
                f"The policy's {what} is {own}, the environment's {wanted}; evaluate it with the "
                "configuration that it was trained with."
            )
    tensors = {name: jnp.asarray(tensor) for name, tensor in policy.tensors.items()}
    act = _network(tuple(_Static(layer) for layer in policy.layers))
    return jax.tree_util.Partial(act, tensors)


def _interface(policy: SavedPolicy, spec: EnvSpec, task: str) -> Iterator[tuple[str, Any, Any]]:
    """What must agree: (what, the policy's, the environment's)."""
    contract, action = policy.contract, policy.contract["action"]
    yield "task", contract["task"], task
    for group, mine in policy.observations.items():
        theirs = spec.observations.get(group)
        found = "missing" if theirs is None else f"{theirs.dtype}{list(theirs.shape)}"
        yield f"observation group '{group}'", f"{mine.dtype}{list(mine.shape)}", found
        if theirs is not None and theirs.names:
            for i, pair in enumerate(zip(mine.names, theirs.names, strict=True)):
                yield f"observation {i}", *pair
    yield "number of actions", policy.action_size, spec.action_size
    for i, pair in enumerate(zip(action["names"], action_names(spec), strict=True)):
        yield f"action {i}", *pair
    rate = round(1 / spec.control_dt, 6)
    own = contract["control_rate_hz"]  # steps divided for finer physics round otherwise
    yield "control rate in Hz", own, own if math.isclose(own, rate, rel_tol=1e-5) else rate
    for bound, limits in (("low", spec.action_low), ("high", spec.action_high)):
        wanted = np.asarray(limits, np.float32).tolist()
        for name, *pair in zip(action["names"], action[bound], wanted, strict=True):
            yield f"action.{bound} of {name}", *pair


class _Static(Layer):
    """A layer without its tensors, to find a compiled network again by."""

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer.name, layer.kind, layer.inputs, layer.options)

    def _key(self) -> tuple[Any, ...]:
        return self.name, self.kind, self.inputs, tuple(sorted(self.options.items()))

    def __hash__(self) -> int:
        return hash(self._key())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Static) and self._key() == other._key()


@functools.lru_cache(maxsize=8)
def _network(layers: tuple[_Static, ...]) -> Callable[[Named, Named, Array], Array]:
    """(tensors, obs, key) -> action; weights are arguments, so that others need no compiling."""

    @jax.jit
    def act(tensors: Named, obs: Named, key: Array) -> Array:
        # As in training: in TF32, JAX's default on recent GPUs, it would be another policy.
        with jax.default_matmul_precision("highest"):
            return graph.evaluate(layers, tensors, obs, jnp)

    return act
