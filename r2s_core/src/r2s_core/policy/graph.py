"""The kinds of layers in a policy, defined once for NumPy and JAX.

A policy is a list of `r2s_core.policy_export.Layer`. Each kind here checks the shapes of its inputs
and tensors, computes its output with the functions of `numpy` or `jax.numpy`, and bounds how large
that can become. Arrays have any leading dimensions before those of the shapes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from r2s_core.policy_export import ArraySpec, Layer

Shape = tuple[int, ...]
#: Shape and dtype of the values between two layers.
Known = ArraySpec

#: Functions of (values, the module numpy or jax.numpy), by name.
ACTIVATIONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "elu": lambda x, xp: xp.where(x >= 0, x, xp.exp(xp.minimum(x, 0.0)) - np.float32(1.0)),
    "relu": lambda x, xp: xp.where(x > 0, x, np.float32(0.0)),
    "tanh": lambda x, xp: xp.tanh(x),
    # This sigmoid cannot overflow.
    "swish": lambda x, xp: x * (np.float32(0.5) * (1 + xp.tanh(np.float32(0.5) * x))),
}
SQUASHES: Mapping[str, Callable[[Any, Any], Any]] = {
    "clip": lambda x, xp: xp.clip(x, np.float32(-1.0), np.float32(1.0)),
    "tanh": lambda x, xp: xp.tanh(x),
}
PADDINGS = ("same", "valid")
_MOST = 2**24  # numbers in a group or in a layer's output, for one observation
_WIDEST = 64  # rows and columns of a kernel
_LAYERS = 256
_ALL = 2**26  # numbers in the outputs of all layers
_WORK = 2**34  # multiplications for one observation


@dataclasses.dataclass(frozen=True)
class Kind:
    """The definition of one kind of layer.

    tensors, options: their names. shape: (layer, its inputs) -> shape of the output, ValueError
    with a sentence where they do not fit. compute: (layer, tensors, inputs, module) -> output.
    bound: (layer, tensors, bounds of the inputs) -> bounds on the output's magnitude, as float64
    arrays of these shapes.
    """

    tensors: tuple[str, ...]
    options: tuple[str, ...]
    shape: Callable[[Layer, Sequence[Known]], Shape]
    compute: Callable[[Layer, Mapping[str, Any], Sequence[Any], Any], Any]
    bound: Callable[[Layer, Mapping[str, np.ndarray], Sequence[np.ndarray]], np.ndarray]


def infer(layers: Sequence[Layer], groups: Mapping[str, ArraySpec]) -> dict[str, Shape]:
    """The shape of each layer's output, by name; ValueError where layers do not fit together.

    groups: the available observations.
    """
    if len(layers) > _LAYERS:
        raise ValueError(f"{len(layers):,} layers; at most {_LAYERS}")
    known: dict[str, Known] = dict(groups)
    numbers = work = 0
    for name, each in groups.items():
        _check_size(name, each.shape)
    for layer in layers:
        shape = _shape_of(layer, known)
        _check_size(layer.name, shape)
        known[layer.name] = ArraySpec(shape)
        numbers += math.prod(shape)
        kernel = np.shape(layer.tensors.get("kernel", 0.0))
        work += math.prod(shape) * math.prod(kernel[:-1])
        if numbers > _ALL or work > _WORK:
            raise ValueError(
                f"up to {layer.name} the layers output {numbers:,} numbers by {work:,} "
                f"multiplications; at most {_ALL:,} by {_WORK:,}"
            )
    return {layer.name: known[layer.name].shape for layer in layers}


def _check_size(name: str, shape: Shape) -> None:
    if math.prod(shape) > _MOST:
        raise ValueError(f"{name} is {list(shape)}, more than {_MOST:,} numbers")


def _shape_of(layer: Layer, known: Mapping[str, Known]) -> Shape:
    if layer.kind not in KINDS:
        raise ValueError(f"{layer.name} has the kind {layer.kind!r}; known: {', '.join(KINDS)}")
    if layer.name in known:
        raise ValueError(f"the name {layer.name} is used twice")
    kind = KINDS[layer.kind]
    for given, expected, what in (
        (layer.tensors, kind.tensors, "tensors"),
        (layer.options, kind.options, "options"),
    ):
        if set(given) != set(expected):
            found = ", ".join(sorted(given)) or "none"
            raise ValueError(
                f"{layer.name} has the {what} {found}; {layer.kind} takes {list(expected)}"
            )
    for name in layer.inputs:
        if name not in known:
            raise ValueError(f"{layer.name} reads {name}, which no earlier layer outputs")
    inputs = [known[name] for name in layer.inputs]
    if layer.kind != "concat" and len(inputs) != 1:
        raise ValueError(f"{layer.name} reads {len(inputs)} inputs; {layer.kind} reads one")
    if layer.kind != "normalise" and any(each.dtype != "float32" for each in inputs):
        raise ValueError(f"{layer.name} reads {inputs[0].dtype}; normalise it first")
    try:
        shape = kind.shape(layer, inputs)
    except ValueError as error:
        raise ValueError(f"{layer.name} ({layer.kind}): {error}") from None
    if 0 in shape or any(0 in np.shape(tensor) for tensor in layer.tensors.values()):
        raise ValueError(f"{layer.name} is empty: one of its sizes is 0")
    return shape


def evaluate(
    layers: Sequence[Layer],
    tensors: Mapping[str, Any],
    obs: Mapping[str, Any],
    module: Any,
) -> Any:
    """The last layer's output.

    tensors: by "layer.tensor", NumPy's or JAX's. obs: group -> values [..., *shape]. module:
    `numpy` or `jax.numpy`.
    """
    values: dict[str, Any] = dict(obs)
    for layer in layers:
        own = {name: tensors[f"{layer.name}.{name}"] for name in KINDS[layer.kind].tensors}
        inputs = [values[name] for name in layer.inputs]
        values[layer.name] = KINDS[layer.kind].compute(layer, own, inputs, module)
    return values[layers[-1].name]


def largest(
    layers: Sequence[Layer], tensors: Mapping[str, np.ndarray], groups: Mapping[str, ArraySpec]
) -> float:
    """An upper bound on all values within the network, for any observation; inf: unbounded."""
    bounds: dict[str, np.ndarray] = {
        name: np.full(group.shape, np.inf) for name, group in groups.items()
    }
    most = 0.0
    last_use = {name: i for i, layer in enumerate(layers) for name in layer.inputs}
    with np.errstate(over="ignore", invalid="ignore"):
        for index, layer in enumerate(layers):
            own = {name: tensors[f"{layer.name}.{name}"] for name in KINDS[layer.kind].tensors}
            own = {name: np.abs(tensor.astype(np.float64)) for name, tensor in own.items()}
            inputs = [bounds[name] for name in layer.inputs]
            bound = KINDS[layer.kind].bound(layer, own, inputs)
            bounds[layer.name] = np.where(np.isnan(bound), np.inf, bound)
            most = max(most, float(bounds[layer.name].max()))
            for name in {*layer.inputs, layer.name}:
                if last_use.get(name, 0) <= index:
                    del bounds[name]
    return most


def tensors_of(layers: Sequence[Layer]) -> dict[str, np.ndarray]:
    """Every layer's tensors, host float32, by "layer.tensor"."""
    return {
        f"{layer.name}.{name}": np.ascontiguousarray(np.asarray(tensor, np.float32))
        for layer in layers
        for name, tensor in layer.tensors.items()
    }


def group_names(layers: Sequence[Layer]) -> tuple[str, ...]:
    """The observation groups that are read, in the order of their first use."""
    given = {layer.name for layer in layers}
    read = (name for layer in layers for name in layer.inputs if name not in given)
    return tuple(dict.fromkeys(read))


# The kinds.


def _size(inputs: Sequence[Known]) -> int:
    shape = inputs[0].shape
    if len(shape) != 1:
        raise ValueError(f"reads shape {list(shape)}; it takes a vector")
    return shape[0]


def _require(layer: Layer, name: str, shape: Shape) -> None:
    found = np.shape(layer.tensors[name])
    if found != shape:
        raise ValueError(f"{name} has shape {list(found)}, not {list(shape)}")


def _choice(layer: Layer, name: str, choices: Sequence[str]) -> None:
    if layer.options[name] not in choices:
        raise ValueError(f"{name} is {layer.options[name]!r}; known: {', '.join(choices)}")


def _normalise_shape(layer: Layer, inputs: Sequence[Known]) -> Shape:
    clip, shape = layer.options["clip"], inputs[0].shape
    if isinstance(clip, bool) or not isinstance(clip, int | float) or not 0 < clip < math.inf:
        raise ValueError(f"clip is {clip!r}; it must be a number above 0")
    for name in ("mean", "std"):
        own = np.shape(layer.tensors[name])
        if own not in (shape, shape[-1:]):
            fits = " or ".join(str(list(s)) for s in dict.fromkeys((shape, shape[-1:])))
            raise ValueError(f"{name} has shape {list(own)}, not {fits}")
    return shape


def _normalise(layer: Layer, tensors: Mapping[str, Any], inputs: Sequence[Any], xp: Any) -> Any:
    clip = np.float32(layer.options["clip"])
    x = (xp.asarray(inputs[0], np.float32) - tensors["mean"]) / tensors["std"]
    return xp.clip(x, -clip, clip)


def _dense_shape(layer: Layer, inputs: Sequence[Known]) -> Shape:
    size, kernel = _size(inputs), np.shape(layer.tensors["kernel"])
    _require(layer, "kernel", (size, kernel[-1] if kernel else 1))
    _require(layer, "bias", kernel[1:])
    return kernel[1:]


def _dense(layer: Layer, tensors: Mapping[str, Any], inputs: Sequence[Any], xp: Any) -> Any:
    return xp.matmul(inputs[0], tensors["kernel"]) + tensors["bias"]


def _layer_norm_shape(layer: Layer, inputs: Sequence[Known]) -> Shape:
    shape, epsilon = inputs[0].shape, layer.options["epsilon"]
    least = float(np.finfo(np.float32).tiny)  # smaller ones are 0 in float32
    number = isinstance(epsilon, int | float) and not isinstance(epsilon, bool)
    if not number or not least <= epsilon < 1:
        raise ValueError(f"epsilon is {epsilon!r}; it must be a number from {least:.3g} to 1")
    for name in ("scale", "bias"):
        _require(layer, name, shape[-1:])
    return shape


def _layer_norm(layer: Layer, tensors: Mapping[str, Any], inputs: Sequence[Any], xp: Any) -> Any:
    x = inputs[0] - inputs[0].mean(-1, keepdims=True)
    variance = (x * x).mean(-1, keepdims=True)
    x = x / xp.sqrt(variance + np.float32(layer.options["epsilon"]))
    return x * tensors["scale"] + tensors["bias"]


def padding(layer: Layer, kernel: Shape, shape: Shape) -> tuple[tuple[int, int], tuple[int, int]]:
    """(before, after) for the rows and columns of an image [H, W, C]; kernel: its shape."""
    if layer.options["padding"] == "valid":
        return (0, 0), (0, 0)
    stride = layer.options["stride"]

    def side(length: int, width: int) -> tuple[int, int]:
        missing = max((-(-length // stride) - 1) * stride + width - length, 0)
        return missing // 2, missing - missing // 2

    return side(shape[0], kernel[0]), side(shape[1], kernel[1])


def _conv_shape(layer: Layer, inputs: Sequence[Known]) -> Shape:
    shape, kernel = inputs[0].shape, np.shape(layer.tensors["kernel"])
    if len(shape) != 3:
        raise ValueError(f"reads shape {list(shape)}; it takes an image [H, W, C]")
    if len(kernel) != 4 or kernel[2] != shape[2]:
        raise ValueError(f"kernel has shape {list(kernel)}, not [height, width, {shape[2]}, out]")
    if max(kernel[:2]) > _WIDEST:
        raise ValueError(f"kernel has shape {list(kernel)}; at most {_WIDEST} rows and columns")
    _require(layer, "bias", kernel[3:])
    _choice(layer, "padding", PADDINGS)
    stride = layer.options["stride"]
    if isinstance(stride, bool) or not isinstance(stride, int) or stride < 1:
        raise ValueError(f"stride is {stride!r}; it must be a whole number from 1")
    sides = zip(shape[:2], kernel[:2], padding(layer, kernel, shape), strict=True)
    height, width = ((length + sum(pads) - k) // stride + 1 for length, k, pads in sides)
    if min(height, width) < 1:
        raise ValueError(f"the image, {list(shape)}, is smaller than the kernel, {list(kernel)}")
    return (height, width, kernel[3])


def _conv(layer: Layer, tensors: Mapping[str, Any], inputs: Sequence[Any], xp: Any) -> Any:
    """A sum over the kernel's positions, with one matrix product for each."""
    (x,), kernel, stride = inputs, tensors["kernel"], layer.options["stride"]
    pads = padding(layer, kernel.shape, x.shape[-3:])
    x = xp.pad(x, [(0, 0)] * (x.ndim - 3) + [*pads, (0, 0)])
    rows, columns = kernel.shape[:2]
    height, width = (x.shape[-3] - rows) // stride + 1, (x.shape[-2] - columns) // stride + 1
    total = tensors["bias"]
    for i in range(rows):
        for j in range(columns):
            down = slice(i, i + (height - 1) * stride + 1, stride)
            across = slice(j, j + (width - 1) * stride + 1, stride)
            total = total + xp.matmul(x[..., down, across, :], kernel[i, j])
    return total


def _activation_shape(layer: Layer, inputs: Sequence[Known]) -> Shape:
    _choice(layer, "function", tuple(ACTIVATIONS))
    return inputs[0].shape


def _squash_shape(layer: Layer, inputs: Sequence[Known]) -> Shape:
    _choice(layer, "function", tuple(SQUASHES))
    return inputs[0].shape


def _concat_shape(layer: Layer, inputs: Sequence[Known]) -> Shape:
    if not inputs:
        raise ValueError("reads nothing")
    shapes = [each.shape for each in inputs]
    if len({(len(shape), shape[:-1]) for shape in shapes}) > 1 or len(shapes[0]) not in (1, 3):
        found = ", ".join(str(list(shape)) for shape in shapes)
        raise ValueError(f"reads {found}; it takes vectors, or images of equal height and width")
    return (*shapes[0][:-1], sum(shape[-1] for shape in shapes))


def _flatten_shape(layer: Layer, inputs: Sequence[Known]) -> Shape:
    shape = inputs[0].shape
    if len(shape) != 3:
        raise ValueError(f"reads shape {list(shape)}; it takes an image [H, W, C]")
    return (math.prod(shape),)


def _scale_shape(layer: Layer, inputs: Sequence[Known]) -> Shape:
    shape = (_size(inputs),)
    for name in ("low", "high"):
        _require(layer, name, shape)
    return shape


def to_bounds(x: Any, low: Any, high: Any) -> Any:
    """From [-1, 1] to [low, high]; arrays [..., A] of NumPy or JAX."""
    return low + (x + np.float32(1.0)) / np.float32(2.0) * (high - low)


KINDS: Mapping[str, Kind] = {
    # clip((x - mean) / std, -clip, clip); also from integers to float32
    "normalise": Kind(
        ("mean", "std"),
        ("clip",),
        _normalise_shape,
        _normalise,
        lambda layer, _, inputs: np.full(inputs[0].shape, float(layer.options["clip"])),
    ),
    # x kernel + bias
    "dense": Kind(
        ("kernel", "bias"),
        (),
        _dense_shape,
        _dense,
        lambda layer, tensors, inputs: _dense(layer, tensors, inputs, np),
    ),
    # (x - mean(x)) / sqrt(variance(x) + epsilon) * scale + bias, over the last axis
    "layer_norm": Kind(
        ("scale", "bias"),
        ("epsilon",),
        _layer_norm_shape,
        _layer_norm,
        lambda layer, t, inputs: (
            np.sqrt(inputs[0].shape[-1]) * t["scale"] + t["bias"] + 0.0 * inputs[0]
        ),
    ),
    # correlation of an image [H, W, C] with kernel [height, width, C, out], + bias
    "conv": Kind(
        ("kernel", "bias"),
        ("stride", "padding"),
        _conv_shape,
        _conv,
        lambda layer, tensors, inputs: _conv(layer, tensors, inputs, np),
    ),
    "activation": Kind(
        (),
        ("function",),
        _activation_shape,
        lambda layer, _, inputs, xp: ACTIVATIONS[layer.options["function"]](inputs[0], xp),
        lambda layer, _, inputs: np.maximum(inputs[0], 1.0),  # none increases the magnitude
    ),
    # [H, W, C] -> [H * W * C], rows first
    "flatten": Kind(
        (),
        (),
        _flatten_shape,
        lambda layer, _, inputs, xp: inputs[0].reshape(
            *inputs[0].shape[:-3], math.prod(inputs[0].shape[-3:])
        ),
        lambda layer, _, inputs: inputs[0].ravel(),
    ),
    # vectors one after the other, or the channels of images
    "concat": Kind(
        (),
        (),
        _concat_shape,
        lambda layer, _, inputs, xp: xp.concatenate(inputs, -1),
        lambda layer, _, inputs: np.concatenate(inputs, -1),
    ),
    # into [-1, 1]
    "squash": Kind(
        (),
        ("function",),
        _squash_shape,
        lambda layer, _, inputs, xp: SQUASHES[layer.options["function"]](inputs[0], xp),
        lambda layer, _, inputs: np.ones(inputs[0].shape),
    ),
    # low + (x + 1) / 2 * (high - low)
    "scale": Kind(
        ("low", "high"),
        (),
        _scale_shape,
        lambda layer, t, inputs, xp: to_bounds(inputs[0], t["low"], t["high"]),
        lambda layer, tensors, inputs: tensors["low"] + tensors["high"],
    ),
}
