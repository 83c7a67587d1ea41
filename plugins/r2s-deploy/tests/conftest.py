"""A bundle of a policy with drawn weights, which nobody trained."""

import hashlib
import json
import shutil

import jax
import numpy as np
import onnx
import pytest

from r2s_core import registry
from r2s_core.config import load_mapping
from r2s_core.env.build import wrap_task
from r2s_core.policy.saved import as_saved
from r2s_core.policy_export import Layer, PolicyExport
from r2s_deploy import documents
from r2s_export import parity, write

OBSERVATIONS = ["pose", "joints", "alignment", "grasp"]


def drawn_policy(env, name="real2sim_pick_place"):
    """A small network of random weights over the environment's observations."""
    size, actions = env.spec.observations["policy"].shape[0], env.spec.action_size
    rng = np.random.default_rng(0)

    def dense(inputs, outputs, scale):
        kernel = scale * rng.normal(size=(inputs, outputs)) / inputs**0.5
        return {"kernel": kernel.astype(np.float32), "bias": np.zeros(outputs, np.float32)}

    statistics = {
        "mean": np.zeros(size, np.float32),
        "std": np.full(size, 0.5, np.float32),
    }
    layers = (
        Layer("normalised", "normalise", ("policy",), {"clip": 10.0}, statistics),
        Layer("hidden", "dense", ("normalised",), {}, dense(size, 16, 1.0)),
        Layer("active", "activation", ("hidden",), {"function": "elu"}),
        Layer("raw", "dense", ("active",), {}, dense(16, actions, 0.3)),
        Layer("squashed", "squash", ("raw",), {"function": "clip"}),
    )
    return as_saved(PolicyExport(layers), env.spec, task=name)


def environment(worlds=16, **options):
    options = {"observations": OBSERVATIONS, "action_space": "ee_delta", **options}
    config = load_mapping({"backend": "mujoco", "environment": options})
    use = config.environment
    task = registry.build("environment", use.use, use.options)
    return wrap_task(task, config, worlds, training=False)


@pytest.fixture(scope="session")
def bundle_dir(tmp_path_factory):
    """Of a policy that reads two past actions too."""
    env = environment(action_history=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parity, "LEAST", 512)
        folder = tmp_path_factory.mktemp("bundles") / "made"
        write.export_policy(drawn_policy(env), env, "real2sim_pick_place", folder, False)
    jax.clear_caches()
    return folder


CAMERA = {
    "position": [1.15, 0.0, 0.75],
    "quaternion": [0.6532815, 0.2705981, 0.2705981, 0.6532815],
    "field_of_view": 34.0,
    "size": [16, 12],
    "channels": ["rgb", "depth"],
    "mount": "world",
    "period": 2,
    "depth_range": [0.05, 10.0],
}


@pytest.fixture(scope="session")
def seeing_dir(bundle_dir, tmp_path_factory):
    """A bundle whose policy also reads a camera's colours and depths: each action is the mean of
    its colours, 0 to 1."""
    folder = tmp_path_factory.mktemp("seeing") / "made"
    shutil.copytree(bundle_dir, folder)
    contract = json.loads((folder / "contract.json").read_text())
    width, height = CAMERA["size"]
    images = [("front", [height, width, 3], "uint8"), ("front_depth", [height, width, 1], "uint16")]
    contract["cameras"] = {"front": CAMERA}
    contract["inputs"] += [
        {"name": name, "shape": shape, "dtype": dtype, "camera": "front"}
        for name, shape, dtype in images
    ]
    (folder / "policy.onnx").write_bytes(_mean_of_colours(contract))
    data = (folder / "policy.onnx").read_bytes()
    contract["files"]["policy.onnx"] = hashlib.sha256(data).hexdigest()
    (folder / "contract.json").write_text(documents.text_of(documents.sealed(contract)))
    return folder


def _mean_of_colours(contract):
    types = {"float32": onnx.TensorProto.FLOAT, "uint8": onnx.TensorProto.UINT8}
    types["uint16"] = onnx.TensorProto.UINT16
    helper, actions = onnx.helper, len(contract["outputs"])
    given = [
        helper.make_tensor_value_info(x["name"], types[x["dtype"]], ["B", *x["shape"]])
        for x in contract["inputs"]
    ]
    past = next(x["shape"] for x in contract["inputs"] if x["name"] == "past_actions")
    float32 = onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("Cast", ["front"], ["colours"], to=float32),
        helper.make_node("ReduceMean", ["colours", "axes"], ["level"], keepdims=0),
        helper.make_node("Unsqueeze", ["level", "last"], ["column"]),
        helper.make_node("Mul", ["column", "scale"], ["action"]),
        helper.make_node("Identity", ["past_actions"], ["next_past_actions"]),
    ]
    constants = [
        helper.make_tensor("axes", onnx.TensorProto.INT64, [3], [1, 2, 3]),
        helper.make_tensor("last", onnx.TensorProto.INT64, [1], [1]),
        helper.make_tensor("scale", float32, [1, actions], [1.0 / 255.0] * actions),
    ]
    made = [
        helper.make_tensor_value_info("action", float32, ["B", actions]),
        helper.make_tensor_value_info("next_past_actions", float32, ["B", *past]),
    ]
    graph = helper.make_graph(nodes, "mean", given, made, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return model.SerializeToString()


@pytest.fixture(scope="session")
def scene(tmp_path_factory):
    """The task's own scene, as a file, with the looks of training."""
    from r2s_core.cli import main

    path = tmp_path_factory.mktemp("scene") / "scene.xml"
    assert main(["scene", "sample:soap", "--plain", "-o", str(path)]) == 0
    return path
