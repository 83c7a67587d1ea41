"""`template_name` keeps the contract, and its gripper holds something."""

import mujoco
import pytest
from r2s_core.registry import build_robot
from r2s_core.robot import OBJECT_CONTACT, PAD_CONTACT
from r2s_core.testing import check_robot


@pytest.fixture
def robot():
    return build_robot("template_name")


def test_it_keeps_the_contract(robot):
    check_robot(robot)


def test_it_holds_a_box_between_its_fingers(robot):
    spec = robot.spec()
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 10
    at = mujoco.MjData(model := spec.compile())
    at.qpos[:] = robot.qpos(model, robot.ready)
    mujoco.mj_kinematics(model, at)
    box = spec.worldbody.add_body(name="box", pos=at.site("grip").xpos)
    box.add_freejoint()
    box.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=(0.015, 0.02, 0.015),
        mass=0.1,
        contype=OBJECT_CONTACT,
        conaffinity=PAD_CONTACT,
        friction=(1.0, 0.01, 0.001),
    )
    model = spec.compile()
    data = mujoco.MjData(model)
    data.qpos[:] = robot.qpos(model, robot.ready)
    data.ctrl[:] = robot.ctrl(robot.ready, closed=True)
    model.opt.gravity[:] = 0.0  # until the fingers have closed
    mujoco.mj_step(model, data, nstep=500)
    model.opt.gravity[:] = (0.0, 0.0, -9.81)
    start = data.body("box").xpos[2]
    mujoco.mj_step(model, data, nstep=500)
    assert abs(data.body("box").xpos[2] - start) < 0.01
