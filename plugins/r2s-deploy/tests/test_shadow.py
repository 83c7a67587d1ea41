"""A shadow run decides as the robot's own run did, and reads logs of others with care."""

import numpy as np
import pytest

from r2s_deploy import bundle as bundles
from r2s_deploy import cli
from r2s_deploy.errors import DeployError
from r2s_deploy.log import read_csv, write_csv
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
    names = [number.name for number in bundle.numbers]
    assert found.unfamiliar[:, names.index("object_position_x")].min() > 10


def test_the_page_and_the_terminal_tell_it(bundle_dir, recorded, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert cli.main(["shadow", str(bundle_dir), str(recorded[1]), "-o", str(page)]) == 0
    told = capsys.readouterr().out
    assert "control steps: 12" in told
    assert "difference from the logged targets: 0.0000 rad" in told
    text = page.read_text()
    assert text.count("<svg") == 7 + 5 + 1
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


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "must name the columns"),
        ("time,joint1\n0,0", "has no column joint2"),
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
