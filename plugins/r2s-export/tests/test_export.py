"""`r2s export`: what it writes, and what it refuses to write."""

import dataclasses
import hashlib
import json
import types
from typing import Any

import numpy as np
import pytest
import yaml

from r2s_core.cli import main
from r2s_core.config import load_mapping
from r2s_core.deployment import Signal
from r2s_core.env.build import wrap_task
from r2s_core.errors import R2SError
from r2s_core.policy.saved import as_saved
from r2s_core.policy_export import ArraySpec, Layer, PolicyExport
from r2s_core.testing.tasks import CartTask
from r2s_deploy import bundle as bundles
from r2s_export import onnx_graph, parity, rehearsal, write
from r2s_export.trained import check_config

NAME = "real2sim_pick_place"


def environment(**options):
    from r2s_core import registry

    options = {"action_space": "ee_delta", "observations": ["pose", "joints"], **options}
    config = load_mapping({"backend": "mujoco", "environment": options})
    task = registry.build("environment", NAME, config.environment.options)
    return wrap_task(task, config, 8, training=False)


def exported(env):
    size, actions = env.spec.observations["policy"].shape[0], env.spec.action_size
    kernel = np.random.default_rng(0).normal(0, 0.05, (size, actions)).astype(np.float32)
    scale = {"mean": np.zeros(size, np.float32), "std": np.ones(size, np.float32)}
    return PolicyExport(
        (
            Layer("normalised", "normalise", ("policy",), {"clip": 10.0}, scale),
            Layer("raw", "dense", ("normalised",), {}, {"kernel": kernel, "bias": 0 * kernel[0]}),
            Layer("squashed", "squash", ("raw",), {"function": "tanh"}),
        )
    )


def policy(env, name=NAME):
    return as_saved(exported(env), env.spec, task=name, provenance={"seed": 7})


@pytest.fixture(autouse=True)
def _few(monkeypatch):
    monkeypatch.setattr(parity, "LEAST", 64)


def test_a_bundle_says_everything(tmp_path):
    env = environment()
    made = write.export_policy(policy(env), env, NAME, tmp_path / "made", False)
    names = [number.name for number in made.numbers]
    assert names == list(env.spec.observations["policy"].names)
    by_name = dict(zip(names, made.numbers, strict=True))
    assert (by_name["goal_x"].source, by_name["goal_x"].unit) == ("goal", "m")
    assert by_name["joint1_velocity"].unit == "rad/s"
    outputs = {row["name"]: row for row in made.contract["outputs"]}
    assert (outputs["ee_x"]["unit"], outputs["ee_x"]["one"]) == ("m", 0.05)
    assert made.contract["control"]["law"] == "ee_delta"
    assert made.rate == pytest.approx(1 / env.spec.control_dt, rel=1e-4)
    assert made.contract["provenance"] == {"seed": 7}
    assert made.robot["joints"]["max_speed"][0] == pytest.approx(2.175)
    assert np.shape(made.object["objects"][0]["scan_to_body"]) in ((), (4, 4))
    assert made.certificate["parity"]["observations"] >= 64
    assert made.certificate["parity"]["largest"] <= made.certificate["parity"]["tolerance"]
    assert sorted(p.name for p in (tmp_path / "made").iterdir()) == sorted(
        [bundles.CONTRACT, *bundles.FILES]
    )


def test_leapp_yaml_feeds_past_actions_back(tmp_path):
    env = environment(action_history=2)
    write.export_policy(policy(env), env, NAME, tmp_path / "made", False)
    told = yaml.safe_load((tmp_path / "made/leapp.yaml").read_text())
    model, flow = told["models"]["policy"], told["pipeline"]
    assert flow["feedback_flow"] == {"policy/next_past_actions": ["policy/past_actions"]}
    assert flow["inputs"] == {"policy": ["policy"]}
    (numbers, past), (action, _) = model["inputs"], model["outputs"]
    assert len(numbers["element_names"][0]) == len(numbers["units"]) == numbers["shape"][1]
    assert past["shape"] == [1, 2, 5]
    assert past["element_names"] == [["1_ago", "2_ago"], action["element_names"][0]]
    data = (tmp_path / "made/policy.onnx").read_bytes()
    assert model["parameters"]["sha256sum"] == hashlib.sha256(data).hexdigest()


def test_what_no_robot_measures_is_named_and_must_be_allowed(tmp_path):
    env = environment(observations=["pose", "contact", "progress"])
    with pytest.raises(
        R2SError, match="left_pad_touches, right_pad_touches, grasped, lifted_before"
    ):
        write.export_policy(policy(env), env, NAME, tmp_path / "made", False)
    assert not (tmp_path / "made").exists()
    made = write.export_policy(policy(env), env, NAME, tmp_path / "made", True)
    assert made.privileged == ("left_pad_touches", "right_pad_touches", "grasped", "lifted_before")


def test_a_certificate_has_what_the_bundle_is_worth(tmp_path, capsys):
    env, scene = environment(), tmp_path / "soap.xml"
    assert main(["scene", "sample:soap", "-o", str(scene)]) == 0
    worth = {"success": 0.5, "success_ci95": [0.4, 0.6], "episodes": 96}
    (tmp_path / "result.json").write_text(
        json.dumps({"success_rate": 0.5, "success_ci95": [0.4, 0.6], "episodes": 96})
    )
    known, stage = rehearsal.evaluated(tmp_path), rehearsal.Stage(scene, 1)
    assert known == {"evaluated": worth}
    assert rehearsal.evaluated(tmp_path / "none") == {}
    made = write.export_policy(policy(env), env, NAME, tmp_path / "made", False, stage, known)
    found = made.certificate["rehearsed"]
    assert (found["episodes"], found["scene"]) == (1, "soap.xml")
    assert main(["export", "--check", str(tmp_path / "made")]) == 0
    told = capsys.readouterr().out
    assert "in training's simulation 50.0 % of 96 episodes succeeded" in told
    assert f"in rehearsal {100 * found['success']:.1f} % of 1 episodes" in told


def test_where_the_three_differ_nothing_is_written(tmp_path, monkeypatch):
    env = environment()
    one, other = policy(env), policy(env)
    other.tensors["raw.kernel"][:] *= 1.01
    monkeypatch.setattr(onnx_graph, "model", lambda _, make=onnx_graph.model: make(other))
    with pytest.raises(R2SError, match=r"differ by .* no bundle was written"):
        write.export_policy(one, env, NAME, tmp_path / "made", False)
    assert not (tmp_path / "made").exists()


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    env = environment()
    (tmp_path / "file").write_text("")
    with pytest.raises(R2SError, match="cannot be written"):
        write.export_policy(policy(env), env, NAME, tmp_path / "file" / "made", False)


def test_a_task_that_says_nothing_of_robots_is_refused(tmp_path):
    config = load_mapping({"backend": "mujoco", "environment": {"use": NAME}})
    env = wrap_task(CartTask(), config, 2, training=False, rewarded=False)
    with pytest.raises(R2SError, match="give it a method `deployment`"):
        write.export_policy(policy(env, "cart"), env, "cart", tmp_path / "made", False)


def test_a_number_without_a_source_is_refused(tmp_path, monkeypatch):
    env = environment()
    told = env.task.deployment()  # type: ignore[attr-defined]
    signals = {name: s for name, s in told.signals.items() if name != "goal_x"}
    less = dataclasses.replace(told, signals=signals)
    monkeypatch.setattr(type(env.task), "deployment", lambda self: less)
    with pytest.raises(R2SError, match="the policy reads goal_x, and the task's `deployment`"):
        write.export_policy(policy(env), env, NAME, tmp_path / "made", False)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ([], 2, "say what to export and where"),
        (["none", "-o", "b"], 1, "is not the folder of a run"),
        (["none", "--check", "b"], 2, "--check takes a bundle alone"),
        (["--check", "none"], 1, "is not the folder of a bundle"),
    ],
)
def test_wrong_arguments_are_told_in_a_sentence(arguments, code, says, capsys):
    assert main(["export", *arguments]) == code
    told = capsys.readouterr().err
    assert says in told
    assert "Traceback" not in told


def test_from_a_run_on_the_command_line(tmp_path, capsys):
    from r2s_core.policy.saved import save_policy

    env, run = environment(), tmp_path / "run"
    run.mkdir()
    options = {"use": NAME, "action_space": "ee_delta", "observations": ["pose", "joints"]}
    (run / "config.yaml").write_text(json.dumps({"backend": "mujoco", "environment": options}))
    save_policy(run / "policy", exported(env), env.spec, task=NAME)
    assert main(["export", str(run), "-o", str(tmp_path / "bundle")]) == 0
    assert "numbers and 0 images in, 5 numbers out" in capsys.readouterr().out
    assert main(["export", "--check", str(tmp_path / "bundle")]) == 0
    assert main(["export", str(run), "-o", str(tmp_path / "bundle")]) == 1
    assert "exists already" in capsys.readouterr().err


def test_a_goal_that_is_drawn_into_the_images_is_none_for_a_robot():
    image, numbers = ArraySpec((8, 8, 3), "uint8"), ArraySpec((1,), "float32", ("goal_x",))
    markers, goal = {"goal_marker": "goal"}, Signal("goal", 0, "m", "goal", "base")
    alone: Any = types.SimpleNamespace(observations={"front": image})
    with pytest.raises(R2SError, match="sees its goal as goal_marker, which the simulator draws"):
        write._check_goal(alone, (), markers)
    write._check_goal(alone, (), {})
    told: Any = types.SimpleNamespace(observations={"front": image, "policy": numbers})
    write._check_goal(told, (goal,), markers)


def test_a_configuration_that_was_changed_is_refused(tmp_path):
    from r2s_core.record.folder import _write_config, config_hash

    kept = tmp_path / "run/inputs/mug-0123456789abcdef.npz"  # as if it was kept there
    options = {"use": NAME, "objects": [str(kept)]}
    config = load_mapping({"backend": "mujoco", "name": "mug", "environment": options})
    trained: Any = types.SimpleNamespace(
        contract={"provenance": {"config_sha256": config_hash(config)}}
    )
    path = tmp_path / "run/config.yaml"
    path.parent.mkdir()
    _write_config(path, config)
    check_config(path, trained)
    (tmp_path / "run").rename(tmp_path / "elsewhere")
    path = tmp_path / "elsewhere/config.yaml"
    check_config(path, trained)
    text = path.read_text()
    path.write_text(text.replace("name: mug", "name: other"))
    check_config(path, trained)
    for changed in ("", "[1]", text.replace("object_scale: 1.0", "object_scale: 1.5")):
        assert changed != text
        path.write_text(changed)
        with pytest.raises(R2SError, match="was changed since the policy was trained"):
            check_config(path, trained)
    check_config(path, types.SimpleNamespace(contract={"provenance": {}}))  # type: ignore[arg-type]


def test_a_policy_of_another_environment_is_refused(tmp_path):
    with pytest.raises(R2SError, match=r"policy's .* is .*, the environment's"):
        write.export_policy(
            policy(environment(observations=["pose"])), environment(), NAME, tmp_path / "b", False
        )
