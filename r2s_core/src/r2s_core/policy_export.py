"""A policy as data: the observation groups that it reads, and a small graph of tagged layers.

Imports neither JAX nor MuJoCo. `r2s_core.policy.graph` defines what each kind of layer computes;
NumPy, JAX and ONNX evaluate the same list.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class ArraySpec:
    """An observation group of one world: float32[n] numbers, a uint8[H, W, C] image, or a depth
    image, uint16[H, W, 1] in millimetres, 0 where nothing is seen.

    names: one for each number of a vector, in order; empty: they are numbered.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    names: tuple[str, ...] = ()

    @property
    def nbytes(self) -> int:
        """Bytes of one world's array."""
        return math.prod(self.shape) * {"uint8": 1, "uint16": 2}.get(self.dtype, 4)

    @property
    def is_image(self) -> bool:
        """Whether it is an image: [H, W, C]."""
        return len(self.shape) == 3


@dataclasses.dataclass(frozen=True, eq=False)
class Layer:
    """One node of a policy's graph: an operation (`kind`) on its inputs.

    name: of its output. inputs: observation groups or earlier layers, by name. options: plain
    numbers and strings. tensors: host float32 arrays. See `r2s_core.policy.graph.KINDS`.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    tensors: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, eq=False)
class PolicyExport:
    """A deterministic policy as a graph of layers.

    layers: in the order in which they are evaluated. The last gives the action in [-1, 1], so its
    kind is "squash"; r2s scales it to the action's bounds.
    """

    layers: tuple[Layer, ...]

    @staticmethod
    def mlp(
        layers: Sequence[tuple[Any, Any]],
        activation: str,
        observation_mean: Any,
        observation_std: Any,
        observation_clip: float,
        output: str,
        group: str = "policy",
    ) -> PolicyExport:
        """A multilayer perceptron on one vector.

        Args:
          layers: (kernel [in, out], bias [out]) of each.
          activation: "elu", "relu", "tanh" or "swish", between them.
          observation_mean, observation_std: float32[n]; the network reads
            clip((observation - mean) / std, -observation_clip, observation_clip).
          output: "clip" or "tanh", which brings the action into [-1, 1].
        """
        statistics = {"mean": observation_mean, "std": observation_std}
        read = Layer("normalised", "normalise", (group,), {"clip": observation_clip}, statistics)
        return PolicyExport.on((read,), layers, activation, output)

    @staticmethod
    def on(
        read: Sequence[Layer], layers: Sequence[tuple[Any, Any]], activation: str, output: str
    ) -> PolicyExport:
        """A multilayer perceptron, as in `mlp`, on the vector that the last layer of `read`
        gives."""
        graph = [*read]
        for i, (kernel, bias) in enumerate(layers):
            tensors = {"kernel": kernel, "bias": bias}
            graph.append(Layer(f"dense_{i}", "dense", (graph[-1].name,), {}, tensors))
            if i + 1 < len(layers):
                options = {"function": activation}
                graph.append(Layer(f"active_{i}", "activation", (graph[-1].name,), options))
        graph.append(Layer("squashed", "squash", (graph[-1].name,), {"function": output}))
        return PolicyExport(tuple(graph))
