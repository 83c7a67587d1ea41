"""The trained policy as data: `policy/weights.safetensors` and the contract `policy/policy.json`.

Deploying a policy needs neither the plugin that trained it nor JAX: `load_policy` checks both files
bit for bit and against each other, runs no code from them, and returns a function of NumPy arrays.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import safetensors.numpy

from r2s_core.camera import Camera
from r2s_core.policy import contract as policy_contract
from r2s_core.policy import graph
from r2s_core.policy.contract import CONTRACT, FORMAT, WEIGHTS, PolicyError
from r2s_core.policy_export import ArraySpec, Layer
from r2s_core.system import files

if TYPE_CHECKING:  # JAX must not be needed to run a policy
    from r2s_core.types import EnvSpec, PolicyExport

__all__ = ["PolicyError", "PolicySpec", "SavedPolicy", "as_saved", "load_policy", "save_policy"]

_LIMIT = 4 * files.MIB  # of the contract; the longest so far has 6 kB
_LARGEST = float(np.finfo(np.float32).max)
_WEIGHTS_LIMIT = 1024 * files.MIB
(_UNITS,) = get_args(policy_contract.Units)
(_SCALING,) = get_args(policy_contract.Scaling)
_LAYOUTS = {
    "float32": "policy.json names its numbers in order",
    "uint8": "an image has height, width and channels, in whole numbers from 0 to 255",
    "uint16": "a depth image has height, width and one channel, in whole millimetres",
}
_SCALED = "action"  # the layer that r2s adds: from [-1, 1] to the action's bounds


@dataclasses.dataclass(frozen=True)
class PolicySpec:
    """A policy's inputs and outputs; names are in the order of the numbers.

    observations: the environment's groups that the policy reads.
    units: of observations and actions. max_episode_steps: of its training episodes.
    action_chunk: control steps in an action, which lists their numbers one after the other; the
        policy is asked again after them.
    cameras: by name, those whose images it reads, as they were in training.
    """

    task: str
    control_rate_hz: float
    max_episode_steps: int
    observations: Mapping[str, ArraySpec]
    action_names: tuple[str, ...]
    action_low: tuple[float, ...]
    action_high: tuple[float, ...]
    units: str
    action_chunk: int = 1
    cameras: Mapping[str, Camera] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class SavedPolicy:
    """A deterministic policy in NumPy: `policy(obs)`, float32[..., n] -> action float32[..., A].

    contract: the content of `policy.json`, see `as_saved`. tensors: float32, by "layer.tensor".
    """

    contract: Mapping[str, Any]
    tensors: Mapping[str, np.ndarray]

    @functools.cached_property
    def _checked(self) -> policy_contract.Contract:
        return policy_contract.check(self.contract, "The policy")

    @functools.cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The network; see `r2s_core.policy.graph.KINDS`."""
        return self._checked.layers()

    @functools.cached_property
    def observations(self) -> dict[str, ArraySpec]:
        """The observation groups that the policy reads."""
        return self._checked.groups()

    @property
    def action_size(self) -> int:
        return int(self.contract["action"]["size"])

    @property
    def spec(self) -> PolicySpec:
        """Names, units, bounds and the rate at which to call the policy."""
        action = self.contract["action"]
        return PolicySpec(
            task=self.contract["task"],
            control_rate_hz=float(self.contract["control_rate_hz"]),
            max_episode_steps=int(self.contract["max_episode_steps"]),
            observations=self.observations,
            action_names=tuple(action["names"]),
            action_low=tuple(action["low"]),
            action_high=tuple(action["high"]),
            units=self.contract["units"],
            action_chunk=int(action.get("chunk", 1)),
            cameras=self._checked.cameras,
        )

    def __call__(self, obs: Any) -> np.ndarray:
        """The action, float32[..., A], for a mapping of groups to observations [..., *shape].

        Where the policy reads a single group, its array may be passed directly.

        Raises `PolicyError` where an observation has another shape or is not a number.
        """
        read = {name: self._read(name, obs) for name in self.observations}
        leading = {
            name: x.shape[: x.ndim - len(self.observations[name].shape)] for name, x in read.items()
        }
        if len(set(leading.values())) > 1:
            raise PolicyError(
                "The observation groups have different leading dimensions: "
                + ", ".join(f"{name} {list(shape)}" for name, shape in leading.items())
            )
        return graph.evaluate(self.layers, self.tensors, read, np).astype(np.float32)

    def _read(self, name: str, obs: Any) -> np.ndarray:
        """A group's array, checked against the contract."""
        spec = self.observations[name]
        if isinstance(obs, Mapping):
            if name not in obs:
                groups = ", ".join(map(str, obs)) or "none"
                raise PolicyError(
                    f"The policy reads the observation group {name!r}, but the given ones are: "
                    f"{groups}."
                )
            obs = obs[name]
        elif len(self.observations) > 1:
            groups = ", ".join(self.observations)
            raise PolicyError(f"The policy reads several groups: give a mapping of {groups}.")
        x = _numbers(obs, name)
        if spec.dtype == "float32":
            x = x.astype(np.float32)
        if x.dtype != spec.dtype or x.shape[max(x.ndim - len(spec.shape), 0) :] != spec.shape:
            raise PolicyError(
                f"The policy reads {name!r} as {spec.dtype}{list(spec.shape)}, got an array of "
                f"{x.dtype}{list(x.shape)}; {_LAYOUTS[spec.dtype]}."
            )
        if spec.dtype == "float32" and np.isnan(x).any():
            number = int(np.argwhere(np.isnan(x))[0][-1])
            label = spec.names[number] if spec.names else f"{name} {number}"
            raise PolicyError(f"Observation {number} ({label}) is not a number.")
        return x


def _numbers(obs: Any, name: str) -> np.ndarray:
    """The observation as an array of integers or reals, which NumPy would make of much else."""
    try:
        x = np.asarray(obs)
    except (TypeError, ValueError, OverflowError):
        x = None
    if x is None or not (x.dtype.kind in "biuf" or "float" in x.dtype.name):
        found = type(obs).__name__ if x is None else f"{x.dtype}{list(x.shape)}"
        raise PolicyError(f"The policy reads {name!r} as an array of numbers, got {found[:80]}.")
    return x


def as_saved(
    export: PolicyExport,
    spec: EnvSpec,
    *,
    task: str,
    provenance: Mapping[str, Any] | None = None,
) -> SavedPolicy:
    """`export` with its contract, as `load_policy` would read them.

    Args:
      spec: of the environment that it was trained in.
      task: the environment's plugin name.
      provenance: its origin (r2s version, configuration hash, seed, ...), stored as is.

    Raises `PolicyError` if the export contradicts itself or `spec`, or is not finite.
    """
    layers = _scaled(export, spec)
    tensors = graph.tensors_of(layers)
    groups = [name for name in graph.group_names(layers) if name in spec.observations]
    cameras = {
        name: camera.facts()
        for name, camera in spec.cameras.items()
        if not camera.groups(name).keys().isdisjoint(groups)
    }
    contract = {
        "format": FORMAT,
        "task": task,
        "units": _UNITS,
        "control_rate_hz": round(1 / spec.control_dt, 6),
        "max_episode_steps": spec.max_episode_steps,
        "observations": {name: _group(name, spec.observations[name]) for name in groups},
        **({"cameras": cameras} if cameras else {}),
        "network": [
            {
                "name": layer.name,
                "kind": layer.kind,
                "inputs": list(layer.inputs),
                "options": dict(layer.options),
            }
            for layer in layers
        ],
        "action": {
            "size": spec.action_size,
            "names": action_names(spec),
            "low": np.asarray(spec.action_low, np.float32).tolist(),
            "high": np.asarray(spec.action_high, np.float32).tolist(),
            "scaling": _SCALING,
            **({"chunk": spec.action_chunk} if spec.action_chunk > 1 else {}),
        },
        "tensors": {name: list(tensor.shape) for name, tensor in sorted(tensors.items())},
        "weights": {"file": WEIGHTS, "sha256": hashlib.sha256(_bytes(tensors)).hexdigest()},
        "provenance": dict(provenance or {}),
    }
    try:
        contract = policy_contract.sealed(contract)
    except (TypeError, ValueError) as error:
        raise PolicyError(f"The policy is not plain JSON: {error}.") from error
    checked = policy_contract.check(contract, "The policy")
    _check_tensors(tensors, checked, "The policy")
    return SavedPolicy(contract, tensors)


def save_policy(
    directory: Path,
    export: PolicyExport,
    spec: EnvSpec,
    *,
    task: str,
    provenance: Mapping[str, Any] | None = None,
) -> Path:
    """Write the policy of `as_saved` with these arguments to `directory`, which is returned."""
    policy = as_saved(export, spec, task=task, provenance=provenance)
    directory.mkdir(parents=True, exist_ok=True)
    files.write_bytes(directory / WEIGHTS, _bytes(policy.tensors))
    files.write_text(directory / CONTRACT, policy_contract.text_of(policy.contract))
    return directory


def load_policy(directory: str | Path) -> SavedPolicy:
    """The policy saved in `directory` (a `policy/` folder, or the run folder that contains one).

    Raises `PolicyError`, with a sentence that names the file, if a file is missing, truncated,
    changed since it was saved, or inconsistent with the other one.
    """
    if not isinstance(directory, str | os.PathLike):
        raise PolicyError(f"A policy is loaded from a folder, not from {type(directory).__name__}.")
    directory = Path(directory)
    try:
        if not (directory / CONTRACT).exists() and (directory / "policy" / CONTRACT).exists():
            directory = directory / "policy"
        there = directory.exists()
    except OSError as error:  # the name is too long, or a folder on the way forbids it
        raise PolicyError(f"{str(directory)[:80]}: {error.strerror}.") from error
    path = directory / CONTRACT
    if not there:
        raise PolicyError(f"{directory}: there is no such folder.")
    if not path.exists():
        raise PolicyError(
            f"{directory} has no policy ({CONTRACT} is missing); a run writes one when it ends: "
            "finish it with `r2s run CONFIG --resume`."
        )
    data = files.read_bytes(path, limit=_LIMIT, what="a policy's contract", error=PolicyError)
    contract = policy_contract.parse(data, str(path))
    weights = directory / WEIGHTS
    return with_weights(contract, _read_weights(weights), weights)


def _scaled(export: PolicyExport, spec: EnvSpec) -> tuple[Layer, ...]:
    """The network from observations to actions within their bounds."""
    if not export.layers:
        raise PolicyError("The policy has no layers.")
    bounds = {"low": spec.action_low, "high": spec.action_high}
    return (*export.layers, Layer(_SCALED, "scale", (export.layers[-1].name,), {}, bounds))


def _group(name: str, spec: ArraySpec) -> dict[str, Any]:
    names = spec.names
    if not names and not spec.is_image:
        names = tuple(f"observation_{i}" for i in range(math.prod(spec.shape)))
    return {"shape": [int(n) for n in spec.shape], "dtype": spec.dtype, "names": list(names)}


def _bytes(tensors: Mapping[str, np.ndarray]) -> bytes:
    """The content of the weights' file."""
    return safetensors.numpy.save(dict(tensors))


def action_names(spec: EnvSpec) -> list[str]:
    """A name for each number of an action; numbered where the task has no names."""
    return list(numbered(spec.action_names, spec.action_size))


def numbered(names: tuple[str, ...], size: int) -> tuple[str, ...]:
    """The names of `size` actions; numbered where there are none."""
    return names or tuple(f"action_{i}" for i in range(size))


def with_weights(contract: Mapping[str, Any], data: bytes, path: Path) -> SavedPolicy:
    """The policy of a parsed contract and its weights, the content of the file `path`.

    Raises `PolicyError` where the weights are not those that the contract describes.
    """
    if hashlib.sha256(data).hexdigest() != contract["weights"]["sha256"]:
        raise PolicyError(
            f"{path} is not the file that {CONTRACT} describes (its SHA-256 differs): it is "
            "truncated, corrupted, or of another policy; copy both files again."
        )
    tensors = tensors_in(data, path)
    _check_tensors(tensors, policy_contract.check(contract, str(path)), str(path))
    return SavedPolicy(contract, tensors)


def tensors_in(data: bytes, path: Path) -> dict[str, np.ndarray]:
    """The tensors in the content of the safetensors file `path`; raises `PolicyError`."""
    try:
        return safetensors.numpy.load(data)
    except MemoryError:
        raise
    except Exception as error:  # its own errors, and NumPy's for unknown types
        raise PolicyError(f"{path} is not a safetensors file of numbers: {error}") from error


def _read_weights(path: Path) -> bytes:
    if not path.exists():
        raise PolicyError(f"{path} is missing; a policy is {CONTRACT} and {WEIGHTS}.")
    return files.read_bytes(
        path, limit=_WEIGHTS_LIMIT, what="a policy's weights", error=PolicyError
    )


def _check_tensors(
    tensors: Mapping[str, np.ndarray], contract: policy_contract.Contract, where: str
) -> None:
    """Raises `PolicyError` where tensors differ from the contract or cannot be computed with."""
    for name, shape in contract.tensors.items():
        tensor = tensors.get(name)
        if tensor is None or tensor.shape != shape or tensor.dtype != np.float32:
            found = "missing" if tensor is None else f"{tensor.dtype}{list(tensor.shape)}"
            raise PolicyError(f"{where}: {name} is {found}, {CONTRACT} says float32{list(shape)}.")
        if not np.isfinite(tensor).all():
            raise PolicyError(f"{where}: {name} holds numbers that are not finite.")
        if name.endswith(".std") and not (tensor > 0).all():
            raise PolicyError(f"{where}: {name} must be positive.")
    if extra := sorted(set(tensors) - set(contract.tensors)):
        raise PolicyError(f"{where}: the tensor {extra[0]} is unknown.")
    layers = contract.layers()
    for bound in ("low", "high"):
        if tensors[f"{layers[-1].name}.{bound}"].tolist() != list(getattr(contract.action, bound)):
            raise PolicyError(f"{where}: action.{bound} is not what {CONTRACT} says.")
    if not graph.largest(layers, tensors, contract.groups()) < _LARGEST:
        raise PolicyError(f"{where}: its weights are so large that its actions may not be finite.")
