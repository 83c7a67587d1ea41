"""What a bundle says of its robot, its objects and its control law, within what there can be.

The bounds are generous: they refuse another unit, a missing sign or a lie, and they are no
replacement for the limits of the robot itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from r2s_deploy.arm import LAWS
from r2s_deploy.documents import Fields
from r2s_deploy.errors import BundleError
from r2s_deploy.sensed import QUANTITIES

_FAR = 10.0  # m, of a robot's own lengths
_MAX_ANGLE, _MAX_SPEED = 100.0, 20.0  # rad, rad/s
_MAX_ACCELERATION, _MAX_JERK = 1e3, 1e6  # rad/s^2, rad/s^3
_LEAST_GAIN, _GAIN = 1e-3, 1e6  # Nm/rad, Nms/rad, Nm
_LAG = 1.0  # s, of a servo
_FINGERS = 10.0  # m or rad, of a target of the fingers
_WORKSPACE, _OBJECT = 5.0, 5.0  # m from the base, and of an object
_MASS = 1e3  # kg
_LONG = 2.0  # of a component of what has the length 1
_UNIT = 1e-3  # how far the length of a direction may be off 1
_ROUNDED = 1e-6  # rad, that a posture may be beyond its limits
#: The largest value of each constant of a control law: m, rad, or none.
_CONSTANTS = {
    **{"ee_step": 1.0, "ee_yaw_step": 3.2, "joint_step": 3.2, "max_lead": 3.2},
    **{"damping": 10.0, "posture_gain": 10.0, "gripper_threshold": 10.0, "looks_open": 10.0},
}


def check_robot(robot: Fields) -> None:
    """Raises `BundleError` for a `robot.json` of no robot."""
    robot.name("title")
    robot.numbers_within("workspace", -_WORKSPACE, _WORKSPACE, 2)
    joints, chain = robot.fields("joints"), robot.fields("chain")
    count = len(joints.names("names"))
    _check_joints(joints, count)
    if "servos" in robot:
        _check_servos(robot.fields("servos"), count)
    chain.numbers_within("offsets", -_FAR, _FAR, count + 1, 3)
    chain.numbers_within("grip", -_FAR, _FAR, 3)
    if not _are_unit(chain.numbers_within("turns", -_LONG, _LONG, count + 1, 4), 1e-4):
        raise BundleError(f"{chain.where}: turns must be quaternions of length 1")
    _check_gripper(robot.fields("gripper"))


def _check_joints(joints: Fields, count: int) -> None:
    low, high, home, ready = (
        np.array(joints.numbers_within(key, -_MAX_ANGLE, _MAX_ANGLE, count), float)
        for key in ("low", "high", "home", "ready")
    )
    if not (low < high).all():
        raise BundleError(f"{joints.where}: low must be below high for every joint")
    for key, posture in (("home", home), ("ready", ready)):
        if (posture < low - _ROUNDED).any() or (posture > high + _ROUNDED).any():
            raise BundleError(f"{joints.where}: {key} is outside of low to high")
    joints.numbers_within("max_speed", 0.0, _MAX_SPEED, count, above=0.0)
    for key, most in (("max_acceleration", _MAX_ACCELERATION), ("max_jerk", _MAX_JERK)):
        if key in joints:
            joints.numbers_within(key, 0.0, most, count, above=0.0)


def _check_servos(servos: Fields, count: int) -> None:
    gains = [
        np.array(servos.numbers_within(key, least, _GAIN, count), float) if key in servos else None
        for key, least in (("kp", _LEAST_GAIN), ("kd", 0.0), ("max_torque", 0.0))
    ]
    stiffness, damping, _ = gains
    if stiffness is not None and damping is not None and (damping > _LAG * stiffness).any():
        raise BundleError(
            f"{servos.where}: kd is above {_LAG:g} s times kp, and no servo is that late"
        )


def _check_gripper(gripper: Fields) -> None:
    if "joints" in gripper:
        gripper.names("joints")
    for key in ("closed_target", "open_target"):
        gripper.number(key, least=-_FINGERS, most=_FINGERS)
    gripper.number("opening", above=0.0, most=1.0)
    table = gripper.numbers_within("opening_of_fingers", -_FINGERS, _FINGERS, None, 2)
    if len(table) < 2 or not (np.diff(np.array(table, float)[:, 0]) > 0).all():
        raise BundleError(f"{gripper.where}: opening_of_fingers must rise in its first numbers")


def check_objects(objects: Fields) -> None:
    """Raises `BundleError` for an `object.json` of no object, or of one that cannot be."""
    rows = objects.rows("objects")
    names = [each.name("name") for each in rows]
    if not names:
        raise BundleError(f"{objects.where}: objects is empty, and a policy handles one")
    if twice := [name for i, name in enumerate(names) if name in names[:i]]:
        raise BundleError(f"{objects.where}: two objects are named {twice[0]}")
    for each in rows:
        each.numbers_within("size", 0.0, _OBJECT, 3, above=0.0)
        each.numbers_within("grasp_point", -_OBJECT, _OBJECT, 3)
        each.numbers_within("reach", -_OBJECT, _OBJECT, QUANTITIES["object_reach"].size)
        each.number("rest_height", least=-_OBJECT, most=_OBJECT)
        each.number("mass", above=0.0, most=_MASS)
        for key, size in (("closing_direction", 3), ("rest_quaternion", 4)):
            if not _are_unit([each.numbers_within(key, -_LONG, _LONG, size)], _UNIT):
                raise BundleError(f"{each.where}: {key} must have the length 1")


def check_control(control: Fields, joints: int, actions: int) -> None:
    """Raises `BundleError` for a law that there is not, or constants that it cannot have."""
    law = control.one_of("law", tuple(LAWS))
    for key, most in _CONSTANTS.items():
        control.number(key, above=0.0, most=most)
    control.numbers_within("posture", -_MAX_ANGLE, _MAX_ANGLE, joints)
    wanted = 5 if law == "ee_delta" else joints + 2
    if actions != wanted:
        raise BundleError(f"{control.where}: the law {law} takes {wanted} numbers, not {actions}")


def _are_unit(rows: Sequence[Sequence[float]], within: float) -> bool:
    lengths = np.linalg.norm(np.array(rows, float), axis=1)
    return bool(np.abs(lengths - 1.0).max() <= within)
