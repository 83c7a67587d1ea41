"""A saved policy as an ONNX file: the same graph, for runtimes without NumPy or JAX."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from r2s_core.policy import graph
from r2s_core.policy.saved import PolicyError, SavedPolicy
from r2s_core.policy_export import Layer
from r2s_core.system import files

#: Versions of the operator set, and of the file format: the oldest that has it.
OPSET, _IR_VERSION = 17, 8
_BATCH = "batch"


def save_onnx(policy: SavedPolicy, path: Path | str) -> Path:
    """Write the policy to `path`.

    See `onnx_model`, whose errors it raises.
    """
    path = Path(path)
    files.write_bytes(path, onnx_model(policy).SerializeToString())
    return path


def onnx_model(policy: SavedPolicy) -> Any:
    """The policy as an `onnx.ModelProto`.

    Inputs are its observation groups by name, float32[batch, n], uint8[batch, H, W, C] or
    uint16[batch, H, W, 1]; the output `action` is float32[batch, A] within its bounds. The contract
    is in the metadata.

    Raises `PolicyError` where the package onnx is not installed.
    """
    try:
        import onnx
    except ImportError:
        missing = "an ONNX file needs the package onnx: pip install r2s-core[onnx]"
        raise PolicyError(missing) from None
    build = _Builder(policy)
    for layer in policy.layers:
        build.add(layer)
    helper, kinds = onnx.helper, onnx.TensorProto
    last = policy.layers[-1].name
    inputs = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype)), [_BATCH, *spec.shape]
        )
        for name, spec in policy.observations.items()
    ]
    action = helper.make_tensor_value_info(last, kinds.FLOAT, [_BATCH, policy.action_size])
    constants = [onnx.numpy_helper.from_array(x, name) for name, x in build.constants.items()]
    onnx_graph = helper.make_graph(build.nodes, "policy", inputs, [action], constants)
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(
        onnx_graph, producer_name="r2s", opset_imports=[opset], ir_version=_IR_VERSION
    )
    contract = policy.contract
    helper.set_model_props(model, {"task": contract["task"], "sha256": contract["sha256"]})
    onnx.checker.check_model(model, full_check=True)
    return model


class _Builder:
    """Collects nodes and constants; a layer's value has the layer's name."""

    def __init__(self, policy: SavedPolicy) -> None:
        from onnx import helper

        self._make = helper.make_node
        self._tensors = policy.tensors
        self._shapes = {name: spec.shape for name, spec in policy.observations.items()}
        self._shapes |= graph.infer(policy.layers, policy.observations)
        self.nodes: list[Any] = []
        self.constants: dict[str, np.ndarray] = {}

    def add(self, layer: Layer) -> None:
        """The nodes of one layer."""
        _NODES[layer.kind](self, layer)

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Append a node; returns its output's name."""
        self.nodes.append(self._make(kind, [*inputs], [output], **attributes))
        return output

    def constant(self, name: str, value: Any) -> str:
        """Add a constant; returns its name."""
        self.constants[name] = np.ascontiguousarray(value)
        return name

    def tensor(self, layer: Layer, name: str) -> str:
        """Add one of a layer's tensors unchanged; returns its name."""
        return self.constant(f"{layer.name}.{name}", self._tensors[f"{layer.name}.{name}"])

    def normalise(self, layer: Layer) -> None:
        (source,), name, clip = layer.inputs, layer.name, np.float32(layer.options["clip"])
        x = self.node("Cast", [source], f"{name}.float", to=1)
        x = self.node("Sub", [x, self.tensor(layer, "mean")], f"{name}.centred")
        x = self.node("Div", [x, self.tensor(layer, "std")], f"{name}.scaled")
        low, high = self.constant(f"{name}.low", -clip), self.constant(f"{name}.high", clip)
        self.node("Clip", [x, low, high], name)

    def dense(self, layer: Layer) -> None:
        kernel, bias = self.tensor(layer, "kernel"), self.tensor(layer, "bias")
        x = self.node("MatMul", [layer.inputs[0], kernel], f"{layer.name}.product")
        self.node("Add", [x, bias], layer.name)

    def layer_norm(self, layer: Layer) -> None:
        inputs = [layer.inputs[0], self.tensor(layer, "scale"), self.tensor(layer, "bias")]
        epsilon = float(layer.options["epsilon"])
        self.node("LayerNormalization", inputs, layer.name, axis=-1, epsilon=epsilon)

    def conv(self, layer: Layer) -> None:
        (source,), name, stride = layer.inputs, layer.name, layer.options["stride"]
        kernel = self._tensors[f"{name}.kernel"]
        (top, bottom), (left, right) = graph.padding(layer, kernel.shape, self._shapes[source])
        weights = self.constant(f"{name}.kernel", kernel.transpose(3, 2, 0, 1))
        x = self.node("Transpose", [source], f"{name}.channels_first", perm=[0, 3, 1, 2])
        x = self.node(
            "Conv",
            [x, weights, self.tensor(layer, "bias")],
            f"{name}.convolved",
            strides=[stride, stride],
            pads=[top, left, bottom, right],
        )
        self.node("Transpose", [x], name, perm=[0, 2, 3, 1])

    def activation(self, layer: Layer) -> None:
        (source,), name, function = layer.inputs, layer.name, layer.options["function"]
        if function == "swish":
            gate = self.node("Sigmoid", [source], f"{name}.gate")
            self.node("Mul", [source, gate], name)
        else:
            self.node({"elu": "Elu", "relu": "Relu", "tanh": "Tanh"}[function], [source], name)

    def flatten(self, layer: Layer) -> None:
        self.node("Flatten", layer.inputs, layer.name, axis=1)

    def concat(self, layer: Layer) -> None:
        self.node("Concat", layer.inputs, layer.name, axis=-1)

    def squash(self, layer: Layer) -> None:
        if layer.options["function"] == "tanh":
            self.node("Tanh", layer.inputs, layer.name)
            return
        low = self.constant(f"{layer.name}.low", np.float32(-1.0))
        high = self.constant(f"{layer.name}.high", np.float32(1.0))
        self.node("Clip", [layer.inputs[0], low, high], layer.name)

    def scale(self, layer: Layer) -> None:
        name, low = layer.name, self._tensors[f"{layer.name}.low"]
        half = (self._tensors[f"{name}.high"] - low) / np.float32(2.0)
        one = self.constant(f"{name}.one", np.float32(1.0))
        x = self.node("Add", [layer.inputs[0], one], f"{name}.from_zero")
        x = self.node("Mul", [x, self.constant(f"{name}.half", half)], f"{name}.wide")
        self.node("Add", [x, self.tensor(layer, "low")], name)


#: One method per kind, see `r2s_core.policy.graph.KINDS`.
_NODES: Mapping[str, Callable[[_Builder, Layer], None]] = {
    kind: getattr(_Builder, kind) for kind in graph.KINDS
}
