"""An arm and its control law as plain values, from which `r2s_deploy` computes the same."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np

from r2s_core.deployment import Command
from r2s_envs_robots import control
from r2s_envs_robots.control import Arm

_SAMPLES = 33  # of an opening, between which a straight line is off by micrometres


def robot_facts(arm: Arm, model: mujoco.MjModel) -> dict[str, Any]:
    """The robot: SI units, radians, quaternions (w, x, y, z)."""
    robot, gripper = arm.robot, arm.robot.gripper
    servos = [model.actuator(name).id for name in (*robot.arm_joints, *robot.finger_joints)]
    gains, biases = model.actuator_gainprm[servos], model.actuator_biasprm[servos]
    count = len(robot.arm_joints)
    closed, opened = robot.finger_targets
    return {
        "name": robot.name,
        "title": robot.title,
        "joints": {
            "names": list(robot.arm_joints),
            "low": _plain(arm.low),
            "high": _plain(arm.high),
            "max_speed": _plain(robot.max_speed),
            "home": _plain(robot.home),
            "ready": _plain(robot.ready),
        },
        "servos": {
            "kp": _plain(gains[:count, 0]),
            "kd": _plain(-biases[:count, 2]),
            "max_torque": _plain(model.actuator_forcerange[servos[:count], 1]),
        },
        "chain": {
            "offsets": _plain(arm.offsets),
            "turns": _plain(arm.turns),
            "grip": _plain(arm.grip),
        },
        "gripper": {
            "name": gripper.name,
            "joints": list(robot.finger_joints),
            "opening": float(gripper.opening),
            "closed_target": float(closed),
            "open_target": float(opened),
            "opening_of_fingers": _opening(arm, model),
            "payload": float(gripper.payload),
        },
        "workspace": _plain(robot.workspace),
    }


def control_facts(arm: Arm, law: str) -> dict[str, Any]:
    """The control law from actions in [-1, 1] to joint targets, with its constants."""
    pace = arm.robot.pace
    return {
        "law": law,
        "ee_step": pace.ee,
        "ee_yaw_step": pace.ee_yaw,
        "joint_step": pace.joint,
        "max_lead": pace.max_lead,
        "damping": control.DAMPING,
        "posture_gain": control.POSTURE_GAIN,
        "posture": _plain(arm.home),
        "gripper_threshold": control.GRIPPER_THRESHOLD,
        "looks_open": control.LOOKS_OPEN,
    }


def commands(arm: Arm, law: str) -> dict[str, Command]:
    """What each component of an action does in a control step."""
    pace, names = arm.robot.pace, arm.robot.action_names[law]
    grip = "above +threshold opens, below -threshold closes, between them it stays as it was"
    found = {}
    for name in names:
        if name in ("ee_x", "ee_y", "ee_z"):
            found[name] = Command("m", pace.ee, "base", "the grip's target moves by it")
        elif name == "ee_yaw":
            found[name] = Command("rad", pace.ee_yaw, "base", "the hand turns about the vertical")
        elif name.startswith("joint"):
            found[name] = Command("rad", pace.joint, "", "the joint's target moves by it")
        else:
            found[name] = Command("1", 1.0, "", grip)
    return found


def _opening(arm: Arm, model: mujoco.MjModel) -> list[list[float]]:
    """Pairs of the fingers' common position and the distance between the pads, m, over the range of
    their joint."""
    low, high = model.joint(arm.robot.finger_joints[0]).range
    positions = np.linspace(low, high, _SAMPLES)
    openings = [float(arm.robot.opening(np.array([x, x]))) for x in positions]
    return np.stack([positions, openings], axis=1).round(9).tolist()


def _plain(values: Any) -> list[Any]:
    return np.asarray(values, np.float64).round(9).tolist()
