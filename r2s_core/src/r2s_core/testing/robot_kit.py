"""The conformance of robots."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import jax.numpy as jnp
import mujoco
import numpy as np

from r2s_core.robot import ARM_CONTACT, COLLISION_GROUP, PAD_CONTACT, Robot, Slots
from r2s_core.suggest import did_you_mean
from r2s_core.testing.requirements import require

READY_HEIGHT = (0.15, 0.30)  # m, of the grip above the table
_NEAR = 0.05  # m, largest horizontal distance from the workspace's centre
_MARGIN = 0.1  # rad from the joints' limits
_REGULAR = 0.05  # smallest singular value of the grip's Jacobian, m and rad
_SAG = 0.05  # m, of the grip under the payload
_MET = 1e-3  # m, tolerance of the distance between the pads
_LEVEL = 2e-3  # m, of the pads along the approach


def check_robot(robot: Robot) -> None:
    """A robot matches `r2s_core.robot.Robot`: its names, postures, gripper and servos.

    It is compiled alone, in a world of 2 ms steps.

    Raises:
        AssertionError: with a sentence that says what is wrong.
    """
    model = robot.spec().compile()
    _check_arm(robot, model)
    _check_servos(robot, model)
    _check_geoms(robot, model)
    _check_looks("dress", robot.dress, robot, model)
    if robot.sketch is not None:
        _check_looks("sketch", robot.sketch, robot, model)
    _check_ready(robot, model)
    _check_gripper(robot, model)
    _check_payload(robot, model)


def _id(model: mujoco.MjModel, kind: mujoco.mjtObj, name: str) -> int:
    found = mujoco.mj_name2id(model, kind, name)
    what = kind.name.removeprefix("mjOBJ_").lower()
    count = {"joint": model.njnt, "site": model.nsite, "geom": model.ngeom}[what]
    names = [known for i in range(count) if (known := mujoco.mj_id2name(model, kind, i))]
    require(
        found >= 0,
        f"there is no {what} called {name!r} in what `add` builds{did_you_mean(name, names)}; "
        f"there are {', '.join(names) or 'none with a name'}",
    )
    return found


def _check_arm(robot: Robot, model: mujoco.MjModel) -> None:
    """The joints exist, in a chain of hinges, and every posture has a number for each."""
    count = len(robot.arm_joints)
    for name in ("home", "ready", "max_speed"):
        values = getattr(robot, name)
        require(len(values) == count, f"{name} has {len(values)} numbers for {count} arm joints")
    require(min(robot.max_speed) > 0.0, f"max_speed is {robot.max_speed}; each is above 0")
    above = 0
    for name in robot.arm_joints:
        joint = _id(model, mujoco.mjtObj.mjOBJ_JOINT, name)
        hinge = model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_HINGE
        require(hinge, f"arm joint {name!r} is not a hinge")
        require(not model.jnt_pos[joint].any(), f"arm joint {name!r} is not at its body's origin")
        require(model.jnt_limited[joint], f"arm joint {name!r} has no range")
        body = int(model.jnt_bodyid[joint])
        require(_is_below(model, body, above), f"arm joint {name!r} does not continue the chain")
        above = body
    grip = _id(model, mujoco.mjtObj.mjOBJ_SITE, robot.grip)
    hand = int(model.site_bodyid[grip])
    require(_is_below(model, hand, above), f"the site {robot.grip!r} is not at the chain's end")
    aligned = np.allclose(model.site_quat[grip], (1.0, 0.0, 0.0, 0.0))
    require(aligned, f"the site {robot.grip!r} is rotated in its body")
    for name in (*robot.finger_joints, *robot.open_joints):
        _id(model, mujoco.mjtObj.mjOBJ_JOINT, name)
    rest = {model.joint(i).name for i in range(model.njnt)} - set(robot.arm_joints)
    require(
        rest == set(robot.open_joints),
        f"open_joints names {sorted(robot.open_joints)}, but the gripper's are {sorted(rest)}",
    )
    heavy = [model.body(i).name for i in range(1, model.nbody) if model.body_gravcomp[i] != 1.0]
    require(not heavy, f"gravity is not compensated on {heavy}")


def _is_below(model: mujoco.MjModel, body: int, ancestor: int) -> bool:
    while body not in (0, ancestor):
        body = int(model.body_parentid[body])
    return body == ancestor


def _check_servos(robot: Robot, model: mujoco.MjModel) -> None:
    """A position servo for each joint, by its name and in order; targets as documented."""
    wanted = [*robot.arm_joints, *robot.finger_joints]
    found = [model.actuator(i).name for i in range(model.nu)]
    require(found == wanted, f"the actuators are {found}; they must be {wanted}")
    for servo, name in enumerate(wanted):
        driven = model.actuator_trnid[servo, 0] == _id(model, mujoco.mjtObj.mjOBJ_JOINT, name)
        stiffness = model.actuator_gainprm[servo, 0]
        position = stiffness > 0.0 and np.isclose(model.actuator_biasprm[servo, 1], -stiffness)
        require(driven and position, f"actuator {name!r} is not a position servo of its joint")
        limited = model.actuator_ctrllimited[servo]
        require(limited, f"actuator {name!r} has no ctrlrange, within which its targets stay")
    closed, opened = robot.finger_targets
    require(
        closed != opened and closed and opened,
        f"finger_targets are {robot.finger_targets}; they must differ, and neither may be 0",
    )
    for name in robot.finger_joints:
        low, high = model.actuator(name).ctrlrange
        inside = low <= min(closed, opened) and max(closed, opened) <= high
        require(inside, f"finger_targets lie outside the ctrlrange of actuator {name!r}")


def _check_geoms(robot: Robot, model: mujoco.MjModel) -> None:
    """Pads touch only objects, other geoms objects and tables, and the robot never itself."""
    pads = [_id(model, mujoco.mjtObj.mjOBJ_GEOM, name) for name in robot.pads]
    for geom in range(model.ngeom):
        body = model.body(int(model.geom_bodyid[geom])).name
        name = f"geom {model.geom(geom).name or f'number {geom}'} of the body {body}"
        bits = int(model.geom_contype[geom])
        allowed = (PAD_CONTACT,) if geom in pads else (0, ARM_CONTACT)
        require(bits in allowed, f"the contype of {name} is {bits}, not one of {allowed}")
        passive = model.geom_conaffinity[geom] == 0
        require(passive, f"the conaffinity of {name} is not 0: the robot would touch itself")


def _check_looks(
    name: str, dress: Callable[[mujoco.MjSpec], None], robot: Robot, model: mujoco.MjModel
) -> None:
    """`dress` and `sketch` add visible geoms and do not change how the robot moves."""
    spec = robot.spec()
    dress(spec)
    dressed = spec.compile()
    visible = np.count_nonzero(dressed.geom_group < COLLISION_GROUP)
    before = np.count_nonzero(model.geom_group < COLLISION_GROUP)
    require(visible > before, f"{name} adds nothing visible")
    same = (dressed.nq, dressed.nv, dressed.nu) == (model.nq, model.nv, model.nu)
    same = same and np.array_equal(dressed.body_mass, model.body_mass)
    require(same, f"{name} changes joints, servos or masses; it is for pictures only")
    touching = np.count_nonzero(dressed.geom_contype | dressed.geom_conaffinity)
    before = np.count_nonzero(model.geom_contype | model.geom_conaffinity)
    require(touching == before, f"{name} adds geoms that collide; see NOT_PHYSICAL")


def _posed(robot: Robot, model: mujoco.MjModel, arm: tuple[float, ...]) -> mujoco.MjData:
    data = mujoco.MjData(model)
    data.qpos[:] = robot.qpos(model, arm)
    data.ctrl[:] = robot.ctrl(arm, closed=False)
    mujoco.mj_forward(model, data)
    return data


def _check_ready(robot: Robot, model: mujoco.MjModel) -> None:
    """In `ready` it points down above its workspace, is not singular, and stays there."""
    for name in ("home", "ready"):
        posture = np.array(getattr(robot, name))
        for joint, angle in zip(robot.arm_joints, posture, strict=True):
            low, high = model.joint(joint).range
            require(
                low + _MARGIN <= angle <= high - _MARGIN,
                f"{name} puts {joint!r} at {angle:.2f}, within {_MARGIN} rad of its limits "
                f"{low:.2f} and {high:.2f}",
            )
    slots, data = Slots.of(model, robot), _posed(robot, model, robot.ready)
    place, (low, high) = data.site_xpos[slots.grip], READY_HEIGHT
    message = f"ready puts the grip at {place.round(3).tolist()} m"
    offset = np.abs(place[:2] - robot.workspace).max()
    require(offset <= _NEAR, f"{message}, not above the workspace's centre {robot.workspace}")
    require(low <= place[2] <= high, f"{message}, not {low} to {high} m above the table")
    tilt = np.degrees(np.arccos(np.clip(-data.site_xmat[slots.grip].reshape(3, 3)[2, 2], -1, 1)))
    require(tilt < 2.0, f"ready tilts the grip by {tilt:.1f} degrees")
    ahead = data.site_xmat[slots.grip].reshape(3, 3)[0, 0]
    require(ahead > 0.99, "ready does not point the x axis of the grip ahead, along the world's")
    jacobian = np.zeros((6, model.nv))
    mujoco.mj_jacSite(model, data, jacobian[:3], jacobian[3:], slots.grip)
    # The smallest of as many as the arm has joints, at most 6: a shorter arm cannot turn every way.
    least = float(np.linalg.svd(slots.arm_velocity(jacobian), compute_uv=False)[-1])
    require(least > _REGULAR, f"ready is near a singularity: smallest singular value {least:.3f}")
    for first, second in _touching(model, data):
        raise AssertionError(f"ready has {first!r} and {second!r} inside each other")
    mujoco.mj_step(model, data, nstep=500)
    moved = np.abs(slots.arm(data.qpos) - robot.ready).max()
    require(moved < 1e-3, f"the arm does not stay ready: {moved:.2g} rad off after a second")


def _touching(model: mujoco.MjModel, data: mujoco.MjData) -> Iterator[tuple[str, str]]:
    """Bodies that overlap, with two joints or more between them; neighbours always do."""
    above = [{body} for body in range(model.nbody)]
    for body in range(1, model.nbody):
        above[body] |= above[model.body_parentid[body]]
    for first, second in itertools.combinations(range(model.ngeom), 2):
        bodies = model.geom_bodyid[[first, second]]
        between = above[bodies[0]] ^ above[bodies[1]]
        joints = sum(int(model.body_jntnum[body]) for body in between)
        if joints > 1 and mujoco.mj_geomDistance(model, data, first, second, 1.0, None) < 0.0:
            yield model.body(bodies[0]).name, model.body(bodies[1]).name


def _check_gripper(robot: Robot, model: mujoco.MjModel) -> None:
    """The pads open to `opening` and meet; `Robot.opening` gives the distance between them."""
    slots, data = Slots.of(model, robot), _posed(robot, model, robot.ready)
    left, right = (model.geom(name).id for name in robot.pads)

    def distance() -> float:
        """The distance between the surfaces of the pads' geoms, m."""
        mujoco.mj_kinematics(model, data)
        return mujoco.mj_geomDistance(model, data, left, right, 1.0, None)

    def reported() -> float:
        return float(robot.opening(slots.fingers(data.qpos)))

    wide = robot.gripper.opening
    require(
        abs(distance() - wide) < _MET,
        f"open, the pads are {distance() * 1000:.1f} mm apart; opening says {wide * 1000:.1f}",
    )
    between = data.geom_xpos[left] - data.geom_xpos[right]
    closing = data.site_xmat[slots.grip].reshape(3, 3)[:, 1]
    straight = abs(between @ closing) / np.linalg.norm(between)
    require(straight > 0.999, "the pads do not close along the y axis of the grip")
    depths = []
    for closed in (True, False):
        data.ctrl[:] = robot.ctrl(robot.ready, closed)
        for _ in range(20):
            mujoco.mj_step(model, data, nstep=50)
            require(
                abs(reported() - distance()) < _MET,
                f"opening(fingers) says {reported() * 1000:.1f} mm, but the pads are "
                f"{distance() * 1000:.1f} mm apart",
            )
            depths.append(_depth(model, data, slots.grip, (left, right)))
        end, doing = (0.0, "close") if closed else (wide, "open")
        require(
            abs(distance() - end) < _MET,
            f"commanded to {doing} for 2 s, the pads are {distance() * 1000:.1f} mm apart",
        )
        if closed:
            middle = (data.geom_xpos[left] + data.geom_xpos[right]) / 2 - data.site_xpos[slots.grip]
            depth = middle @ data.site_xmat[slots.grip].reshape(3, 3)[:, 2]
            offset = np.linalg.norm(middle - depth * data.site_xmat[slots.grip].reshape(3, 3)[:, 2])
            require(offset < _MET, f"the pads meet {offset * 1000:.1f} mm beside the grip")
    _check_depths(robot, np.array(depths))
    fingers = slots.fingers(robot.qpos(model, robot.ready)).astype(np.float32)
    same = np.isclose(robot.opening(jnp.asarray(fingers)), robot.opening(fingers), atol=1e-6)
    require(same, "opening gives another number for a JAX array than for a NumPy array")


def _depth(
    model: mujoco.MjModel, data: mujoco.MjData, grip: int, pads: tuple[int, int]
) -> tuple[float, float]:
    """How far the middle of the pads, and the end of the farther one, are ahead of the grip, m."""
    approach = data.site_xmat[grip].reshape(3, 3)[:, 2]
    centres, ends = [], []
    for pad in pads:
        rotation = data.geom_xmat[pad].reshape(3, 3)
        box = model.geom_aabb[pad].reshape(2, 3)  # its centre and half its size, in its own frame
        place = data.geom_xpos[pad] - data.site_xpos[grip]
        centres.append(place @ approach)
        ends.append((place + rotation @ box[0]) @ approach + box[1] @ abs(approach @ rotation))
    return float(np.mean(centres)), float(max(ends))


def _check_depths(robot: Robot, depths: np.ndarray) -> None:
    """The grip is level with the pads at some opening; they reach as far as the gripper says.

    depths [N, 2]: of `_depth`, in m, from open to closed.
    """
    low, high = depths[:, 0].min(), depths[:, 0].max()
    require(
        low - _LEVEL <= 0.0 <= high + _LEVEL,
        f"the pads are {low * 1000:.1f} to {high * 1000:.1f} mm ahead of the site {robot.grip!r} "
        "along its z axis; it must be midway between them at some opening",
    )
    reach, told = depths[:, 1].max(), robot.gripper.pad_below_grip
    require(
        reach <= told + _MET,
        f"the pads reach {reach * 1000:.1f} mm beyond the grip; the gripper's pad_below_grip says "
        f"{told * 1000:.1f}",
    )


def _check_payload(robot: Robot, model: mujoco.MjModel) -> None:
    """With the payload hanging from the hand, the arm sags only a little and comes to rest."""
    slots, data = Slots.of(model, robot), _posed(robot, model, robot.ready)
    start = data.site_xpos[slots.grip].copy()
    data.xfrc_applied[slots.hand, 2] = -9.81 * robot.gripper.payload
    mujoco.mj_step(model, data, nstep=1000)
    sag = float(np.linalg.norm(data.site_xpos[slots.grip] - start))
    what = f"{robot.gripper.payload:g} kg in the hand"
    require(sag < _SAG, f"{what} moves it by {sag * 1000:.0f} mm; its servos are too soft or weak")
    speed = np.abs(data.qvel).max()
    require(speed < 1e-2, f"with {what} it does not come to rest: {speed:.2g} rad/s after 2 s")
