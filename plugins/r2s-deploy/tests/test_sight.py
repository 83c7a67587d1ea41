"""Poses of tags and boards in rendered images, against their truth.

The images are what is in the middle of those of 1280 x 720 pixels and 60 degrees.
"""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

import numpy as np
import pytest

from r2s_deploy.camera import Image, Intrinsics
from r2s_deploy.errors import DeployError, NoPose
from r2s_deploy.pose.opencv import cv2
from r2s_deploy.pose.rendered import StillCamera, board_print, draw, facing, tag_print
from r2s_deploy.pose.sight import Limits, TagPose, Upright
from r2s_deploy.pose.source import ObjectPose
from r2s_deploy.pose.target import Charuco, Tag, Tags, Target
from r2s_deploy.transform import Transform

#: With the distortion of a usual webcam.
CAMERA = dataclasses.replace(
    Intrinsics.of_field_of_view((640, 360), 32.2),
    distortion=np.array([-0.25, 0.08, 0.001, -0.0005, 0.0]),
)
#: Before the robot, looking down and back at it.
IN_BASE = Transform.of((0.9, 0.1, 0.5), (0.23570226, 0.66666667, 0.66666667, 0.23570226))
SIZE = 0.04
PRINT = tag_print(3, SIZE)
ONE = Tags([Tag(3, SIZE)])
BOARD = Charuco((5, 4), 0.02, 0.015)


def _locate(
    image: Image, target: Target = ONE, in_base: Transform | None = None, **options
) -> ObjectPose:
    place = in_base or Transform.identity()
    clock = options.pop("clock", lambda: 0.0)
    return TagPose(StillCamera(image), CAMERA, target, place, clock=clock, **options).pose()


@pytest.mark.parametrize(
    ("distance", "tilt", "mm", "degrees"),
    # Twice what 60 views had at most.
    [(0.3, 10, 0.3, 0.4), (0.3, 50, 0.25, 0.1), (0.5, 50, 0.7, 0.25), (1.0, 50, 6.5, 1.0)],
)
def test_errors_over_distance_and_angle(distance, tilt, mm, degrees):
    rng = np.random.default_rng(1)
    for _ in range(5):
        truth = facing(distance, tilt, rng)
        found = _locate(draw([(PRINT, truth)], CAMERA, rng=rng))
        assert 1e3 * found.pose.distance_to(truth) < mm
        assert found.pose.angle_to(truth) < degrees
        assert found.reprojection_px is not None
        assert found.reprojection_px < 0.12


@pytest.mark.parametrize(
    ("distance", "tilt", "mm", "degrees"), [(0.3, 10, 0.8, 1.1), (0.6, 40, 3.5, 0.5)]
)
def test_errors_with_a_board(distance, tilt, mm, degrees):
    rng = np.random.default_rng(2)
    flat = board_print(BOARD)
    for _ in range(4):
        truth = facing(distance, tilt, rng)
        found = _locate(draw([(flat, truth)], CAMERA, rng=rng), BOARD)
        assert 1e3 * found.pose.distance_to(truth) < mm
        assert found.pose.angle_to(truth) < degrees


def test_standard_deviations_are_those_of_the_errors():
    """Over distances, angles, blur, motion and noise; an accepted pose is never far off."""
    rng = np.random.default_rng(3)
    shares, turns = [], []
    for _ in range(40):
        truth = facing(rng.uniform(0.25, 1.3), rng.uniform(0, 60), rng)
        speed = rng.choice([0.0, 0.0, 2.0, 5.0]) * rng.normal(size=2)
        image = draw(
            [(PRINT, truth)],
            CAMERA,
            blur_px=rng.uniform(0.4, 1.5),
            noise=rng.uniform(0.5, 5.0),
            motion_px=(speed[0], speed[1]),
            rng=rng,
        )
        try:
            found = _locate(image)
        except NoPose:
            continue
        shares.append(found.pose.distance_to(truth) / found.position_std_m)
        turns.append(found.pose.angle_to(truth) / found.rotation_std_deg)
    assert len(shares) >= 15
    assert max(*shares, *turns) < 3.5
    assert 0.15 < np.sqrt(np.mean(np.square(shares))) < 1.0
    assert 0.15 < np.sqrt(np.mean(np.square(turns))) < 1.0


def test_the_pose_is_of_the_objects_frame_in_that_of_the_base():
    rng = np.random.default_rng(4)
    tag_in_object = Transform.of((0.01, -0.02, 0.05), (math.cos(0.4), 0.0, math.sin(0.4), 0.0))
    for _ in range(3):
        tag = facing(0.4, 40.0, rng)
        truth = IN_BASE @ tag @ tag_in_object.inverse()
        image = draw([(PRINT, tag)], CAMERA, rng=rng)
        found = _locate(image, Tags([Tag(3, SIZE, tag_in_object)]), IN_BASE)
        assert found.pose.distance_to(truth) < 0.001
        assert found.pose.angle_to(truth) < 0.5
        assert found.position @ found.position > 0.04  # not the camera's frame by mistake


def test_a_camera_on_the_hand_is_where_it_was_when_the_image_was_taken():
    rng = np.random.default_rng(5)
    truth = facing(0.4, 40.0, rng)
    image = draw([(PRINT, truth)], CAMERA, rng=rng)
    asked = []

    def in_base(time_s: float) -> Transform:
        asked.append(time_s)
        return IN_BASE

    camera = StillCamera(image, 41.9)
    found = TagPose(camera, CAMERA, ONE, in_base, clock=lambda: 42.0).pose()
    assert asked == [41.9]
    assert found.time_s == 41.9
    assert found.pose.distance_to(IN_BASE @ truth) < 0.001


def test_colours_are_red_green_blue():
    truth = facing(0.4, 40.0, np.random.default_rng(6))
    gray = draw([(PRINT, truth)], CAMERA, rng=np.random.default_rng(0))
    found = _locate(np.repeat(gray[..., None], 3, axis=2))
    np.testing.assert_array_equal(found.position, _locate(gray).position)


def _frontal(seed: int) -> tuple[Transform, Image]:
    rng = np.random.default_rng(seed)
    truth = facing(1.2, 12.0, rng)
    return truth, draw([(PRINT, truth)], CAMERA, rng=rng)


def test_an_ambiguous_view_gives_no_pose_but_of_an_upright_object():
    """Far away and nearly from the front the mirrored pose explains an image as well."""
    refused = 0
    for seed in range(8):
        truth, image = _frontal(seed)
        try:
            assert _locate(image).pose.angle_to(truth) < 10.0
            continue
        except NoPose as error:
            told = str(error)
        refused += 1
        assert re.match(r"two poses \d+ degrees apart explain the image equally well", told)
        # The tag lies on top of an object that stands on the table.
        in_base = Transform(truth.rotation.T, np.zeros(3))
        found = _locate(image, in_base=in_base, upright=Upright(12.0))
        assert found.pose.angle_to(in_base @ truth) < 10.0
    assert refused >= 4


def test_an_object_that_is_not_upright_is_none_that_was_said_to_be():
    truth = facing(0.3, 40.0, rng := np.random.default_rng(7))
    image = draw([(PRINT, truth)], CAMERA, rng=rng)
    on_its_side = Transform.of((0, 0, 0), (math.sqrt(0.5), math.sqrt(0.5), 0, 0))
    in_base = on_its_side @ Transform(truth.rotation.T, np.zeros(3))
    with pytest.raises(NoPose, match="not upright within 20 degrees"):
        _locate(image, in_base=in_base, upright=Upright())
    found = _locate(image, in_base=in_base, upright=Upright(axis=(0.0, 1.0, 0.0)))
    assert found.pose.angle_to(in_base @ truth) < 1.0


def test_a_moving_tag_is_refused_before_its_pose_suffers():
    """What is accepted keeps to its standard deviation, which grows with the blur."""
    rng = np.random.default_rng(8)
    told, stds = [], []
    for motion in (0.0, 3.0, 5.0, 6.0, 7.0, 8.0) * 3:
        truth = facing(0.75, 30.0, rng)
        image = draw([(PRINT, truth)], CAMERA, motion_px=(motion, 0.0), rng=rng)
        try:
            found = _locate(image)
        except NoPose as error:
            told.append(str(error))
            continue
        assert motion < 8.0  # more than a module
        assert found.pose.distance_to(truth) < 3.5 * found.position_std_m
        stds.append((motion, found.position_std_m))
    assert any(
        re.match(r"tag 3 is blurred or too small: its edges are [\d.]+ mod", x) for x in told
    )
    assert min(std for motion, std in stds if motion >= 5.0) > max(
        std for motion, std in stds if motion == 0.0
    )


def test_a_tag_in_the_dark_is_refused():
    truth = facing(0.3, 30.0, rng := np.random.default_rng(9))
    image = draw([(PRINT, truth)], CAMERA, noise=0.5, rng=rng)
    with pytest.raises(NoPose, match=r"contrast of only 1\d of 255 levels; give it more light"):
        _locate((image * 0.1).round().astype(np.uint8))


def test_what_covers_a_part_of_the_tag_never_moves_it():
    rng = np.random.default_rng(10)
    seen = 0
    for _ in range(20):
        truth = facing(0.4, 30.0, rng)
        image = draw([(PRINT, truth)], CAMERA, rng=rng)
        spot = cv2.projectPoints(
            np.append(rng.uniform(-0.025, 0.025, 2), 0.0),
            cv2.Rodrigues(truth.rotation)[0], truth.translation, CAMERA.matrix, CAMERA.distortion,
        )[0].ravel().astype(int)  # fmt: skip
        (x, y), half = spot, rng.integers(2, 12)
        image[y - half : y + half, x - half : x + half] = rng.integers(0, 256)
        try:
            found = _locate(image)
        except NoPose:
            continue
        seen += 1
        assert found.pose.distance_to(truth) < max(0.001, 3.5 * found.position_std_m)
    assert seen >= 3


def test_other_tags_and_none_are_named():
    truth = facing(0.4, 30.0, rng := np.random.default_rng(11))
    image = draw([(PRINT, truth)], CAMERA, rng=rng)
    with pytest.raises(NoPose, match=r"^tags 7, 9 not found in the image; it shows tag 3$"):
        _locate(image, Tags([Tag(9, SIZE), Tag(7, SIZE)]))
    with pytest.raises(NoPose, match=r"^tag 3 not found in the image$"):
        _locate(draw([], CAMERA, rng=rng))
    with pytest.raises(NoPose, match=r"^0 of the board's 12 corners are in the image; 6 are"):
        _locate(image, BOARD)


def test_one_tag_twice_in_the_image_is_refused():
    rng = np.random.default_rng(12)
    pose = facing(0.5, 20.0, rng, spread=0.0)
    beside = Transform.of((0.08, 0.0, 0.0)) @ pose
    image = draw([(PRINT, pose), (PRINT, beside)], CAMERA, rng=rng)
    with pytest.raises(NoPose, match="tag 3 is in the image twice"):
        _locate(image)


#: On the top and on a side of a box of 6 cm.
_TOP = Transform.of((0.0, 0.0, 0.03))
_SIDE = Transform.of((0.03, 0.0, 0.0), (0.5, 0.5, 0.5, 0.5))


def _box(rng: np.random.Generator) -> tuple[Transform, Image]:
    # The edge between the two faces points at the camera.
    turn = Transform.of((0, 0, 0), (math.cos(-math.pi / 8), 0.0, math.sin(-math.pi / 8), 0.0))
    truth = facing(0.6, 5.0, rng) @ turn
    image = draw(
        [(tag_print(3, SIZE, 1), truth @ _TOP), (tag_print(4, SIZE, 1), truth @ _SIDE)],
        CAMERA,
        rng=rng,
    )
    return truth, image


def test_tags_on_two_faces_are_not_ambiguous():
    rng = np.random.default_rng(13)
    both = Tags([Tag(3, SIZE, _TOP), Tag(4, SIZE, _SIDE)])
    for _ in range(4):
        truth, image = _box(rng)
        found = _locate(image, both)
        assert found.pose.distance_to(truth) < 0.001
        assert found.pose.angle_to(truth) < 0.5
        single = _locate(image, Tags([Tag(3, SIZE, _TOP)]))
        assert found.position_std_m < 0.7 * single.position_std_m


def test_a_tag_that_is_not_where_it_was_said_to_be_is_noticed():
    _, image = _box(np.random.default_rng(14))
    moved = Transform.of((0.0, 0.003, 0.0)) @ _SIDE
    with pytest.raises(NoPose, match=r"pixels from where any pose puts them, and may be 0\.5"):
        _locate(image, Tags([Tag(3, SIZE, _TOP), Tag(4, SIZE, moved)]))


def test_a_pose_that_is_too_uncertain_is_refused():
    truth = facing(0.5, 40.0, rng := np.random.default_rng(15))
    image = draw([(PRINT, truth)], CAMERA, rng=rng)
    std = _locate(image)
    with pytest.raises(NoPose, match=r"position is uncertain by \d\.\d mm"):
        _locate(image, limits=Limits(position_std_m=0.9 * std.position_std_m))
    with pytest.raises(NoPose, match=r"orientation is uncertain by \d\.\d degrees"):
        _locate(image, limits=Limits(rotation_std_deg=0.9 * std.rotation_std_deg))


def test_old_images_and_missing_ones_give_no_pose():
    truth = facing(0.4, 30.0, rng := np.random.default_rng(16))
    image = draw([(PRINT, truth)], CAMERA, rng=rng)
    assert _locate(image, clock=lambda: 0.19)
    with pytest.raises(NoPose, match=r"newest image is 0\.25 s old and may be 0\.2"):
        _locate(image, clock=lambda: 0.25)
    with pytest.raises(NoPose, match=r"its clock is not time\.monotonic"):
        _locate(image, clock=lambda: -1.0)
    with pytest.raises(NoPose, match="no image: there is no image"):
        TagPose(StillCamera(None), CAMERA, ONE, IN_BASE).pose()


def test_images_of_another_size_or_type_are_refused():
    images: list[Any] = [np.zeros((480, 640), np.uint8), np.zeros((360, 640), np.float32)]
    for image in images:
        with pytest.raises(DeployError, match=r"was calibrated for uint8\[360, 640, 3\]"):
            _locate(image)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Tag(587, SIZE), "there is no tag 587; the family 36h11 has 0 to 586"),
        (lambda: Tag(3, 0.0), "size_m is 0 m; a print has lengths of 0.001 to 2 m"),
        (lambda: Tags([]), "give at least one tag"),
        (lambda: Tags([Tag(3, SIZE), Tag(3, SIZE)]), "each id once"),
        (lambda: Charuco((5, 4), 0.015, 0.02), "markers smaller than they are"),
        (lambda: Charuco((5, 4), 0.02, 0.015, "DICT_9X9_50"), "there is no dictionary DICT_9X9_50"),
        (lambda: Charuco((20, 20), 0.02, 0.015, "DICT_5X5_50"), "too few markers"),
        (lambda: Upright(axis=(0.0, 0.0, 0.0)), "give an axis that is not 0"),
    ],
)
def test_what_cannot_be_is_refused_when_it_is_made(make, told):
    with pytest.raises(DeployError, match=told):
        make()
