"""The object's pose while the hand holds it."""

import numpy as np
import pytest

from r2s_deploy.carried import Carried
from r2s_deploy.errors import NoPose
from r2s_deploy.pose import ManualPose
from r2s_deploy.sensed import Grip
from r2s_deploy.transform import Transform

OPEN, CLOSING = Grip(False, False, False), Grip(True, False, False)
HOLDS, MISSED = Grip(True, True, False), Grip(True, False, True)


def hand(height, angle=0.0):
    """Above the object, turned about z."""
    quaternion = (np.cos(angle / 2), 0.0, 0.0, np.sin(angle / 2))
    return Transform.of((0.5, 0.1, height), quaternion)


def test_an_object_of_a_known_place_moves_with_the_hand_that_holds_it():
    carried = Carried(ManualPose((0.5, 0.1, 0.03)))
    for grip in (OPEN, CLOSING):
        np.testing.assert_allclose(carried.pose(grip, hand(0.05), 1.0).position, [0.5, 0.1, 0.03])
    carried.pose(HOLDS, hand(0.05), 1.5)
    lifted = carried.pose(HOLDS, hand(0.25, np.pi / 2), 2.0)
    np.testing.assert_allclose(lifted.position, [0.5, 0.1, 0.23], atol=1e-12)
    np.testing.assert_allclose(lifted.quaternion, [np.sqrt(0.5), 0, 0, np.sqrt(0.5)], atol=1e-12)
    assert lifted.time_s == 2.0
    assert carried.steps == 2
    # Fingers that move a little while they hold do not lose it.
    np.testing.assert_allclose(carried.pose(CLOSING, hand(0.3), 2.1).position[2], 0.28)


@pytest.mark.parametrize("grip", [OPEN, MISSED])
def test_once_let_go_a_pose_that_was_entered_is_gone(grip):
    carried = Carried(ManualPose((0.5, 0.1, 0.03)))
    carried.pose(OPEN, hand(0.05), 1.0)
    carried.pose(HOLDS, hand(0.05), 1.1)
    with pytest.raises(NoPose, match="has moved the object since its pose was entered"):
        carried.pose(grip, hand(0.2), 1.2)


class Tracker:
    follows = True

    def __init__(self):
        self.position, self.hidden = (0.5, 0.1, 0.03), False

    def pose(self):
        if self.hidden:
            raise NoPose("the fingers hide the tag")
        return ManualPose(self.position).pose()


def test_what_sees_the_object_is_believed_and_the_hand_stands_in_for_it():
    tracker = Tracker()
    carried = Carried(tracker)
    carried.pose(OPEN, hand(0.05), 1.0)
    tracker.position = (0.5, 0.1, 0.04)  # it slips a little
    assert carried.pose(HOLDS, hand(0.05), 1.1).position[2] == 0.04
    tracker.hidden = True
    assert carried.pose(HOLDS, hand(0.25), 1.2).position[2] == pytest.approx(0.24)
    assert carried.steps == 1
    with pytest.raises(NoPose, match="hide the tag"):
        carried.pose(OPEN, hand(0.25), 1.3)
