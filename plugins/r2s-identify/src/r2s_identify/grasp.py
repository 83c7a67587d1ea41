"""Whether the log has an object in the hand, and where in the hand it is."""

from __future__ import annotations

import copy
import dataclasses

import mujoco
import numpy as np

from r2s_identify.arm import Arm
from r2s_identify.recording import Recording

Array = np.ndarray
_SHARE = 0.99  # of the time that the gripper is told to close
_STEADY = 0.005  # m, standard deviation of the object's place in the hand
_NEAR = 0.15  # m, from the grip
_MOVED = 0.03  # m, that a hand must move for its object to be seen to follow it
_LINES = 200  # that are looked at


def in_hand(arm: Arm, recording: Recording) -> Array | None:
    """The object's place in the hand's frame [3], m; None: it is not held all the time, or the log
    does not have its pose and the gripper's target."""
    pose, fingers = recording.log.object, recording.fingers
    if pose is None or fingers is None:
        return None
    closed = np.abs(fingers - arm.finger_targets[0]) < np.abs(fingers - arm.finger_targets[1])
    if closed.mean() < _SHARE:
        return None
    model = arm.model
    data = mujoco.MjData(model)
    data.qpos[:] = arm.rest(arm.centre)
    hand, grip = model.body_parentid[arm.load], model.body_pos[arm.load]
    places, hands = [], []
    for row in np.linspace(0, len(recording) - 1, _LINES).astype(int):
        data.qpos[arm.qpos] = recording.smooth[row]
        mujoco.mj_kinematics(model, data)
        places.append(data.xmat[hand].reshape(3, 3).T @ (pose[row, :3] - data.xpos[hand]))
        hands.append(data.xpos[arm.load].copy())
    place, moved = np.mean(places, axis=0), np.ptp(hands, axis=0).max()
    steady = np.std(places, axis=0).max() < _STEADY
    if not steady or moved < _MOVED or np.linalg.norm(place - grip) > _NEAR:
        return None
    return place


def with_load_at(arm: Arm, place: Array) -> Arm:
    """The arm with its payload at `place` [3], m, in the hand's frame."""
    model = copy.copy(arm.model)
    model.body_pos[arm.load] = place
    return dataclasses.replace(arm, model=model)
