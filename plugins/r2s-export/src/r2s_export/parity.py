"""Whether ONNX Runtime, NumPy and JAX compute the same actions, on observations of episodes."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime

from r2s_core.errors import R2SError
from r2s_core.policy.network import as_function
from r2s_core.policy.saved import SavedPolicy
from r2s_core.types import Environment
from r2s_deploy import bundle as bundles
from r2s_export import onnx_graph

LEAST = 10_000  # observations that are compared
TOLERANCE = 1e-4  # of an action, in the units of its bounds
_PART = 1024
_EXAMPLES = 256  # kept in the bundle
_PACKAGES = ("r2s-core", "r2s-deploy", "r2s-export", "onnx", "onnxruntime", "numpy", "jax")


def record(env: Environment[Any], policy: SavedPolicy) -> dict[str, np.ndarray]:
    """At least `LEAST` observations [N, *shape] by group, of episodes that the policy acts in."""
    act = jax.jit(as_function(policy))
    state, obs = env.reset(jax.random.key(0))
    kept: dict[str, list[np.ndarray]] = {name: [] for name in policy.observations}
    for _ in range(-(-LEAST // env.spec.num_worlds)):
        read = {name: obs[name] for name in policy.observations}
        for name, values in read.items():
            kept[name].append(np.asarray(values))
        state, step = env.step(state, act(read))
        obs = step.obs
    return {name: np.concatenate(parts) for name, parts in kept.items()}


def certify(
    folder: Path, policy: SavedPolicy, recorded: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """The certificate's content; raises `R2SError` where the three differ by more than
    `TOLERANCE`."""
    session = onnxruntime.InferenceSession((folder / bundles.POLICY).read_bytes())
    act, errors = jax.jit(as_function(policy)), []
    count = len(next(iter(recorded.values())))
    for first in range(0, count, _PART):
        obs = {name: values[first : first + _PART] for name, values in recorded.items()}
        by_onnx = np.asarray(session.run(["action"], inputs_of(policy, obs))[0])
        by_numpy = policy(obs)
        by_jax = np.asarray(act({name: jnp.asarray(values) for name, values in obs.items()}))
        spread = np.stack([by_onnx, by_numpy, by_jax])
        errors.append(np.ptp(spread, axis=0).max(axis=-1))
    error = np.concatenate(errors)
    largest = float(error.max())
    if not largest <= TOLERANCE:
        raise R2SError(
            f"ONNX Runtime, NumPy and JAX differ by {largest:.2g} in an action, more than "
            f"{TOLERANCE:g}; no bundle was written."
        )
    return {
        "parity": {
            "observations": count,
            "largest": largest,
            "p99.9": float(np.quantile(error, 0.999)),
            "tolerance": TOLERANCE,
        },
        "made": {
            "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "python": platform.python_version(),
            "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
        },
    }


def save_examples(folder: Path, policy: SavedPolicy, recorded: Mapping[str, np.ndarray]) -> None:
    """Keep some inputs with their actions in the bundle, spread over the episodes."""
    count = len(next(iter(recorded.values())))
    rows = np.linspace(0, count - 1, _EXAMPLES).astype(int)
    obs = {name: values[rows] for name, values in recorded.items()}
    np.savez_compressed(
        folder / bundles.EXAMPLES, allow_pickle=False, action=policy(obs), **inputs_of(policy, obs)
    )


def inputs_of(policy: SavedPolicy, obs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The inputs of `policy.onnx` for observations [B, *shape] by group."""
    found, history = dict(obs), onnx_graph.history_of(policy)
    if history:
        past = history * policy.action_size
        numbers = found["policy"]
        found["policy"] = numbers[:, :-past]
        found["past_actions"] = numbers[:, -past:].reshape(-1, history, policy.action_size)
    return found
