"""What a policy or a critic reads of one world; groups of numbers with names."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Protocol

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from r2s_core import rotation
from r2s_core.types import Array, Named, View
from r2s_envs_pick_place.config import PickPlaceConfig
from r2s_envs_pick_place.robot import panda
from r2s_envs_pick_place.robot.control import Arm
from r2s_envs_pick_place.scene.build import LEFT_PAD_CONTACT, RIGHT_PAD_CONTACT
from r2s_envs_pick_place.scene.pick_object import EMBEDDING_SIZE, Facts

#: The gripper pointing down, closing axis along the world's y: where its quaternion is read from.
_DOWN = np.array([0.0, 1.0, 0.0, 0.0], np.float32)
_UPRIGHT = np.array([1.0, 0.0, 0.0, 0.0], np.float32)
_CONJUGATE = np.array([1.0, -1.0, -1.0, -1.0], np.float32)
_ALIGNED = float(np.cos(np.pi / 4))
_MIN_OPENING = 0.002  # fingers closer than this (m) hold nothing between them


def _axes(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}_{axis}" for name in names for axis in "xyz")


#: The numbers of each part, in order.
OBSERVATION_NAMES: Mapping[str, tuple[str, ...]] = {
    "pose": (
        *_axes("ee_position"),
        *(f"ee_quaternion_{a}" for a in "wxyz"),
        *_axes("object_position"),
        *(f"object_quaternion_{a}" for a in "wxyz"),
        *_axes("ee_to_object", "object_to_goal", "goal"),
        "left_finger",
        "right_finger",
    ),
    "joints": (
        *(f"joint{i}_angle" for i in range(1, 8)),
        *(f"joint{i}_velocity" for i in range(1, 8)),
        "left_finger_velocity",
        "right_finger_velocity",
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
    "targets": tuple(f"joint{i}_target_minus_angle" for i in range(1, 8)),
    "progress": ("lifted_before",),
    "object_size": _axes("object_size"),
    "object_embedding": tuple(f"object_reach_{i}" for i in range(EMBEDDING_SIZE)),
}


#: Parts that `object_features` adds to every group.
_FEATURES = {"none": (), "size": ("object_size",), "embedding": ("object_embedding",)}


class Episode(Protocol):
    """What of the task's state is observed."""

    @property
    def goal(self) -> Array: ...  # float32[3], m

    @property
    def ever_lifted(self) -> Array: ...  # bool[]


@dataclasses.dataclass(frozen=True)
class Observer:
    """Reads a view; holds where things stand in the model."""

    arm: Arm
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
        return Observer(arm, (left, right), groups)

    def observe(self, episode: Episode, thing: Facts, view: View) -> Named:
        """Each group's parts, one after another: float32[n]."""
        return {
            group: jnp.concatenate(
                [getattr(self, f"_{part}")(episode, thing, view) for part in parts]
            )
            for group, parts in self.groups.items()
        }

    def readings(self, goal: Array, view: View) -> dict[str, Array]:
        """What a robot would measure, by the device that would; the goal is told to it."""
        return {
            "joint_angles": view.qpos[:7],
            "joint_velocities": view.qvel[:7],
            "finger_positions": view.qpos[7:9],
            "finger_velocities": view.qvel[7:9],
            "object_position": view.qpos[9:12],
            "object_quaternion": view.qpos[12:16],
            "object_velocity": view.qvel[9:12],
            "object_angular_velocity": view.qvel[12:15],
            "contact": view.sensordata[self._pad_numbers()],
            "goal": goal,
        }

    def perceived(self, view: View, readings: Named) -> View:
        """The view as the readings show it; where the hand is follows from the joint angles."""
        r = readings
        grip, hand = self.arm.forward(r["joint_angles"])
        site, body = self.arm.grip_id, self.arm.hand_id
        arm = r["joint_angles"], r["finger_positions"]
        pose = r["object_position"], r["object_quaternion"]
        speed = r["joint_velocities"], r["finger_velocities"]
        motion = r["object_velocity"], r["object_angular_velocity"]
        return dataclasses.replace(
            view,
            qpos=jnp.concatenate([*arm, *pose]),
            qvel=jnp.concatenate([*speed, *motion]),
            xquat=view.xquat.at[body].set(hand),
            site_xpos=view.site_xpos.at[site].set(grip),
            site_xmat=view.site_xmat.at[site].set(rotation.to_matrix(hand)),
            sensordata=view.sensordata.at[self._pad_numbers()].set(r["contact"]),
        )

    def _pad_numbers(self) -> np.ndarray:
        """Where in sensordata the pads' sensors are: found, force 3 and normal 3 of each."""
        return np.concatenate([np.arange(first, first + 7) for first in self.pad_addresses])

    def contact(self, view: View) -> tuple[Array, Array]:
        """Which pads touch the object, bool[2], and whether they hold it between them, bool[].

        Holding asks that each pad's contact normal lies within 45 degrees of the closing axis:
        closed fingers pressed on the object's top touch it with both pads and hold nothing.
        """
        closing = view.site_xmat[self.arm.grip_id][:, 1]
        found, aligned = [], []
        for address in self.pad_addresses:
            found.append(view.sensordata[address] > 0)
            normal = view.sensordata[address + 4 : address + 7]
            aligned.append(jnp.abs(jnp.dot(normal, closing)) > _ALIGNED)
        touching = jnp.stack(found)
        opening = view.qpos[7] + view.qpos[8]
        grasped = touching.all() & aligned[0] & aligned[1] & (opening > _MIN_OPENING)
        return touching, grasped

    def closing_error(self, thing: Facts, view: View) -> tuple[Array, Array]:
        """Cosine and sine, float32[] each, of twice the angle about the gripper's approach axis
        from its closing axis to the direction to close along.

        Of twice the angle, since fingers that are turned by half a turn grasp just the same.
        """
        gripper = view.site_xmat[self.arm.grip_id]
        across, along, _ = gripper.T @ thing.closing_direction(view.qpos[12:16])
        size = along * along + across * across + 1e-9
        return (along * along - across * across) / size, 2 * along * across / size

    def closing_turn(self, thing: Facts, view: View) -> Array:
        """That angle, float32[], in (-pi/2, pi/2]."""
        cos, sin = self.closing_error(thing, view)
        return 0.5 * jnp.arctan2(sin, cos)

    # One method a part, named as in `OBSERVATION_NAMES`.

    def _pose(self, episode: Episode, thing: Facts, view: View) -> Array:
        grip, place, goal = view.site_xpos[self.arm.grip_id], view.qpos[9:12], episode.goal
        return jnp.concatenate(
            [
                grip,
                rotation.nearest_sign(view.xquat[self.arm.hand_id], _DOWN),
                place,
                rotation.nearest_sign(view.qpos[12:16], _UPRIGHT),
                place - grip,
                goal - place,
                goal,
                view.qpos[7:9],
            ]
        )

    def _joints(self, episode: Episode, thing: Facts, view: View) -> Array:
        return jnp.concatenate([view.qpos[:7], view.qvel[:9]])

    def _ee_motion(self, episode: Episode, thing: Facts, view: View) -> Array:
        # From angles and velocities as they are read, so that what is wrong with those is in it.
        (_, hand), (velocity, turning) = jax.jvp(
            self.arm.forward, (view.qpos[:7],), (view.qvel[:7],)
        )
        # A turning quaternion is half its angular velocity times itself.
        rate = 2.0 * rotation.multiply(turning, hand * _CONJUGATE)
        return jnp.append(velocity, rate[3])

    def _alignment(self, episode: Episode, thing: Facts, view: View) -> Array:
        gripper = view.site_xmat[self.arm.grip_id]
        return (gripper.T @ rotation.to_matrix(view.qpos[12:16])).ravel()

    def _grasp(self, episode: Episode, thing: Facts, view: View) -> Array:
        grip, gripper = view.site_xpos[self.arm.grip_id], view.site_xmat[self.arm.grip_id]
        point = thing.grasp_point(view.qpos[9:12], view.qpos[12:16])
        # The angle too: cosine and sine are smooth at a quarter turn, where what to do is not; a
        # policy must choose one of two turns there.
        angle, turn = self.closing_turn(thing, view), jnp.stack(self.closing_error(thing, view))
        return jnp.concatenate([gripper.T @ (point - grip), angle[None], turn])

    def _object_motion(self, episode: Episode, thing: Facts, view: View) -> Array:
        return view.qvel[9:15]

    def _contact(self, episode: Episode, thing: Facts, view: View) -> Array:
        touching, grasped = self.contact(view)
        return jnp.concatenate([touching, grasped[None]]).astype(jnp.float32)

    def _targets(self, episode: Episode, thing: Facts, view: View) -> Array:
        return view.ctrl[: len(panda.ARM_JOINTS)] - view.qpos[:7]

    def _progress(self, episode: Episode, thing: Facts, view: View) -> Array:
        return episode.ever_lifted[None].astype(jnp.float32)

    def _object_size(self, episode: Episode, thing: Facts, view: View) -> Array:
        return thing.size

    def _object_embedding(self, episode: Episode, thing: Facts, view: View) -> Array:
        return thing.embedding
