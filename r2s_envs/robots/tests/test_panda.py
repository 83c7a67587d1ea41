"""The robot's kinematics and inertia, held to numbers computed from the published parameters.

The reference numbers were computed once by MuJoCo from the chain in MuJoCo Menagerie's Panda
(commit 1b428b0), written down independently of the code under test.
"""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np
import pytest

from r2s_envs_robots.panda import model as panda
from r2s_envs_robots.panda.robot import panda as robot

#: Arm and open fingers, which are the servos' targets too.
HOME = robot().ctrl(robot().home, closed=False)


@dataclasses.dataclass(frozen=True)
class Reference:
    """qpos [9]; hand and left finger positions, m; hand quaternion; upper triangle of the arm's
    mass matrix [28], kg m^2."""

    qpos: tuple[float, ...]
    hand_pos: tuple[float, ...]
    hand_quat: tuple[float, ...]
    left_finger_pos: tuple[float, ...]
    mass: tuple[float, ...]


# fmt: off
REFERENCES = (
    Reference(
        qpos=(0.725, 1.4, 1.597, -2.396, -1.158, 3.276, -2.867, 0.033, 0.032),
        hand_pos=(-0.30607, 0.389993, 0.445675),
        hand_quat=(0.105898, -0.696769, -0.060316, 0.706867),
        left_finger_pos=(-0.36651, 0.361612, 0.439262),
        mass=(1.64507, -0.20809, 0.13457, -0.68823, -0.07212, -0.10472, 0.00054,
              0.75361, -0.35061, 0.11124, 0.0313, 0.02816, 0.00546,
              1.14103, -0.06538, -0.05197, 0.08444, -0.0021,
              1.00575, 0.1129, 0.06247, -0.00099,
              0.14325, 0.00122, 0.00641, 0.15264, 0.00147, 0.10672),
    ),
    Reference(
        qpos=(-0.186, -0.694, -1.284, -2.307, -0.318, 1.885, 0.31, 0.04, 0.032),
        hand_pos=(0.005939, -0.458164, 0.393266),
        hand_quat=(-0.163044, 0.916229, -0.350634, 0.104865),
        left_finger_pos=(-0.000495, -0.473048, 0.324363),
        mass=(1.31245, 0.4399, 0.77194, -0.48294, 0.02625, -0.00822, -0.00697,
              0.84624, 0.32655, -0.22667, -0.0252, -0.02369, 0.00258,
              1.20406, -0.00236, 0.02886, 0.04995, -0.00703,
              1.09868, 0.00666, 0.14316, 0.0008,
              0.13514, 0.00013, 0.00161, 0.15338, -0.00151, 0.10672),
    ),
    Reference(
        qpos=(0.708, 1.724, -1.65, -2.591, 0.652, 0.148, -2.691, 0.021, 0.019),
        hand_pos=(0.202087, -0.142514, 0.27953),
        hand_quat=(-0.515346, 0.735116, 0.295724, 0.326451),
        left_finger_pos=(0.228512, -0.093163, 0.252741),
        mass=(1.21038, -0.06064, -0.09207, 0.34197, 0.02198, -0.06035, -0.00116,
              0.68982, 0.24846, -0.01186, -0.01141, 0.02725, 0.00514,
              0.7187, -0.05487, 0.01162, 0.01316, 0.0055,
              0.76382, 0.06857, -0.02175, -0.00015,
              0.14377, -0.00125, -0.00645, 0.1531, 0.00156, 0.1067),
    ),
)
# fmt: on


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return robot().spec().compile()


@pytest.mark.parametrize("reference", REFERENCES)
def test_kinematics_and_inertia_are_the_published_ones(model, reference):
    data = mujoco.MjData(model)
    data.qpos[:] = reference.qpos
    mujoco.mj_forward(model, data)
    np.testing.assert_allclose(data.body("hand").xpos, reference.hand_pos, atol=2e-6)
    np.testing.assert_allclose(data.body("left_finger").xpos, reference.left_finger_pos, atol=2e-6)
    quat = data.body("hand").xquat * np.sign(data.body("hand").xquat @ reference.hand_quat)
    np.testing.assert_allclose(quat, reference.hand_quat, atol=2e-6)
    mass = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, data, mass)
    # Our grippers differ from the published one: 2e-5 is what rounding leaves of the arm's part.
    np.testing.assert_allclose(mass[:7, :7][np.triu_indices(7)], reference.mass, atol=2e-5)


def test_the_constants_for_forward_kinematics_give_the_grip(model):
    """`LINKS`, `FLANGE_POS`, `HAND_QUAT` and `GRIP_POS` chained in plain numpy."""
    data = mujoco.MjData(model)
    data.qpos[:] = REFERENCES[0].qpos
    mujoco.mj_forward(model, data)
    position, rotation = np.zeros(3), np.eye(3)
    for link, angle in zip(panda.LINKS, REFERENCES[0].qpos[:7], strict=True):
        position = position + rotation @ link.pos
        rotation = (
            rotation @ _matrix(link.quat) @ _matrix((np.cos(angle / 2), 0, 0, np.sin(angle / 2)))
        )
    position = position + rotation @ panda.FLANGE_POS
    rotation = rotation @ _matrix(panda.HAND_QUAT)
    position = position + rotation @ panda.GRIP_POS
    np.testing.assert_allclose(data.site("grip").xpos, position, atol=1e-12)
    np.testing.assert_allclose(data.site("grip").xmat.reshape(3, 3), rotation, atol=1e-12)


def test_gravity_does_not_move_the_arm_from_home(model):
    data = mujoco.MjData(model)
    data.qpos[:] = HOME
    data.ctrl[:] = HOME
    while data.time < 2.0:
        mujoco.mj_step(model, data)
    np.testing.assert_allclose(data.qpos, HOME, atol=1e-6)


def test_the_pads_meet_at_the_grip(model):
    data = mujoco.MjData(model)
    data.qpos[:] = HOME
    data.qpos[7:] = 0.0
    mujoco.mj_forward(model, data)
    left, right, grip = data.geom("left_pad"), data.geom("right_pad"), data.site("grip")
    np.testing.assert_allclose((left.xpos + right.xpos) / 2, grip.xpos, atol=1e-9)
    distance = np.linalg.norm(left.xpos - right.xpos)
    assert distance == pytest.approx(2 * model.geom("left_pad").size[0], abs=1e-9)
    # The site's z axis points away from the hand, its y axis along the closing direction.
    away = grip.xpos - data.body("hand").xpos
    axes = grip.xmat.reshape(3, 3)
    assert axes[:, 2] @ away == pytest.approx(np.linalg.norm(away))
    assert abs(axes[:, 1] @ (left.xpos - right.xpos)) == pytest.approx(distance)


def test_a_closed_gripper_squeezes_and_stops_at_its_limits(model):
    data = mujoco.MjData(model)
    data.qpos[:] = HOME
    data.ctrl[:] = HOME
    data.ctrl[7:] = panda.FINGER_TARGETS[0]
    while data.time < 1.0:
        mujoco.mj_step(model, data)
    assert np.all(np.abs(data.qpos[7:]) < 1e-3)  # the fingers are not inside each other
    assert np.all(data.actuator_force[7:] < -2.0)  # N, still pressing


def _matrix(quat) -> np.ndarray:
    result = np.empty(9)
    mujoco.mju_quat2Mat(result, np.asarray(quat, float))
    return result.reshape(3, 3)
