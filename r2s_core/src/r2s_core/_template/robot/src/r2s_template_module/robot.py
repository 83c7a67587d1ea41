"""The robot: an arm of six hinges and a gripper of two sliding fingers, made of primitives.

At joint angles of zero it stands straight up. Replace the table of links by your robot's; what each
field of `Robot` means is in `r2s_core.robot`, and the test says what does not fit.
"""

from __future__ import annotations

import mujoco
from r2s_core.plugin import NoConfig
from r2s_core.robot import (
    ARM_CONTACT,
    COLLISION_GROUP,
    NO_FRICTION,
    NOT_PHYSICAL,
    PAD_CONTACT,
    Gripper,
    Robot,
)

_Y, _Z = (0, 1, 0), (0, 0, 1)
#: Each link: where its joint is in the link before (m, along z), its axis, its length along z (m),
#: radius (m), mass (kg), and its servo: inertia that it moves (kg m^2), torque (N m), range (rad).
_LINKS = (
    (0.12, _Z, 0.16, 0.060, 2.0, 0.9, 80.0, 3.0),
    (0.18, _Y, 0.35, 0.050, 2.5, 1.2, 80.0, 2.6),
    (0.35, _Y, 0.16, 0.045, 1.2, 0.5, 60.0, 2.6),
    (0.18, _Z, 0.12, 0.040, 0.8, 0.15, 20.0, 3.0),
    (0.14, _Y, 0.06, 0.040, 0.5, 0.15, 20.0, 2.6),
    (0.08, _Z, 0.03, 0.035, 0.3, 0.11, 20.0, 3.0),
)
_JOINTS = tuple(f"joint{i}" for i in range(1, len(_LINKS) + 1))
_FINGERS = ("finger_joint1", "finger_joint2")
#: The grip points down 0.25 m above x = 0.5 m, rad.
_READY = (0.0, 0.6144, 1.3273, 0.0, 1.1999, 0.0)
_STIFF, _DAMPED = 20.0, 0.8  # of the arm's servos: frequency, rad/s, and damping ratio
_TRAVEL, _PAD = 0.03, 0.01  # of a finger, and the radius of its pad, m
_GRIP = 0.11  # from the hand's frame to the middle between the pads, m


def make(config: NoConfig) -> Robot:
    """Build the robot."""
    return Robot(
        name="template_name",
        title="TemplateName",
        add=add,
        dress=dress,
        arm_joints=_JOINTS,
        finger_joints=_FINGERS,
        home=_READY,
        ready=_READY,
        open_joints=dict.fromkeys(_FINGERS, _TRAVEL),
        finger_targets=(-0.015, _TRAVEL),
        gripper=Gripper(
            name="TemplateName's gripper",
            opening=2 * _TRAVEL,
            payload=1.0,
            finger_half_width=0.01,
            finger_thickness=0.015,
            pad_half_height=_PAD,
            pad_below_grip=_PAD,
            palm_clearance=0.05,
            palm=(0.06, 0.03, 0.06),
        ),
        max_speed=(2.5,) * len(_LINKS),
    )


def add(spec: mujoco.MjSpec) -> None:
    """Bodies, joints, servos, the site `grip` and what collides."""
    spec.compiler.degree = False
    body = spec.worldbody.add_body(name="base", gravcomp=1)
    for name, (above, axis, *_, inertia, torque, limit) in zip(_JOINTS, _LINKS, strict=True):
        body = body.add_body(name=f"{name}_link", pos=(0, 0, above), gravcomp=1)
        body.add_joint(name=name, axis=axis, range=(-limit, limit), armature=0.1, damping=1.0)
        gains = inertia * _STIFF**2, 2 * _DAMPED * inertia * _STIFF
        _add_servo(spec, name, *gains, torque, (-limit, limit))
    # Turned by half a turn, so that the grip's x axis points ahead when the robot is ready.
    hand = body.add_body(name="hand", pos=(0, 0, 0.03), quat=(0, 0, 0, 1), gravcomp=1)
    hand.add_site(name="grip", pos=(0, 0, _GRIP), group=4)
    for side, joint, turned in (("left", _FINGERS[0], False), ("right", _FINGERS[1], True)):
        quat = (0, 0, 0, 1) if turned else (1, 0, 0, 0)
        finger = hand.add_body(name=f"{side}_finger", pos=(0, 0, 0.05), quat=quat, gravcomp=1)
        slide = mujoco.mjtJoint.mjJNT_SLIDE
        finger.add_joint(
            name=joint, type=slide, axis=_Y, range=(0, _TRAVEL), armature=1.0, damping=1.0
        )
        finger.add_geom(
            name=f"{side}_pad",
            type=mujoco.mjtGeom.mjGEOM_SPHERE,
            size=(_PAD, 0, 0),
            pos=(0, _PAD, _GRIP - 0.05),
            mass=0.01,
            contype=PAD_CONTACT,
            conaffinity=0,
            condim=4,
            friction=(NO_FRICTION, 0.02, NO_FRICTION),
            group=COLLISION_GROUP,
        )
        _add_servo(spec, joint, 200.0, 60.0, 20.0, (-0.015, _TRAVEL))
    touching = {"contype": ARM_CONTACT, "conaffinity": 0, "group": COLLISION_GROUP}
    for name, start, end, radius, mass in _capsules():
        _add_capsule(spec, name, start, end, radius, mass=mass, **touching)


def dress(spec: mujoco.MjSpec) -> None:
    """What pictures show: the same capsules, coloured."""
    for name, start, end, radius, _ in _capsules():
        rgba = (0.25, 0.27, 0.3, 1) if "finger" in name else (0.9, 0.55, 0.15, 1)
        _add_capsule(spec, name, start, end, radius, rgba=rgba, **NOT_PHYSICAL)


def _capsules():
    """Body, ends [3], radius and mass of each."""
    yield "base", (0, 0, 0.02), (0, 0, 0.10), 0.07, 3.0
    for name, (_, _, length, radius, mass, *_) in zip(_JOINTS, _LINKS, strict=True):
        yield f"{name}_link", (0, 0, 0), (0, 0, length), radius, mass
    yield "hand", (0, -0.03, 0.02), (0, 0.03, 0.02), 0.025, 0.4
    for side in ("left", "right"):
        yield f"{side}_finger", (0, 0.016, 0.0), (0, 0.016, 0.055), 0.007, 0.03


def _add_capsule(spec: mujoco.MjSpec, body: str, start, end, radius: float, **other) -> None:
    kind = mujoco.mjtGeom.mjGEOM_CAPSULE
    spec.body(body).add_geom(type=kind, fromto=(*start, *end), size=(radius, 0, 0), **other)


def _add_servo(spec: mujoco.MjSpec, joint: str, stiffness, damping, force, targets) -> None:
    servo = spec.add_actuator(
        name=joint,
        target=joint,
        trntype=mujoco.mjtTrn.mjTRN_JOINT,
        ctrlrange=targets,
        ctrllimited=True,
        forcerange=(-force, force),
        forcelimited=True,
    )
    servo.set_to_position(kp=stiffness, kv=damping)
