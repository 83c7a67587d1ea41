"""Intrinsics and the camera's place from rendered boards, against the truth."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from r2s_deploy.camera import Image, Intrinsics
from r2s_deploy.errors import CalibrationError
from r2s_deploy.pose.calibrate import calibrate
from r2s_deploy.pose.opencv import transform
from r2s_deploy.pose.placement import (
    CameraPlace,
    HandView,
    KnownView,
    Mount,
    by_hand_eye,
    by_known_place,
)
from r2s_deploy.pose.rendered import board_print, draw, facing
from r2s_deploy.pose.sight import locate
from r2s_deploy.pose.target import Charuco
from r2s_deploy.transform import Transform

CAMERA = dataclasses.replace(
    Intrinsics.of_field_of_view((640, 360), 60.0),
    distortion=np.array([-0.25, 0.08, 0.001, -0.0005, 0.0]),
)
BOARD = Charuco((7, 5), 0.03, 0.022)
_PRINT = board_print(BOARD, 40)
IN_BASE = Transform.of((0.9, 0.1, 0.5), (0.23570226, 0.66666667, 0.66666667, 0.23570226))


def _views(tilts: tuple[float, ...], rng: np.random.Generator) -> dict[str, Image]:
    images = {}
    for i, tilt in enumerate(tilts):
        pose = facing(rng.uniform(0.32, 0.45), tilt, rng, spread=0.25)
        images[f"{i}.png"] = draw([(_PRINT, pose)], CAMERA, rays=3, rng=rng)
    return images


@pytest.fixture(scope="module")
def images() -> dict[str, Image]:
    return _views((5, 15, 20, 25, 30, 35, 40, 45, 30, 20, 40, 35), np.random.default_rng(0))


def test_the_lens_is_found(images):
    found = calibrate(images, BOARD)
    assert found.left_out == {}
    assert found.view_rms_px.keys() == images.keys()
    assert found.intrinsics.rms_px is not None
    assert 0.01 < found.intrinsics.rms_px < 0.2
    assert 0.4 < found.covered <= 1.0
    focal = found.intrinsics.matrix[[0, 1], [0, 1]]
    np.testing.assert_allclose(focal, CAMERA.matrix[0, 0], rtol=min(4 * found.focal_std, 0.003))
    # What counts: the angles between pixels, where the board was. A turn of all of them, by an
    # error of the principal point, is found again in where the camera is.
    grid = np.stack(np.meshgrid(np.linspace(80, 560, 9), np.linspace(45, 315, 7)), axis=-1)
    rays = [
        (camera.ideal(grid) - camera.matrix[:2, 2]) / camera.matrix[[0, 1], [0, 1]]
        for camera in (CAMERA, found.intrinsics)
    ]
    off = (rays[0] - rays[1]).reshape(-1, 2) * CAMERA.matrix[0, 0]
    assert np.abs(off).max() < 2.5
    assert np.abs(off - off.mean(axis=0)).max() < 0.5


def test_views_that_repeat_and_images_without_the_board_are_left_out(images):
    black = np.zeros((360, 640), np.uint8)
    more = images | {"again.png": images["3.png"], "black.png": black}
    found = calibrate(more, BOARD)
    assert found.left_out == {
        "again.png": "the board is where it is in 3.png",
        "black.png": "0 corners seen, 8 needed",
    }
    # OpenCV's threads add in any order.
    without = calibrate(images, BOARD).intrinsics.matrix
    np.testing.assert_allclose(found.intrinsics.matrix, without, rtol=1e-6)


def test_too_few_views_are_refused(images):
    some = dict(list(images.items())[:4]) | {"again.png": images["1.png"]}
    with pytest.raises(CalibrationError, match=r"^4 of 5 images show .* where it is in 1.png\)$"):
        calibrate(some, BOARD)
    with pytest.raises(CalibrationError, match="there are no images"):
        calibrate({}, BOARD)


def test_views_that_cannot_tell_the_focal_length_are_refused():
    """A board that always faces the camera: nearer is as good as a longer lens."""
    rng = np.random.default_rng(1)
    images = {}
    for i in range(9):
        place = np.array([*rng.uniform(-0.12, 0.12, 2) * (1.0, 0.6), 0.35])
        pose = transform((math.pi, 0.0, 0.0), place)
        images[f"{i}.png"] = draw([(_PRINT, pose)], CAMERA, rays=2, rng=rng)
    with pytest.raises(CalibrationError, match=r"views are too similar: the focal length is unc"):
        calibrate(images, BOARD)


def test_a_board_in_the_middle_only_is_refused():
    rng = np.random.default_rng(2)
    images = {
        f"{i}.png": draw([(_PRINT, facing(0.7, 30.0, rng, spread=0.05))], CAMERA, rays=2, rng=rng)
        for i in range(9)
    }
    with pytest.raises(CalibrationError, match=r"in \d+% of the image only, and has to be in 40%"):
        calibrate(images, BOARD)


def test_images_of_different_sizes_are_refused(images):
    with pytest.raises(CalibrationError, match=r"small.png is 320 x 180 pixels, and the first"):
        calibrate(images | {"small.png": images["0.png"][::2, ::2].copy()}, BOARD)


def test_a_print_that_is_not_the_board_described_is_refused(images):
    """Squares that are no squares, as when a printer scales one side: no camera explains them."""
    wide = Charuco((7, 5), 0.03, 0.022)
    wide._points = wide.points * (1.0, 1.0 + 0.2, 1.0) + wide.points[:, :1] * (0.0, 0.1, 0.0)
    with pytest.raises(CalibrationError, match=r"no camera explains these images: corners are"):
        calibrate(images, wide)


def test_a_board_at_a_known_place_tells_where_the_camera_is():
    rng = np.random.default_rng(3)
    views = {}
    for i in range(3):
        board = facing(0.45, 35.0, rng)
        image = draw([(_PRINT, board)], CAMERA, rng=rng)
        views[str(i)] = KnownView(locate(image, BOARD, CAMERA).pose, IN_BASE @ board)
    found = by_known_place(views)
    assert found.mount == "base"
    assert found.pose.distance_to(IN_BASE) < 0.0005
    assert found.pose.angle_to(IN_BASE) < 0.1
    assert all(0.0 < mm < 0.0005 and deg < 0.1 for mm, deg in found.residuals.values())
    moved = Transform.of((0.01, 0.0, 0.0)) @ views["1"].board_in_base
    with pytest.raises(CalibrationError, match=r"view 1 disagrees with the others by \d\.\d mm"):
        by_known_place(views | {"1": dataclasses.replace(views["1"], board_in_base=moved)})


def _hand_views(
    mount: Mount, count: int, rng: np.random.Generator, axes: int = 3
) -> tuple[Transform, dict[str, HandView]]:
    """The camera's place, and views with the noise of a camera (0.5 mm, 0.1 degrees) and an arm
    (0.2 mm, 0.02 degrees)."""

    def turned(degrees: float, about: int = 3) -> Transform:
        vector = np.zeros(3)
        vector[:about] = rng.normal(0.0, math.radians(degrees), about)
        return transform(vector, np.zeros(3))

    def noisy(pose: Transform, m: float, degrees: float) -> Transform:
        return pose @ Transform.of(rng.normal(0.0, m, 3)) @ turned(degrees)

    place = IN_BASE if mount == "base" else transform((0.1, 0.0, 1.6), (0.05, 0.0, -0.03))
    board = transform((0.3, 0.2, 0.1), (0.02, 0.01, 0.1))  # in the hand's frame, or in the base's
    views = {}
    for i in range(count):
        at = Transform.of(rng.normal((0.5, 0.0, 0.3), 0.08)) @ transform((math.pi, 0, 0), (0, 0, 0))
        hand = at @ turned(20.0, axes)
        seen = hand @ board if mount == "base" else board
        camera = place if mount == "base" else hand @ place
        views[f"{i:02}"] = HandView(
            noisy(camera.inverse() @ seen, 0.0005, 0.1), noisy(hand, 0.0002, 0.02)
        )
    return place, views


@pytest.mark.parametrize("mount", ["base", "hand"])
def test_hand_eye_calibration_finds_the_camera(mount):
    rng = np.random.default_rng(4)
    shares, turns = [], []
    for _ in range(8):
        truth, views = _hand_views(mount, 15, rng)
        found = by_hand_eye(views, mount)
        assert found.mount == mount
        assert found.pose.distance_to(truth) < 0.004
        assert found.pose.angle_to(truth) < 0.3
        assert found.residuals.keys() == views.keys()
        shares.append(found.pose.distance_to(truth) / found.position_std_m)
        turns.append(found.pose.angle_to(truth) / found.rotation_std_deg)
    assert 0.3 < np.sqrt(np.mean(np.square(shares))) < 2.0
    assert 0.3 < np.sqrt(np.mean(np.square(turns))) < 2.0


def test_hand_eye_views_that_cannot_tell_are_refused():
    rng = np.random.default_rng(5)
    _, views = _hand_views("base", 12, rng, axes=1)
    with pytest.raises(CalibrationError, match=r"turned too little, or about one axis only \(0\."):
        by_hand_eye(views, "base")
    with pytest.raises(CalibrationError, match="there are 5 views; at least 6 are needed"):
        by_hand_eye(dict(list(views.items())[:5]), "base")


def test_a_hand_eye_view_of_another_pose_is_named():
    _, views = _hand_views("hand", 12, np.random.default_rng(6))
    wrong = dataclasses.replace(views["07"], hand_in_base=views["03"].hand_in_base)
    with pytest.raises(CalibrationError, match=r"view 07 disagrees with the others by \d+\.\d mm"):
        by_hand_eye(views | {"07": wrong}, "hand")


def test_a_cameras_place_is_kept_in_a_file(tmp_path):
    _, views = _hand_views("hand", 8, np.random.default_rng(7))
    found = by_hand_eye(views, "hand")
    path = tmp_path / "place.json"
    found.save(path)
    again = CameraPlace.load(path)
    np.testing.assert_allclose(again.pose.rotation, found.pose.rotation, atol=1e-12)
    np.testing.assert_array_equal(again.pose.translation, found.pose.translation)
    assert (again.mount, again.residuals) == ("hand", found.residuals)
    assert again.position_std_m == found.position_std_m
    text = path.read_text()
    for damage in (('"hand"', '"foot"'), ('"std"', '"sdt"'), ('"position": [', '"position": [1, ')):
        path.write_text(text.replace(*damage))
        with pytest.raises(CalibrationError, match="damaged"):
            CameraPlace.load(path)
