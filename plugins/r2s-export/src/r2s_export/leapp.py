"""`leapp.yaml`: the bundle's policy as NVIDIA's deployers read one (LEAPP 0.7).

One model, `policy`, whose past actions are fed back. Numbers keep their names and units; frames,
sources and the control law are in `contract.json`, for which LEAPP has no place.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import yaml

from r2s_deploy.bundle import CONTRACT, POLICY

_MODEL = "policy"


def text(folder: Path, contract: dict[str, Any]) -> str:
    """The file's text, for a bundle's folder that has its `policy.onnx`."""
    data = (folder / POLICY).read_bytes()
    names = [row["name"] for row in contract["outputs"]]
    inputs = [_input(row, names) for row in contract["inputs"]]
    outputs = [_tensor("action", [1, len(names)], "float32", [names], "action")]
    history = next((row for row in contract["inputs"] if row["name"] == "past_actions"), None)
    feedback = {}
    if history is not None:
        shape = [1, *history["shape"]]
        outputs.append(_tensor("next_past_actions", shape, "float32", [_steps(history), names]))
        feedback[f"{_MODEL}/next_past_actions"] = [f"{_MODEL}/past_actions"]
    parameters = {
        "model_path": POLICY,
        "md5sum": hashlib.md5(data, usedforsecurity=False).hexdigest(),
        "sha256sum": hashlib.sha256(data).hexdigest(),
        "backend": "onnx",
    }
    fed = {"past_actions"} if feedback else set()
    document = {
        "models": {_MODEL: {"inputs": inputs, "outputs": outputs, "parameters": parameters}},
        "pipeline": {
            "inputs": {_MODEL: [each["name"] for each in inputs if each["name"] not in fed]},
            "outputs": {_MODEL: ["action"]},
            "data_flow": {},
            "feedback_flow": feedback,
            "configs": {"frequency": contract["control_rate_hz"], "contract": CONTRACT},
        },
        "system information": {"exporter": "r2s-export"},
    }
    return yaml.safe_dump(document, sort_keys=False, default_flow_style=None, width=100)


def _input(row: dict[str, Any], actions: list[str]) -> dict[str, Any]:
    shape, dtype = [1, *row["shape"]], row["dtype"]
    if row["name"] == "past_actions":
        return _tensor(row["name"], shape, dtype, [_steps(row), actions])
    if "numbers" not in row:
        return _tensor(row["name"], shape, dtype, None, "camera")
    names = [number["name"] for number in row["numbers"]]
    made = _tensor(row["name"], shape, dtype, [names], "observation")
    return made | {"units": [number["unit"] for number in row["numbers"]]}


def _tensor(
    name: str, shape: list[int], dtype: str, names: list[list[str]] | None, kind: str = "state"
) -> dict[str, Any]:
    found: dict[str, Any] = {"name": name, "shape": shape, "dtype": dtype, "kind": kind}
    return found if names is None else found | {"element_names": names}


def _steps(row: dict[str, Any]) -> list[str]:
    return [f"{k}_ago" for k in range(1, row["shape"][0] + 1)]
