"""The lens model against OpenCV's, and calibration files."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from r2s_deploy.camera import Intrinsics
from r2s_deploy.errors import CalibrationError
from r2s_deploy.pose.opencv import cv2

CAMERA = dataclasses.replace(
    Intrinsics.of_field_of_view((640, 480), 70.0),
    distortion=np.array([-0.3, 0.12, 0.002, -0.001, -0.02]),
    rms_px=0.21,
)


def test_distortion_is_opencvs_and_is_undone():
    rng = np.random.default_rng(0)
    points = rng.uniform((-0.5, -0.4, 1.0), (0.5, 0.4, 1.0), (200, 3))
    seen = cv2.projectPoints(points, np.zeros(3), np.zeros(3), CAMERA.matrix, CAMERA.distortion)[0]
    ideal = cv2.projectPoints(points, np.zeros(3), np.zeros(3), CAMERA.matrix, None)[0]
    np.testing.assert_allclose(CAMERA.distorted(ideal[:, 0]), seen[:, 0], atol=1e-9)
    np.testing.assert_allclose(CAMERA.ideal(seen[:, 0]), ideal[:, 0], atol=1e-6)
    assert CAMERA.ideal(seen.reshape(10, 20, 2)).shape == (10, 20, 2)


def test_pixels_where_distortion_cannot_be_undone_are_not_a_number():
    lens = dataclasses.replace(CAMERA, distortion=np.array([-0.5, 0.0, 0.0, 0.0, 0.0]))
    middle, corner = lens.ideal(np.array([(320.0, 240.0), (-400.0, -400.0)]))
    assert np.isfinite(middle).all()
    assert np.isnan(corner).all()


def test_a_file_gives_back_what_was_saved(tmp_path):
    CAMERA.save(tmp_path / "camera.json")
    again = Intrinsics.load(tmp_path / "camera.json")
    assert (again.size, again.rms_px) == (CAMERA.size, CAMERA.rms_px)
    np.testing.assert_array_equal(again.matrix, CAMERA.matrix)
    np.testing.assert_array_equal(again.distortion, CAMERA.distortion)
    assert [path.name for path in tmp_path.iterdir()] == ["camera.json"]


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("format", "r2s-camera/9", "is no file of the format r2s-camera/1"),
        ("size", [640], r"damaged: size is \[640\] and must be \[width, height\]"),
        ("size", [640, -1], "damaged: size is"),
        ("size", 640, "damaged"),
        ("matrix", [[1.0, 0.0], [0.0, 1.0]], "damaged: matrix must be 3 x 3 finite numbers"),
        ("matrix", [[-1, 0, 0], [0, 1, 0], [0, 0, 1]], "with fx and fy above 0"),
        ("matrix", "far", "damaged"),
        ("distortion", [0.1, 0.2], "damaged: distortion must be 5 finite numbers"),
        ("distortion", [0.1, 0.2, 0.0, 0.0, float("nan")], "damaged: distortion must be 5 finite"),
        ("rms_px", -1.0, "damaged: rms_px must be a number from 0"),
        ("rms_px", [], "damaged"),
        ("rms_px", 10**400, "damaged"),
        ("matrix", [[10**400, 0, 0], [0, 1, 0], [0, 0, 1]], "damaged"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, key, value, told):
    path = tmp_path / "camera.json"
    CAMERA.save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(CalibrationError, match=told):
        Intrinsics.load(path)


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff\xfe", b"{", b"[" * 100_000, b" " * (1 << 21)])
def test_what_is_no_file_of_a_camera_is_refused(tmp_path, data):
    path = tmp_path / "camera.json"
    path.write_bytes(data)
    with pytest.raises(CalibrationError, match="is no file of the format"):
        Intrinsics.load(path)
    with pytest.raises(CalibrationError, match=r"cannot read .*: No such file"):
        Intrinsics.load(tmp_path / "other.json")
