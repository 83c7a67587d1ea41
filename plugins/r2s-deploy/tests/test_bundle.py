"""A bundle is whole and consistent or is refused with a reason; a stranger's runs no code."""

import hashlib
import json
import re
import shutil

import numpy as np
import onnx
import pytest

from r2s_deploy import bundle as bundles
from r2s_deploy import cli, documents
from r2s_deploy.check import check
from r2s_deploy.errors import BundleError
from r2s_deploy.policy import Policy
from r2s_deploy.sensed import QUANTITIES


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


def at(document, path, value):
    """Set the field at a path such as "joints.low.0"; MISSING removes it."""
    *way, last = (int(key) if key.isdigit() else key for key in path.split("."))
    for key in way:
        document = document[key]
    if value is MISSING:
        del document[last]
    else:
        document[last] = value


MISSING, HUGE = object(), 10**400
TEXT = "1 to 200 printable characters"


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("cameras", MISSING, "cameras is missing"),
        ("cameras", None, "cameras is not a mapping"),
        ("cameras", 5, "cameras is not a mapping"),
        ("cameras", {"": {}}, "a camera has no name"),
        ("cameras", {"a\x1b[2J": {}}, r"the key 'a\\x1b\[2J' is not"),
        ("control_rate_hz", 1e-300, "control_rate_hz is '1e-300', not a number from 1 to 200"),
        ("control_rate_hz", HUGE, r"not JSON .* larger than 2\^53"),
        ("control.ee_step", 2.0, "ee_step is '2.0', not a number above 0 to 1"),
        ("control.posture.0", 1e9, "posture has the number 1e"),
        ("episode.object_low.0", -1e9, "object_low has the number"),
        ("outputs.0.high", 1e9, "high is"),
        ("outputs.0.name", "a\nb", TEXT),
        ("inputs.0.numbers.7.source", "joint encoders", "computes object_position from object po"),
        ("inputs.0.numbers.7.estimate", "guess", "guesses object_position from nothing"),
        ("inputs.0.numbers.7.std", 1e300, "std is"),
        ("inputs.0.numbers.1.name", "ee_position_x", "ee_position_x is there twice"),
        ("inputs.1.name", "policy", "inputs: policy is there twice"),
        ("provenance", json.loads("[" * 50 + "]" * 50), "lists and mappings in each other"),
    ],
)  # fmt: skip
def test_a_contract_that_cannot_be_is_refused(mine, path, value, says):
    contract = documents.read(mine / bundles.CONTRACT)
    at(contract, path, value)
    (mine / bundles.CONTRACT).write_text(documents.text_of(documents.sealed(contract)))
    assert refusal(mine, says)


@pytest.mark.parametrize("number", ["1e999", "-1e999", "9007199254740993", "1" * 5000])
def test_a_number_that_no_double_holds_is_refused(mine, number):
    text = (mine / bundles.CONTRACT).read_text()
    own, steps = f'"max_episode_steps": {number}', r'"max_episode_steps": \d+'
    (mine / bundles.CONTRACT).write_text(re.sub(steps, own, text))
    assert refusal(mine, "not JSON that this program reads")


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("joints.high", [1.0], "high is"),
        ("joints.low", [9.0] * 7, "low must be below high"),
        ("joints.low.0", -1e308, "low has the number"),
        ("joints.names", ["joint1"] * 7, "none twice"),
        ("joints.names.0", "", "a list of names"),
        ("joints.names.0", "\x1b[2J", "a list of names"),
        ("joints.ready.0", 2.9, "ready is outside of low to high"),
        ("joints.home.0", -2.9, "home is outside of low to high"),
        ("joints.max_speed.0", 0.0, "max_speed has the number 0, and must have numbers above 0"),
        ("joints.max_speed.0", -1.0, "max_speed has"),
        ("joints.max_speed.0", 1e6, "above 0 to 20"),
        ("joints.max_acceleration", "x", "max_acceleration is"),
        ("joints.max_acceleration", None, "max_acceleration is"),
        ("joints.max_acceleration", [1.0, 2.0], "max_acceleration is"),
        ("joints.max_acceleration", [-1.0] * 7, "max_acceleration has"),
        ("joints.max_jerk", [1e15] * 7, "above 0 to 1e"),
        ("chain.offsets.0", [1e308] * 3, "offsets has"),
        ("servos", 5, "servos is not a mapping"),
        ("servos.kp", "x", "kp is"),
        ("servos.kp.0", 0.0, "kp has the number 0"),
        ("servos.kd", [1.0], "kd is"),
        ("servos.kd.0", 1e5, "no servo is that late"),
        ("gripper.joints", 5, "joints is '5', not a list"),
        ("gripper.closed_target", 1e9, "closed_target is"),
        ("gripper.opening", 1.5, "opening is"),
        ("title", MISSING, "title is missing"),
        ("title", 5, TEXT),
        ("title", "", TEXT),
        ("title", "\ud800x", TEXT),
        ("title", "a\u202eb", TEXT),
        ("title", "\x1b[2JFranka", TEXT),
        ("title", "a" * 201, TEXT),
        ("workspace", MISSING, "workspace is missing"),
        ("workspace", None, "workspace is"),
        ("workspace", "ab", "workspace is"),
        ("workspace", [0.5, 0.0, 0.0], "workspace is"),
        ("workspace", [50.0, 0.0], "from -5 to 5"),
    ],
)  # fmt: skip
def test_a_robot_that_cannot_be_is_refused(mine, path, value, says):
    robot = documents.read(mine / bundles.ROBOT)
    at(robot, path, value)
    (mine / bundles.ROBOT).write_text(documents.text_of(robot))
    reseal(mine)
    assert refusal(mine, says)


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("objects", [], "objects is empty"),
        ("objects.0.name", "", TEXT),
        ("objects.0.reach", [0.1] * 3, "reach is .* not 26 numbers"),
        ("objects.0.rest_quaternion", [0.0] * 4, "rest_quaternion must have the length 1"),
        ("objects.0.closing_direction", [0.0] * 3, "closing_direction must have the length 1"),
        ("objects.0.closing_direction", [1e300] * 3, "closing_direction has the number"),
        ("objects.0.mass", 1e300, "mass is"),
        ("objects.0.mass", HUGE, r"larger than 2\^53"),
        (None, None, "two objects are named"),
    ],
)
def test_an_object_that_cannot_be_is_refused(mine, path, value, says):
    known = documents.read(mine / bundles.OBJECT)
    if path is None:
        known["objects"] *= 2
    else:
        at(known, path, value)
    (mine / bundles.OBJECT).write_text(json.dumps(known, indent=2))
    reseal(mine)
    assert refusal(mine, says)


def refusal(folder, says):
    """What `load` says, which is one line that a terminal can show."""
    with pytest.raises(BundleError, match=says) as error:
        bundles.load(folder)
    assert str(error.value).isprintable()
    return str(error.value)


def test_sources_are_what_the_task_says():
    from r2s_envs_pick_place.task import deployed

    for name, (unit, source, frame) in deployed._QUANTITIES.items():
        known = QUANTITIES[name]
        assert (known.units[0], known.source, known.frame) == (unit, source, frame), name
        assert known.estimate == deployed._ESTIMATES.get(name, "")
    assert set(QUANTITIES) == set(deployed._QUANTITIES)


def _opset(model):
    model.opset_import[0].version = 99


def _wider(model):
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value += 1


@pytest.mark.parametrize("change", [_opset, _wider])
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


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "5",
        "null",
        "nonsense",
        '{"format": NaN}',
        '{"format": 1, "format": 2}',
        "[" * 10**5,
    ],
)
def test_what_is_no_contract_is_refused(mine, text):
    (mine / bundles.CONTRACT).write_text(text)
    with pytest.raises(BundleError, match=r"contract\.json"):
        bundles.load(mine)


def test_a_folder_without_a_bundle_is_told(tmp_path, capsys):
    for name in ("none", "a" * 5000):
        assert cli.main(["check", str(tmp_path / name)]) == 1
        told = capsys.readouterr().err
        assert "is not the folder of a bundle" in told
        assert "Traceback" not in told
