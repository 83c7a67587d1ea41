"""`policy.json`: what a policy reads and gives, checked by field, under a digest of its own."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal

from r2s_core.errors import R2SError
from r2s_core.plugin import option
from r2s_core.system import documents, files

FORMAT = "r2s-policy/2"
CONTRACT = "policy.json"
WEIGHTS = "weights.safetensors"
# What is so of every policy, told in the file to whoever reads it.
Units = Literal["SI (m, s, kg, N) and radians; quaternions are (w, x, y, z)"]
Normalisation = Literal["clip((observation - mean) / std, -clip, clip)"]
Group = Literal["policy"]
Scaling = Literal["low + (y + 1) / 2 * (high - low), y in [-1, 1]"]


class PolicyError(R2SError):
    """A saved policy is missing, damaged, or does not fit."""


@dataclasses.dataclass(frozen=True)
class Observation:
    """What is read: the group's numbers in order, normalised with two tensors, then clipped."""

    group: Group
    size: int = option(minimum=1)
    names: tuple[str, ...] = option()
    normalisation: Normalisation = option()
    clip: float = option(above=0.0)

    def __post_init__(self) -> None:
        _check_names(self.names, self.size)


@dataclasses.dataclass(frozen=True)
class Network:
    """How the layers follow each other."""

    kind: Literal["multilayer perceptron"]
    layers: int = option(minimum=1, maximum=1000)
    activation: Literal["elu", "relu", "tanh", "swish"] = option()


@dataclasses.dataclass(frozen=True)
class Action:
    """What is given: numbers in order, each between its two bounds."""

    size: int = option(minimum=1)
    names: tuple[str, ...] = option()
    low: tuple[float, ...] = option()
    high: tuple[float, ...] = option()
    squashing: Literal["clip", "tanh"] = option()
    scaling: Scaling = option()

    def __post_init__(self) -> None:
        _check_names(self.names, self.size)
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
    """Everything in the file; `sha256` is of the others, as `digest` takes it."""

    format: Literal["r2s-policy/2"]
    task: str
    units: Units
    control_rate_hz: float = option(above=0.0)
    max_episode_steps: int = option(minimum=1, maximum=10**9)
    observation: Observation = option()
    network: Network = option()
    action: Action = option()
    tensors: Mapping[str, tuple[int, ...]] = option()
    weights: Weights = option()
    provenance: Mapping[str, Any] = option()
    sha256: str = option()

    def __post_init__(self) -> None:
        expected = self._expected_shapes()
        for name, shape in expected.items():
            found = self.tensors.get(name)
            if found != shape:
                raise ValueError(f"the tensor {name} has shape {_list(found)}, not {list(shape)}")
            if 0 in shape:
                raise ValueError(f"the tensor {name} has shape {list(shape)}, which holds nothing")
        if extra := sorted(set(self.tensors) - set(expected)):
            raise ValueError(f"the tensor {extra[0]} is unknown")

    def _expected_shapes(self) -> dict[str, tuple[int, ...]]:
        """A chain of layers from observations to actions."""
        n, actions = self.observation.size, self.action.size
        shapes: dict[str, tuple[int, ...]] = {
            "observation.mean": (n,),
            "observation.std": (n,),
            "action.low": (actions,),
            "action.high": (actions,),
        }
        width = n
        for i in range(self.network.layers):
            kernel = self.tensors.get(f"layers.{i}.kernel", ())
            last = i + 1 == self.network.layers
            out = actions if last else kernel[1] if len(kernel) == 2 else 1
            shapes[f"layers.{i}.kernel"] = (width, out)
            shapes[f"layers.{i}.bias"] = (out,)
            width = out
        return shapes


def sealed(contract: Mapping[str, Any]) -> dict[str, Any]:
    """The contract with the digest over all of it."""
    return {**contract, "sha256": digest(contract)}


def digest(contract: Mapping[str, Any]) -> str:
    """SHA-256 of the text of the contract without its key `sha256`."""
    rest = {name: value for name, value in contract.items() if name != "sha256"}
    return hashlib.sha256(text_of(rest).encode()).hexdigest()


def text_of(contract: Mapping[str, Any]) -> str:
    """What stands in the file; ValueError where a value is no JSON."""
    return json.dumps(contract, indent=2, allow_nan=False) + "\n"


def parse(data: bytes, where: str) -> dict[str, Any]:
    """The contract in a file's content, exactly as it was saved; raises `PolicyError`.

    The digest is over values, and some texts differ in no value (1e-5 and 1E-5); so the content
    must also be the very text that those values are written as.
    """
    try:
        contract = files.parse_json(data.decode())
    except ValueError as error:
        raise PolicyError(f"{where} is not a policy's contract: {error}.") from error
    if not isinstance(contract, dict):
        raise PolicyError(f"{where} is not a policy's contract: it holds no mapping.")
    if contract.get("format") == "r2s-policy/1":
        raise PolicyError(
            f"{where} was saved by an earlier r2s, without the digest that shows that nobody "
            "changed it; train the policy again with this version."
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


def check(contract: Any, where: str) -> None:
    """Everything that `SavedPolicy` relies on; raises `PolicyError` with the key that is wrong."""
    documents.parse(Contract, contract, where, error=PolicyError)


def _check_names(names: tuple[str, ...], size: int) -> None:
    if len(names) != size:
        raise ValueError(f"names lists {len(names)} names for {size} numbers")


def _list(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else str(list(shape))
