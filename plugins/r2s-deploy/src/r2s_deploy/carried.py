"""Where the object is while the hand carries it."""

from __future__ import annotations

import dataclasses

from r2s_deploy.errors import NoPose
from r2s_deploy.pose.source import ObjectPose, PoseSource
from r2s_deploy.sensed import Grip
from r2s_deploy.transform import Transform


class Carried:
    """The pose of an object, also where its source does not see it because the hand holds it.

    From when the fingers stop on something until they open or close on nothing, an object that its
    source does not see, or whose pose was entered by hand, is taken to move with the hand.
    """

    def __init__(self, source: PoseSource) -> None:
        self._source = source
        self._last: ObjectPose | None = None
        self._in_hand: Transform | None = None
        self._moved = False
        self.steps = 0  # for which the pose followed from the hand

    def pose(self, grip: Grip, hand: Transform, now_s: float) -> ObjectPose:
        """The pose now, for the state of the gripper and the grip's pose in the base's frame.

        Raises `NoPose` where the source has none and the hand does not hold the object.
        """
        if not grip.told_to_close or grip.on_nothing:
            self._in_hand = None
        elif self._in_hand is None and grip.holds and self._last is not None:
            self._in_hand = hand.inverse() @ self._last.pose
        if self._in_hand is None:
            return self._seen()
        if self._source.follows:
            try:
                found = self._seen()
            except NoPose:
                return self._with_hand(hand, now_s)
            self._in_hand = hand.inverse() @ found.pose
            return found
        self._moved = True
        return self._with_hand(hand, now_s)

    def _seen(self) -> ObjectPose:
        if self._moved:
            raise NoPose("the hand has moved the object since its pose was entered; enter it again")
        self._last = self._source.pose()
        return self._last

    def _with_hand(self, hand: Transform, now_s: float) -> ObjectPose:
        assert self._last is not None
        assert self._in_hand is not None
        self.steps += 1
        return dataclasses.replace(self._last, pose=hand @ self._in_hand, time_s=now_s)
