"""`r2s-deploy run`: on a simulated robot in real time, as a user would at a terminal."""

import csv
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from r2s_deploy import bundle as bundles
from r2s_deploy import cell as cells
from r2s_deploy import cli
from r2s_deploy.camera import Intrinsics
from r2s_deploy.cell import CameraAt
from r2s_deploy.dead_man import TerminalKey
from r2s_deploy.errors import DeployError
from r2s_deploy.pose.opencv import cv2
from r2s_deploy.pose.placement import CameraPlace
from r2s_deploy.pose.rendered import draw, tag_print
from r2s_deploy.transform import Transform
from r2s_deploy.watch import Guard, Stopped

HERE = ["--goal", "0.5", "0", "0.3", "--object", "0.5", "0.0", "0.035"]


@pytest.fixture(scope="module")
def cell(scene, tmp_path_factory):
    """Of the task's own scene."""
    path = tmp_path_factory.mktemp("cell") / "cell.toml"
    path.write_text(
        f'robot = "simulated:{scene}"\n[cameras.front]\ndevice = "simulated"\n'
        "[guard]\nlate_s = 5.0\nimage_s = 5.0\ncycle_s = 5.0\n"  # the machine may be busy
    )
    return path


def test_without_arm_it_tells_what_it_would_do(cell, bundle_dir, capsys):
    assert cli.main(["run", str(bundle_dir), str(cell), *HERE]) == 0
    told = capsys.readouterr().out
    assert "it would first move" in told
    assert "nothing was moved; --arm lets it" in told


def test_it_runs_and_writes_its_log(cell, bundle_dir, capsys, tmp_path):
    log = tmp_path / "log.csv"
    options = ["--arm", "--no-key", "--steps", "3", "--speed", "0.5", "--log", str(log)]
    assert cli.main(["run", str(bundle_dir), str(cell), *HERE, *options]) == 0
    told = capsys.readouterr().out
    assert "the robot's cycles: " in told
    assert "3 control steps; it holds where it is" in told
    assert "mm from the goal: NO success (50 mm)" in told
    assert log.read_text().startswith("time,joint1,")


def test_the_policy_sees_with_the_simulated_robots_camera(cell, seeing_dir, capsys, tmp_path):
    options = ["--images", str(tmp_path / "seen")]
    assert cli.main(["run", str(seeing_dir), str(cell), *HERE, *options]) == 0
    from PIL import Image

    seen = np.asarray(Image.open(tmp_path / "seen" / "front.png"))
    assert seen.shape == (12, 16, 3)
    assert np.ptp(seen) > 50
    depth = np.asarray(Image.open(tmp_path / "seen" / "front_depth.png"))
    assert 300 < np.median(depth) < 3000  # mm


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--arm"], "the dead-man key needs a terminal"),
        (["--speed", "2"], "speed is 2"),
        (["--speed", "1e-9"], "speed is 1e-09; give a share of full speed, 0.01 to 1"),
        (["--goal", "nan", "0", "0"], "give three numbers in m"),
        (["--goal", "500", "0", "300"], "of a place within reach"),
        (["--log", "/nowhere/log.csv"], "name a file in a folder that exists"),
        (["--object", "1", "2"], "--object takes 3 or 7 numbers"),
        (["--object", "1", "2", "3", "5", "0", "0", "0"], "has length 5"),
        (
            ["--arm", "--no-key", "--speed", "1", "--object", "5", "0", "0"],
            "standard deviations from what",
        ),
    ],
)
def test_what_it_refuses(cell, bundle_dir, capsys, monkeypatch, options, says):
    monkeypatch.setattr("sys.stdin", open(os.devnull))  # noqa: SIM115
    assert cli.main(["run", str(bundle_dir), str(cell), *HERE, *options]) == 1
    assert says in capsys.readouterr().err


def started(cell, bundle_dir, terminal):
    code = f"import sys; from r2s_deploy.cli import main; sys.exit(main({ARGUMENTS!r}))"
    code = code.replace("BUNDLE", str(bundle_dir)).replace("CELL", str(cell))
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


ARGUMENTS = ["run", "BUNDLE", "CELL", *HERE, "--arm"]


@pytest.mark.parametrize("ends", ["released", "interrupted", "closed"])
def test_it_moves_while_the_key_is_held(cell, bundle_dir, ends):
    ours, theirs = pty.openpty()
    process = started(cell, bundle_dir, theirs)
    released = threading.Event()

    def hold():
        while not released.wait(0.04):
            os.write(ours, b" ")

    holding = threading.Thread(target=hold, daemon=True)
    try:
        assert process.stdout is not None
        assert "hold the space bar: the robot moves at 10 %" in process.stdout.readline()
        holding.start()
        time.sleep(1.2)  # two control steps
        assert process.poll() is None
        if ends != "released":
            process.send_signal(signal.SIGINT if ends == "interrupted" else signal.SIGHUP)
        else:
            released.set()
        _, error = process.communicate(timeout=10)
    finally:
        released.set()
        process.kill()
        os.close(theirs)
        os.close(ours)
    assert process.returncode == 1
    assert ("the space bar was released" if ends == "released" else "it was interrupted") in error
    assert "control steps" in error


def test_a_key_is_released_soon_and_another_key_lets_go():
    ours, theirs = os.pipe()
    key = TerminalKey(ours)
    try:
        with pytest.raises(Stopped, match="released"):
            key.check()
        for _ in range(3):
            os.write(theirs, b" ")
            time.sleep(0.1)
        key.check()
        os.write(theirs, b"q")
        time.sleep(0.1)
        assert not key.held
        os.write(theirs, b"text that was pasted")
        time.sleep(0.1)
        assert not key.held
    finally:
        key.close()
        os.close(ours)
        os.close(theirs)


TAGS = "[[object.tags]]\nid = 3\nsize_mm = 40\nposition = [0, 0, 0.05]\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("robot = 3", "robot is '3', not a text"),
        ('robot = "franka"', "robot must be KIND:ADDRESS"),
        ("x = ", "is not TOML"),
        ('robot = "a:b"\nspeed = 3', "there is no key speed; there are robot, robot_options"),
        ('robot = "a:b"\n[guard]\nreach_m = -1', "guard: reach_m is '-1', not a number above 0"),
        ('robot = "a:b"\n[guard]\nreach = 1', "there is no key reach; there are late_s"),
        ('robot = "a:b"\n[object]\npose = "guess"', "pose is 'guess', not one of entered, tags"),
        ('robot = "a:b"\n[object]\npose = "tracker"', "tracker is the simulated robot's"),
        ('robot = "a:b"\n[object]\npose = "tags"\ncamera = "top"\n' + TAGS, "no camera 'top'"),
        ('robot = "a:b"\n[cameras.top]\ndevice = 0', "top: lens is missing"),
        ('robot = "a:b"\n[cameras.top]\ndevice = 1.5', "device is 1.5, not a number or a file"),
        (
            'robot = "a:b"\n[object]\npose = "entered"\nposition = [0, 0]',
            r"position is '\[0, 0\]', not 3 numbers",
        ),
    ],
)
def test_a_cell_that_is_none_is_told(tmp_path, text, says):
    (tmp_path / "cell.toml").write_text(text)
    with pytest.raises(DeployError, match=says):
        cells.load(tmp_path / "cell.toml")
    with pytest.raises(DeployError, match="cannot be read"):
        cells.load(tmp_path / "none.toml")


@pytest.mark.parametrize("mount", ["base", "hand"])
def test_the_object_is_where_its_tag_is_seen(cell, bundle_dir, capsys, tmp_path, mount):
    """A camera, fixed or on the hand, films a tag on the object; it is a file that is played."""
    bundle = bundles.load(bundle_dir)
    lens = Intrinsics.of_field_of_view((1280, 720), 60.0)
    object_in_base = Transform.of((0.5, 0.05, 0.035))
    tag_in_object = Transform.of((0.0, 0.0, 0.035))
    posture = bundle.law.arm.posture(np.array(bundle.robot["joints"]["ready"]))
    hand = Transform(posture.rotation, posture.position)
    # From the side, looking down: the camera's z axis points to the object.
    forward = np.array([-0.5, 0.0, -0.6]) / np.hypot(0.5, 0.6)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    axes = np.column_stack([right, np.cross(forward, right), forward])
    camera_in_base = Transform(axes, object_in_base.translation - 0.5 * forward)
    place = camera_in_base if mount == "base" else hand.inverse() @ camera_in_base
    tag_in_camera = camera_in_base.inverse() @ object_in_base @ tag_in_object
    image = draw([(tag_print(3, 0.04), tag_in_camera)], lens, rng=np.random.default_rng(0))
    film = cv2.VideoWriter(
        str(tmp_path / "film.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 30, lens.size
    )
    for _ in range(90):
        film.write(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR))
    film.release()
    lens.save(tmp_path / "lens.json")
    CameraPlace(place, mount, {}, 0.001, 0.1).save(tmp_path / "place.json")
    (tmp_path / "cell.toml").write_text(
        cell.read_text()
        + '[cameras.top]\ndevice = "film.avi"\nlens = "lens.json"\nplace = "place.json"\n'
        '[object]\npose = "tags"\ncamera = "top"\nupright_deg = 20\n[[object.tags]]\nid = 3\n'
        "size_mm = 40\nposition = [0, 0, 0.035]\n"
    )
    log = tmp_path / "log.csv"
    wanted = ["--goal", "0.5", "0", "0.3", "--log", str(log)]
    assert cli.main(["run", str(bundle_dir), str(tmp_path / "cell.toml"), *wanted]) == 0, (
        capsys.readouterr().err
    )
    row = next(csv.DictReader(log.open()))
    position = [float(row[f"object_{axis}"]) for axis in "xyz"]
    np.testing.assert_allclose(position, object_in_base.translation, atol=2e-3)


def test_a_cell_says_where_tags_and_cameras_are(tmp_path):
    (tmp_path / "cell.toml").write_text(
        'robot = "franka:172.16.0.2"\n[robot_options]\nload_kg = 0.1\n[object]\npose = "tags"\n'
        f'camera = "top"\nupright_deg = 20\n{TAGS}[cameras.top]\ndevice = 0\nlens = "a.json"\n'
        'place = "b.json"\n[guard]\ntable_m = -0.1\npatience = 3\n'
    )
    found = cells.load(tmp_path / "cell.toml")
    assert (found.kind, found.address, found.options) == ("franka", "172.16.0.2", {"load_kg": 0.1})
    assert found.thing.tags[0].size_m == pytest.approx(0.04)
    assert found.cameras == {"top": found.cameras["top"]}
    assert found.cameras["top"].place == tmp_path / "b.json"
    assert isinstance(found.cameras["top"], CameraAt)
    assert found.guard == Guard(table_m=-0.1, patience=3)


def test_the_cell_in_the_readme_is_one(tmp_path):
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    (tmp_path / "cell.toml").write_text(readme.split("```toml")[1].split("```")[0])
    found = cells.load(tmp_path / "cell.toml")
    assert (found.kind, found.thing.pose, found.guard.reach_m) == ("simulated", "tags", 0.4)


def test_a_robot_that_nobody_knows_is_told(cell, bundle_dir, tmp_path, capsys):
    path = tmp_path / "cell.toml"
    path.write_text('robot = "toaster:1"')
    assert cli.main(["run", str(bundle_dir), str(path), *HERE]) == 1
    assert "no robot of the kind toaster; there are franka, simulated" in capsys.readouterr().err
    path.write_text(cell.read_text().replace("scene.xml", "none.xml"))
    assert cli.main(["run", str(bundle_dir), str(path), *HERE]) == 1
    assert "does not start" in capsys.readouterr().err
