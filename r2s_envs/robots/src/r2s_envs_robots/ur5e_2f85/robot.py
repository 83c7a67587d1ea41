"""The UR5e with a 2F-85 as a `r2s_core.robot.Robot`."""

from __future__ import annotations

import functools

import mujoco

from r2s_core.plugin import NoConfig
from r2s_core.robot import Gripper, Robot
from r2s_envs_robots import shapes
from r2s_envs_robots.parts import FingerServo
from r2s_envs_robots.ur5e_2f85 import arm, hand, looks

ROBOTIQ_2F85 = Gripper(
    name="Robotiq 2F-85",
    opening=hand.OPENING,
    payload=4.0,  # the arm's 5 kg less the gripper
    finger_half_width=0.0135,
    finger_thickness=0.016,
    pad_half_height=0.011,
    pad_below_grip=hand.PAD_BELOW_GRIP,
    palm_clearance=hand.GRIP - hand.PALM,
    palm=(0.08, 0.038, 0.10),
)

#: The grip points down 0.25 m above (0.5, 0): elbow up, far from limits and singularities.
READY = (-0.2699, -1.5765, 1.7731, -1.7674, -1.5708, -1.8407)


def ur5e_2f85(servo: FingerServo = FingerServo()) -> Robot:  # noqa: B008
    """The UR5e with a 2F-85, its fingers driven by `servo`."""
    return Robot(
        name="ur5e_2f85",
        title="UR5e with a 2F-85",
        add=functools.partial(_add, servo=servo),
        dress=functools.partial(shapes.dress, materials=looks.MATERIALS, shapes=looks.SHAPES),
        sketch=functools.partial(shapes.dress, materials=looks.MATERIALS, shapes=looks.SKETCH),
        arm_joints=tuple(f"joint{i}" for i in range(1, 7)),
        home=READY,
        ready=READY,
        open_joints=dict.fromkeys(("finger_joint1", "finger_joint2", "left_tip", "right_tip"), 0.0),
        finger_targets=hand.FINGER_TARGETS,
        opening=hand.opening,
        gripper=ROBOTIQ_2F85,
        max_speed=tuple(link.max_speed for link in arm.LINKS),
    )


def _add(spec: mujoco.MjSpec, servo: FingerServo) -> None:
    hand.add_2f85(spec, arm.add_ur5e(spec), servo)


def make(config: NoConfig) -> Robot:
    """The robot `ur5e_2f85`."""
    return ur5e_2f85()
