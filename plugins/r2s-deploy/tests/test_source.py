"""Transforms against known answers, and the pose that is entered by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from r2s_deploy.errors import DeployError, NoPose
from r2s_deploy.pose import ManualPose
from r2s_deploy.transform import Transform, mean

_HALF = math.sqrt(0.5)


def _random(rng: np.random.Generator) -> Transform:
    quaternion = rng.normal(size=4)
    return Transform.of(rng.normal(size=3), quaternion / np.linalg.norm(quaternion))


def test_a_quarter_turn_about_z_takes_x_to_y():
    turn = Transform.of((1.0, 2.0, 3.0), (_HALF, 0.0, 0.0, _HALF))
    np.testing.assert_allclose(turn.points([1.0, 0.0, 0.0]), [1.0, 3.0, 3.0], atol=1e-12)
    np.testing.assert_allclose(turn.quaternion, [_HALF, 0.0, 0.0, _HALF], atol=1e-12)
    assert turn.angle_to(Transform.identity()) == pytest.approx(90.0)
    assert turn.distance_to(Transform.identity()) == pytest.approx(math.sqrt(14.0))


def test_products_inverses_and_quaternions_agree():
    rng = np.random.default_rng(0)
    for _ in range(50):
        a, b, points = _random(rng), _random(rng), rng.normal(size=(7, 3))
        np.testing.assert_allclose((a @ b).points(points), a.points(b.points(points)), atol=1e-12)
        same = a @ a.inverse()
        np.testing.assert_allclose(same.rotation, np.eye(3), atol=1e-12)
        np.testing.assert_allclose(same.translation, 0.0, atol=1e-12)
        again = Transform.from_facts(a.facts())
        np.testing.assert_allclose(again.rotation, a.rotation, atol=1e-12)
        assert a.quaternion[0] >= 0.0


@pytest.mark.parametrize("axis", np.eye(3).tolist())
def test_half_turns_have_their_quaternion(axis):
    turn = Transform.of((0.0, 0.0, 0.0), (0.0, *axis))
    np.testing.assert_allclose(np.abs(turn.quaternion), [0.0, *axis], atol=1e-12)


def test_the_mean_of_small_turns_to_both_sides_is_none():
    turns = [Transform.of((0, 0, z), (math.cos(z), 0, math.sin(z), 0)) for z in (-0.1, 0.0, 0.1)]
    assert mean(turns).angle_to(Transform.identity()) < 1e-9
    assert mean(turns).distance_to(Transform.identity()) < 1e-12


@pytest.mark.parametrize(
    ("position", "quaternion", "told"),
    [
        ((0.0, 0.0), (1, 0, 0, 0), r"position is \(0.0, 0.0\); give 3 finite numbers"),
        ((0.0, math.nan, 0.0), (1, 0, 0, 0), "give 3 finite numbers"),
        ("here", (1, 0, 0, 0), "position is 'here'; give 3 finite numbers"),
        ((0.0, 0.0, 0.0), (1, 1, 0, 0), "has length 1.41; it must be 1"),
        ((0.0, 0.0, 0.0), (0, 0, 0, 0), "has length 0; it must be 1"),
    ],
)
def test_what_is_no_pose_is_refused(position, quaternion, told):
    with pytest.raises(DeployError, match=told):
        ManualPose(position, quaternion)


@pytest.mark.parametrize("key", ["position_std_m", "rotation_std_deg", "valid_s"])
@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, math.nan])
def test_what_says_how_good_it_is_must_be_a_number_above_0(key, value):
    with pytest.raises(DeployError, match=f"{key} is"):
        ManualPose((0.0, 0.0, 0.0), **{key: value})


def test_a_pose_entered_by_hand_holds_for_its_time_and_until_it_is_entered_again():
    now = [100.0]
    source = ManualPose((0.4, 0.1, 0.02), valid_s=5.0, clock=lambda: now[0])
    now[0] = 104.9
    pose = source.pose()
    assert pose.time_s == 104.9
    np.testing.assert_array_equal(pose.position, [0.4, 0.1, 0.02])
    np.testing.assert_array_equal(pose.quaternion, [1.0, 0.0, 0.0, 0.0])
    assert (pose.position_std_m, pose.rotation_std_deg) == (0.005, 5.0)
    assert pose.reprojection_px is None
    now[0] = 105.1
    with pytest.raises(NoPose, match=r"entered 5.1 s ago and holds for 5 s; enter it again"):
        source.pose()
    source.enter((0.5, 0.0, 0.02))
    assert source.pose().position[0] == 0.5


def test_a_pose_cannot_be_written_to():
    pose = ManualPose((0.4, 0.1, 0.02)).pose()
    with pytest.raises(ValueError, match="read-only"):
        pose.position[0] = 1.0
