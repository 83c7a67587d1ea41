"""`policy.onnx`: a saved policy with its past actions as an explicit state."""

from __future__ import annotations

import re
from typing import Any

import onnx
from onnx import helper

from r2s_core.policy.onnx_file import onnx_model
from r2s_core.policy.saved import SavedPolicy

_AGO = re.compile(r"action_.+_([0-9]+)_ago")
_BATCH = "batch"


def history_of(policy: SavedPolicy) -> int:
    """How many past actions the policy reads at the end of the group "policy"."""
    group = policy.observations.get("policy")
    if group is None:
        return 0
    return max((int(found[1]) for n in group.names if (found := _AGO.fullmatch(n))), default=0)


def model(policy: SavedPolicy) -> bytes:
    """The file's content.

    Inputs are the observation groups by name, [batch, *shape], and, where it reads past actions,
    `past_actions` [batch, K, A], the newest first. Outputs are `action` [batch, A] and
    `next_past_actions`, what to give back in the next control step.
    """
    made = onnx_model(policy)
    if history := history_of(policy):
        _add_history(made.graph, history, policy)
    onnx.checker.check_model(made, full_check=True)
    return made.SerializeToString()


def _add_history(graph: Any, history: int, policy: SavedPolicy) -> None:
    size, whole = policy.action_size, policy.observations["policy"].shape[0]
    for own in graph.input:
        if own.name == "policy":
            own.type.tensor_type.shape.dim[1].dim_value = whole - history * size
    kind = onnx.TensorProto.FLOAT
    shape = [_BATCH, history, size]
    graph.input.append(helper.make_tensor_value_info("past_actions", kind, shape))
    graph.output.append(helper.make_tensor_value_info("next_past_actions", kind, shape))
    for node in graph.node:
        node.input[:] = ["policy_and_past" if name == "policy" else name for name in node.input]
    flat = helper.make_node("Flatten", ["past_actions"], ["past_flat"], axis=1)
    joined = helper.make_node("Concat", ["policy", "past_flat"], ["policy_and_past"], axis=-1)
    nodes = [flat, joined, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    ints = onnx.TensorProto.INT64
    for name, value in (("axis_of_steps", [1]), ("from_newest", [0]), ("to_last", [history - 1])):
        graph.initializer.append(helper.make_tensor(name, ints, [1], value))
    graph.node.append(helper.make_node("Unsqueeze", ["action", "axis_of_steps"], ["newest"]))
    if history == 1:
        graph.node.append(helper.make_node("Identity", ["newest"], ["next_past_actions"]))
        return
    graph.node.append(
        helper.make_node(
            "Slice", ["past_actions", "from_newest", "to_last", "axis_of_steps"], ["kept"]
        )
    )
    graph.node.append(helper.make_node("Concat", ["newest", "kept"], ["next_past_actions"], axis=1))
