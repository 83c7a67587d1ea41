"""The networks that algorithms share."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from r2s_core.policy.network import ACTIVATIONS
from r2s_core.types import Array


class MLP(nn.Module):
    """Multilayer perceptron: float32[..., n] -> float32[..., sizes[-1]].

    sizes: units of the hidden layers and, last, of the linear output.
    activation: a key of `r2s_core.policy.network.ACTIVATIONS`.
    output_scale: gain of the output layer's initial weights; 0.01 starts a policy near zero,
      which matters more than any other choice of initialisation (Andrychowicz et al. 2021).
    layer_norm: whether hidden layers are normalised before the activation; such a network has
      no `mlp_layers`.
    """

    sizes: Sequence[int]
    activation: str = "elu"
    output_scale: float = 1.0
    layer_norm: bool = False

    @nn.compact
    def __call__(self, x: Array) -> Array:
        activation = ACTIVATIONS[self.activation]
        hidden = nn.initializers.variance_scaling(1.0, "fan_in", "uniform")
        output = nn.initializers.variance_scaling(self.output_scale**2, "fan_in", "uniform")
        # JAX multiplies in TF32 on recent GPUs unless told otherwise, which can hurt learning.
        dense = partial(nn.Dense, precision=jax.lax.Precision.HIGHEST)
        for size in self.sizes[:-1]:
            x = dense(size, kernel_init=hidden)(x)
            x = activation(nn.LayerNorm()(x) if self.layer_norm else x)
        return dense(self.sizes[-1], kernel_init=output)(x)


def init_mlp(mlp: MLP, key: Array, inputs: int) -> dict[str, Any]:
    """Parameters of `mlp` for observations float32[..., inputs], drawn on the host.

    The same tree and the same distribution as `mlp.init`; a test compares the two.
    """
    # Not by flax's `mlp.init`, which compiles a generator per layer: for a policy and two critics
    # this takes 0.04 s, flax 10 s under one `jit`, 15 s without and 18 s with one `jit` each (two
    # busy cores, nothing cached), at the start of every run.
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    layers = {}
    for i, (fan_in, size) in enumerate(itertools.pairwise((inputs, *mlp.sizes))):
        scale = mlp.output_scale if i == len(mlp.sizes) - 1 else 1.0
        bound = scale * (3.0 / fan_in) ** 0.5
        kernel = rng.uniform(-bound, bound, (fan_in, size)).astype(np.float32)
        layers[f"Dense_{i}"] = {"kernel": kernel, "bias": np.zeros(size, np.float32)}
        if mlp.layer_norm and i < len(mlp.sizes) - 1:
            one, zero = np.ones(size, np.float32), np.zeros(size, np.float32)
            layers[f"LayerNorm_{i}"] = {"scale": one, "bias": zero}
    return jax.device_put({"params": layers})


def learning_bytes(inputs: int, hidden_sizes: Sequence[int], outputs: int) -> int:
    """Bytes needed to train an MLP: float32 weights, gradients and Adam's two moments."""
    pairs = itertools.pairwise((inputs, *hidden_sizes, outputs))
    return 4 * 4 * sum((fan_in + 1) * size for fan_in, size in pairs)


def mlp_layers(params: Mapping[str, Any]) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """The (kernel [in, out], bias [out]) of every layer of an `MLP`, first to last, on the host.

    params: what `MLP.init` returned, with or without its outer {"params": ...}.
    """
    params = params.get("params", params)
    names = sorted(params, key=lambda name: int(name.removeprefix("Dense_")))
    return tuple(
        (np.asarray(params[name]["kernel"]), np.asarray(params[name]["bias"])) for name in names
    )
