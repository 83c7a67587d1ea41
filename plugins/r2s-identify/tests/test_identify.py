"""Numbers hidden in a simulated arm are found again, within their intervals, or refused by name."""

import copy
import dataclasses
import json
from typing import Any

import mujoco
import numpy as np
import pytest
import yaml

from r2s_core.backends.silence import silenced
from r2s_core.cli import main
from r2s_core.config import load_config, load_mapping
from r2s_core.errors import R2SError
from r2s_deploy.log import Log, write_csv
from r2s_identify import commands, grasp, told, write
from r2s_identify.arm import arm_of
from r2s_identify.excitation import Excitation, excitation, objection
from r2s_identify.fit import Problem, inflation
from r2s_identify.guess import guess
from r2s_identify.identify import identify, information, misfits
from r2s_identify.parameters import unknowns_of
from r2s_identify.propose import proposal
from r2s_identify.record import Noise, drawn
from r2s_identify.recording import read, recording_of

JOINTS = [1, 3]
NAMES = ["joint2", "joint4"]


@pytest.fixture(scope="module")
def arm():
    return arm_of("quickstart")


def moved(arm, motion, hidden=None, seed=0, payload=0.0):
    """A log of the arm in this process, measured as `Noise` says."""
    random, noise = np.random.default_rng(seed), Noise()
    model = copy.copy(arm.model)
    late = 0
    if hidden is not None:
        model.actuator_gainprm[arm.servos, 0] *= hidden.stiffness
        model.actuator_biasprm[arm.servos, 1] *= hidden.stiffness
        model.dof_frictionloss[arm.dofs] = hidden.friction
        late = hidden.latency
    model.body_mass[arm.load] = payload
    mujoco.mj_setConst(model, mujoco.MjData(model))
    data = mujoco.MjData(model)
    data.qpos[:] = arm.rest(arm.centre)
    data.ctrl[arm.fingers] = arm.finger_targets[1]
    angles = []
    for k in range(len(motion.time)):
        angles.append(data.qpos[arm.qpos].copy())
        data.ctrl[arm.servos] = motion.targets[max(0, k - late)]
        mujoco.mj_step(model, data)
    measured = np.array(angles) + noise.angle * random.normal(size=motion.targets.shape)
    measured = noise.quantum * np.round(measured / noise.quantum)
    still = np.zeros((len(measured), 2))
    return Log(motion.time, measured, 0 * measured, still, still, targets=motion.targets)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A log of the simulated robot in its own process, and what was hidden in it."""
    folder = tmp_path_factory.mktemp("log")
    log, truth = folder / "log.csv", folder / "truth.json"
    arguments = ["--unknown-seed", "5", "--seconds", "2", "--truth", str(truth)]
    given = ["identify", "--excite", "quickstart", "-o", str(log), "--joints", *NAMES, *arguments]
    assert main(given) == 0
    return log, json.loads(truth.read_text())


@pytest.fixture(scope="module")
def result(arm, recorded):
    return identify(arm, read(recorded[0], arm), JOINTS)


def test_what_was_hidden_lies_within_the_intervals(result, recorded):
    """One draw; `benchmarks/identify.py` measures how often they do."""
    _, truth = recorded
    expected = result.expected(truth)
    off = {
        each.unknown.name: 1.96 * (each.value - expected[each.unknown.name]) / each.half
        for each in result.numbers
    }
    assert {name.split(".")[0] for name in off} == {
        *("delay", "payload", "gravity_error", "stiffness"),
        *("servo_damping", "friction", "armature"),
    }
    assert len(off) == 11
    assert sum(abs(z) < 1.96 for z in off.values()) >= 8, off
    assert max(map(abs, off.values())) < 3.3, off
    assert not misfits(result)
    for each in result.numbers:  # and they are narrow
        least = 0.01 if each.unknown.kind == "gravity_error" else 0.1
        assert each.half < 0.1 * max(abs(each.value), least), each


def test_residuals_beyond_the_noise_are_told(result):
    noise, one = result.noise, np.ones(7)
    for residual, wide, joints in (
        (1.1 * noise, 20 * one, []),  # an encoder's rounding
        (noise * [1, 1.3, 1, 1, 1, 1, 1], 20 * one, ["joint2"]),
        (noise * [1, 1.3, 1, 2.5, 1, 1, 1], one, ["joint4"]),
    ):
        told_of = misfits(dataclasses.replace(result, residual=residual, inflation=wide))
        assert [sentence.split()[0] for sentence in told_of] == joints


def test_the_delay_is_exact(result, recorded):
    delay = result.number("delay")
    assert round(1000 * delay.value) == round(1000 * recorded[1]["delay"]) > 0
    assert delay.half < 0.0002


def test_a_sum_is_refused_by_name(result, recorded, arm):
    """A servo's damping and its joint's act alike: only their sum is told."""
    recording = read(recorded[0], arm)
    names = {result.unknowns[each.held].name for each in result.untold}
    assert names == {"joint_damping.joint2", "joint_damping.joint4"}
    sentence = told.reason(result.untold[0], result.unknowns, arm, recording)
    assert "from servo_damping.joint" in sentence
    assert "only their sum" in sentence
    servo = result.number("servo_damping.joint4")
    assert servo.given == ("joint_damping.joint4",)
    truth = recorded[1]
    both = truth["servo_damping.joint4"] + truth["joint_damping.joint4"]
    nominal = arm.model.dof_damping[arm.dofs[3]]
    assert result.expected(truth)["servo_damping.joint4"] == pytest.approx(both - nominal, rel=1e-3)


def test_the_block_is_valid_and_centred_on_the_fit(result, arm, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(commands, "fit", lambda *args, **options: result)
    log, path, motion = tmp_path / "log.csv", tmp_path / "made.yaml", tmp_path / "next.csv"
    write_csv(log, result.problem.recording.log, arm.joints)
    given = ["identify", str(log), "--config", "quickstart", "-o", str(path), "--joints", *NAMES]
    monkeypatch.setattr(
        commands, "proposal", lambda r, joints: (excitation(arm, 4, 0.001, [0]), [])
    )
    assert main([*given, "--propose", str(motion)]) == 0
    out = capsys.readouterr().out
    assert "NOT TOLD: the log cannot tell joint_damping.joint2" in out
    assert "the log cannot tell an object's mass" in out
    assert "NOTE: no randomizer adds a payload" in out
    assert read(motion, arm).targets.shape == (4000, 7)
    block = yaml.safe_load(path.read_text())["randomization"]
    load_mapping({"randomization": block})
    servo = block["identified_servo_joint4"]
    stiffness = result.number("stiffness.joint4")
    assert np.mean(servo["stiffness"]) * 428.0 == pytest.approx(stiffness.value, rel=1e-5)
    assert np.ptp(servo["stiffness"]) * 428.0 == pytest.approx(2 * stiffness.half, rel=1e-2)
    armature = block["identified_armature_joint4"]["factor"]  # of the rotor's own 0.1 kg m^2
    assert np.mean(armature) * 0.1 == pytest.approx(
        result.number("armature.joint4").value, rel=1e-5
    )
    assert np.mean(block["identified_delay"]["delay"]) == pytest.approx(
        result.number("delay").value, abs=1e-5
    )


def test_randomizers_that_vary_the_same_are_named(result, arm):
    varied = dataclasses.replace(arm, config=load_config("randomized"))
    text = write.fragment(varied, result, None, "log.csv")
    assert "# Not here: the configuration's own servos, joint_friction, action_delay vary" in text


def test_without_the_extra_it_says_what_to_install(monkeypatch, capsys):
    monkeypatch.delattr("mujoco.sysid.optimize")
    assert main(["identify", "log.csv", "--config", "quickstart", "-o", "x.yaml"]) == 1
    assert "pip install 'mujoco[sysid]'" in capsys.readouterr().err


def test_what_ended_at_a_bound_is_not_written(result, arm):
    numbers = tuple(
        dataclasses.replace(each, at_bound=each.unknown.name == "friction.joint2")
        for each in result.numbers
    )
    bounded = dataclasses.replace(result, numbers=numbers)
    entries, left = write.block(arm, bounded, None)
    assert "identified_friction_joint2" not in entries
    assert any(s.startswith("friction.joint2 ended at a bound of the fit") for s in left)
    assert any("AT ITS BOUND" in line for line in write.table(bounded))


def test_an_objects_mass_is_a_factor_on_the_configurations(result, arm):
    mass = arm.masses["duck"]
    entries, _ = write.block(arm, result, "duck")
    payload = result.number("payload")
    assert entries["identified_mass"]["bodies"] == ["object"]
    assert np.mean(entries["identified_mass"]["factor"]) * mass == pytest.approx(
        payload.value, rel=1e-4
    )


def test_a_joint_that_does_not_move_is_refused_by_name(arm):
    recording = recording_of(moved(arm, excitation(arm, 2.5, 0.001, [6])), "log")
    unknowns = unknowns_of(arm, [3, 6])
    unmoved = tuple(told.still(recording))
    assert 3 in unmoved
    assert 6 not in unmoved
    problem = Problem(arm, recording, unknowns, recording.noise, 1, still=unmoved)
    found = told.untold(
        information(problem.jacobian(guess(arm, recording, unknowns))),
        unknowns,
        [i for i, each in enumerate(unknowns) if each.joint in unmoved],
    )
    names = {unknowns[each.held].name for each in found}
    kinds = ("joint_damping", "armature", "servo_damping", "friction", "stiffness")
    assert {f"{kind}.joint4" for kind in kinds} <= names
    assert "friction.joint7" not in names
    sentences = [told.reason(each, unknowns, arm, recording) for each in found]
    assert any("friction.joint4" in s and "joint4 hardly moves" in s for s in sentences)


def test_a_joint_that_friction_holds_is_locked(arm):
    """Else the others would pay for a motion that the model has and the arm has not."""
    hidden = dataclasses.replace(
        drawn(arm, 4, []), latency=0, friction=np.array([0, 0, 0, 3.0, 0, 0, 0])
    )
    recording = recording_of(moved(arm, excitation(arm, 3.0, 0.001, [5]), hidden), "log")
    unknowns = unknowns_of(arm, [3, 5])
    nominal = np.array([each.nominal / each.scale for each in unknowns])  # friction 0
    unmoved = tuple(told.still(recording))
    assert 3 in unmoved

    def off(still):
        problem = Problem(arm, recording, unknowns, recording.noise, 1, still=still)
        return np.sqrt((problem.by_joint(problem.residuals(nominal)) ** 2).mean(axis=0))

    locked, free = off(unmoved), off(())
    assert locked[5] == pytest.approx(1.0, abs=0.1)
    assert locked[3] == 0.0
    assert free[3] > 2.0
    assert free[5] > locked[5]


def test_a_direction_that_is_not_told_costs_one_number(arm):
    """Twice the friction and half of the stiffness of joint2 here look alike."""
    unknowns = unknowns_of(arm, JOINTS)
    names = [each.name for each in unknowns]
    jacobian = 100.0 * np.random.default_rng(0).normal(size=(500, len(names)))
    stiffness, friction = names.index("stiffness.joint2"), names.index("friction.joint2")
    jacobian[:, friction] = -0.5 * jacobian[:, stiffness]
    jacobian[:, names.index("payload")] *= 1e-5
    found = {
        names[e.held]: [names[i] for i in e.mates]
        for e in told.untold(information(jacobian), unknowns)
    }
    assert found == {"friction.joint2": ["stiffness.joint2"], "payload": []}


def test_a_proposal_says_what_it_would_tell(arm, result, monkeypatch):
    """Of a log in which joint4 had not moved."""
    monkeypatch.setattr("r2s_identify.propose.SECONDS", 2.5)
    lost = [i for i, each in enumerate(result.unknowns) if each.joint == 3]
    untold = tuple(told.Untold(i, ()) for i in lost)
    motion, names = proposal(dataclasses.replace(result, untold=untold), [3])
    assert set(names) == {
        f"{kind}.joint4" for kind in ("armature", "servo_damping", "friction", "stiffness")
    }  # not joint_damping, which no motion tells
    assert np.ptp(motion.targets[:, 3]) > 0.05
    assert np.ptp(motion.targets[:, 1]) == 0.0


def test_a_log_of_another_arm_is_refused(arm, monkeypatch):
    monkeypatch.setattr("r2s_identify.fit.ITERATIONS", 4)
    log = moved(arm, excitation(arm, 2.0, 0.001, [6]))
    log.angles[:, 6] = 2 * arm.centre[6] - log.angles[:, 6]  # its joint turns the other way
    with pytest.raises(R2SError, match="the model cannot be this arm's: joint7 is off by"):
        identify(arm, recording_of(log, "log"), [6])


def test_a_simulation_that_fails_is_far_from_the_log(arm, sound):
    """The optimizer may try numbers of which no arm is stable."""
    recording, unknowns = recording_of(sound, "log"), unknowns_of(arm, range(7))
    problem = Problem(arm, recording, unknowns, recording.noise, 1)
    worst = [each.low if each.kind == "armature" else each.high for each in unknowns]
    with silenced():
        left = problem.residuals(np.array(worst) / [each.scale for each in unknowns])
    assert np.isfinite(left).all()
    assert np.abs(left).max() > 50.0


def test_a_log_without_motion_tells_nothing(arm):
    time = 0.001 * np.arange(2500)
    still = Excitation(time, np.tile(arm.centre, (len(time), 1)))
    with pytest.raises(R2SError, match="none of them moves in it"):
        identify(arm, recording_of(moved(arm, still), "log"), [5])


def test_correlated_residuals_widen_intervals():
    random = np.random.default_rng(0)
    white = random.normal(size=(20_000, 2))
    slow = white.copy()
    for k in range(1, len(slow)):
        slow[k, 1] += 0.8 * slow[k - 1, 1]
    found = inflation(slow)
    assert found[0] == pytest.approx(1.0, abs=0.1)
    assert found[1] == pytest.approx((1 + 0.8) / (1 - 0.8), rel=0.2)


def test_an_object_in_the_hand_is_seen(arm):
    motion = excitation(arm, 4.0, 0.001, [1, 3])
    log = moved(arm, motion)
    data = mujoco.MjData(arm.model)
    hand = arm.model.body_parentid[arm.load]
    place = arm.model.body_pos[arm.load] + np.array([0.0, 0.01, 0.03])
    poses = []
    for angles in log.angles:
        data.qpos[:] = arm.rest(angles)
        mujoco.mj_kinematics(arm.model, data)
        poses.append([*(data.xpos[hand] + data.xmat[hand].reshape(3, 3) @ place), 1, 0, 0, 0])
    poses = np.array(poses)
    closed = np.full(len(poses), arm.finger_targets[0])

    def seen(**changes) -> Any:
        return grasp.in_hand(arm, recording_of(dataclasses.replace(log, **changes), "log"))

    np.testing.assert_allclose(seen(object=poses, finger_target=closed), place, atol=1e-3)
    assert seen(object=poses, finger_target=0 * closed + arm.finger_targets[1]) is None
    assert seen(object=np.tile(poses[0], (len(poses), 1)), finger_target=closed) is None
    assert seen(finger_target=closed) is None
    held = grasp.with_load_at(arm, place)
    np.testing.assert_allclose(held.model.body_pos[arm.load], place)


def test_an_excitation_keeps_the_limits(arm):
    motion = excitation(arm, 4.0, 0.001, range(7))
    assert objection(arm, motion) is None
    speed = np.gradient(motion.targets, 0.001, axis=0)
    assert (np.abs(speed).max(axis=0) <= arm.max_speed).all()
    assert (np.ptp(motion.targets, axis=0) > 0.1).all()
    np.testing.assert_allclose(motion.targets[[0, -1]], [arm.centre] * 2, atol=1e-9)

    def why(joint, change) -> Any:
        targets = motion.targets.copy()
        targets[:, joint] = change(targets[:, joint], motion.time)
        return objection(arm, Excitation(motion.time, targets))

    assert "joint4 would leave its limits" in why(3, lambda q, t: q + 2.0)
    assert "joint1 would be faster" in why(0, lambda q, t: 0.2 * np.sin(15 * t))
    assert "joint6 would accelerate" in why(5, lambda q, t: q + 0.01 * np.sin(60 * t))
    assert "of the table" in why(1, lambda q, t: q + 0.3 * t)
    with pytest.raises(R2SError, match="too short"):
        excitation(arm, 1.0, 0.001, [0])


@pytest.fixture(scope="module")
def sound(arm):
    return moved(arm, excitation(arm, 4.0, 0.001, [3]))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda log: dataclasses.replace(log, targets=None), "what was commanded"),
        (lambda log: dataclasses.replace(log, time=log.time + 0.02 * (log.time > 1)), "not even"),
        (lambda log: dataclasses.replace(log, time=50 * log.time), "a line every 50 ms"),
    ],
    ids=["no targets", "a gap", "slow"],
)
def test_what_is_no_log_for_identification_is_refused(sound, change, match):
    with pytest.raises(R2SError, match=match):
        recording_of(change(sound), "log")


def test_a_short_or_damaged_file_is_refused(arm, sound, tmp_path):
    short = {
        field.name: value[:500]
        for field in dataclasses.fields(sound)
        if (value := getattr(sound, field.name)) is not None
    }
    write_csv(tmp_path / "log.csv", Log(**short), arm.joints)
    text = (tmp_path / "log.csv").read_text()
    cases = {
        "is 0.50 s long": text,
        "what was commanded.*it has joint3_targt": text.replace("joint3_target", "joint3_targt", 1),
        "every value must be a finite number": text.replace("\n0.001,", "\nnan,", 1),
        "has no joint7": text.replace("joint7,", "elbow,", 1),
    }
    for match, content in cases.items():
        (tmp_path / "log.csv").write_text(content)
        with pytest.raises(R2SError, match=match):
            read(tmp_path / "log.csv", arm)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "say what to do"),
        (["log.csv", "-o", "x.yaml"], "say which robot it is with --config"),
        (["log.csv", "--config", "quickstart"], "say where to write"),
        (["log.csv", "--config", "quickstart", "-o", "x", "--truth", "t"], "goes with --excite"),
        (["--excite", "quickstart", "-o", "x", "--propose", "p"], "goes with a LOG.csv"),
        (["--excite", "quickstart", "-o", "x", "--joints", "joint8"], "did you mean joint"),
        (["none.csv", "--config", "quickstart", "-o", "x"], "none.csv cannot be read"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_mistakes_are_told_in_a_sentence(arguments, said, capsys):
    assert main(["identify", *arguments]) in (1, 2)
    assert said in capsys.readouterr().err


def test_targets_of_a_file_are_checked_before_the_arm_moves(arm, sound, tmp_path, capsys):
    path = tmp_path / "targets.csv"
    sound.targets[:, 3] += 3.0 * (sound.time > 2.0)
    write_csv(path, sound, arm.joints)
    given = [
        "identify",
        "--excite",
        "quickstart",
        "-o",
        str(tmp_path / "x"),
        "--targets",
        str(path),
    ]
    assert main(given) == 1
    assert "is not sent along it: joint4 would leave its limits" in capsys.readouterr().err


def test_hidden_numbers_are_drawn_for_chosen_joints_only(arm):
    hidden = drawn(arm, 5, JOINTS, payload=0.0)
    assert hidden.payload == 0.0
    others = [0, 2, 4, 5, 6]
    assert (hidden.stiffness[others] == 1.0).all()
    assert (hidden.friction[others] == 0.0).all()
    assert (hidden.friction[JOINTS] > 0.0).all()
