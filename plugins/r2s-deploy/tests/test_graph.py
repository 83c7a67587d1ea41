"""Nothing but a feed-forward graph with its weights in the file reaches ONNX Runtime."""

import hashlib
import json
import re
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from r2s_deploy import bundle as bundles
from r2s_deploy import documents, graph
from r2s_deploy.check import check, compare
from r2s_deploy.errors import BundleError
from r2s_deploy.policy import Policy

FLOAT = TensorProto.FLOAT
WHERE = "policy.onnx"


def weights(location="w.bin"):
    """A tensor [2] in another file."""
    tensor = TensorProto(name="w", data_type=FLOAT, dims=[2])
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    return tensor


def model(nodes=(), tensors=(), domain=""):
    nodes = nodes or [helper.make_node("Add", ["x", "w"], ["y"], domain=domain)]
    x, y = (helper.make_tensor_value_info(name, FLOAT, ["B", 2]) for name in "xy")
    tensors = tensors or [numpy_helper.from_array(np.ones(2, np.float32), "w")]
    made = helper.make_graph(nodes, "g", [x], [y], tensors)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def looping():
    body = helper.make_graph([helper.make_node("Identity", ["c"], ["d"])], "b", [], [])
    return model([helper.make_node("Loop", ["", "t", "x"], ["y"], body=body)])


def constant(tensor):
    node = helper.make_node("Constant", [], ["w"], value=tensor)
    return model([node, helper.make_node("Add", ["x", "w"], ["y"])])


def in_graph():
    """External weights of a graph within an operator that is allowed."""
    inner = helper.make_graph([], "g", [], [], [weights()])
    return model([helper.make_node("Add", ["x", "w"], ["y"], body=inner)])


def with_function():
    made = model()
    node = helper.make_node("Constant", [], ["o"], value=weights())
    ids = [helper.make_opsetid("", 17)]
    made.functions.append(helper.make_function("f", "F", [], ["o"], [node], ids))
    return made


def with_sparse():
    made = model()
    made.graph.sparse_initializer.add().values.CopyFrom(weights())
    return made


def with_training():
    made = model()
    made.training_info.add().algorithm.initializer.append(weights())
    return made


def only_location():
    tensor = weights()
    del tensor.external_data[:]
    return model(tensors=[tensor])


def only_data():
    tensor = weights()
    tensor.data_location = TensorProto.DEFAULT
    return model(tensors=[tensor])


FILE, OWN = "weights in another file", "which no bundle needs"


@pytest.mark.parametrize(
    ("made", "says"),
    [
        *((model(tensors=[weights(at)]), FILE) for at in ("w.bin", "../w.bin", "/etc/passwd")),
        (constant(weights()), FILE),
        (only_location(), FILE),
        (only_data(), FILE),
        (in_graph(), "a graph within an operator"),
        (with_function(), "functions in a model"),
        (with_sparse(), "sparse weights in a graph"),
        (with_training(), "training in a model"),
        (looping(), "a graph within an operator|operator Loop"),
        (model([helper.make_node("If", ["x"], ["y"])]), "the operator If"),
        (model([helper.make_node("Expand", ["x", "w"], ["y"])]), "the operator Expand"),
        (model([helper.make_node("a\x1b[2Jb", ["x"], ["y"])]), r"the operator a\?\[2Jb"),
        (model(domain="evil"), "the domain evil"),
        (model(domain="com.microsoft"), "the domain com.microsoft"),
    ],
)
def test_what_is_more_than_a_policy_is_refused(made, says):
    with pytest.raises(BundleError, match=says) as error:
        graph.check(made.SerializeToString(), WHERE)
    assert str(error.value).isprintable()


GOOD = model().SerializeToString()


def length(size):
    return bytes([size & 0x7F | 0x80, size >> 7])


def nested(*numbers, inner):
    """A field of these numbers, each in the one before."""
    for number in reversed(numbers):
        inner = bytes([number << 3 | 2]) + length(len(inner)) + inner
    return inner


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (GOOD[:-1], "ends within|damaged"),
        (b"\x08", "ends within a number"),
        (b"\xff" * 40, "ends within a number"),
        (b"\x7b\x7c", "unknown field 15"),
        (b"\x0b", "an unknown type"),
        (b"\x38\x01", "another type"),  # a number for the graph
        (b"\x08\x09\x08\x09ORTM", "own format"),
        (b"\x08\x01" * 200_001, "more than 200,000 fields"),
        # The same field twice: Protocol Buffers takes the last.
        (nested(7, 1, inner=b"\x22\x03Add\x22\x04Loop"), "the operator Loop"),
        # Where weights are: 1 in more bytes than it needs, and more than 32 bits.
        (nested(7, 5, inner=b"\x70\x81\x00"), FILE),
        (nested(7, 5, inner=b"\x70\x81\x80\x80\x80\x10"), FILE),
        (nested(7, 5, inner=b"\x72\x01\x01"), "another type"),
        # A tag in more bytes than it needs.
        (nested(7, 5, inner=b"\xf0\x80\x00\x01"), FILE),
        (nested(7, 5, inner=b"\xea\x80\x00\x00"), FILE),
    ],
)
def test_bytes_that_are_no_policy_are_refused(data, says):
    with pytest.raises(BundleError, match=says):
        graph.check(data, WHERE)


@pytest.mark.parametrize("byte", range(0, 256, 5))
def test_no_byte_added_to_a_message_breaks_the_walk(byte):
    for at in range(0, len(GOOD), 3):
        data = GOOD[:at] + bytes([byte]) + GOOD[at + 1 :]
        try:
            graph.check(data, WHERE)
        except BundleError:
            continue
        tensors = _read(data)
        assert not any(t.external_data or t.data_location for t in tensors)


def _read(data):
    found = onnx.ModelProto()
    try:
        found.ParseFromString(data)
    except Exception:  # what is no message is ONNX Runtime's to refuse
        return []
    return found.graph.initializer


def test_what_this_program_writes_is_allowed(bundle_dir, seeing_dir):
    from r2s_core.policy import onnx_file
    from r2s_export import onnx_graph

    for folder in (bundle_dir, seeing_dir):
        graph.check((folder / bundles.POLICY).read_bytes(), WHERE)
    source = Path(onnx_file.__file__).read_text() + Path(onnx_graph.__file__).read_text()
    written = set(re.findall(r'node\(\s*"([A-Z]\w+)"', source)) | {"Elu", "Relu", "Tanh"}
    assert {"Conv", "MatMul", "Slice"} <= written <= graph.OPERATORS


@pytest.fixture
def session_of(bundle_dir, monkeypatch):
    """A bundle whose policy's values are what a test says."""
    bundle = bundles.load(bundle_dir)

    def of(action, past):
        policy = Policy(bundle)
        values = {"action": action, "next_past_actions": past}

        class Session:
            def run(self, names, inputs):
                if isinstance(action, Exception):
                    raise action
                return [values[name] for name in names]

        monkeypatch.setattr(policy, "_session", Session())
        return policy, bundle

    return of


ONE, PAST = np.zeros((1, 5), np.float32), np.zeros((1, 2, 5), np.float32)


@pytest.mark.parametrize(
    ("action", "says"),
    [
        (RuntimeError("Reshape: no\n\x1b[2J"), "failed in ONNX Runtime .*Reshape: no"),
        (ONE[0], "gives action as float32"),
        (ONE[..., None], "gives action as float32"),
        (ONE.astype(np.float64), "gives action as float64"),
        (ONE.astype(str), "gives action as <U"),
    ],
)
def test_what_a_policy_gives_is_checked(session_of, action, says):
    policy, bundle = session_of(action, PAST)
    inputs = {name: np.zeros((1, *shape), kind) for name, (shape, kind) in bundle.inputs.items()}
    with pytest.raises(BundleError, match=says) as error:
        policy(inputs)
    assert str(error.value).isprintable()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_actions_that_are_not_finite_are_refused(bundle_dir, monkeypatch, value):
    own = Policy.__call__
    monkeypatch.setattr(
        Policy, "__call__", lambda *a: {name: x + value for name, x in own(*a).items()}
    )
    with pytest.raises(BundleError, match="action has numbers that are not finite"):
        compare(bundles.load(bundle_dir))


@pytest.fixture
def mine(bundle_dir, tmp_path):
    """A copy to damage."""
    return shutil.copytree(bundle_dir, tmp_path / "mine")


def reseal(folder):
    contract = json.loads((folder / bundles.CONTRACT).read_text())
    data = (folder / bundles.POLICY).read_bytes()
    contract["files"][bundles.POLICY] = hashlib.sha256(data).hexdigest()
    (folder / bundles.CONTRACT).write_text(documents.text_of(documents.sealed(contract)))


def test_a_policy_that_wants_more_memory_than_it_may_have_is_refused(mine):
    """A column and a row of 2^16 numbers make a matrix of 16 GiB."""
    path = mine / bundles.POLICY
    made = onnx.load(path)
    last = next(node for node in made.graph.node if "action" in node.output)
    last.output[0] = "before"
    column = np.zeros((1 << 16, 1), np.float32)
    made.graph.initializer.append(numpy_helper.from_array(column, "column"))
    made.graph.node.extend(
        [
            helper.make_node("Transpose", ["column"], ["row"], perm=[1, 0]),
            helper.make_node("Add", ["column", "row"], ["matrix"]),
            helper.make_node("ReduceMax", ["matrix"], ["zero"], keepdims=0),
            helper.make_node("Add", ["before", "zero"], ["action"]),
        ]
    )
    order = {"action": 1, "newest": 2, "next_past_actions": 3}
    nodes = sorted(made.graph.node, key=lambda node: order.get(node.output[0], 0))
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    path.write_bytes(made.SerializeToString())
    reseal(mine)
    with pytest.raises(
        BundleError, match=r"policy\.onnx (failed in|cannot be run by) ONNX Runtime"
    ):
        list(check(mine))
