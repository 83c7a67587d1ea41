"""The Robotiq 2F-85: two fingers whose tips a parallelogram keeps parallel while they swing.

Lengths as in the published model; see NOTICE.
"""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np

from r2s_envs_robots.parts import FingerServo, add_capsule, add_pad, add_servo, set_inertia

#: The coupling between flange and gripper, m.
_MOUNT = 0.0108
#: Where the bar of a finger turns, and its end as seen from there, open; m: along the closing
#: direction, outward, and along the approach.
_PIVOT, _BAR = (0.0306, 0.0549), (0.0376, 0.0430)
_LENGTH, _OPEN_ANGLE = float(np.hypot(*_BAR)), float(np.arctan2(_BAR[1], _BAR[0]))
OPENING = 0.085
_PAD_RADIUS = 0.011
#: The angle by which a bar swings from open to closed, rad.
STROKE = float(np.arccos(np.cos(_OPEN_ANGLE) - OPENING / 2 / _LENGTH)) - _OPEN_ANGLE
#: The pad's centre as seen from the bar's end: the pads meet when closed.
_PAD = (_PAD_RADIUS - _PIVOT[0] - _LENGTH * float(np.cos(_OPEN_ANGLE + STROKE)), 0.0405)
#: `grip` in the hand's frame, m: midway between the pads when they hold something 40 mm wide.
#: Open, they are 12 mm nearer to the palm; closed, 2 mm farther.
_GRIP_WIDTH = 0.04
_GRIP_ANGLE = float(np.arccos(np.cos(_OPEN_ANGLE + STROKE) + _GRIP_WIDTH / 2 / _LENGTH))
GRIP = _PIVOT[1] + _LENGTH * float(np.sin(_GRIP_ANGLE)) + _PAD[1]
#: How far the fingertips reach beyond `grip`, closed, m.
PAD_BELOW_GRIP = (
    _PIVOT[1] + _LENGTH * float(np.sin(_OPEN_ANGLE + STROKE)) + _PAD[1] + _PAD_RADIUS - GRIP
)
PALM = 0.094  # from the gripper's base, m
#: Targets of a bar, rad. Beyond closed, so that a closing finger presses; beyond open, since 0
#: stands for "not told".
FINGER_TARGETS = (STROKE + 0.35, -0.05)

# The equality that turns a tip back is a spring in acceleration: it is stiff where the inertia that
# it holds is not small, and 1e-3 kg m^2 moves nothing that a pad feels.
_TIP_ARMATURE, _TIP_SOLIMP = 1e-3, (0.999, 0.999, 0.001, 0.5, 2.0)

_HAND_MASS, _HAND_COM = 0.777, (0.0, 0.0, 0.0355)
_HAND_INERTIA = (2.603e-4, 2.254e-4, 1.527e-4, 0.0, 0.0, 0.0)
_BAR_MASS, _BAR_INERTIA = 0.0453, (1.9e-5, 1.5e-5, 5e-6, 0.0, 0.0, 0.0)
_TIP_MASS, _TIP_INERTIA = 0.016, (5.0e-6, 4.6e-6, 1.1e-6, 0.0, 0.0, 0.0)


def opening(fingers: Any) -> Any:
    """Between the pads, m, of the bars' angles [..., 2]; of JAX and NumPy arrays."""
    xp = fingers.__array_namespace__()
    closed = np.cos(_OPEN_ANGLE + STROKE)
    return _LENGTH * (xp.cos(_OPEN_ANGLE + fingers) - closed).sum(-1)


def add_2f85(spec: mujoco.MjSpec, flange: mujoco.MjsBody, servo: FingerServo) -> None:
    """Add the gripper to a flange whose z axis points outward.

    Bodies hand, left_finger, left_tip, right_finger, right_tip; joints and actuators
    finger_joint1..2, of the bars; joints left_tip and right_tip, which turn back as far.
    """
    hand = flange.add_body(name="hand", pos=(0.0, 0.0, _MOUNT), gravcomp=1)
    set_inertia(hand, _HAND_MASS, _HAND_COM, _HAND_INERTIA)
    hand.add_site(name="grip", pos=(0.0, 0.0, GRIP), size=(0.005,) * 3, group=4)
    add_capsule(hand, (0.0, -0.03, 0.055), (0.0, 0.03, 0.055), 0.037)
    _add_finger(spec, hand, "left", "finger_joint1", (1.0, 0.0, 0.0, 0.0), servo)
    _add_finger(spec, hand, "right", "finger_joint2", (0.0, 0.0, 0.0, 1.0), servo)


def _add_finger(spec, hand, side: str, joint: str, quat, servo: FingerServo) -> None:
    place = np.array([0.0, *_PIVOT]) * (1.0, 1.0 if side == "left" else -1.0, 1.0)
    bar = hand.add_body(name=f"{side}_finger", pos=place, quat=quat, gravcomp=1)
    set_inertia(bar, _BAR_MASS, (0.0, _BAR[0] / 2, _BAR[1] / 2), _BAR_INERTIA)
    square = _LENGTH**2  # what the servo is at the tip, it is at the bar times this
    bar.add_joint(name=joint, axis=(1, 0, 0), range=(0.0, STROKE), armature=servo.inertia * square)
    tip = bar.add_body(name=f"{side}_tip", pos=(0.0, *_BAR), gravcomp=1)
    set_inertia(tip, _TIP_MASS, (0.0, -0.01, 0.02), _TIP_INERTIA)
    tip.add_joint(name=f"{side}_tip", axis=(1, 0, 0), armature=_TIP_ARMATURE)
    spec.add_equality(
        type=mujoco.mjtEq.mjEQ_JOINT,
        name1=f"{side}_tip",
        name2=joint,
        data=(0.0, -1.0, *[0.0] * 10),
        solimp=_TIP_SOLIMP,
    )
    add_pad(tip, f"{side}_pad", _PAD_RADIUS, (0.0, *_PAD), servo)
    add_capsule(tip, (0.0, -0.004, 0.005), (0.0, -0.004, 0.036), 0.010)
    gains = servo.stiffness * square, servo.damping * square, servo.max_force * _LENGTH
    add_servo(spec, joint, *gains, sorted(FINGER_TARGETS))
