"""From actions to servo targets, and the kinematics behind them; one world each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from r2s_core import rotation
from r2s_core.robot import Robot, Slots
from r2s_core.types import Array, View

#: Below this an action leaves the gripper as it was commanded last.
GRIPPER_THRESHOLD = 0.5
DAMPING = 1e-3  # of the least squares, m and rad mixed
POSTURE_GAIN = 0.1  # pull towards the home posture within the arm's null space
LOOKS_OPEN = 0.95  # of the opening


@dataclasses.dataclass(frozen=True, eq=False)
class Arm:
    """A robot's arm in a model: forward kinematics, and Jacobians from a view.

    offsets, turns: of the n links and of the body with the grip, each in the one before; turned so
    that every joint turns about its link's z axis.
    """

    robot: Robot
    slots: Slots
    link_ids: np.ndarray  # int[n], the bodies that the joints turn
    frames: np.ndarray | None  # float32[n, 4], which turn z to their axes; None: they are z
    home: Array  # float32[n], rad
    low: Array
    high: Array
    offsets: np.ndarray  # float32[n + 1, 3], m
    turns: np.ndarray  # float32[n + 1, 4]
    grip: np.ndarray  # float32[3], m: the grip in its body

    @staticmethod
    def of(model: mujoco.MjModel, robot: Robot, home: Any) -> Arm:
        """home [n]: the posture that the arm is pulled to where that does not move the grip."""
        slots = Slots.of(model, robot)
        joints = [model.joint(name).id for name in robot.arm_joints]
        bodies = model.jnt_bodyid[joints]
        offsets, turns = _chain(model, joints, slots.hand)
        limits = jnp.asarray(model.jnt_range[joints], jnp.float32)
        upright = (model.jnt_axis[joints] == (0.0, 0.0, 1.0)).all()
        frames = np.array([_from_vertical(axis) for axis in model.jnt_axis[joints]], np.float32)
        return Arm(
            robot=robot,
            slots=slots,
            link_ids=bodies,
            frames=None if upright else frames,
            home=jnp.asarray(home, jnp.float32),
            low=limits[:, 0],
            high=limits[:, 1],
            offsets=offsets.astype(np.float32),
            turns=turns.astype(np.float32),
            grip=model.site_pos[slots.grip].astype(np.float32),
        )

    def forward(self, angles: Array) -> tuple[Array, Array]:
        """Where joint angles [n] put the grip, [3] m, and how they turn the hand, [4]."""

        def place(pose: tuple[Array, Array], link: Any) -> tuple[tuple[Array, Array], None]:
            (position, quat), (offset, turn, angle) = pose, link
            position = position + (rotation.to_matrix(quat) * offset).sum(-1)
            quat = rotation.multiply(rotation.multiply(quat, turn), rotation.about_vertical(angle))
            return (position, quat), None

        # A loop, since XLA would work each link out anew for every number of those after it.
        start = jnp.zeros(3), jnp.array([1.0, 0.0, 0.0, 0.0])
        links = jnp.asarray(self.offsets), jnp.asarray(self.turns), jnp.append(angles, 0.0)
        (position, quat), _ = jax.lax.scan(place, start, links)
        return position + (rotation.to_matrix(quat) * self.grip).sum(-1), quat

    def jacobian(self, view: View) -> Array:
        """[6, n]: the grip's linear and angular velocity by joint velocity, world axes."""
        origins = view.xpos[self.link_ids]
        quats = view.xquat[self.link_ids]
        if self.frames is not None:
            quats = jax.vmap(rotation.multiply)(quats, jnp.asarray(self.frames))
        w, x, y, z = jnp.moveaxis(quats, -1, 0)
        # Each joint turns about the z axis of what is left.
        axes = jnp.stack(
            [2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], axis=-1
        )
        lever = view.site_xpos[self.slots.grip] - origins
        return jnp.concatenate([jnp.cross(axes, lever), axes], axis=-1).T

    def joint_step(self, view: View, twist: Array) -> Array:
        """float32[n]: joint motion (rad) that moves the grip by `twist` [6] (m, rad).

        Damped least squares (Wampler 1986; Nakamura and Hanafusa 1986), with a pull to the home
        posture in the null space, if there is one.
        """
        jacobian = self.jacobian(view)
        # Written out, since a batch of small matrix products is slow on CPUs.
        gram = (jacobian[:, None, :] * jacobian[None, :, :]).sum(-1) + DAMPING * jnp.eye(6)
        posture = POSTURE_GAIN * (self.home - self.slots.arm(view.qpos))
        wrench = _solve_positive(gram, twist - jacobian @ posture)
        step = posture + jacobian.T @ wrench
        # Slow down rather than bend the path where a joint would have to move too far.
        return step * jnp.minimum(1.0, self.robot.pace.max_lead / (jnp.abs(step).max() + 1e-6))

    def clip(self, targets: Array, view: View) -> Array:
        """Joint targets [n] within the joints' range and the allowed lead."""
        q, lead = self.slots.arm(view.qpos), self.robot.pace.max_lead
        targets = jnp.clip(targets, q - lead, q + lead)
        return jnp.clip(targets, self.low, self.high)

    def downward(self, view: View, yaw_step: Array) -> Array:
        """float32[3]: rotation (rad) that turns the approach axis down and yaws by `yaw_step`."""
        approach = view.site_xmat[self.slots.grip][:, 2]
        down = jnp.array([0.0, 0.0, -1.0])
        return jnp.cross(approach, down) + jnp.array([0.0, 0.0, 1.0]) * yaw_step

    def follow(self, view: View, twist: Array) -> Array:
        """float32[n]: joint targets that move the grip by `twist` [6] (m, rad)."""
        return self.clip(self.slots.arm(view.qpos) + self.joint_step(view, twist), view)

    def gripper(self, command: Array, view: View) -> Array:
        """Both fingers' targets [2] from commands of any length: their mean opens or closes.

        The fingers are coupled, so two commands make one. The command is decisive: with a
        proportional one, exploration noise would open a soft grip. And it has a memory: only a
        mean beyond +-`GRIPPER_THRESHOLD` changes the last command, since fingers take several
        control steps to close and noise would turn them back on the way.
        """
        mean, (closed, opened) = jnp.mean(command), self.robot.finger_targets
        told = self.slots.finger_targets(view.ctrl)[0]
        nearer_open = (told > (closed + opened) / 2) == (opened > closed)
        # An episode starts without a command (zero): the gripper is then what it looks like.
        opening = self.robot.opening(self.slots.fingers(view.qpos))
        looks_open = opening > LOOKS_OPEN * self.robot.gripper.opening
        held = jnp.where(jnp.where(told == 0.0, looks_open, nearer_open), opened, closed)
        target = jnp.where(
            mean > GRIPPER_THRESHOLD, opened, jnp.where(mean < -GRIPPER_THRESHOLD, closed, held)
        )
        return jnp.stack([target, target])


def ee_delta(arm: Arm, view: View, action: Array) -> Array:
    """ctrl [n + 2] for an action [5] in [-1, 1]: motion x y z, yaw, gripper (> 0 opens)."""
    pace = arm.robot.pace
    turn = arm.downward(view, action[3] * pace.ee_yaw)
    targets = arm.follow(view, jnp.concatenate([action[:3] * pace.ee, turn]))
    return jnp.concatenate([targets, arm.gripper(action[4:5], view)])


def joint_delta(arm: Arm, view: View, action: Array) -> Array:
    """ctrl [n + 2] for an action [n + 2] in [-1, 1]: joint motion n, fingers 2.

    Seven joints move a hand that has six degrees of freedom; what is left, the elbow's swing, is
    pulled home. Left alone it drifts under exploration, and a policy that does not read the joint
    angles cannot know what its action will do.
    """
    count = len(arm.link_ids)
    step = action[:count] * arm.robot.pace.joint + arm.joint_step(view, jnp.zeros(6))
    targets = arm.clip(arm.slots.arm(view.qpos) + step, view)
    return jnp.concatenate([targets, arm.gripper(action[count : count + 2], view)])


#: action_space -> its control law.
LAWS: dict[str, Callable[[Arm, View, Array], Array]] = {"ee_delta": ee_delta, "joint": joint_delta}


def _chain(model: mujoco.MjModel, joints: list[int], hand: int) -> tuple[np.ndarray, np.ndarray]:
    """Offsets [n + 1, 3] and turns [n + 1, 4] of `Arm`; bodies without joints are folded in."""
    offsets, turns, parent = [], [], 0
    back = np.array([1.0, 0.0, 0.0, 0.0])  # from the frame whose z is the axis to the body's own
    for index, body in enumerate([*model.jnt_bodyid[joints], hand]):
        offset, turn = _place(model, int(body), parent)
        ahead = np.array([1.0, 0.0, 0.0, 0.0])
        if index < len(joints):
            ahead = _from_vertical(model.jnt_axis[joints[index]])
        offsets.append(_rotated(offset, back))
        turns.append(_times(_times(back, turn), ahead))
        back, parent = ahead * [1, -1, -1, -1], int(body)
    return np.array(offsets), np.array(turns)


def _place(model: mujoco.MjModel, body: int, ancestor: int) -> tuple[np.ndarray, np.ndarray]:
    """Position [3] and quaternion [4] of a body in an ancestor, the joints between at zero."""
    position, quat = np.zeros(3), np.array([1.0, 0.0, 0.0, 0.0])
    while body != ancestor:
        here, turn = model.body_pos[body], model.body_quat[body]
        position, quat = here + _rotated(position, turn), _times(turn, quat)
        body = int(model.body_parentid[body])
    return position, quat


def _from_vertical(axis: np.ndarray) -> np.ndarray:
    """The quaternion that turns z to `axis` the shortest way; the identity for z itself."""
    if axis[2] < -1 + 1e-9:
        return np.array([0.0, 1.0, 0.0, 0.0])
    quat = np.array([1 + axis[2], -axis[1], axis[0], 0.0])
    return quat / np.linalg.norm(quat)


def _times(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    product = np.empty(4)
    mujoco.mju_mulQuat(product, a, b)
    return product


def _rotated(vector: np.ndarray, quat: np.ndarray) -> np.ndarray:
    turned = np.empty(3)
    mujoco.mju_rotVecQuat(turned, vector, quat)
    return turned


def _solve_positive(a: Array, b: Array) -> Array:
    """x with a x = b for a symmetric positive definite a [n, n], by an unrolled Cholesky.

    Unrolled, it is arithmetic on whole vectors of worlds; LAPACK would be called once a world,
    which costs several times more on matrices this small.
    """
    n = a.shape[0]
    low: list[list[Array]] = []
    forward: list[Array] = []
    for i in range(n):
        row: list[Array] = []
        for j in range(i):
            dot = sum((row[k] * low[j][k] for k in range(j)), jnp.float32(0.0))
            row.append((a[i, j] - dot) / low[j][j])
        row.append(jnp.sqrt(a[i, i] - sum((x * x for x in row), jnp.float32(0.0))))
        low.append(row)
        dot = sum((row[k] * forward[k] for k in range(i)), jnp.float32(0.0))
        forward.append((b[i] - dot) / row[i])
    x: list[Array] = [jnp.float32(0.0)] * n
    for i in reversed(range(n)):
        dot = sum((low[k][i] * x[k] for k in range(i + 1, n)), jnp.float32(0.0))
        x[i] = (forward[i] - dot) / low[i][i]
    return jnp.stack(x)
