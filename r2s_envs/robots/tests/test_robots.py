"""Robots as plugins: both keep the contract, and the contract sees what is wrong with one."""

from __future__ import annotations

import dataclasses
import functools
from types import SimpleNamespace
from typing import Any, cast

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from r2s_core.errors import R2SError
from r2s_core.registry import build_robot
from r2s_core.robot import ARM_CONTACT, COLLISION_GROUP, FreeJoint, Robot, Slots
from r2s_core.testing import check_robot
from r2s_core.types import View
from r2s_envs_robots import Arm
from r2s_envs_robots.control import LAWS
from r2s_envs_robots.panda.robot import panda
from r2s_envs_robots.ur5e_2f85 import arm, hand
from r2s_envs_robots.ur5e_2f85.robot import ur5e_2f85

ROBOTS = ("panda", "ur5e_2f85")


@pytest.mark.parametrize("name", ROBOTS)
def test_it_keeps_the_contract(name):
    check_robot(build_robot(name))


@pytest.mark.parametrize("name", ROBOTS)
def test_a_sketch_has_the_fingers_where_they_are_in_few_geoms(name):
    """Its pads meet at the grip as the physics' do, and look as they do in pictures."""
    robot = build_robot(name)
    assert robot.sketch is not None
    looks = {}
    for dress in (robot.sketch, robot.dress):
        spec = robot.spec()
        dress(spec)
        model = spec.compile()
        drawn = np.flatnonzero(model.geom_group < COLLISION_GROUP)
        materials = {model.material(model.geom_matid[g]).name for g in drawn}
        looks[dress] = (model, drawn, materials)
    model, drawn, materials = looks[robot.sketch]
    assert len(drawn) <= 20
    assert len(drawn) < len(looks[robot.dress][1]) / 2
    assert materials <= looks[robot.dress][2]
    data = mujoco.MjData(model)
    data.qpos[:] = robot.qpos(model, robot.ready)
    mujoco.mj_forward(model, data)
    for pad in robot.pads:
        hidden = model.geom(pad)
        shown = [g for g in drawn if model.geom_bodyid[g] == hidden.bodyid[0]]
        distance = min(mujoco.mj_geomDistance(model, data, hidden.id, g, 1.0, None) for g in shown)
        assert distance < 0.0, "the pad is inside what is drawn of it"


def _changed(robot: Robot, change) -> Robot:
    def add(spec: mujoco.MjSpec) -> None:
        robot.add(spec)
        change(spec)

    return dataclasses.replace(robot, add=add)


def _heavy(spec: mujoco.MjSpec) -> None:
    spec.body("link3").gravcomp = 0.0


def _off_axis(spec: mujoco.MjSpec) -> None:
    spec.joint("joint2").pos = (0.0, 0.0, 0.01)


def _turned(spec: mujoco.MjSpec) -> None:
    spec.site("grip").quat = (0.0, 1.0, 0.0, 0.0)


def _touching(spec: mujoco.MjSpec) -> None:
    spec.geom("left_pad").conaffinity = ARM_CONTACT


def _bulky(spec: mujoco.MjSpec) -> None:
    spec.body("link5").add_geom(size=(0.3, 0, 0), contype=ARM_CONTACT, conaffinity=0)


def _renamed(spec: mujoco.MjSpec) -> None:
    spec.actuator("joint1").name = "first"


def _aside(spec: mujoco.MjSpec) -> None:
    x, y, z = spec.site("grip").pos
    spec.site("grip").pos = (x, y + 0.004, z)


def _above(spec: mujoco.MjSpec) -> None:
    x, y, z = spec.site("grip").pos
    spec.site("grip").pos = (x, y, z - 0.01)


def _unlimited(spec: mujoco.MjSpec) -> None:
    spec.actuator("joint1").ctrllimited = False


def _nameless(spec: mujoco.MjSpec) -> None:
    spec.body("link7").geoms[0].conaffinity = ARM_CONTACT


@pytest.mark.parametrize(
    ("robot", "complaint"),
    [
        (_changed(panda(), _heavy), r"gravity is not compensated on \['link3'\]"),
        (_changed(panda(), _off_axis), "'joint2' is not at its body's origin"),
        (_changed(panda(), _turned), "the site 'grip' is rotated"),
        (
            _changed(panda(), _touching),
            "conaffinity of geom left_pad of the body left_finger is not 0",
        ),
        (_changed(panda(), _bulky), "ready has 'link5' and 'link7' inside each other"),
        (_changed(panda(), _renamed), "the actuators are"),
        (_changed(panda(), _aside), "the pads meet 4.0 mm beside the grip"),
        (_changed(panda(), _above), "the pads are 10.0 to 10.0 mm ahead of the site 'grip'"),
        (_changed(panda(), _unlimited), "actuator 'joint1' has no ctrlrange"),
        (
            _changed(panda(), _nameless),
            r"conaffinity of geom number \d+ of the body link7 is not 0",
        ),
        (dataclasses.replace(panda(), arm_joints=("joint1",)), "home has 7 numbers for 1"),
        (dataclasses.replace(panda(), grip="tcp"), "no site called 'tcp'"),
        (dataclasses.replace(panda(), pads=("left_pad", "pad")), "no geom called 'pad'"),
        (dataclasses.replace(panda(), finger_targets=(0.0, 0.04)), "neither may be 0"),
        (dataclasses.replace(panda(), open_joints={"finger_joint1": 0.04}), "open_joints names"),
        (dataclasses.replace(panda(), ready=(0.0,) * 7), "within 0.1 rad of its limits"),
        (dataclasses.replace(panda(), workspace=(0.7, 0.0)), "not above the workspace's centre"),
        (
            dataclasses.replace(panda(), opening=lambda f: f[..., 0]),
            r"opening\(fingers\) says 24.\d mm, but the pads are 49",
        ),
        (
            dataclasses.replace(
                panda(), gripper=dataclasses.replace(panda().gripper, opening=0.09)
            ),
            "open, the pads are 80.0 mm apart; opening says 90.0",
        ),
        (
            dataclasses.replace(
                panda(), gripper=dataclasses.replace(panda().gripper, pad_below_grip=0.005)
            ),
            "the pads reach 9.5 mm beyond the grip; the gripper's pad_below_grip says 5.0",
        ),
        (
            dataclasses.replace(
                panda(), gripper=dataclasses.replace(panda().gripper, payload=30.0)
            ),
            "30 kg in the hand moves it by",
        ),
        (dataclasses.replace(panda(), dress=lambda spec: None), "dress adds nothing"),
        (
            dataclasses.replace(
                panda(), dress=lambda spec: spec.worldbody.add_geom(size=(1, 1, 1))
            ),
            "dress adds geoms that collide",
        ),
        (dataclasses.replace(panda(), sketch=lambda spec: None), "sketch adds nothing visible"),
        (
            dataclasses.replace(
                panda(), sketch=lambda spec: spec.body("hand").add_geom(size=(0.1, 0.1, 0.1))
            ),
            "sketch adds geoms that collide",
        ),
    ],
)
def test_a_broken_robot_is_told_what_is_wrong(robot, complaint):
    with pytest.raises(AssertionError, match=complaint):
        check_robot(robot)


def test_an_arm_of_fewer_than_six_joints_keeps_the_contract():
    """The Panda with three of its joints welded, as the remaining four hold it."""
    kept, ready = (1, 2, 4, 6), panda().ready
    names = tuple(f"joint{i}" for i in kept)

    def add(spec: mujoco.MjSpec) -> None:
        panda().add(spec)
        for i in {1, 2, 3, 4, 5, 6, 7} - set(kept):
            joint = spec.joint(f"joint{i}")
            turn = np.array([np.cos(ready[i - 1] / 2), 0.0, 0.0, np.sin(ready[i - 1] / 2)])
            body, quat = joint.parent, np.empty(4)
            mujoco.mju_mulQuat(quat, np.array(body.quat), turn)
            body.quat = quat
            spec.delete(spec.actuator(f"joint{i}"))
            spec.delete(joint)

    short = [tuple(values[i - 1] for i in kept) for values in (panda().home, panda().ready)]
    speeds = tuple(panda().max_speed[i - 1] for i in kept)
    arm = {"arm_joints": names, "home": short[0], "ready": short[1], "max_speed": speeds}
    check_robot(dataclasses.replace(panda(), add=add, **arm))


def test_a_gripper_has_lengths_above_0():
    for number in (-1.0, 0.0, np.nan):
        with pytest.raises(R2SError, match=f"'Franka Hand': pad_half_height is {number}; it must"):
            dataclasses.replace(panda().gripper, pad_half_height=number)
    with pytest.raises(R2SError, match=r"palm is .*; it must be above 0"):
        dataclasses.replace(panda().gripper, palm=(0.1, 0.0, 0.1))


def _tilted() -> mujoco.MjModel:
    """Three hinges about other axes than z, with a body between that has no joint."""
    return mujoco.MjModel.from_xml_string(
        """<mujoco><worldbody><body pos=".1 0 .2" quat=".8 .2 .1 .3">
        <body pos="0 .1 0"><joint name="joint1" axis="0 1 0" range="-2 2"/><geom size=".1"/>
         <body pos="0 0 .3" quat=".5 .5 .1 0">
          <body pos=".2 0 0"><joint name="joint2" axis="1 0 0" range="-2 2"/><geom size=".1"/>
           <body pos="0 .2 .1" quat=".9 0 .3 0">
            <joint name="joint3" axis="0 0 -1" range="-2 2"/><geom size=".1"/>
            <body pos="0 0 .1"><site name="grip" pos=".01 .02 .03"/>
             <body><joint name="finger_joint1" type="slide"/><geom size=".01"/>
              <body><joint name="finger_joint2" type="slide"/><geom size=".01"/>
        </body></body></body></body></body></body></body></body></worldbody><actuator>
        <position name="joint1" joint="joint1"/><position name="joint2" joint="joint2"/>
        <position name="joint3" joint="joint3"/>
        <position name="finger_joint1" joint="finger_joint1"/>
        <position name="finger_joint2" joint="finger_joint2"/></actuator></mujoco>"""
    )


def _cases() -> list[tuple[Robot, mujoco.MjModel]]:
    small = dataclasses.replace(panda(), arm_joints=("joint1", "joint2", "joint3"))
    return [(robot, robot.spec().compile()) for robot in (panda(), ur5e_2f85())] + [
        (small, _tilted())
    ]


@pytest.mark.parametrize(("robot", "model"), _cases(), ids=[*ROBOTS, "tilted"])
def test_kinematics_are_those_of_mujoco(robot, model):
    """`Arm.forward` gives where the grip is, `Arm.jacobian` how it moves."""
    count = len(robot.arm_joints)
    chain = Arm.of(model, robot, np.zeros(count))
    rng, data = np.random.default_rng(0), mujoco.MjData(model)
    jacobian = np.zeros((6, model.nv))
    for _ in range(5):
        angles = rng.uniform(-1.5, 1.5, count)
        data.qpos[chain.slots.arm.index] = angles
        mujoco.mj_forward(model, data)
        position, quat = chain.forward(jnp.asarray(angles, jnp.float32))
        np.testing.assert_allclose(position, data.site_xpos[chain.slots.grip], atol=2e-6)
        same = abs(np.asarray(quat) @ data.xquat[chain.slots.hand])
        assert same == pytest.approx(1.0, abs=1e-5)
        mujoco.mj_jacSite(model, data, jacobian[:3], jacobian[3:], chain.slots.grip)
        found = chain.jacobian(cast(View, data))
        np.testing.assert_allclose(found, chain.slots.arm_velocity(jacobian), atol=2e-6)


@pytest.mark.parametrize("name", ROBOTS)
@pytest.mark.parametrize("law", LAWS)
def test_a_law_gives_a_target_for_every_servo(name, law):
    """One that stays where it is without an action, and opens and closes on command."""
    robot = build_robot(name)
    model = robot.spec().compile()
    chain, data = Arm.of(model, robot, robot.ready), mujoco.MjData(model)
    data.qpos[:] = robot.qpos(model, robot.ready)
    mujoco.mj_forward(model, data)
    view: Any = SimpleNamespace(
        qpos=jnp.asarray(data.qpos, jnp.float32),
        ctrl=jnp.zeros(model.nu),
        xpos=jnp.asarray(data.xpos, jnp.float32),
        xquat=jnp.asarray(data.xquat, jnp.float32),
        site_xpos=jnp.asarray(data.site_xpos, jnp.float32),
        site_xmat=jnp.asarray(data.site_xmat, jnp.float32).reshape(-1, 3, 3),
    )
    act = jax.jit(functools.partial(LAWS[law], chain, view))
    names = robot.action_names[law]
    still = np.asarray(act(jnp.zeros(len(names))))
    assert still.shape == (model.nu,)
    np.testing.assert_allclose(still, robot.ctrl(robot.ready, closed=False), atol=2e-3)
    fingers = np.array(["finger" in each or each == "gripper" for each in names], np.float32)
    np.testing.assert_allclose(act(-fingers)[-2:], robot.finger_targets[0], rtol=1e-6)


def test_slots_read_and_write_what_has_a_name():
    robot = ur5e_2f85()
    spec = robot.spec()
    spec.worldbody.add_body(name="mug", mass=1.0, inertia=(1, 1, 1)).add_freejoint(name="mug_joint")
    model = spec.compile()
    slots, mug = Slots.of(model, robot), FreeJoint.of(model, "mug_joint")
    qpos = robot.qpos(model, robot.ready)
    np.testing.assert_array_equal(slots.arm(qpos), robot.ready)
    moved = slots.fingers.put(qpos, [0.1, 0.2])
    assert moved[model.joint("finger_joint2").qposadr[0]] == 0.2
    assert moved[model.joint("left_tip").qposadr[0]] == 0.0  # between the two
    assert (qpos != moved).sum() == 2, "the original is as it was"
    batch = mug.position.put(jnp.zeros((3, model.nq)), jnp.ones(3))
    np.testing.assert_array_equal(mug.pose(batch), [[1, 1, 1, 0, 0, 0, 0]] * 3)
    assert mug.motion(jnp.zeros((2, model.nv))).shape == (2, 6)


#: Positions of the flange by Denavit-Hartenberg matrices, multiplied out independently of `_link`.
@pytest.mark.parametrize("angles", [(0.0,) * 6, (0.4, -1.2, 1.9, -0.8, 1.1, 0.3)])
def test_the_flange_of_the_ur5e_is_where_universal_robots_puts_it(angles):
    parameters = zip(
        angles,
        (0.1625, 0.0, 0.0, 0.1333, 0.0997, 0.0996),
        (0.0, -0.425, -0.3922, 0.0, 0.0, 0.0),
        (90.0, 0.0, 0.0, 90.0, -90.0, 0.0),
        strict=True,
    )
    pose = np.diag([-1.0, -1.0, 1.0, 1.0])  # their base frame, as it stands here
    for theta, d, a, alpha in parameters:
        c, s = np.cos(theta), np.sin(theta)
        ca, sa = np.cos(np.radians(alpha)), np.sin(np.radians(alpha))
        pose = pose @ np.array(
            [
                [c, -s * ca, s * sa, a * c],
                [s, c * ca, -c * sa, a * s],
                [0.0, sa, ca, d],
                [0.0, 0.0, 0.0, 1.0],
            ]
        )
    spec = mujoco.MjSpec()
    arm.add_ur5e(spec)
    model = spec.compile()
    data = mujoco.MjData(model)
    data.qpos[:] = angles
    mujoco.mj_kinematics(model, data)
    flange = data.body("link6")
    np.testing.assert_allclose(flange.xpos, pose[:3, 3], atol=1e-12)
    np.testing.assert_allclose(flange.xmat.reshape(3, 3), pose[:3, :3], atol=1e-12)
    masses = [model.body(f"link{i}").mass[0] for i in range(1, 7)]
    assert sum(masses) == pytest.approx(17.7)  # Universal Robots: 20.6 kg with base and cable


def test_the_tips_of_the_2f85_stay_parallel_and_reach_farther_as_they_close():
    robot = ur5e_2f85()
    model = robot.spec().compile()
    data = mujoco.MjData(model)
    data.qpos[:] = robot.qpos(model, robot.ready)
    data.ctrl[:] = robot.ctrl(robot.ready, closed=True)
    mujoco.mj_forward(model, data)
    heights = [data.geom("left_pad").xpos[2]]
    for _ in range(20):
        mujoco.mj_step(model, data, nstep=50)
        tip, palm = data.body("left_tip").xmat, data.body("hand").xmat
        assert np.abs(tip - palm).max() < 0.01
        heights.append(data.geom("left_pad").xpos[2])
    assert pytest.approx(0.8, abs=0.01) == hand.STROKE  # rad, as published
    assert heights[0] - heights[-1] == pytest.approx(0.0139, abs=1e-3)  # m
