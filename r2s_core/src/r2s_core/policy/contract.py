"""`policy.json`: a policy's inputs and outputs, checked field by field, with a digest."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from r2s_core.camera import Camera
from r2s_core.errors import R2SError
from r2s_core.plugin import option
from r2s_core.policy import graph
from r2s_core.policy_export import ArraySpec, Layer
from r2s_core.system import documents, files

FORMAT = "r2s-policy/3"
CONTRACT = "policy.json"
WEIGHTS = "weights.safetensors"
# Facts about every policy, stated in the file for its readers.
Units = Literal["SI (m, s, kg, N) and radians; quaternions are (w, x, y, z)"]
Scaling = Literal["low + (y + 1) / 2 * (high - low), y in [-1, 1]"]


class PolicyError(R2SError):
    """A saved policy is missing, damaged, or does not fit."""


@dataclasses.dataclass(frozen=True)
class Group:
    """An observation group that the policy reads: a vector of numbers, an image of bytes, or one of
    depths in millimetres."""

    shape: tuple[int, ...]
    dtype: Literal["float32", "uint8", "uint16"]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.shape or min(self.shape) < 1:
            raise ValueError(f"shape is {list(self.shape)}; every size must be 1 or more")
        if len(self.shape) == 1:
            _check_names(self.names, self.shape[0])
        elif len(self.shape) != 3 or self.names:
            raise ValueError("it is a vector with names, or an image [H, W, C] without")


@dataclasses.dataclass(frozen=True)
class Step:
    """A layer; `r2s_core.policy.graph.KINDS` defines what each kind computes."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    options: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Action:
    """The output: numbers in order, each between its two bounds."""

    size: int = option(minimum=1)
    names: tuple[str, ...] = option()
    low: tuple[float, ...] = option()
    high: tuple[float, ...] = option()
    scaling: Scaling = option()
    chunk: int = option(1, minimum=1)  # control steps in it: their numbers one after the other

    def __post_init__(self) -> None:
        _check_names(self.names, self.size)
        if self.size % self.chunk:
            raise ValueError(f"size is {self.size}, not a multiple of chunk, {self.chunk}")
        if not len(self.low) == len(self.high) == self.size:
            raise ValueError(f"low and high need a bound for each of {self.size} numbers")
        for name, low, high in zip(self.names, self.low, self.high, strict=True):
            if not low < high:
                raise ValueError(f"low of {name} is {low:g}, not below its high, {high:g}")


@dataclasses.dataclass(frozen=True)
class Weights:
    """The file of the tensors."""

    file: Literal["weights.safetensors"]
    sha256: str


@dataclasses.dataclass(frozen=True)
class Contract:
    """Everything in the file; `sha256` is the `digest` of the other fields.

    cameras: whose images the policy reads, by name; the file leaves them out where there are none.
    """

    format: Literal["r2s-policy/3"]
    task: str
    units: Units
    control_rate_hz: float = option(above=0.0)
    max_episode_steps: int = option(minimum=1, maximum=10**9)
    observations: Mapping[str, Group] = option()
    network: tuple[Step, ...] = option()
    action: Action = option()
    tensors: Mapping[str, tuple[int, ...]] = option()
    weights: Weights = option()
    provenance: Mapping[str, Any] = option()
    sha256: str = option()
    cameras: Mapping[str, Camera] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        layers = self.layers()
        known = {f"{layer.name}.{name}" for layer in layers for name in layer.tensors}
        if extra := sorted(set(self.tensors) - known):
            raise ValueError(f"the tensor {extra[0]} is unknown")
        shapes = graph.infer(layers, self.groups())
        if unread := sorted(set(self.observations) - set(graph.group_names(layers))):
            raise ValueError(f"no layer reads the observation group {unread[0]}")
        for name, camera in self.cameras.items():
            self._check_camera(name, camera)
        if [layer.kind for layer in layers[-2:]] != ["squash", "scale"]:
            raise ValueError("network must end in squash and scale, which bound the action")
        if shapes[layers[-1].name] != (self.action.size,):
            raise ValueError(
                f"network gives shape {list(shapes[layers[-1].name])} for "
                f"{self.action.size} actions"
            )

    def _check_camera(self, name: str, camera: Camera) -> None:
        read = {g: spec for g, spec in camera.groups(name).items() if g in self.observations}
        if not read:
            raise ValueError(f"cameras.{name}: no layer reads an image of it")
        for group, spec in read.items():
            found = self.observations[group]
            if (found.shape, found.dtype) != (spec.shape, spec.dtype):
                raise ValueError(
                    f"cameras.{name}: its image {group} is {spec.dtype}{list(spec.shape)}, and the "
                    f"observation {found.dtype}{list(found.shape)}"
                )

    def groups(self) -> dict[str, ArraySpec]:
        """The observation groups that the policy reads."""
        return {
            name: ArraySpec(group.shape, group.dtype, group.names)
            for name, group in self.observations.items()
        }

    def layers(self) -> tuple[Layer, ...]:
        """The network, with placeholder tensors of the right shapes."""
        found: dict[str, dict[str, Any]] = {step.name: {} for step in self.network}
        for key, shape in self.tensors.items():
            layer, _, name = key.rpartition(".")
            if layer not in found:
                raise ValueError(f"the tensor {key} is unknown")
            if min(shape, default=1) < 1:
                raise ValueError(f"the tensor {key} has shape {list(shape)}, which is empty")
            found[layer][name] = np.broadcast_to(np.float32(0.0), shape)
        return tuple(
            Layer(step.name, step.kind, step.inputs, step.options, found[step.name])
            for step in self.network
        )


def sealed(contract: Mapping[str, Any]) -> dict[str, Any]:
    """The contract with its digest."""
    return {**contract, "sha256": digest(contract)}


def digest(contract: Mapping[str, Any]) -> str:
    """SHA-256 of the text of the contract without its key `sha256`."""
    rest = {name: value for name, value in contract.items() if name != "sha256"}
    return hashlib.sha256(text_of(rest).encode()).hexdigest()


def text_of(contract: Mapping[str, Any]) -> str:
    """The file's text; ValueError where a value is not JSON."""
    return json.dumps(contract, indent=2, allow_nan=False) + "\n"


def parse(data: bytes, where: str) -> dict[str, Any]:
    """The contract in a file's content, exactly as it was saved; raises `PolicyError`.

    The digest covers values, and different texts can have the same values (1e-5 and 1E-5); so the
    content must also be exactly the text that these values are written as.
    """
    try:
        contract = files.parse_json(data.decode())
    except ValueError as error:
        raise PolicyError(f"{where} is not a policy's contract: {error}.") from error
    if not isinstance(contract, dict):
        raise PolicyError(f"{where} is not a policy's contract: it is not a mapping.")
    if contract.get("format") in ("r2s-policy/1", "r2s-policy/2"):
        raise PolicyError(
            f"{where} was saved by an earlier r2s, in a format that this one does not read; train "
            "the policy again with this version."
        )
    if contract.get("format") != FORMAT:
        found = str(contract.get("format"))[:60]
        raise PolicyError(f"{where} is {found}, but this r2s reads {FORMAT}.")
    if contract.get("sha256") != digest(contract) or text_of(contract).encode() != data:
        raise PolicyError(
            f"{where} is not as it was saved (its SHA-256 differs): it is damaged or was edited; "
            "copy both files of the policy again."
        )
    check(contract, where)
    return contract


def check(contract: Any, where: str) -> Contract:
    """Everything that `SavedPolicy` relies on; raises `PolicyError` with the key that is wrong."""
    return documents.parse(Contract, contract, where, error=PolicyError)


def _check_names(names: tuple[str, ...], size: int) -> None:
    if len(names) != size:
        raise ValueError(f"names lists {len(names)} names for {size} numbers")
