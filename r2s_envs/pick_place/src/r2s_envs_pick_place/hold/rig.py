"""The rig of the hold test: one world, driven by arm poses, its contacts monitored."""

from __future__ import annotations

import mujoco
import numpy as np

from r2s_core.robot import Robot, Slots
from r2s_envs_pick_place.scene import build as scene


class Rig:
    """One world, driven by arm poses, with running maxima of contact force and penetration."""

    def __init__(self, model: mujoco.MjModel, robot: Robot) -> None:
        self.model, self.data, self._robot = model, mujoco.MjData(model), robot
        self._slots = Slots.of(model, robot)
        self._ranges = np.array([model.joint(name).range for name in robot.arm_joints]).T
        self._pads = {model.geom(name).id for name in robot.pads}
        self.penetration = self.force = self.overlap = 0.0

    @property
    def qpos(self) -> np.ndarray:
        """A copy of the world's qpos."""
        return self.data.qpos.copy()

    @property
    def opening(self) -> float:
        """Between the pads, m; below 0 where their faces are inside each other."""
        return float(self._robot.opening(self._slots.fingers(self.data.qpos)))

    @property
    def grip(self) -> np.ndarray:
        """Where `grip` is, [3] m."""
        return self.data.site_xpos[self._slots.grip]

    def solve(self, position: np.ndarray, yaw: float, from_now: bool = False) -> np.ndarray:
        """Arm joints [n] that put `grip` at `position`, pointing down, fingers turned by `yaw`.

        from_now: the solution nearest to where the arm is, rather than to the keyframe.
        """
        model, data, slots = self.model, mujoco.MjData(self.model), self._slots
        mujoco.mj_resetDataKeyframe(model, data, 0)
        arm = slots.arm(self.data.qpos if from_now else data.qpos).copy()
        sin, cos = np.sin(yaw), np.cos(yaw)
        target = np.array([[sin, cos, 0.0], [cos, -sin, 0.0], [0.0, 0.0, -1.0]])
        jacobian = np.zeros((6, model.nv))
        for _ in range(200):
            data.qpos[slots.arm.index] = arm
            mujoco.mj_kinematics(model, data)
            mujoco.mj_comPos(model, data)
            rotation = data.site_xmat[slots.grip].reshape(3, 3)
            error = np.concatenate(
                [
                    np.clip(position - data.site_xpos[slots.grip], -0.05, 0.05),
                    np.cross(rotation, target, axis=0).sum(axis=1) / 2,
                ]
            )
            if np.abs(error).max() < 1e-6:
                break
            mujoco.mj_jacSite(model, data, jacobian[:3], jacobian[3:], slots.grip)
            moves = slots.arm_velocity(jacobian)
            arm += moves.T @ np.linalg.solve(moves @ moves.T + 1e-4 * np.eye(6), error)
            arm = np.clip(arm, *self._ranges)
        return arm

    def start(self, arm: np.ndarray) -> None:
        """Begin at the keyframe `home`, but with the arm's joints at `arm` [n]."""
        mujoco.mj_resetDataKeyframe(self.model, self.data, 0)
        self.data.qpos[self._slots.arm.index] = arm
        self.data.ctrl[self._slots.arm_targets.index] = arm

    def move(self, start: np.ndarray, end: np.ndarray, closed: bool, seconds: float) -> None:
        """Move the arm from joints [n] to others along a straight line, at constant speed."""
        steps = round(seconds / self.model.opt.timestep)
        for step in range(1, steps + 1):
            self.step(start + (end - start) * step / steps, closed)

    def step(self, arm: np.ndarray, closed: bool) -> None:
        """One step of physics towards arm joints [n]; the gripper is commanded closed or open."""
        self.data.ctrl[:] = self._robot.ctrl(arm, closed)
        mujoco.mj_step(self.model, self.data)
        self._watch()

    def _watch(self) -> None:
        data, wrench = self.data, np.zeros(6)
        force = dict.fromkeys(self._pads, 0.0)
        for index, contact in enumerate(data.contact[: data.ncon]):
            for pad in self._pads.intersection(contact.geom):
                self.penetration = max(self.penetration, -contact.dist)
                mujoco.mj_contactForce(self.model, data, index, wrench)
                force[pad] += float(wrench[0])
        self.force = max(self.force, *force.values())
        self.overlap = max(self.overlap, -self.opening)

    def holds(self) -> bool:
        """Whether both pads touch the object and it does not touch the table."""
        found = [
            self.data.sensor(name).data[0]
            for name in (scene.LEFT_PAD_CONTACT, scene.RIGHT_PAD_CONTACT, scene.TABLE_CONTACT)
        ]
        return bool(found[0] and found[1] and not found[2])

    def object_in_hand(self) -> tuple[np.ndarray, np.ndarray]:
        """The object's position [3] and rotation [3, 3] in the frame of `grip`."""
        data = self.data
        mujoco.mj_kinematics(self.model, data)
        rotation = data.site_xmat[self._slots.grip].reshape(3, 3)
        body = data.body(scene.OBJECT_BODY)
        position = rotation.T @ (body.xipos - data.site_xpos[self._slots.grip])
        return position, rotation.T @ body.xmat.reshape(3, 3)


def motion(start: tuple[np.ndarray, np.ndarray], end: tuple[np.ndarray, np.ndarray]):
    """Distance and angle between two poses."""
    cosine = (np.trace(start[1].T @ end[1]) - 1) / 2
    return float(np.linalg.norm(end[0] - start[0])), float(np.arccos(np.clip(cosine, -1, 1)))
