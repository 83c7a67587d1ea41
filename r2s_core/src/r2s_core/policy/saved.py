"""The trained policy as data: `policy/weights.safetensors` and the contract `policy/policy.json`.

Whoever deploys a policy needs neither the plugin that trained it nor JAX: `load_policy` checks
both files bit for bit and against each other, runs no code from them, and returns a function of
numpy arrays.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import safetensors.numpy

from r2s_core.policy import contract as policy_contract
from r2s_core.policy.contract import CONTRACT, FORMAT, WEIGHTS, PolicyError
from r2s_core.system import files

if TYPE_CHECKING:  # JAX must not be needed to run a policy
    from r2s_core.types import EnvSpec, PolicyExport

__all__ = ["PolicyError", "PolicySpec", "SavedPolicy", "as_saved", "load_policy", "save_policy"]

_LIMIT = 4 * files.MIB  # of the contract; the longest so far has 6 kB
_WEIGHTS_LIMIT = 1024 * files.MIB
(_GROUP,) = get_args(policy_contract.Group)
(_UNITS,) = get_args(policy_contract.Units)
(_NORMALISATION,) = get_args(policy_contract.Normalisation)
(_SCALING,) = get_args(policy_contract.Scaling)

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


@dataclasses.dataclass(frozen=True)
class PolicySpec:
    """What a policy reads and gives; the names are in the order of the numbers.

    observation_group: of an environment's observation groups, the one that is read.
    units: of observations and actions. max_episode_steps: of the episodes it was trained in.
    """

    task: str
    control_rate_hz: float
    max_episode_steps: int
    observation_group: str
    observation_names: tuple[str, ...]
    action_names: tuple[str, ...]
    action_low: tuple[float, ...]
    action_high: tuple[float, ...]
    units: str


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

    @property
    def spec(self) -> PolicySpec:
        """Names, units, bounds and the rate at which the policy is to be called."""
        observation, action = self.contract["observation"], self.contract["action"]
        return PolicySpec(
            task=self.contract["task"],
            control_rate_hz=float(self.contract["control_rate_hz"]),
            max_episode_steps=int(self.contract["max_episode_steps"]),
            observation_group=observation["group"],
            observation_names=tuple(observation["names"]),
            action_names=tuple(action["names"]),
            action_low=tuple(action["low"]),
            action_high=tuple(action["high"]),
            units=self.contract["units"],
        )

    def __call__(self, obs: Any) -> np.ndarray:
        """The action, float32[..., A], for an observation [..., n], or a mapping of groups to such.

        Raises `PolicyError` where the observation is of another size or not a number.
        """
        x = np.asarray(self._group(obs), np.float32)
        if x.ndim == 0 or x.shape[-1] != self.observation_size:
            raise PolicyError(
                f"The policy reads {self.observation_size} observations, got an array of shape "
                f"{list(x.shape)}; policy.json names them in order."
            )
        if np.isnan(x).any():
            number = int(np.argwhere(np.isnan(x))[0][-1])
            name = self.contract["observation"]["names"][number]
            raise PolicyError(f"Observation {number} ({name}) is not a number.")
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

    def _group(self, obs: Any) -> Any:
        """What the policy reads of observation groups; an array is that already."""
        if not isinstance(obs, Mapping):
            return obs
        group = self.contract["observation"]["group"]
        if group not in obs:
            raise PolicyError(
                f"The policy reads the observation group {group!r}, but there are: "
                f"{', '.join(map(str, obs)) or 'none'}."
            )
        return obs[group]


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

    Raises `PolicyError` if the export contradicts itself or `spec`, or is not finite.
    """
    tensors = _tensors(export, spec)
    size, actions = len(tensors["observation.mean"]), spec.action_size
    contract = {
        "format": FORMAT,
        "task": task,
        "units": _UNITS,
        "control_rate_hz": round(1 / spec.control_dt, 6),
        "max_episode_steps": spec.max_episode_steps,
        "observation": {
            "group": _GROUP,
            "size": size,
            "names": observation_names(spec, _GROUP),
            "normalisation": _NORMALISATION,
            "clip": float(export.observation_clip),
        },
        "network": {
            "kind": "multilayer perceptron",
            "layers": len(export.layers),
            "activation": export.activation,
        },
        "action": {
            "size": actions,
            "names": action_names(spec),
            "low": np.asarray(spec.action_low, np.float32).tolist(),
            "high": np.asarray(spec.action_high, np.float32).tolist(),
            "squashing": export.output,
            "scaling": _SCALING,
        },
        "tensors": {name: list(tensor.shape) for name, tensor in sorted(tensors.items())},
        "weights": {"file": WEIGHTS, "sha256": hashlib.sha256(_bytes(tensors)).hexdigest()},
        "provenance": dict(provenance or {}),
    }
    try:
        contract = policy_contract.sealed(contract)
    except (TypeError, ValueError) as error:
        raise PolicyError(f"The policy's provenance is not plain JSON: {error}.") from error
    policy_contract.check(contract, "The policy")
    _check_tensors(tensors, contract, "The policy")
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
    files.write_bytes(directory / WEIGHTS, _bytes(policy.tensors))
    files.write_text(directory / CONTRACT, policy_contract.text_of(policy.contract))
    return directory


def load_policy(directory: str | Path) -> SavedPolicy:
    """The policy saved in `directory` (a `policy/` folder, or the run folder that holds one).

    Raises `PolicyError`, in one sentence that names the file, if a file is missing, truncated,
    changed since it was saved, or not what the other one says.
    """
    directory = Path(directory)
    if not (directory / CONTRACT).exists() and (directory / "policy" / CONTRACT).exists():
        directory = directory / "policy"
    path = directory / CONTRACT
    if not directory.exists():
        raise PolicyError(f"{directory}: there is no such folder.")
    if not path.exists():
        raise PolicyError(
            f"{directory} holds no policy ({CONTRACT} is missing); a run writes one when it ends: "
            "finish it with `r2s run CONFIG --resume`."
        )
    data = files.read_bytes(path, limit=_LIMIT, what="a policy's contract", error=PolicyError)
    contract = policy_contract.parse(data, str(path))
    return SavedPolicy(contract, _read_weights(directory / WEIGHTS, contract))


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


def observation_names(spec: EnvSpec, group: str) -> list[str]:
    """A name for each number of an observation group; numbered where the task names none."""
    size = math.prod(spec.observation_shapes.get(group, ()))
    return list(spec.observation_names.get(group, ())) or [f"observation_{i}" for i in range(size)]


def action_names(spec: EnvSpec) -> list[str]:
    """A name for each number of an action; numbered where the task names none."""
    return list(spec.action_names) or [f"action_{i}" for i in range(spec.action_size)]


def _read_weights(path: Path, contract: Mapping[str, Any]) -> dict[str, np.ndarray]:
    if not path.exists():
        raise PolicyError(f"{path} is missing; a policy is {CONTRACT} and {WEIGHTS}.")
    data = files.read_bytes(
        path, limit=_WEIGHTS_LIMIT, what="a policy's weights", error=PolicyError
    )
    if hashlib.sha256(data).hexdigest() != contract["weights"]["sha256"]:
        raise PolicyError(
            f"{path} is not the file that {CONTRACT} describes (its SHA-256 differs): it is "
            "truncated, corrupted, or of another policy; copy both files again."
        )
    try:
        tensors = safetensors.numpy.load(data)
    except MemoryError:
        raise
    except Exception as error:  # its own kinds, and those of numpy on a type that it lacks
        raise PolicyError(f"{path} is no safetensors file of numbers: {error}") from error
    _check_tensors(tensors, contract, str(path))
    return tensors


def _check_tensors(
    tensors: Mapping[str, np.ndarray], contract: Mapping[str, Any], where: str
) -> None:
    """Whether the tensors are what the contract says, and numbers to compute with."""
    for name, shape in contract["tensors"].items():
        tensor = tensors.get(name)
        if tensor is None or list(tensor.shape) != list(shape) or tensor.dtype != np.float32:
            found = "missing" if tensor is None else f"{tensor.dtype}{list(tensor.shape)}"
            raise PolicyError(f"{where}: {name} is {found}, {CONTRACT} says float32{list(shape)}.")
        if not np.isfinite(tensor).all():
            raise PolicyError(f"{where}: {name} holds numbers that are not finite.")
    if extra := sorted(set(tensors) - set(contract["tensors"])):
        raise PolicyError(f"{where}: the tensor {extra[0]} is unknown.")
    if not (tensors["observation.std"] > 0).all():
        raise PolicyError(f"{where}: observation.std must be positive.")
    for bound in ("low", "high"):
        if tensors[f"action.{bound}"].tolist() != list(contract["action"][bound]):
            raise PolicyError(f"{where}: action.{bound} is not what {CONTRACT} says.")
    if not _is_bounded(tensors, contract):
        raise PolicyError(f"{where}: its weights are so large that its actions may not be finite.")


def _is_bounded(tensors: Mapping[str, np.ndarray], contract: Mapping[str, Any]) -> bool:
    """Whether no observation can make a number beyond single precision within the network."""
    layers, largest = int(contract["network"]["layers"]), float(np.finfo(np.float32).max)
    bound = np.full(contract["observation"]["size"], float(contract["observation"]["clip"]))
    for i in range(layers):
        kernel = np.abs(tensors[f"layers.{i}.kernel"]).astype(np.float64)
        bound = bound @ kernel + np.abs(tensors[f"layers.{i}.bias"])
        if not (bound < largest).all():
            return False
        bound = np.maximum(bound, 1.0)  # no activation leads further from 0 than 1 or its input
    return True
