"""From actions to actuator targets, and the servo behind them; one world each."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from r2s_core import rotation
from r2s_core.types import Array, View
from r2s_envs_pick_place.robot import panda

#: Joint targets stay within this of the current angles (rad): a target that runs ahead of the
#: arm would wind up.
MAX_LEAD = 0.2
#: End-effector motion per control step for an action of one: m and rad.
EE_STEP, EE_YAW_STEP = 0.05, 0.2
#: Joint motion per control step for an action of one, rad.
JOINT_STEP = 0.1
#: The numbers of an action, in order, each in [-1, 1].
ACTION_NAMES = {
    "ee_delta": ("ee_x", "ee_y", "ee_z", "ee_yaw", "gripper"),
    "joint": (*(f"joint{i}" for i in range(1, 8)), "left_finger", "right_finger"),
}
_DAMPING = 1e-3  # of the least squares, m and rad mixed
_POSTURE_GAIN = 0.1  # pull towards the home posture within the arm's null space
_CLOSED, _OPEN = panda.FINGER_TARGETS


@dataclasses.dataclass(frozen=True)
class Arm:
    """Where the arm's bodies stand in a model, for Jacobians from a view."""

    link_ids: np.ndarray  # int[7], body ids of link1..link7
    hand_id: int
    grip_id: int  # site id
    home: Array  # float32[7], rad
    low: Array
    high: Array
    offsets: np.ndarray  # float32[8, 3], m: of link1..link7 and the hand, in the one before
    turns: np.ndarray  # float32[8, 4], and how they are turned there
    grip: np.ndarray  # float32[3], m: the grip in the hand

    @staticmethod
    def from_model(model: mujoco.MjModel, home: np.ndarray) -> Arm:
        chain = [model.body(name).id for name in (*(f"link{i}" for i in range(1, 8)), "hand")]
        return Arm(
            link_ids=np.array([model.body(f"link{i}").id for i in range(1, 8)]),
            hand_id=model.body("hand").id,
            grip_id=model.site("grip").id,
            home=jnp.asarray(home[:7], jnp.float32),
            low=jnp.asarray(panda.JOINT_RANGES[:, 0], jnp.float32),
            high=jnp.asarray(panda.JOINT_RANGES[:, 1], jnp.float32),
            offsets=model.body_pos[chain].astype(np.float32),
            turns=model.body_quat[chain].astype(np.float32),
            grip=model.site("grip").pos.astype(np.float32),
        )

    def forward(self, angles: Array) -> tuple[Array, Array]:
        """Where joint angles [7] put the grip, [3] m, and how they turn the hand, [4]."""

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
        """[6, 7]: the grip's linear and angular velocity by joint velocity, world axes."""
        origins = view.xpos[self.link_ids]
        w, x, y, z = jnp.moveaxis(view.xquat[self.link_ids], -1, 0)
        # Each joint turns about its link's z axis.
        axes = jnp.stack(
            [2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], axis=-1
        )
        lever = view.site_xpos[self.grip_id] - origins
        return jnp.concatenate([jnp.cross(axes, lever), axes], axis=-1).T

    def joint_step(self, view: View, twist: Array) -> Array:
        """float32[7]: joint motion (rad) that moves the grip by `twist` [6] (m, rad).

        Damped least squares (Wampler 1986; Nakamura and Hanafusa 1986), with a pull to the home
        posture in the null space.
        """
        jacobian = self.jacobian(view)
        # Written out, since a batch of small matrix products is slow on CPUs.
        gram = (jacobian[:, None, :] * jacobian[None, :, :]).sum(-1) + _DAMPING * jnp.eye(6)
        posture = _POSTURE_GAIN * (self.home - view.qpos[:7])
        wrench = _solve_positive(gram, twist - jacobian @ posture)
        step = posture + jacobian.T @ wrench
        # Slow down rather than bend the path where a joint would have to move too far.
        return step * jnp.minimum(1.0, MAX_LEAD / (jnp.abs(step).max() + 1e-6))

    def clip(self, targets: Array, view: View) -> Array:
        """Joint targets within the joints' range and the allowed lead."""
        q = view.qpos[:7]
        targets = jnp.clip(targets, q - MAX_LEAD, q + MAX_LEAD)
        return jnp.clip(targets, self.low, self.high)

    def downward(self, view: View, yaw_step: Array) -> Array:
        """float32[3]: rotation (rad) that turns the approach axis down and yaws by `yaw_step`."""
        approach = view.site_xmat[self.grip_id][:, 2]
        down = jnp.array([0.0, 0.0, -1.0])
        return jnp.cross(approach, down) + jnp.array([0.0, 0.0, 1.0]) * yaw_step


def ee_delta(arm: Arm, view: View, action: Array) -> Array:
    """ctrl [9] for an action [5] in [-1, 1]: motion x y z, yaw, gripper (> 0 opens)."""
    twist = jnp.concatenate([action[:3] * EE_STEP, arm.downward(view, action[3] * EE_YAW_STEP)])
    targets = arm.clip(view.qpos[:7] + arm.joint_step(view, twist), view)
    return jnp.concatenate([targets, gripper(action[4:5], view)])


def joint_delta(arm: Arm, view: View, action: Array) -> Array:
    """ctrl [9] for an action [9] in [-1, 1]: joint motion 7, fingers 2.

    Seven joints move a hand that has six degrees of freedom; what is left, the elbow's swing, is
    pulled home. Left alone it drifts under exploration, and a policy that does not read the joint
    angles cannot know what its action will do.
    """
    step = action[:7] * JOINT_STEP + arm.joint_step(view, jnp.zeros(6))
    targets = arm.clip(view.qpos[:7] + step, view)
    return jnp.concatenate([targets, gripper(action[7:9], view)])


def gripper(command: Array, view: View) -> Array:
    """Both fingers' targets [2], m, from commands of any length: their mean opens or closes.

    The Panda's fingers are coupled by a gear, so two commands make one. The command is decisive:
    with a proportional one, exploration noise would open a soft grip. And it
    has a memory: only a mean beyond +-`GRIPPER_THRESHOLD` changes the last command, since fingers
    take several control steps to close and noise would turn them back on the way.
    """
    mean = jnp.mean(command)
    # An episode starts without a command (zero): the gripper is then what it looks like.
    looks_open = view.qpos[7] > 0.95 * _OPEN
    held_open = jnp.where(view.ctrl[7] == 0.0, looks_open, view.ctrl[7] > 0)
    held = jnp.where(held_open, _OPEN, _CLOSED)
    target = jnp.where(
        mean > GRIPPER_THRESHOLD, _OPEN, jnp.where(mean < -GRIPPER_THRESHOLD, _CLOSED, held)
    )
    return jnp.stack([target, target])


#: action_space -> its control law.
LAWS = {"ee_delta": ee_delta, "joint": joint_delta}
#: Below this an action leaves the gripper as it was commanded last.
GRIPPER_THRESHOLD = 0.5


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
