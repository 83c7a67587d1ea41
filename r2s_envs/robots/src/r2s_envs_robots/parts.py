"""What the models of robots are put together from: links, servos, fingertips."""

from __future__ import annotations

import dataclasses

import mujoco

from r2s_core.robot import ARM_CONTACT, COLLISION_GROUP, NO_FRICTION, PAD_CONTACT

#: Natural frequency of the arms' servos, rad/s, and the share of critical damping.
SERVO_FREQUENCY, SERVO_DAMPING_RATIO = 20.0, 0.8
#: Of each joint: kg m^2 (or kg) of its motor, and N m s/rad (or N s/m).
ARMATURE, JOINT_DAMPING = 0.1, 1.0


@dataclasses.dataclass(frozen=True)
class Link:
    """One moving link: where its joint sits in the parent link, its inertia and its motor.

    pos [3] m and quat (w, x, y, z): the link frame in the parent's; the joint turns about z.
    limits rad; mass kg; com [3] m; inertia xx yy zz xy xz yz about the centre of mass, kg m^2.
    apparent_inertia kg m^2: about its joint in the ready posture, armature included; it sets the
    gains of the joint's servo. max_torque N m; max_speed rad/s: the manufacturer's limit.
    """

    pos: tuple[float, float, float]
    quat: tuple[float, float, float, float]
    limits: tuple[float, float]
    mass: float
    com: tuple[float, float, float]
    inertia: tuple[float, float, float, float, float, float]
    apparent_inertia: float
    max_torque: float
    max_speed: float

    @property
    def stiffness(self) -> float:
        """Of the position servo, N m/rad."""
        return self.apparent_inertia * SERVO_FREQUENCY**2

    @property
    def damping(self) -> float:
        """Of the position servo, N m s/rad."""
        return 2 * SERVO_DAMPING_RATIO * self.apparent_inertia * SERVO_FREQUENCY


@dataclasses.dataclass(frozen=True)
class FingerServo:
    """A finger's servo as its tip feels it: a spring to its target, damped, of a limited force.

    stiffness N/m; damping N s/m; inertia kg, of the motor; max_force N; torsional_friction m, of
    the pads. A finger closes at some 0.2 m/s: slow enough for contacts to be found before the pads
    are deep inside. The stiffness, not the limit, sets the grip (7 N on an object 4 cm wide, 10 N
    at 7 cm): two fingers at their limit would let the object float sideways between them.
    """

    stiffness: float = 200.0
    damping: float = 60.0
    inertia: float = 1.0
    max_force: float = 20.0
    torsional_friction: float = 0.02


def add_chain(spec: mujoco.MjSpec, body: mujoco.MjsBody, links: tuple[Link, ...]) -> mujoco.MjsBody:
    """Hang link1.. with joints and servos joint1.. on `body`; the last link."""
    for index, link in enumerate(links, start=1):
        body = body.add_body(name=f"link{index}", pos=link.pos, quat=link.quat, gravcomp=1)
        set_inertia(body, link.mass, link.com, link.inertia)
        body.add_joint(
            name=f"joint{index}",
            axis=(0, 0, 1),
            range=link.limits,
            armature=ARMATURE,
            damping=JOINT_DAMPING,
        )
        gains = link.stiffness, link.damping, link.max_torque
        add_servo(spec, f"joint{index}", *gains, link.limits)
    return body


def add_pad(body: mujoco.MjsBody, name: str, radius: float, pos, servo: FingerServo) -> None:
    """A soft fingertip: one contact with torsional friction.

    Four corners of a box would hold no better (two such contacts hold a rigid body) and halve the
    speed of a grasping step.
    """
    body.add_geom(
        name=name,
        type=mujoco.mjtGeom.mjGEOM_SPHERE,
        size=(radius, 0, 0),
        pos=pos,
        contype=PAD_CONTACT,
        conaffinity=0,
        condim=4,
        friction=(NO_FRICTION, servo.torsional_friction, NO_FRICTION),
        group=COLLISION_GROUP,
    )


def add_capsule(body: mujoco.MjsBody, start, end, radius: float) -> None:
    """A collision capsule of the robot's own between two points of the body's frame, m."""
    body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_CAPSULE,
        fromto=(*start, *end),
        size=(radius, 0, 0),
        contype=ARM_CONTACT,
        conaffinity=0,
        group=COLLISION_GROUP,
    )


def set_inertia(body: mujoco.MjsBody, mass: float, com, inertia) -> None:
    """mass kg, com [3] m, inertia xx yy zz xy xz yz about it, kg m^2."""
    body.explicitinertial = True
    body.mass, body.ipos, body.fullinertia = mass, com, inertia


def add_servo(spec: mujoco.MjSpec, joint: str, stiffness, damping, max_force, targets) -> None:
    """A position servo of the joint's name."""
    servo = spec.add_actuator(
        name=joint,
        target=joint,
        trntype=mujoco.mjtTrn.mjTRN_JOINT,
        ctrlrange=targets,
        ctrllimited=True,
        forcerange=(-max_force, max_force),
        forcelimited=True,
    )
    servo.set_to_position(kp=stiffness, kv=damping)
