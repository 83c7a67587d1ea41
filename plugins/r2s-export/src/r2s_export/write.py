"""From a run to a bundle, which is written only where all three evaluations of its policy agree."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from r2s_core import device
from r2s_core.config import load_config
from r2s_core.deployment import Deployment, Signal
from r2s_core.env import build
from r2s_core.errors import R2SError
from r2s_core.evaluation.evaluate import UNUSED, config_of
from r2s_core.policy.network import as_jax
from r2s_core.policy.saved import SavedPolicy, load_policy
from r2s_core.record import inputs
from r2s_core.types import Environment, HasDeployment
from r2s_deploy import bundle as bundles
from r2s_deploy import documents
from r2s_deploy.check import compare
from r2s_deploy.errors import DeployError
from r2s_export import leapp, onnx_graph, parity
from r2s_export.rehearsal import Stage, evaluated, rehearsed
from r2s_export.trained import check_config

_WORLDS = 128  # that observations are recorded in


def export_run(
    run_dir: Path, output: Path, allow_privileged: bool = False, stage: Stage | None = None
) -> Path:
    """Write the bundle of a run to the folder `output`, which is returned.

    allow_privileged: also where the policy reads numbers that no robot measures.
    stage: where it is rehearsed, for its certificate.

    Raises `R2SError` where the policy cannot be exported, or its evaluations differ.
    """
    try:
        path = config_of(run_dir)
        taken = output.exists() and (not output.is_dir() or any(output.iterdir()))
    except OSError as error:  # a name that is too long, a folder that may not be read
        raise R2SError(f"{str(error.filename)[:80]}: {error.strerror}.") from error
    if path is None:
        raise R2SError(f"{run_dir} is not the folder of a run: it has no config.yaml.")
    if taken:
        raise R2SError(f"{output} exists already; name a folder that does not, or is empty.")
    inputs.verify(path.parent)
    config = load_config(path, [*UNUSED])
    policy = load_policy(run_dir)
    check_config(path, policy)
    device.announce(device.select_device(config.training.use_gpu))
    config = device.resolve_backend(config)
    env = build.make_environment(config, _WORLDS, training=False)
    known = evaluated(path.parent)
    made = export_policy(
        policy, env, config.environment.use, output, allow_privileged, stage, known
    )
    _tell(made)
    return output


def export_policy(
    policy: SavedPolicy,
    env: Environment[Any],
    name: str,
    output: Path,
    allow_privileged: bool,
    stage: Stage | None = None,
    known: Mapping[str, Any] | None = None,
) -> bundles.Bundle:
    """The bundle of a policy of the environment `name`, written to the folder `output`.

    known: what else its certificate is to say.

    Raises as `export_run`.
    """
    task = getattr(env, "task", None)
    if not isinstance(task, HasDeployment):
        raise R2SError(
            f"the task {name} does not say where its observations come from on a robot; give it a "
            "method `deployment` (r2s_core.types.HasDeployment)."
        )
    as_jax(policy, env, name)  # is it a policy of this environment?
    deployment = task.deployment()
    signals = _signals(policy, deployment)
    _check(policy, signals, allow_privileged)
    _check_goal(policy, signals, env.spec.task.markers)
    print(f"comparing ONNX, NumPy and JAX on {parity.LEAST:,} observations ...")
    recorded = parity.record(env, policy)
    with _new_folder(output) as folder:
        _write(folder, policy, deployment)
        certificate = {**parity.certify(folder, policy, recorded), **(known or {})}
        parity.save_examples(folder, policy, recorded)
        contract = _contract(policy, signals, deployment)
        (folder / bundles.LEAPP).write_text(leapp.text(folder, contract))
        _seal(folder, certificate, contract)
        try:
            compare(bundles.load(folder))
        except DeployError as error:
            raise R2SError(f"the bundle is not one that a robot could run: {error}") from error
        if stage is not None:
            rehearsal = rehearsed(bundles.load(folder), stage)
            _seal(folder, {**certificate, "rehearsed": rehearsal}, contract)
    return bundles.load(output)


@contextlib.contextmanager
def _new_folder(output: Path) -> Iterator[Path]:
    """A folder beside `output` that becomes it when all went well, and is gone otherwise."""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{output.name}-", dir=output.parent))
        try:
            yield folder
            folder.chmod(0o777 & ~_umask())
            folder.replace(output)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise R2SError(f"{output} cannot be written: {error.strerror or error}.") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _signals(policy: SavedPolicy, deployment: Deployment) -> tuple[Signal, ...]:
    """Of the numbers that the policy reads, its past actions aside."""
    group = policy.observations.get("policy")
    names = () if group is None else group.names
    past = onnx_graph.history_of(policy) * policy.action_size
    own = names[: len(names) - past]
    if missing := [name for name in own if name not in deployment.signals]:
        raise R2SError(
            f"the policy reads {missing[0]}, and the task's `deployment` does not say where that "
            "comes from on a robot."
        )
    return tuple(deployment.signals[name] for name in own)


def _check(policy: SavedPolicy, signals: tuple[Signal, ...], allow_privileged: bool) -> None:
    if policy.spec.action_chunk > 1:
        raise R2SError(
            f"the policy plans {policy.spec.action_chunk} control steps at once, which a bundle "
            "cannot hold; train it with environment.action_chunk: 1."
        )
    names = policy.observations["policy"].names if "policy" in policy.observations else ()
    hidden = [n for n, s in zip(names, signals, strict=False) if s.privileged]
    guessed = {s.quantity for s in signals if s.privileged and s.estimate}
    if hidden and not allow_privileged:
        names = ", ".join(sorted(guessed))
        guess = f" ({names} would be guessed on a robot)" if guessed else ""
        raise R2SError(
            f"the policy reads what no robot measures: {', '.join(hidden)}{guess}. Train it "
            "without (environment.observations), or export it with --allow-privileged."
        )


def _check_goal(
    policy: SavedPolicy, signals: tuple[Signal, ...], markers: Mapping[str, str]
) -> None:
    """Images that are all that a policy reads show it its goal, which no camera does."""
    sees = any(spec.is_image for spec in policy.observations.values())
    if sees and markers and not any(signal.source == "goal" for signal in signals):
        raise R2SError(
            f"the policy sees its goal as {', '.join(markers)}, which the simulator draws into its "
            "images and no camera sees. Train it with environment.observation_type: "
            "rgb_and_state, whose numbers have the goal."
        )


def _write(folder: Path, policy: SavedPolicy, deployment: Deployment) -> None:
    (folder / bundles.POLICY).write_bytes(onnx_graph.model(policy))
    _json(folder / bundles.ROBOT, deployment.robot)
    _json(folder / bundles.OBJECT, {"objects": list(deployment.objects)})


def _contract(
    policy: SavedPolicy,
    signals: tuple[Signal, ...],
    deployment: Deployment,
) -> dict[str, Any]:
    spec, low, high = policy.spec, policy.spec.action_low, policy.spec.action_high
    return {
        "format": bundles.FORMAT,
        "task": spec.task,
        "units": spec.units,
        "control_rate_hz": spec.control_rate_hz,
        "max_episode_steps": spec.max_episode_steps,
        "inputs": _inputs(policy, signals),
        "outputs": [
            {
                "name": name,
                "low": low[i],
                "high": high[i],
                **dataclasses.asdict(deployment.commands[name]),
            }
            for i, name in enumerate(spec.action_names)
        ],
        "control": dict(deployment.control),
        "cameras": {name: camera.facts() for name, camera in spec.cameras.items()},
        "episode": None if deployment.episode is None else dataclasses.asdict(deployment.episode),
        "provenance": dict(policy.contract["provenance"]),
    }


def _inputs(policy: SavedPolicy, signals: tuple[Signal, ...]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    mean, std = statistics(policy)
    for name, spec in policy.observations.items():
        if spec.is_image:
            camera = next(n for n, c in policy.spec.cameras.items() if name in c.groups(n))
            found.append(
                {"name": name, "shape": list(spec.shape), "dtype": spec.dtype, "camera": camera}
            )
            continue
        numbers = [
            {
                "name": spec.names[i],
                **dataclasses.asdict(signal),
                "privileged": signal.privileged,
                "mean": float(mean[i]),
                "std": float(std[i]),
            }
            for i, signal in enumerate(signals)
        ]
        found.append(
            {"name": name, "shape": [len(numbers)], "dtype": "float32", "numbers": numbers}
        )
        if history := onnx_graph.history_of(policy):
            shape = [history, policy.action_size]
            found.append({"name": "past_actions", "shape": shape, "dtype": "float32"})
    return found


def statistics(policy: SavedPolicy) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the numbers that the policy reads, in training."""
    for layer in policy.layers:
        if layer.kind == "normalise" and layer.inputs == ("policy",):
            tensors = policy.tensors
            return tensors[f"{layer.name}.mean"], tensors[f"{layer.name}.std"]
    size = policy.observations["policy"].shape[0]
    return np.zeros(size), np.ones(size)


def _seal(folder: Path, certificate: Mapping[str, Any], contract: Mapping[str, Any]) -> None:
    _json(folder / bundles.CERTIFICATE, certificate)
    files = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in bundles.FILES
    }
    _json(folder / bundles.CONTRACT, documents.sealed({**contract, "files": files}))


def _json(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(documents.text_of(document))


def _tell(bundle: bundles.Bundle) -> None:
    parity = bundle.certificate["parity"]
    print(
        f"{bundle.path}: {len(bundle.numbers)} numbers and {len(bundle.images)} images in, "
        f"{len(bundle.actions)} numbers out, {bundle.rate:g} times a second; ONNX, NumPy and JAX "
        f"differ by {parity['largest']:.1e} at most on {parity['observations']:,} observations"
    )
    if bundle.privileged:
        print(f"reads what no robot measures: {', '.join(bundle.privileged)}")
