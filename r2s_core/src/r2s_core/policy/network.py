"""A policy's network in JAX: its components, and a saved policy as a function of JAX arrays."""

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
from r2s_core.policy_export import ArraySpec, Layer
from r2s_core.types import Array, Environment, EnvSpec, Named, Policy

#: Activation functions by name.
ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = {
    name: functools.partial(lambda function, x: function(x, jnp), function)
    for name, function in graph.ACTIVATIONS.items()
}


def squash(raw: Array, output: Literal["clip", "tanh"]) -> Array:
    """Raw actions [..., A] mapped into [-1, 1]."""
    return graph.SQUASHES[output](raw, jnp)


def scale_action(y: Array, low: Array, high: Array) -> Array:
    """From [-1, 1] to [low, high], float32[..., A]."""
    return graph.to_bounds(y, low, high)


def as_jax(policy: SavedPolicy, env: Environment[Any], task: str) -> Policy:
    """A saved policy as a jitted `Policy` of `env`; raises `PolicyError` if it does not fit.

    task: the environment's plugin name.
    """
    _check_images(policy, env.spec)
    for what, trained, found in _interface(policy, env.spec, task):
        if trained != found:
            raise PolicyError(
                f"The policy's {what} is {trained}, the environment's {found}; evaluate it with "
                "the configuration that it was trained with."
            )
    return jax.tree_util.Partial(*_function(policy))


def as_function(policy: SavedPolicy) -> Callable[[Named], Array]:
    """A saved policy as a function of observations [..., *shape] to be traced, for any reader of
    its contract."""
    act, tensors = _function(policy)
    return lambda obs: act(tensors, obs, None)


def _function(policy: SavedPolicy) -> tuple[Callable[..., Array], Named]:
    """(tensors, obs, key) -> action, and the tensors."""
    steps = tuple((la.name, la.kind, la.inputs, tuple(la.options.items())) for la in policy.layers)
    return _network(steps), {name: jnp.asarray(x) for name, x in policy.tensors.items()}


def _check_images(policy: SavedPolicy, spec: EnvSpec) -> None:
    """Raises `PolicyError` where the environment lacks an image that the policy reads, or gives it
    in another size or kind."""
    shown = {name: group for name, group in spec.observations.items() if group.is_image}
    for name, read in policy.observations.items():
        found = shown.get(name)
        if not read.is_image or (found and (found.shape, found.dtype) == (read.shape, read.dtype)):
            continue
        others = f"only {', '.join(shown)}" if shown else "no images"
        gives = f"gives {_pixels(found)}" if found else f"has {others}"
        raise PolicyError(
            f"The policy reads the image '{name}', {_pixels(read)}, and the environment {gives}; "
            "evaluate it with the cameras that it was trained with."
        )


def _pixels(image: ArraySpec) -> str:
    height, width, channels = image.shape
    count = "1 channel" if channels == 1 else f"{channels} channels"
    return f"{width} x {height} pixels of {count} in {image.dtype}"


def _interface(policy: SavedPolicy, spec: EnvSpec, task: str) -> Iterator[tuple[str, Any, Any]]:
    """What must agree: (what, the policy's, the environment's)."""
    contract, action = policy.contract, policy.contract["action"]
    yield "task", contract["task"], task
    for group, read in policy.observations.items():
        observed = spec.observations.get(group)
        found = "missing" if observed is None else f"{observed.dtype}{list(observed.shape)}"
        yield f"observation group '{group}'", f"{read.dtype}{list(read.shape)}", found
        if observed is not None and observed.names:
            for i, pair in enumerate(zip(read.names, observed.names, strict=True)):
                yield f"observation {i}", *pair
    yield "action chunk", policy.spec.action_chunk, spec.action_chunk
    yield "number of actions", policy.action_size, spec.action_size
    for i, pair in enumerate(zip(action["names"], action_names(spec), strict=True)):
        yield f"action {i}", *pair
    rate = round(1 / spec.control_dt, 6)
    trained = contract["control_rate_hz"]  # finer physics steps may round differently
    same = math.isclose(trained, rate, rel_tol=1e-5)
    yield "control rate in Hz", trained, trained if same else rate
    for bound, limits in (("low", spec.action_low), ("high", spec.action_high)):
        bounds = np.asarray(limits, np.float32).tolist()
        for name, *pair in zip(action["names"], action[bound], bounds, strict=True):
            yield f"action.{bound} of {name}", *pair


@functools.lru_cache(maxsize=8)
def _network(steps: tuple[tuple[Any, ...], ...]) -> Callable[..., Array]:
    """(tensors, obs, key) -> action; weights are arguments, so that new ones need no compiling.

    steps: name, kind, inputs and options, as pairs, of each layer.
    """
    layers = [Layer(name, kind, inputs, dict(options)) for name, kind, inputs, options in steps]

    @jax.jit
    def act(tensors: Named, obs: Named, key: Array | None) -> Array:
        # As in training: TF32, JAX's default on recent GPUs, would change the policy.
        with jax.default_matmul_precision("highest"):
            return graph.evaluate(layers, tensors, obs, jnp)

    return act
