"""The encoder of an image: patches, a few convolutions, and a normalised vector of features."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from r2s_core.policy import graph
from r2s_core.types import Array, Layer

_EPSILON = 1e-6  # of the LayerNorm
_SAME = "same"


class Shape(NamedTuple):
    """A convolution: a square kernel, its stride, and the output's channels."""

    kernel: int
    stride: int
    channels: int


def convolutions(height: int, width: int, channels: Sequence[int]) -> tuple[Shape, ...]:
    """The convolutions for an image: patches of 4 x 4 pixels that do not overlap (of 2 x 2 in
    images below 24 pixels), as in a vision transformer (Dosovitskiy et al. 2021), then 3 x 3 with
    stride 2 until 4 x 4 places or fewer are left.

    On a CPU this takes a fraction of the time of the usual overlapping first layer: forward and
    backward, 256 images of 32 x 32 x 6 take 3.4 ms on two cores, and 20 ms with kernels of 5 x 5,
    3 x 3 and 3 x 3 of stride 2, which clone the scripted pick from two cameras no better.

    channels: of each output; the last counts for all further ones.
    """
    patch = 4 if min(height, width) >= 24 else 2
    found = [Shape(patch, patch, channels[0])]
    height, width = -(-height // patch), -(-width // patch)
    while max(height, width) > 4:
        found.append(Shape(3, 2, channels[min(len(found), len(channels) - 1)]))
        height, width = -(-height // 2), -(-width // 2)
    return tuple(found)


class Conv(nn.Module):
    """As flax's, float32[B, H, W, C] -> [B, H', W', channels], padded as `graph.padding` "same"."""

    shape: Shape

    @nn.compact
    def __call__(self, x: Array) -> Array:
        size, stride, channels = self.shape
        draw = nn.initializers.variance_scaling(2.0, "fan_in", "uniform")  # of He, for relu
        kernel = self.param("kernel", draw, (size, size, x.shape[-1], channels))
        bias = self.param("bias", nn.initializers.zeros, (channels,))
        layer = Layer("", "conv", (), {"stride": stride, "padding": _SAME})
        pads = graph.padding(layer, kernel.shape, x.shape[-3:])
        windows = _windows(jnp.pad(x, [(0, 0), *pads, (0, 0)]), size, stride)
        product = jnp.matmul(
            windows, kernel.reshape(-1, channels), precision=jax.lax.Precision.HIGHEST
        )
        return product + bias


def _windows(x: Array, size: int, stride: int) -> Array:
    """What a kernel sees at each place, [B, H', W', size * size * C].

    One matrix product of it is the convolution, and so are its gradients; on a CPU XLA's own
    convolution takes a third more time for few channels, and its gradients up to ten times as much
    where XLA does not optimize.
    """
    if size == stride:  # by one transposition, which compiles in half the time
        batch, height, width, channels = x.shape
        x = x.reshape(batch, height // size, size, width // size, size, channels)
        return x.swapaxes(2, 3).reshape(batch, height // size, width // size, -1)
    rows, columns = (_starts(length, size, stride) for length in x.shape[1:3])
    return jnp.concatenate([x[:, i, j] for i in rows for j in columns], axis=-1)


def _starts(length: int, size: int, stride: int) -> list[slice]:
    """Where each of a kernel's rows (or columns) reads, over all places."""
    last = (length - size) // stride * stride
    return [slice(i, i + last + 1, stride) for i in range(size)]


class Encoder(nn.Module):
    """An image float32[B, H, W, C] -> features float32[B, features] in (-1, 1).

    Convolutions with relu, a dense layer, LayerNorm and tanh (as in DrQ-v2, Yarats et al. 2022).
    """

    convolutions: tuple[Shape, ...]
    features: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        for shape in self.convolutions:
            x = nn.relu(Conv(shape)(x))
        draw = nn.initializers.variance_scaling(1.0, "fan_in", "uniform")
        dense = nn.Dense(self.features, precision=jax.lax.Precision.HIGHEST, kernel_init=draw)
        x = dense(x.reshape(x.shape[0], -1))
        # As the policy's file computes it; the fast variance differs by a few roundings.
        return nn.tanh(nn.LayerNorm(epsilon=_EPSILON, use_fast_variance=False)(x))


def init_encoder(encoder: Encoder, key: Array, shape: tuple[int, ...]) -> dict[str, Any]:
    """Parameters for images of this shape [H, W, C], drawn on the host.

    The same tree and distribution as `encoder.init`, which would compile for seconds, see
    `networks.init_mlp`; a test compares the two.
    """
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    height, width, inputs = shape
    layers = {}
    for i, (size, stride, channels) in enumerate(encoder.convolutions):
        layers[f"Conv_{i}"] = _drawn(rng, (size, size, inputs, channels), 2.0)
        height, width, inputs = -(-height // stride), -(-width // stride), channels
    layers["Dense_0"] = _drawn(rng, (height * width * inputs, encoder.features), 1.0)
    one, zero = np.ones(encoder.features, np.float32), np.zeros(encoder.features, np.float32)
    layers["LayerNorm_0"] = {"scale": one, "bias": zero}
    return jax.device_put({"params": layers})


def _drawn(rng: np.random.Generator, shape: tuple[int, ...], variance: float) -> dict[str, Any]:
    bound = (3.0 * variance / math.prod(shape[:-1])) ** 0.5
    kernel = rng.uniform(-bound, bound, shape).astype(np.float32)
    return {"kernel": kernel, "bias": np.zeros(shape[-1], np.float32)}


def encoder_layers(
    encoder: Encoder, params: Mapping[str, Any], name: str, source: str
) -> Iterator[Layer]:
    """The encoder of the layer `source` as layers of a policy, whose names begin with `name`."""
    for i, shape in enumerate(encoder.convolutions):
        options = {"stride": shape.stride, "padding": _SAME}
        tensors = dict(params["params"][f"Conv_{i}"])
        yield Layer(f"{name}_conv_{i}", "conv", (source,), options, tensors)
        source = f"{name}_active_{i}"
        yield Layer(source, "activation", (f"{name}_conv_{i}",), {"function": "relu"})
    yield Layer(f"{name}_flat", "flatten", (source,))
    tensors = dict(params["params"]["Dense_0"])
    yield Layer(f"{name}_dense", "dense", (f"{name}_flat",), {}, tensors)
    tensors, options = dict(params["params"]["LayerNorm_0"]), {"epsilon": _EPSILON}
    yield Layer(f"{name}_norm", "layer_norm", (f"{name}_dense",), options, tensors)
    yield Layer(f"{name}_features", "activation", (f"{name}_norm",), {"function": "tanh"})
