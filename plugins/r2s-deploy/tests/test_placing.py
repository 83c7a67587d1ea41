"""`python -m r2s_deploy.pose place` and `hand-eye`, from images and a file of poses to a place."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from r2s_deploy import bundle as bundles
from r2s_deploy.arm import Arm
from r2s_deploy.camera import Intrinsics
from r2s_deploy.errors import CalibrationError
from r2s_deploy.pose.commands import main
from r2s_deploy.pose.hand_poses import read_poses
from r2s_deploy.pose.opencv import cv2, transform
from r2s_deploy.pose.placement import CameraPlace
from r2s_deploy.pose.rendered import board_print, draw, facing
from r2s_deploy.pose.target import Charuco
from r2s_deploy.transform import Transform

CAMERA = Intrinsics.of_field_of_view((640, 360), 60.0)
_PRINT = board_print(Charuco((7, 5), 0.03, 0.022), 40)
IN_BASE = Transform.of((0.9, 0.1, 0.5), (0.23570226, 0.66666667, 0.66666667, 0.23570226))
TILTS = (10, 25, 35, 20, 40, 30, 15, 35)


@pytest.fixture(scope="module")
def bundle(bundle_dir):
    return bundles.load(bundle_dir)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    CAMERA.save(tmp_path / "camera.json")
    (tmp_path / "images").mkdir()
    return tmp_path


def _picture(path: Path, board_in_camera: Transform, rng: np.random.Generator) -> None:
    cv2.imwrite(str(path), draw([(_PRINT, board_in_camera)], CAMERA, rays=3, rng=rng))


def _run(command: str) -> int:
    return main(f"{command} --camera camera.json --board 7x5 -o place.json".split())


def _rows(header: list[str], rows: list[list[object]]) -> None:
    with Path("poses.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def test_a_fixed_camera_is_placed_by_a_board_at_a_known_place(folder, capsys):
    rng = np.random.default_rng(0)
    board = facing(0.42, 30.0, rng)
    _picture(folder / "images/0.png", board, rng)
    cv2.imwrite("images/none.png", np.zeros((360, 640), np.uint8))
    known = IN_BASE @ board
    numbers = [*known.translation, *known.quaternion]
    assert _run("place images --at " + " ".join(f"{x:.6f}" for x in numbers)) == 0
    told = capsys.readouterr().out
    assert "left out images/none.png: " in told
    assert "1 views, one view alone tells no standard deviations" in told
    found = CameraPlace.load(folder / "place.json")
    assert found.mount == "base"
    assert found.pose.distance_to(IN_BASE) < 0.002
    assert found.pose.angle_to(IN_BASE) < 0.3


def test_a_fixed_camera_is_found_by_a_board_on_the_hand(folder, capsys):
    """Poses of the hand as JSON, one of an image that is not there and one image without a pose."""
    rng = np.random.default_rng(1)
    board_in_hand = transform((0.1, 0.2, 0.0), (0.0, 0.0, 0.05))
    hands: dict[str, dict] = {"lost.png": {"position": [0, 0, 0], "quaternion": [1, 0, 0, 0]}}
    for i, tilt in enumerate(TILTS):
        board = facing(rng.uniform(0.35, 0.45), tilt, rng)
        _picture(folder / f"images/{i}.png", board, rng)
        hands[f"elsewhere/{i}.png"] = (IN_BASE @ board @ board_in_hand.inverse()).facts()
    _picture(folder / "images/more.png", facing(0.4, 20.0, rng), rng)
    Path("poses.json").write_text(json.dumps(hands))
    assert _run("hand-eye images --mount base --poses poses.json") == 0
    told = capsys.readouterr().out
    assert "left out more.png: poses.json does not name it" in told
    assert re.search(r"place.json: 8 views, standard deviations [\d.]+ mm and [\d.]+ deg", told)
    found = CameraPlace.load(folder / "place.json")
    assert found.mount == "base"
    assert found.pose.distance_to(IN_BASE) < 0.004
    assert found.pose.angle_to(IN_BASE) < 0.5


def test_a_camera_on_the_hand_is_found_by_the_joints_angles(folder, bundle, bundle_dir, capsys):
    """By the arm's kinematics, a board that leans on the table, and a CSV file."""
    rng, arm = np.random.default_rng(2), bundle.law.arm
    in_hand = transform((0.05, 0.0, 1.5), (0.06, 0.0, -0.2))
    ready = np.array(bundle.robot["joints"]["ready"])
    middle = arm.posture(ready)
    board = transform(
        (0.6, 0.2, 0.0), (*middle.position[:2], 0.05)
    )  # nothing is told from in front
    spread = np.array([0.1, 0.1, 0.1, 0.1, 0.25, 0.25, 0.6])
    rows = []
    for i in range(10):
        angles = ready + rng.uniform(-spread, spread)
        posture = arm.posture(angles)
        camera = Transform(posture.rotation, posture.position) @ in_hand
        _picture(folder / f"images/{i}.png", camera.inverse() @ board, rng)
        rows.append([f"{i}.png", *angles])
    _rows(["image", *bundle.robot["joints"]["names"]], rows)
    command = "hand-eye images --mount hand --poses poses.csv"
    assert _run(command) == 1
    assert "it has no pose; it has image, joint1" in capsys.readouterr().err
    assert _run(f"{command} --bundle {bundle_dir}") == 0
    found = CameraPlace.load(folder / "place.json")
    assert found.mount == "hand"
    assert found.pose.distance_to(in_hand) < 3.0 * found.position_std_m < 0.01
    assert found.pose.angle_to(in_hand) < 0.5


def test_too_few_views_are_told(folder, capsys):
    rng = np.random.default_rng(3)
    _picture(folder / "images/0.png", facing(0.4, 20.0, rng), rng)
    _rows(["image", "x", "y", "z", "qw", "qx", "qy", "qz"], [["0.png", 0, 0, 0, 1, 0, 0, 0]])
    assert _run("hand-eye images --mount hand --poses poses.csv") == 1
    assert "there are 1 views; at least 6 are needed" in capsys.readouterr().err
    assert not (folder / "place.json").exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "poses.txt has no rows"),
        ("image,x,y,z,qw,qx,qy,qz\na.png,0,0,0,1,0,0,0\nb/a.png,0,0,0,1,0,0,0", "line 3: a.png is"),
        ("image,x,y,z,qw,qx,qy,qz\na.png,0,0,0,2,0,0,0", r"line 2: quaternion \[2.* has length 2"),
        ("image,x,y,z,qw,qx,qy,qz\na.png,0,0,low,1,0,0,0", "line 2: position is .*give 3 finite"),
        ("image,x,y,z,qw,qx,qy,qz\na.png,0,0,nan,1,0,0,0", "line 2: position is .*give 3 finite"),
        ("x,y,z,qw,qx,qy,qz\n0,0,0,1,0,0,0", "line 2: it names no image"),
        ("image,a,b\na.png,1,2", "line 2: it has no pose; it has image, a, b, and what is read is"),
        ("{", "is not JSON"),
        ('{"a.png": 3}', "is no list of mappings"),
        ("[3]", "is no list of mappings"),
        ('{"a.png": {"angles": [0, 0, 0]}}', "row 1: angles is .*give 7 finite numbers"),
        ('{"a.png": {"angles": [0, 0, 0, 57, 0, 0, 0]}}', "row 1: joint4 is at 57 rad, beyond its"),
        ("\xff", "is no text"),
    ],
)
def test_poses_that_are_none_are_told_with_their_row(bundle, tmp_path, text, says):
    path = tmp_path / "poses.txt"
    path.write_bytes(text.encode("latin-1"))
    arm: Arm = bundle.law.arm
    with pytest.raises(CalibrationError, match=says):
        read_poses(path, arm, bundle.robot["joints"]["names"])


def test_whole_numbers_of_400_digits_are_no_pose(tmp_path):
    row = {"image": "0.png", "position": [10**400, 0, 0], "quaternion": [1, 0, 0, 0]}
    (tmp_path / "poses.json").write_text(json.dumps([row]))
    with pytest.raises(CalibrationError, match=r"row 1: position is .*; give 3 finite numbers"):
        read_poses(tmp_path / "poses.json")
    place = {"format": "r2s-camera-place/1", "mount": "base", "quaternion": [1, 0, 0, 0]}
    place |= {"position": [0, 0, 0], "residuals": {"a": [10**400, 0]}, "std": [None, None]}
    (tmp_path / "place.json").write_text(json.dumps(place))
    with pytest.raises(CalibrationError, match=r"place.json is damaged"):
        CameraPlace.load(tmp_path / "place.json")
