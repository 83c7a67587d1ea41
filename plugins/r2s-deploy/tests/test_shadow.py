"""A shadow run decides as the robot's own run did, and reads logs of others with care."""

import dataclasses

import numpy as np
import pytest

from r2s_deploy import bundle as bundles
from r2s_deploy import cli
from r2s_deploy.errors import DeployError
from r2s_deploy.log import check_time, read_csv, write_csv
from r2s_deploy.recorded.read import read
from r2s_deploy.shadow import shadow

from .test_loop import FakeRobot, runner


@pytest.fixture(scope="module")
def bundle(bundle_dir):
    return bundles.load(bundle_dir)


@pytest.fixture
def recorded(bundle, tmp_path):
    """The log of a run on a robot that follows at once, and its file."""
    robot = FakeRobot(bundle)
    log = runner(bundle, robot).run(12).log
    assert log is not None
    write_csv(tmp_path / "log.csv", log, bundle.robot["joints"]["names"])
    return log, tmp_path / "log.csv"


def test_it_decides_as_the_robots_own_run_did(bundle, recorded):
    log = read_csv(recorded[1], bundle.robot["joints"]["names"])
    np.testing.assert_allclose(log.angles, recorded[0].angles, atol=1e-8)
    found = shadow(bundle, log)
    assert len(found.time) == 12
    assert found.apart == pytest.approx(0.0, abs=1e-5)
    np.testing.assert_allclose(found.targets, recorded[0].targets, atol=1e-5)
    assert np.isfinite(found.unfamiliar).all()


def test_it_tells_limits_speed_and_unfamiliar_numbers(bundle, recorded):
    log = recorded[0]
    high = np.array(bundle.robot["joints"]["high"])
    log.angles[:] = high - 1e-4  # every joint at its end
    log.object[:, 0] = 9.0
    found = shadow(bundle, log)
    assert found.at_limit.any()
    assert found.stopped is not None
    assert "outside of the workspace" in found.stopped[1]
    names = [number.name for number in bundle.numbers]
    assert found.unfamiliar[:, names.index("object_position_x")].min() > 10


def test_the_page_and_the_terminal_tell_it(bundle_dir, recorded, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert cli.main(["shadow", str(bundle_dir), str(recorded[1]), "-o", str(page)]) == 0
    told = capsys.readouterr().out
    assert "control steps: 12" in told
    assert "difference from the logged targets: 0.0000 rad" in told
    text = page.read_text()
    assert text.count("<svg") == 7 + 5 + 1 + 1  # joints, actions, familiarity, time to decide
    assert "http" not in text


def test_joints_alone_are_enough_with_a_goal_and_a_pose(bundle, bundle_dir, tmp_path, capsys):
    joints = bundle.robot["joints"]["names"]
    rows = [[t, *bundle.robot["joints"]["ready"]] for t in np.arange(0, 1, 0.01)]
    lines = [",".join(["time", *joints]), *(",".join(f"{x:.6f}" for x in row) for row in rows)]
    path = tmp_path / "joints.csv"
    path.write_text("\n".join(lines))
    arguments = ["shadow", str(bundle_dir), str(path), "-o", str(tmp_path / "page.html")]
    assert cli.main(arguments) == 1
    assert "the log has none; give one" in capsys.readouterr().err
    arguments += ["--goal", "0.5", "0", "0.3", "--object", "0.5", "0", "0.03", "1", "0", "0", "0"]
    assert cli.main(arguments) == 0
    assert "control steps: 21" in capsys.readouterr().out


def test_one_of_several_objects_must_be_named(bundle_dir, recorded, tmp_path, monkeypatch, capsys):
    one = bundles.load(bundle_dir)
    known = one.object["objects"][0]
    two = dataclasses.replace(one, object={"objects": [known, {**known, "name": "cup"}]})
    monkeypatch.setattr(bundles, "load", lambda path: two)
    command = ["shadow", str(bundle_dir), str(recorded[1]), "-o", str(tmp_path / "page.html")]
    assert cli.main(command) == 1
    assert f"which object is handled? it knows {known['name']}, cup" in capsys.readouterr().err
    assert cli.main([*command, "--object-name", "dog"]) == 1
    assert cli.main([*command, "--object-name", "cup"]) == 0
    scene = tmp_path / "scene.xml"
    scene.write_text("<mujoco/>")
    command = ["rehearse", str(bundle_dir), str(scene), "--allow-privileged"]
    capsys.readouterr()
    assert cli.main(command) == 1
    assert "which object is handled?" in capsys.readouterr().err


def test_an_arm_that_is_called_something_else_is_found(bundle, recorded, tmp_path):
    path = tmp_path / "named.csv"
    path.write_text(recorded[1].read_text().replace("joint", "panda_joint"))
    log = read(path, bundle)
    assert log.targets is not None
    np.testing.assert_allclose(log.targets, recorded[0].targets, atol=1e-8)
    np.testing.assert_allclose(log.angles, recorded[0].angles, atol=1e-8)
    np.testing.assert_allclose(log.velocities, recorded[0].velocities, atol=1e-8)
    assert "joint7 are panda_joint1, " in log.notes[0]
    path.write_text(recorded[1].read_text().replace("joint3", "elbow"))
    with pytest.raises(DeployError, match=r"has no joint3, .* it has time, joint1, joint2, elbow"):
        read(path, bundle)
    log = read(path, bundle, columns={"joint3": "elbow"})
    np.testing.assert_allclose(log.angles, recorded[0].angles, atol=1e-8)
    np.testing.assert_allclose(log.velocities, recorded[0].velocities, atol=1e-8)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "must name the columns"),
        ("time,joint1\n0,0", "has no joint2, also with a prefix"),
        ("time,time\n0,0", "none twice"),
        ("JOINTS\n0,0,0", "line 2: 3 values for 8 columns"),
        ("JOINTS\n0,0,0,0,0,0,0,x", "line 2: every value must be a finite number"),
        ("JOINTS\n0,0,0,0,0,0,0,nan", "line 2: every value must be a finite number"),
        ("JOINTS\n0,0,0,0,0,0,0,0\n0,0,0,0,0,0,0,0", "time must rise"),
        ("JOINTS\n0,0,0,0,0,0,0,0", "two or more"),
        ("\x00\x01", "column|columns|CSV"),
    ],
)
def test_what_is_no_log_is_refused(bundle, tmp_path, text, says):
    joints = bundle.robot["joints"]["names"]
    path = tmp_path / "log.csv"
    path.write_text(text.replace("JOINTS", ",".join(["time", *joints])))
    with pytest.raises(DeployError, match=says):
        read_csv(path, joints)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda log: log.time.__imul__(1e9), "moments are .* s apart, if time is in seconds"),
        (lambda log: log.time.__imul__(1e300), "if time is in seconds"),
        (lambda log: log.time[6:].__iadd__(86400.0), "nothing is recorded for 8.64e"),
        (lambda log: log.velocities.__imul__(57.3), "no arm's joint reaches in rad/s"),
        (lambda log: log.object[:, 3:].__imul__(0.0), "quaternion has length 0; it must be 1"),
        (lambda log: log.object[:, 3:].__imul__(5.0), "quaternion has length 5; it must be 1"),
    ],
)
def test_numbers_of_other_units_are_refused(bundle, recorded, tmp_path, change, says):
    log, path = recorded
    log.velocities[3, 2] = 1.0
    change(log)
    write_csv(path, log, bundle.robot["joints"]["names"])
    with pytest.raises(DeployError, match=says):
        read(path, bundle)


def test_a_log_of_more_than_an_hour_is_refused():
    check_time(np.arange(0.0, 3600.0, 0.5), "x.csv")
    with pytest.raises(DeployError, match=r"x.csv: it has 3601 s; .* cut it"):
        check_time(np.arange(0.0, 3601.5, 0.5), "x.csv")


def test_what_is_given_is_checked_and_used_and_told(bundle, recorded):
    pose, goal = np.array([0.5, 0.0, 0.03, 1.0, 0.0, 0.0, 0.0]), np.array([0.5, 0.1, 0.4])
    found = shadow(bundle, recorded[0], goal=goal, thing=pose)
    assert sum("not used, but the one that was given" in note for note in found.notes) == 2
    names = [number.name for number in bundle.numbers]
    assert (found.inputs[:, names.index("object_position_x")] == 0.5).all()
    for wrong in (np.nan, np.inf):
        with pytest.raises(DeployError, match=r"goal is .*; give 3 finite numbers"):
            shadow(bundle, recorded[0], goal=np.full(3, wrong))
        with pytest.raises(DeployError, match=r"the object's pose is .* finite"):
            shadow(bundle, recorded[0], thing=np.full(7, wrong))
    for length in (0.0, 5.0):
        with pytest.raises(DeployError, match=f"has length {length:g}; it must be 1"):
            shadow(bundle, recorded[0], thing=pose * [1, 1, 1, *[length] * 4])


def test_a_page_replaces_none_but_a_page(bundle_dir, recorded, tmp_path, capsys):
    page = tmp_path / "page.html"
    other = tmp_path / "other.html"
    other.write_text("<!doctype html><title>mine</title>")
    command = ["shadow", str(bundle_dir), str(recorded[1]), "-o"]
    wrong = [recorded[1], bundle_dir / "contract.json", other, tmp_path, tmp_path / "no/x.html"]
    before = [path.read_bytes() for path in wrong[:3]]
    for path in wrong:
        assert cli.main([*command, str(path)]) == 1
        assert f"{path} " in capsys.readouterr().err
    assert [path.read_bytes() for path in wrong[:3]] == before
    assert cli.main([*command, str(page)]) == cli.main([*command, str(page)]) == 0


def test_a_byte_order_mark_is_no_name(bundle, recorded):
    recorded[1].write_bytes(b"\xef\xbb\xbf" + recorded[1].read_bytes())
    assert len(read(recorded[1], bundle)) == len(recorded[0])


def test_a_rehearsal_that_could_not_be_kept_is_not_played(bundle_dir, tmp_path, capsys):
    scene = tmp_path / "scene.xml"
    scene.write_text("<mujoco/>")
    command = ["rehearse", str(bundle_dir), str(scene), "--allow-privileged"]
    for path in ("/dev/full", str(tmp_path), str(tmp_path / "no/log.csv"), str(scene)):
        assert cli.main([*command, "--log", path]) == 1
        assert f"{path} " in capsys.readouterr().err
    assert scene.read_text() == "<mujoco/>"
    for wrong in ("--seed=-1", "--latency=-5", "--gravity-error=nan", "--angle-noise=-1"):
        with pytest.raises(SystemExit) as stopped:
            cli.main([*command, wrong])
        assert stopped.value.code == 2
        assert "must be" in capsys.readouterr().err
