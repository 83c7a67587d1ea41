"""The Panda as a `r2s_core.robot.Robot`."""

from __future__ import annotations

import functools

from r2s_core.plugin import NoConfig
from r2s_core.robot import Gripper, Robot
from r2s_envs_robots import shapes
from r2s_envs_robots.panda import looks, menagerie, model
from r2s_envs_robots.parts import FingerServo

FRANKA_HAND = Gripper(
    name="Franka Hand",
    opening=0.08,
    payload=3.0,
    finger_half_width=0.011,
    finger_thickness=0.015,
    pad_half_height=0.009,
    pad_below_grip=model.PAD_BELOW_GRIP,
    palm_clearance=0.035,
    palm=(0.102, 0.032, 0.12),
)


def panda(servo: FingerServo = FingerServo()) -> Robot:  # noqa: B008
    """The Panda, its fingers driven by `servo`."""
    return Robot(
        name="panda",
        title="Franka Panda",
        add=functools.partial(model.add_panda, servo=servo),
        dress=functools.partial(shapes.dress, materials=looks.MATERIALS, shapes=looks.SHAPES),
        sketch=functools.partial(shapes.dress, materials=looks.MATERIALS, shapes=looks.SKETCH),
        dress_officially=menagerie.add_menagerie_visuals,
        arm_joints=tuple(f"joint{i}" for i in range(1, 8)),
        home=(0.0, 0.0, 0.0, -1.57079, 0.0, 1.57079, -0.7853),
        ready=(0.0, 0.1756, 0.0, -2.3, 0.0, 2.4756, 0.7854),
        open_joints=dict.fromkeys(("finger_joint1", "finger_joint2"), model.FINGER_RANGE[1]),
        finger_targets=model.FINGER_TARGETS,
        gripper=FRANKA_HAND,
        max_speed=tuple(link.max_speed for link in model.LINKS),
    )


def make(config: NoConfig) -> Robot:
    """The robot `panda`."""
    return panda()
