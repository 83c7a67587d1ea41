"""The trained policy as data: `policy/weights.safetensors` and the contract `policy/policy.json`.

Whoever deploys a policy needs neither the plugin that trained it nor JAX: `load_policy` checks
both files against each other, runs no code from them, and returns a function of numpy arrays.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.numpy

from r2s_core.errors import R2SError

if TYPE_CHECKING:  # JAX must not be needed to run a policy
    from r2s_core.types import EnvSpec, PolicyExport

_FORMAT = "r2s-policy/1"
_CONTRACT = "policy.json"
_WEIGHTS = "weights.safetensors"
_GROUP = "policy"  # the observation group that policies read
_UNITS = "SI (m, s, kg, N) and radians; quaternions are (w, x, y, z)"

_ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "swish": lambda x: x * (0.5 * (1 + np.tanh(0.5 * x))),  # this sigmoid cannot overflow
}
_OUTPUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "clip": lambda x: np.clip(x, -1, 1),
    "tanh": np.tanh,
}


class PolicyError(R2SError):
    """A saved policy is missing, damaged, or does not fit."""


@dataclasses.dataclass(frozen=True)
class SavedPolicy:
    """A deterministic policy in numpy: `policy(obs)`, float32[..., n] -> action float32[..., A].

    contract: what `policy.json` says, see `as_saved`.
    """

    contract: Mapping[str, Any]
    tensors: Mapping[str, np.ndarray]

    @property
    def observation_size(self) -> int:
        return int(self.contract["observation"]["size"])

    @property
    def action_size(self) -> int:
        return int(self.contract["action"]["size"])

    def __call__(self, obs: Any) -> np.ndarray:
        x = np.asarray(obs, np.float32)
        if x.ndim == 0 or x.shape[-1] != self.observation_size:
            raise PolicyError(
                f"The policy reads {self.observation_size} observations, got an array of shape "
                f"{list(x.shape)}; policy.json names them in order."
            )
        clip = np.float32(self.contract["observation"]["clip"])
        x = (x - self.tensors["observation.mean"]) / self.tensors["observation.std"]
        x = np.clip(x, -clip, clip)
        activation = _ACTIVATIONS[self.contract["network"]["activation"]]
        layers = int(self.contract["network"]["layers"])
        for i in range(layers):
            x = x @ self.tensors[f"layers.{i}.kernel"] + self.tensors[f"layers.{i}.bias"]
            if i + 1 < layers:
                x = activation(x)
        y = _OUTPUTS[self.contract["action"]["squashing"]](x)
        low, high = self.tensors["action.low"], self.tensors["action.high"]
        return (low + (y + np.float32(1)) / 2 * (high - low)).astype(np.float32)


def as_saved(
    export: PolicyExport,
    spec: EnvSpec,
    *,
    task: str,
    provenance: Mapping[str, Any] | None = None,
) -> SavedPolicy:
    """`export` and the contract it is to be used under, as `load_policy` would read them.

    Args:
      spec: of the environment it was trained in; its group "policy" is what the policy reads.
      task: the environment's plugin name.
      provenance: where it comes from (r2s version, configuration hash, seed, ...), stored as is.

    Raises `PolicyError` if the export contradicts itself or `spec`.
    """
    tensors = _tensors(export, spec)
    size, actions = len(tensors["observation.mean"]), spec.action_size
    names = tuple(spec.observation_names.get(_GROUP, ())) or _numbered("observation", size)
    action_names = tuple(spec.action_names) or _numbered("action", actions)
    contract = {
        "format": _FORMAT,
        "task": task,
        "units": _UNITS,
        "control_rate_hz": round(1 / spec.control_dt, 6),
        "max_episode_steps": spec.max_episode_steps,
        "observation": {
            "group": _GROUP,
            "size": size,
            "names": list(names),
            "normalisation": "clip((observation - mean) / std, -clip, clip)",
            "clip": float(export.observation_clip),
        },
        "network": {
            "kind": "multilayer perceptron",
            "layers": len(export.layers),
            "activation": export.activation,
        },
        "action": {
            "size": actions,
            "names": list(action_names),
            "low": np.asarray(spec.action_low, np.float32).tolist(),
            "high": np.asarray(spec.action_high, np.float32).tolist(),
            "squashing": export.output,
            "scaling": "low + (y + 1) / 2 * (high - low), y in [-1, 1]",
        },
        "tensors": {name: list(tensor.shape) for name, tensor in sorted(tensors.items())},
        "weights": {"file": _WEIGHTS, "sha256": hashlib.sha256(_bytes(tensors)).hexdigest()},
        "provenance": dict(provenance or {}),
    }
    _check_contract(contract, Path(_CONTRACT))
    return SavedPolicy(contract, tensors)


def save_policy(
    directory: Path,
    export: PolicyExport,
    spec: EnvSpec,
    *,
    task: str,
    provenance: Mapping[str, Any] | None = None,
) -> Path:
    """Write what `as_saved` makes of the same arguments to `directory`, and return that."""
    policy = as_saved(export, spec, task=task, provenance=provenance)
    directory.mkdir(parents=True, exist_ok=True)
    _write(directory / _WEIGHTS, _bytes(policy.tensors))
    _write(directory / _CONTRACT, (json.dumps(policy.contract, indent=2) + "\n").encode())
    return directory


def load_policy(directory: str | Path) -> SavedPolicy:
    """The policy saved in `directory` (a `policy/` folder, or the run folder that holds one).

    Raises `PolicyError`, in one sentence that names the file, if a file is missing, truncated,
    changed since it was saved, or not what the other one says.
    """
    directory = Path(directory)
    if not (directory / _CONTRACT).exists() and (directory / "policy" / _CONTRACT).exists():
        directory = directory / "policy"
    contract = _read_contract(directory / _CONTRACT)
    tensors = _read_weights(directory / _WEIGHTS, contract)
    return SavedPolicy(contract, tensors)


def _tensors(export: PolicyExport, spec: EnvSpec) -> dict[str, np.ndarray]:
    tensors = {
        "observation.mean": export.observation_mean,
        "observation.std": export.observation_std,
        "action.low": spec.action_low,
        "action.high": spec.action_high,
    }
    for i, (kernel, bias) in enumerate(export.layers):
        tensors[f"layers.{i}.kernel"], tensors[f"layers.{i}.bias"] = kernel, bias
    return {k: np.ascontiguousarray(np.asarray(v, np.float32)) for k, v in tensors.items()}


def _bytes(tensors: Mapping[str, np.ndarray]) -> bytes:
    """The content of the weights' file."""
    return safetensors.numpy.save(dict(tensors))


def _numbered(prefix: str, count: int) -> tuple[str, ...]:
    return tuple(f"{prefix}_{i}" for i in range(count))


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all: a crash never leaves half a policy under the final name."""
    temporary = path.with_name(f".{path.name}.writing")
    with open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def _read_contract(path: Path) -> dict[str, Any]:
    try:
        contract = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PolicyError(
            f"{path.parent} holds no policy ({path.name} is missing); a run writes one when "
            "it ends: finish it with `r2s run CONFIG --resume`."
        ) from None
    except (OSError, ValueError) as error:
        raise PolicyError(f"{path} cannot be read: {error}") from error
    _check_contract(contract, path)
    return contract


def _check_contract(contract: Any, path: Path) -> None:
    """Everything `SavedPolicy` relies on, so that a hand-edited contract fails here, by name."""
    try:
        if contract["format"] != _FORMAT:
            raise PolicyError(f"{path} is {contract['format']}, but this r2s reads {_FORMAT}.")
        observation, action, network = (contract[k] for k in ("observation", "action", "network"))
        _choice(path, "network.activation", network["activation"], _ACTIVATIONS)
        _choice(path, "action.squashing", action["squashing"], _OUTPUTS)
        for name, part in (("observation", observation), ("action", action)):
            if len(part["names"]) != part["size"]:
                raise PolicyError(
                    f"{path}: {name}.names lists {len(part['names'])} names for "
                    f"{part['size']} numbers."
                )
        if not float(observation["clip"]) > 0 or not float(contract["control_rate_hz"]) > 0:
            raise PolicyError(f"{path}: observation.clip and control_rate_hz must be positive.")
        expected = _expected_shapes(contract)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PolicyError(f"{path} is not a whole policy contract: {error!r}.") from error
    for name, check in expected.items():
        shape = contract["tensors"].get(name)
        if shape is None or not check(shape):
            raise PolicyError(f"{path}: the tensor {name} has shape {shape}, which cannot be.")
    if set(contract["tensors"]) != set(expected):
        extra = sorted(set(contract["tensors"]) - set(expected))
        raise PolicyError(f"{path}: the tensor {extra[0]} is unknown.")


def _expected_shapes(contract: Mapping[str, Any]) -> dict[str, Callable[[list[int]], bool]]:
    """What each tensor's shape must be: a chain of layers from observations to actions."""
    n, actions = int(contract["observation"]["size"]), int(contract["action"]["size"])
    layers = int(contract["network"]["layers"])
    if layers < 1:
        raise ValueError("network.layers must be at least 1")
    tensors = contract["tensors"]
    shapes: dict[str, Callable[[list[int]], bool]] = {
        "observation.mean": lambda s: s == [n],
        "observation.std": lambda s: s == [n],
        "action.low": lambda s: s == [actions],
        "action.high": lambda s: s == [actions],
    }
    width = n
    for i in range(layers):
        out = actions if i + 1 == layers else int(tensors[f"layers.{i}.kernel"][1])
        shapes[f"layers.{i}.kernel"] = lambda s, w=width, o=out: s == [w, o]
        shapes[f"layers.{i}.bias"] = lambda s, o=out: s == [o]
        width = out
    return shapes


def _choice(path: Path, key: str, value: Any, known: Mapping[str, Any]) -> None:
    if value not in known:
        raise PolicyError(f"{path}: {key} is {value!r}; this r2s knows {', '.join(known)}.")


def _read_weights(path: Path, contract: Mapping[str, Any]) -> dict[str, np.ndarray]:
    try:
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        if digest != contract["weights"]["sha256"]:
            raise PolicyError(
                f"{path} is not the file that {_CONTRACT} describes (its SHA-256 differs): it is "
                "truncated, corrupted, or of another policy; copy both files again."
            )
        tensors = safetensors.numpy.load(data)
    except FileNotFoundError:
        raise PolicyError(f"{path} is missing; a policy is {_CONTRACT} and {_WEIGHTS}.") from None
    except PolicyError:
        raise
    except Exception as error:  # safetensors has its own exception types
        raise PolicyError(f"{path} cannot be read: {error}") from error
    for name, shape in contract["tensors"].items():
        tensor = tensors.get(name)
        if tensor is None or list(tensor.shape) != shape or tensor.dtype != np.float32:
            found = "missing" if tensor is None else f"{tensor.dtype}{list(tensor.shape)}"
            raise PolicyError(f"{path}: {name} is {found}, {_CONTRACT} says float32{shape}.")
        if not np.isfinite(tensor).all():
            raise PolicyError(f"{path}: {name} holds numbers that are not finite.")
    if not (tensors["observation.std"] > 0).all():
        raise PolicyError(f"{path}: observation.std must be positive.")
    return tensors
