"""The Franka Panda, built in MjSpec from its published kinematics and inertias.

Geometry here is what physics needs: few primitives, chosen for speed. Looks are in `looks`.
"""

from __future__ import annotations

import mujoco
import numpy as np

from r2s_envs_robots.parts import (
    JOINT_DAMPING,
    FingerServo,
    Link,
    add_capsule,
    add_chain,
    add_pad,
    add_servo,
    set_inertia,
)

_R = np.sqrt(0.5)
_IDENTITY = (1.0, 0.0, 0.0, 0.0)
_PITCH_UP = (_R, _R, 0.0, 0.0)  # +90 degrees about x
_PITCH_DOWN = (_R, -_R, 0.0, 0.0)  # -90 degrees about x


#: link1 .. link7. Masses, centres and inertias as identified on a real arm and published with
#: the reference model of MuJoCo Menagerie; frames, limits and speeds as Franka publishes them.
#:
#: The servos answer alike, so that joints move together along the commanded path, and they are
#: softer than that model's (4500 N m/rad, 450 N m s/rad), nearer to Franka's own joint impedance
#: example, with about the same time constant. At 12 ms the reference's gains would make
#: `timestep * damping / inertia`, by which an implicit step slows a joint, 20; these make it 0.4.
LINKS: tuple[Link, ...] = (
    Link(
        (0, 0, 0.333),
        _IDENTITY,
        (-2.8973, 2.8973),
        4.970684,
        (0.003875, 0.002081, -0.04762),
        (0.70337, 0.70661, 0.009117, -0.000139, 0.006772, 0.019169),
        1.4,
        87,
        2.175,
    ),
    Link(
        (0, 0, 0),
        _PITCH_DOWN,
        (-1.7628, 1.7628),
        0.646926,
        (-0.003141, -0.02872, 0.003495),
        (0.007962, 0.02811, 0.025995, -0.003925, 0.010254, 0.000704),
        2.5,
        87,
        2.175,
    ),
    Link(
        (0, -0.316, 0),
        _PITCH_UP,
        (-2.8973, 2.8973),
        3.228604,
        (0.027518, 0.039252, -0.066502),
        (0.037242, 0.036155, 0.01083, -0.004761, -0.011396, -0.012805),
        1.3,
        87,
        2.175,
    ),
    Link(
        (0.0825, 0, 0),
        _PITCH_UP,
        (-3.0718, -0.0698),
        3.587895,
        (-0.05317, 0.104419, 0.027454),
        (0.025853, 0.019552, 0.028323, 0.007796, -0.001332, 0.008641),
        1.07,
        87,
        2.175,
    ),
    Link(
        (-0.0825, 0.384, 0),
        _PITCH_DOWN,
        (-2.8973, 2.8973),
        1.225946,
        (-0.011953, 0.041065, -0.038437),
        (0.035549, 0.029474, 0.008627, -0.002117, -0.004037, 0.000229),
        0.144,
        12,
        2.61,
    ),
    Link(
        (0, 0, 0),
        _PITCH_UP,
        (-0.0175, 3.7525),
        1.666555,
        (0.060149, -0.014117, -0.010517),
        (0.001964, 0.004354, 0.005433, 0.000109, -0.001158, 0.000341),
        0.153,
        12,
        2.61,
    ),
    Link(
        (0.088, 0, 0),
        _PITCH_UP,
        (-2.8973, 2.8973),
        0.735522,
        (0.010517, -0.004252, 0.061597),
        (0.012516, 0.010027, 0.004815, -0.000428, -0.001196, -0.000741),
        0.107,
        12,
        2.61,
    ),
)

#: The flange in link7, the hand in the flange, and the fingers' base in the hand.
FLANGE_POS = np.array([0.0, 0.0, 0.107])
HAND_QUAT = np.array([np.cos(np.pi / 8), 0.0, 0.0, -np.sin(np.pi / 8)])  # -45 degrees about z
FINGER_POS = np.array([0.0, 0.0, 0.0584])
#: `grip`, the end effector, in the hand frame: the centre of the pads' contact, z forward.
GRIP_POS = np.array([0.0, 0.0, 0.1029])

#: Each finger's travel from the closed gripper, m; the stroke between them is twice that.
FINGER_RANGE = (0.0, 0.04)
#: Targets may lie beyond closed, so that a closing finger presses on what it meets.
FINGER_TARGETS = (-0.02, 0.04)

_HAND_MASS, _HAND_COM, _HAND_INERTIA = 0.73, (-0.01, 0.0, 0.03), (0.001, 0.0025, 0.0017)
_FINGER_MASS, _FINGER_INERTIA = 0.015, (2.375e-6, 2.375e-6, 7.5e-7)
_BASE_MASS, _BASE_COM = 0.629769, (-0.041018, -0.00014, 0.049974)
_BASE_INERTIA = (0.00315, 0.00388, 0.004285, 8.2904e-7, 0.00015, 8.2299e-6)

#: (link, end, end, radius) of the arm's collision capsules, link frames, m. The base, the upper
#: arm and the elbow have none: within the joint limits they cannot reach the table.
_CAPSULES: tuple[tuple[str, tuple[float, ...], tuple[float, ...], float], ...] = (
    ("link5", (0.0, 0.08, -0.20), (0.0, 0.08, -0.06), 0.05),
    ("link6", (0.0, 0.0, -0.07), (0.0, 0.0, 0.01), 0.05),
    ("link7", (0.0, 0.0, -0.04), (0.0, 0.0, 0.08), 0.045),
    ("hand", (0.0, -0.07, 0.033), (0.0, 0.07, 0.033), 0.033),
    ("left_finger", (0.0, 0.0136, 0.012), (0.0, 0.0136, 0.0451), 0.0085),
    ("right_finger", (0.0, 0.0136, 0.012), (0.0, 0.0136, 0.0451), 0.0085),
)
_PAD_RADIUS = 0.0095
_PAD_CENTRE = (0.0, _PAD_RADIUS, 0.0445)  # the pads meet at finger position zero
#: How far the fingertips reach beyond `grip`, m.
PAD_BELOW_GRIP = _PAD_RADIUS


def add_panda(spec: mujoco.MjSpec, servo: FingerServo) -> None:
    """Add the arm and its gripper to `spec`, the base at the world's origin.

    Bodies link0..link7, hand, left_finger, right_finger; joints and actuators joint1..7 and
    finger_joint1..2; site `grip`. Gravity is compensated on every body of the robot.
    """
    spec.compiler.degree = False
    base = spec.worldbody.add_body(name="link0", gravcomp=1)
    set_inertia(base, _BASE_MASS, _BASE_COM, _BASE_INERTIA)
    flange = add_chain(spec, base, LINKS)
    hand = flange.add_body(name="hand", pos=FLANGE_POS, quat=HAND_QUAT, gravcomp=1)
    set_inertia(hand, _HAND_MASS, _HAND_COM, (*_HAND_INERTIA, 0, 0, 0))
    hand.add_site(name="grip", pos=GRIP_POS, size=(0.005,) * 3, group=4)
    _add_finger(spec, hand, "left", "finger_joint1", _IDENTITY, servo)
    _add_finger(spec, hand, "right", "finger_joint2", (0.0, 0.0, 0.0, 1.0), servo)
    for name, start, end, radius in _CAPSULES:
        add_capsule(spec.body(name), start, end, radius)


def _add_finger(spec, hand, side: str, joint: str, quat, servo: FingerServo) -> None:
    finger = hand.add_body(name=f"{side}_finger", pos=FINGER_POS, quat=quat, gravcomp=1)
    set_inertia(finger, _FINGER_MASS, (0, 0, 0), (*_FINGER_INERTIA, 0, 0, 0))
    finger.add_joint(
        name=joint,
        type=mujoco.mjtJoint.mjJNT_SLIDE,
        axis=(0, 1, 0),
        range=FINGER_RANGE,
        armature=servo.inertia,
        damping=JOINT_DAMPING,
    )
    add_pad(finger, f"{side}_pad", _PAD_RADIUS, _PAD_CENTRE, servo)
    add_servo(spec, joint, servo.stiffness, servo.damping, servo.max_force, FINGER_TARGETS)
