"""Where the task's observations come from on a robot."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import mujoco
import numpy as np

from r2s_core.deployment import Deployment, Episode, Signal, Source
from r2s_envs_pick_place.config import PickPlaceConfig
from r2s_envs_pick_place.scene.pick_object import PickObject
from r2s_envs_pick_place.task.observation import Observer, observation_names
from r2s_envs_pick_place.task.state import GOAL_RADIUS, HOLD_STEPS
from r2s_envs_robots import described

#: quantity -> unit, source and frame of its components; their names are `observation_names`'.
_QUANTITIES: Mapping[str, tuple[str, Source, str]] = {
    "ee_position": ("m", "kinematics", "base"),
    "ee_quaternion": ("1", "kinematics", "base"),
    "object_position": ("m", "object pose", "base"),
    "object_quaternion": ("1", "object pose", "base"),
    "ee_to_object": ("m", "object pose", "base"),
    "object_to_goal": ("m", "object pose", "base"),
    "goal": ("m", "goal", "base"),
    "fingers": ("m", "gripper", ""),
    "finger_velocities": ("m/s", "gripper", ""),
    "ee_velocity": ("m/s", "kinematics", "base"),
    "ee_yaw_rate": ("rad/s", "kinematics", "base"),
    "object_axes_in_gripper": ("1", "object pose", "gripper"),
    "grasp_point_in_gripper": ("m", "object pose", "gripper"),
    "grasp_turn": ("rad", "object pose", "gripper"),
    "object_velocity": ("m/s", "simulator", "base"),
    "object_angular_velocity": ("rad/s", "simulator", "base"),
    "contact": ("1", "simulator", ""),
    "lifted_before": ("1", "simulator", ""),
    "object_size": ("m", "object", ""),
    "object_reach": ("m", "object", ""),
    "joint_angles": ("rad", "joint encoders", ""),
    "joint_velocities": ("rad/s", "joint encoders", ""),
    "target_minus_angle": ("rad", "controller", ""),
}
#: What each part of an observation consists of, in order: its quantities and their sizes, where n
#: stands for the number of the arm's joints.
_EE = (("ee_position", 3), ("ee_quaternion", 4))
_ARM = (("joint_angles", "n"), ("joint_velocities", "n"), ("finger_velocities", 2))
_PARTS: Mapping[str, tuple[tuple[str, Any], ...]] = {
    "pose": (
        *_EE,
        ("object_position", 3),
        ("object_quaternion", 4),
        ("ee_to_object", 3),
        ("object_to_goal", 3),
        ("goal", 3),
        ("fingers", 2),
    ),
    "joints": _ARM,
    "ee_motion": (("ee_velocity", 3), ("ee_yaw_rate", 1)),
    "alignment": (("object_axes_in_gripper", 9),),
    "grasp": (("grasp_point_in_gripper", 3), ("grasp_turn", 3)),
    "object_motion": (("object_velocity", 3), ("object_angular_velocity", 3)),
    "contact": (("contact", 3),),
    "targets": (("target_minus_angle", "n"),),
    "progress": (("lifted_before", 1),),
    "object_size": (("object_size", 3),),
    "object_embedding": (("object_reach", 26),),
    "proprioception": (*_EE, *_ARM, ("fingers", 2), ("target_minus_angle", "n"), ("goal", 3)),
}
_ESTIMATES = {"contact": "gripper"}
#: Whose components have different units.
_UNITS = {"grasp_turn": ("rad", "1", "1")}


def deployment_of(
    observer: Observer,
    model: mujoco.MjModel,
    config: PickPlaceConfig,
    members: tuple[PickObject, ...],
    arm_noise: float,
) -> Deployment:
    """See `r2s_core.types.HasDeployment`."""
    arm = observer.arm
    fingers = model.joint(arm.robot.finger_joints[0])
    slides = fingers.type[0] == mujoco.mjtJoint.mjJNT_SLIDE
    return Deployment(
        signals=_signals(len(arm.robot.arm_joints), "m" if slides else "rad"),
        commands=described.commands(arm, config.action_space),
        control=described.control_facts(arm, config.action_space),
        robot=described.robot_facts(arm, model),
        objects=tuple(_object_facts(member) for member in members),
        episode=_episode(arm.robot.workspace, config, arm_noise),
    )


def _episode(
    workspace: tuple[float, float], config: PickPlaceConfig, arm_noise: float
) -> Episode | None:
    """None where the object is to be put down, which depends on what it is and on letting go."""
    if config.goal != "air":
        return None
    (x, y), wide, turn = workspace, config.object_range, math.radians(config.object_yaw)
    away, (low, high) = config.goal_range, config.goal_height
    return Episode(
        object_low=(x - wide, y - wide, -turn),
        object_high=(x + wide, y + wide, turn),
        arm_noise=arm_noise,
        goal_low=(x - away, y - away, low),
        goal_high=(x + away, y + away, high),
        radius=GOAL_RADIUS,
        steps=HOLD_STEPS,
    )


def _signals(joints: int, finger_unit: str) -> dict[str, Signal]:
    """For every number that an observation of the task can have, by its name."""
    names, found = observation_names(joints), {}
    for part, quantities in _PARTS.items():
        numbers = iter(names[part])
        for quantity, size in quantities:
            unit, source, frame = _QUANTITIES[quantity]
            unit = unit.replace("m", finger_unit) if source == "gripper" else unit
            for index in range(joints if size == "n" else size):
                own = _UNITS[quantity][index] if quantity in _UNITS else unit
                found[next(numbers)] = Signal(
                    quantity, index, own, source, frame, _ESTIMATES.get(quantity, "")
                )
        assert next(numbers, None) is None, part
    return found


def _object_facts(member: PickObject) -> dict[str, Any]:
    """Of one object, in its body's frame: origin at the centre of mass, axes as it rests."""
    facts = member.facts()
    values = {
        "size": facts.size,
        "reach": facts.embedding,
        "grasp_point": facts.grasp_offset,
        "closing_direction": facts.closing,
        "rest_height": facts.rest_height,
        "rest_quaternion": facts.rest_quat,
        "mass": member.shape.mass,
    }
    plain = {
        name: np.asarray(value, np.float64).round(9).tolist() for name, value in values.items()
    }
    transform = member.scan_to_body
    return {
        "name": member.name,
        **plain,
        "scan_to_body": None if transform is None else np.asarray(transform).round(12).tolist(),
    }
