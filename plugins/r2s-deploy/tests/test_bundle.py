"""A bundle is whole and consistent or is refused with a reason; a stranger's runs no code."""

import hashlib
import json
import shutil

import numpy as np
import onnx
import pytest

from r2s_deploy import bundle as bundles
from r2s_deploy import cli, documents
from r2s_deploy.check import check
from r2s_deploy.errors import BundleError
from r2s_deploy.policy import Policy


@pytest.fixture
def mine(bundle_dir, tmp_path):
    """A copy to damage."""
    return shutil.copytree(bundle_dir, tmp_path / "mine")


def reseal(folder, change=lambda contract: None):
    """As a forger would: every hash is right again."""
    contract = json.loads((folder / bundles.CONTRACT).read_text())
    change(contract)
    for name in bundles.FILES:
        if (folder / name).exists():
            digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
            contract["files"][name] = digest
    (folder / bundles.CONTRACT).write_text(documents.text_of(documents.sealed(contract)))


def numbers_of(contract):
    return next(each for each in contract["inputs"] if each["name"] == "policy")["numbers"]


def test_a_bundle_is_whole_and_computes_the_same(bundle_dir, capsys):
    assert cli.main(["check", str(bundle_dir)]) == 0
    told = capsys.readouterr().out
    assert "6 files are as they were written" in told
    assert "gives the 256 recorded actions to within" in told


def test_past_actions_go_in_and_come_out(bundle_dir):
    bundle = bundles.load(bundle_dir)
    policy, size = Policy(bundle), len(bundle.actions)
    past = np.arange(2 * size, dtype=np.float32).reshape(1, 2, size)
    numbers = np.zeros((1, len(bundle.numbers)), np.float32)
    made = policy({"policy": numbers, "past_actions": past})
    np.testing.assert_array_equal(made["next_past_actions"][0, 0], made["action"][0])
    np.testing.assert_array_equal(made["next_past_actions"][0, 1], past[0, 0])
    other = policy({"policy": numbers, "past_actions": past + 1})
    assert (other["action"] != made["action"]).any()


@pytest.mark.parametrize("name", [bundles.CONTRACT, *bundles.FILES])
def test_a_changed_file_is_refused_by_name(mine, name):
    data = bytearray((mine / name).read_bytes())
    data[len(data) // 2] ^= 1
    (mine / name).write_bytes(data)
    with pytest.raises(BundleError, match=name):
        list(check(mine))


@pytest.mark.parametrize("name", [bundles.CONTRACT, *bundles.FILES])
def test_a_missing_file_is_refused_by_name(mine, name):
    (mine / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        list(check(mine))


def test_a_link_is_no_file(mine, tmp_path):
    shutil.move(mine / bundles.ROBOT, tmp_path / "elsewhere.json")
    (mine / bundles.ROBOT).symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(BundleError, match="not a plain file"):
        bundles.load(mine)


def _number(**changes):
    return lambda contract: numbers_of(contract)[0].update(changes)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_number(unit="mm"), "said to be in mm"),
        (_number(frame="camera"), "axes of camera"),
        (_number(privileged=True), "known to a simulator alone"),
        (_number(quantity="object_mood"), "quantity is 'object_mood'"),
        (_number(index=3), "has 3 components"),
        (_number(std=0.0), "std is"),
        (_number(mean="1"), "mean is"),
        (lambda c: numbers_of(c).pop(), "numbers, and shape"),
        (lambda c: c["control"].update(law="telekinesis"), "law is 'telekinesis'"),
        (lambda c: c["control"].update(law="joint"), "takes 9 numbers"),
        (lambda c: c["control"].update(damping=-1.0), "damping is"),
        (lambda c: c["control"].pop("posture"), "posture is missing"),
        (lambda c: c["outputs"][0].update(low=2.0), "low below high"),
        (lambda c: c["outputs"].pop(), "the law ee_delta takes 5 numbers"),
        (lambda c: c.update(control_rate_hz=0), "control_rate_hz is"),
        (lambda c: c.update(format="r2s-bundle/9"), "this program reads r2s-bundle/1"),
        (lambda c: c["episode"].update(radius=0.0), "radius is"),
        (lambda c: c["inputs"].append({"name": "eye", "shape": [8, 8, 3], "dtype": "uint8"}),
         "camera is missing"),
    ],
)  # fmt: skip
def test_a_contract_that_lies_is_refused(mine, change, says):
    reseal(mine, change)
    with pytest.raises(BundleError, match=says) as error:
        list(check(mine))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("high", [1.0], "high is"),
        ("low", [9.0] * 7, "low must be below high"),
        ("names", ["joint1"] * 7, "none twice"),
    ],
)
def test_a_robot_that_cannot_be_is_refused(mine, key, value, says):
    robot = documents.read(mine / bundles.ROBOT)
    robot["joints"][key] = value
    (mine / bundles.ROBOT).write_text(documents.text_of(robot))
    reseal(mine)
    with pytest.raises(BundleError, match=says):
        bundles.load(mine)


def _opset(model):
    model.opset_import[0].version = 99


def _wider(model):
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value += 1


def _outside(model):
    tensor = model.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../elsewhere.bin"
    tensor.ClearField("raw_data")


@pytest.mark.parametrize("change", [_opset, _wider, _outside])
def test_another_graph_is_refused(mine, change):
    path = mine / bundles.POLICY
    model = onnx.load(path)
    change(model)
    path.write_bytes(model.SerializeToString())
    reseal(mine)
    with pytest.raises(BundleError, match=r"policy\.onnx") as error:
        list(check(mine))
    assert "\n" not in str(error.value)


def test_other_weights_are_found_by_the_recorded_actions(mine):
    path = mine / bundles.POLICY
    model = onnx.load(path)
    tensor = next(t for t in model.graph.initializer if t.name == "raw.kernel")
    values = onnx.numpy_helper.to_array(tensor) * 1.01
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    path.write_bytes(model.SerializeToString())
    reseal(mine)
    with pytest.raises(BundleError, match="gives other actions here"):
        list(check(mine))


def test_examples_are_arrays_and_run_no_code(mine):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("code of a bundle ran",))

    np.savez(mine / bundles.EXAMPLES, action=np.array([Trap()], object))
    reseal(mine)
    with pytest.raises(BundleError, match=r"examples\.npz cannot be read"):
        list(check(mine))


@pytest.mark.parametrize(
    "text", ["", "[]", "nonsense", '{"format": NaN}', '{"format": 1, "format": 2}', "[" * 10**5]
)
def test_what_is_no_contract_is_refused(mine, text):
    (mine / bundles.CONTRACT).write_text(text)
    with pytest.raises(BundleError, match=r"contract\.json"):
        bundles.load(mine)


def test_a_folder_without_a_bundle_is_told(tmp_path, capsys):
    assert cli.main(["check", str(tmp_path / "none")]) == 1
    told = capsys.readouterr().err
    assert "is not the folder of a bundle" in told
    assert "Traceback" not in told
