"""What a policy or a critic observes of one world: groups of named numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Protocol

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from r2s_core import rotation
from r2s_core.robot import FreeJoint
from r2s_core.types import Array, Named, View
from r2s_envs_pick_place.config import PickPlaceConfig
from r2s_envs_pick_place.scene.build import LEFT_PAD_CONTACT, OBJECT_JOINT, RIGHT_PAD_CONTACT
from r2s_envs_pick_place.scene.pick_object import EMBEDDING_SIZE, Facts
from r2s_envs_robots import Arm

#: The gripper pointing down, closing axis along the world's y: its quaternion is relative to this.
_DOWN = np.array([0.0, 1.0, 0.0, 0.0], np.float32)
_UPRIGHT = np.array([1.0, 0.0, 0.0, 0.0], np.float32)
_CONJUGATE = np.array([1.0, -1.0, -1.0, -1.0], np.float32)
_ALIGNED = float(np.cos(np.pi / 4))
_MIN_OPENING = 0.002  # fingers closer than this (m) hold nothing between them


def _axes(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}_{axis}" for name in names for axis in "xyz")


_EE_POSE = (*_axes("ee_position"), *(f"ee_quaternion_{a}" for a in "wxyz"))
#: The numbers of each part, in order; those of the joints follow from the arm.
_NAMES: Mapping[str, tuple[str, ...]] = {
    "pose": (
        *_EE_POSE,
        *_axes("object_position"),
        *(f"object_quaternion_{a}" for a in "wxyz"),
        *_axes("ee_to_object", "object_to_goal", "goal"),
        "left_finger",
        "right_finger",
    ),
    "ee_motion": (*_axes("ee_velocity"), "ee_yaw_rate"),
    "alignment": tuple(f"object_axis_{a}_in_gripper_{b}" for b in "xyz" for a in "xyz"),
    "grasp": (
        *_axes("grasp_point_in_gripper"),
        "grasp_yaw",
        "cos_twice_grasp_yaw",
        "sin_twice_grasp_yaw",
    ),
    "object_motion": _axes("object_velocity", "object_angular_velocity"),
    "contact": ("left_pad_touches", "right_pad_touches", "grasped"),
    "progress": ("lifted_before",),
    "object_size": _axes("object_size"),
    "object_embedding": tuple(f"object_reach_{i}" for i in range(EMBEDDING_SIZE)),
}


def observation_names(joints: int) -> Mapping[str, tuple[str, ...]]:
    """The numbers of each part, in order, for an arm with this many joints."""
    angles, velocities, targets = (
        tuple(f"joint{i}_{what}" for i in range(1, joints + 1))
        for what in ("angle", "velocity", "target_minus_angle")
    )
    fingers = ("left_finger_velocity", "right_finger_velocity")
    arm = (*angles, *velocities, *fingers)
    own = (*_EE_POSE, *arm, "left_finger", "right_finger", *targets, *_axes("goal"))
    return {**_NAMES, "joints": arm, "targets": targets, "proprioception": own}


#: Parts that `object_features` adds to every group.
_FEATURES = {"none": (), "size": ("object_size",), "embedding": ("object_embedding",)}


class Episode(Protocol):
    """The part of the task's state that is observed."""

    @property
    def goal(self) -> Array: ...  # float32[3], m

    @property
    def ever_lifted(self) -> Array: ...  # bool[]


@dataclasses.dataclass(frozen=True)
class Observer:
    """Computes observations from a view; holds the addresses in the model."""

    arm: Arm
    body: FreeJoint  # the object's
    pad_addresses: tuple[int, int]  # of each pad's contact sensor in sensordata
    groups: Mapping[str, tuple[str, ...]]  # observation group -> its parts

    @staticmethod
    def from_model(model: mujoco.MjModel, arm: Arm, config: PickPlaceConfig) -> Observer:
        left, right = (
            int(model.sensor(name).adr[0]) for name in (LEFT_PAD_CONTACT, RIGHT_PAD_CONTACT)
        )
        features = _FEATURES[config.object_features]
        groups = {"policy": config.observations + features}
        if config.critic_observations is not None:
            groups["critic"] = config.critic_observations + features
        return Observer(arm, FreeJoint.of(model, OBJECT_JOINT), (left, right), groups)

    def observe(self, episode: Episode, facts: Facts, view: View) -> Named:
        """Each group's parts, one after another: float32[n]."""
        return {
            group: jnp.concatenate(
                [getattr(self, f"_{part}")(episode, facts, view) for part in parts]
            )
            for group, parts in self.groups.items()
        }

    def proprioception(self, goal: Array, view: View) -> Array:
        """float32[n]: the robot alone, and the goal that it was given; nothing of the object."""
        slots = self.arm.slots
        return jnp.concatenate(
            [
                self._ee_pose(view),
                self._arm_and_finger_motion(view),
                slots.fingers(view.qpos),
                self._lead(view),
                goal,
            ]
        )

    def readings(self, goal: Array, view: View) -> dict[str, Array]:
        """What a robot would measure, by device; the goal is given."""
        slots, body = self.arm.slots, self.body
        return {
            "joint_angles": slots.arm(view.qpos),
            "joint_velocities": slots.arm_velocity(view.qvel),
            "finger_positions": slots.fingers(view.qpos),
            "finger_velocities": slots.finger_velocity(view.qvel),
            "object_position": body.position(view.qpos),
            "object_quaternion": body.quaternion(view.qpos),
            "object_velocity": body.velocity(view.qvel),
            "object_angular_velocity": body.angular_velocity(view.qvel),
            "contact": view.sensordata[self._pad_numbers()],
            "goal": goal,
        }

    def perceived(self, view: View, readings: Named) -> View:
        """The view according to the readings; the hand's pose follows from the joint angles."""
        slots, body, qpos, qvel = self.arm.slots, self.body, view.qpos, view.qvel
        for name, slot in (
            ("joint_angles", slots.arm),
            ("finger_positions", slots.fingers),
            ("object_position", body.position),
            ("object_quaternion", body.quaternion),
        ):
            qpos = slot.put(qpos, readings[name])
        for name, slot in (
            ("joint_velocities", slots.arm_velocity),
            ("finger_velocities", slots.finger_velocity),
            ("object_velocity", body.velocity),
            ("object_angular_velocity", body.angular_velocity),
        ):
            qvel = slot.put(qvel, readings[name])
        grip, hand = self.arm.forward(readings["joint_angles"])
        return dataclasses.replace(
            view,
            qpos=qpos,
            qvel=qvel,
            xquat=view.xquat.at[slots.hand].set(hand),
            site_xpos=view.site_xpos.at[slots.grip].set(grip),
            site_xmat=view.site_xmat.at[slots.grip].set(rotation.to_matrix(hand)),
            sensordata=view.sensordata.at[self._pad_numbers()].set(readings["contact"]),
        )

    def _pad_numbers(self) -> np.ndarray:
        """Where in sensordata the pads' sensors are: found, force 3 and normal 3 of each."""
        return np.concatenate([np.arange(first, first + 7) for first in self.pad_addresses])

    def contact(self, view: View) -> tuple[Array, Array]:
        """Which pads touch the object, bool[2], and whether they hold it between them, bool[].

        Holding requires each pad's contact normal within 45 degrees of the closing axis: closed
        fingers pressed on the object's top touch it with both pads and hold nothing.
        """
        closing = view.site_xmat[self.arm.slots.grip][:, 1]
        found, aligned = [], []
        for address in self.pad_addresses:
            found.append(view.sensordata[address] > 0)
            normal = view.sensordata[address + 4 : address + 7]
            aligned.append(jnp.abs(jnp.dot(normal, closing)) > _ALIGNED)
        touching = jnp.stack(found)
        opening = self.arm.robot.opening(self.arm.slots.fingers(view.qpos))
        grasped = touching.all() & aligned[0] & aligned[1] & (opening > _MIN_OPENING)
        return touching, grasped

    def grasp_point(self, facts: Facts, view: View) -> Array:
        """float32[3], m: where the grip closes on the object."""
        return facts.grasp_point(self.body.position(view.qpos), self.body.quaternion(view.qpos))

    def closing_direction(self, facts: Facts, view: View) -> Array:
        """float32[3], world axes: the direction along which it closes."""
        return facts.closing_direction(self.body.quaternion(view.qpos))

    def closing_error(self, facts: Facts, view: View) -> tuple[Array, Array]:
        """Cosine and sine, float32[] each, of twice the angle about the gripper's approach axis
        from its closing axis to the direction to close along.

        Twice the angle, since a grasp turned by half a turn is the same grasp.
        """
        gripper = view.site_xmat[self.arm.slots.grip]
        across, along, _ = gripper.T @ self.closing_direction(facts, view)
        size = along * along + across * across + 1e-9
        return (along * along - across * across) / size, 2 * along * across / size

    def closing_turn(self, facts: Facts, view: View) -> Array:
        """That angle, float32[], in (-pi/2, pi/2]."""
        cos, sin = self.closing_error(facts, view)
        return 0.5 * jnp.arctan2(sin, cos)

    def _ee_pose(self, view: View) -> Array:
        """float32[7]: position of the grip, m, and orientation of the hand."""
        hand = rotation.nearest_sign(view.xquat[self.arm.slots.hand], _DOWN)
        return jnp.concatenate([view.site_xpos[self.arm.slots.grip], hand])

    def _arm_and_finger_motion(self, view: View) -> Array:
        """float32[2 n + 2]: the arm's joint angles and velocities, and the fingers' velocities."""
        slots = self.arm.slots
        velocities = slots.arm_velocity(view.qvel), slots.finger_velocity(view.qvel)
        return jnp.concatenate([slots.arm(view.qpos), *velocities])

    def _lead(self, view: View) -> Array:
        """float32[n], rad: the joints' targets less their angles."""
        return self.arm.slots.arm_targets(view.ctrl) - self.arm.slots.arm(view.qpos)

    # One method per part, named as in `observation_names`.

    def _pose(self, episode: Episode, facts: Facts, view: View) -> Array:
        pose, place = self._ee_pose(view), self.body.position(view.qpos)
        return jnp.concatenate(
            [
                pose,
                place,
                rotation.nearest_sign(self.body.quaternion(view.qpos), _UPRIGHT),
                place - pose[:3],
                episode.goal - place,
                episode.goal,
                self.arm.slots.fingers(view.qpos),
            ]
        )

    def _joints(self, episode: Episode, facts: Facts, view: View) -> Array:
        return self._arm_and_finger_motion(view)

    def _ee_motion(self, episode: Episode, facts: Facts, view: View) -> Array:
        # From angles and velocities as measured, so that it carries their errors.
        slots = self.arm.slots
        (_, hand), (velocity, turning) = jax.jvp(
            self.arm.forward, (slots.arm(view.qpos),), (slots.arm_velocity(view.qvel),)
        )
        # A quaternion's derivative is half the angular velocity times the quaternion.
        rate = 2.0 * rotation.multiply(turning, hand * _CONJUGATE)
        return jnp.append(velocity, rate[3])

    def _alignment(self, episode: Episode, facts: Facts, view: View) -> Array:
        gripper = view.site_xmat[self.arm.slots.grip]
        return (gripper.T @ rotation.to_matrix(self.body.quaternion(view.qpos))).ravel()

    def _grasp(self, episode: Episode, facts: Facts, view: View) -> Array:
        grip, gripper = view.site_xpos[self.arm.slots.grip], view.site_xmat[self.arm.slots.grip]
        point = self.grasp_point(facts, view)
        # The angle too: cosine and sine are smooth at a quarter turn, where the best action is not;
        # a policy must choose one of two turns there.
        angle, turn = self.closing_turn(facts, view), jnp.stack(self.closing_error(facts, view))
        return jnp.concatenate([gripper.T @ (point - grip), angle[None], turn])

    def _object_motion(self, episode: Episode, facts: Facts, view: View) -> Array:
        return self.body.motion(view.qvel)

    def _contact(self, episode: Episode, facts: Facts, view: View) -> Array:
        touching, grasped = self.contact(view)
        return jnp.concatenate([touching, grasped[None]]).astype(jnp.float32)

    def _targets(self, episode: Episode, facts: Facts, view: View) -> Array:
        return self._lead(view)

    def _progress(self, episode: Episode, facts: Facts, view: View) -> Array:
        return episode.ever_lifted[None].astype(jnp.float32)

    def _object_size(self, episode: Episode, facts: Facts, view: View) -> Array:
        return facts.size

    def _object_embedding(self, episode: Episode, facts: Facts, view: View) -> Array:
        return facts.embedding
