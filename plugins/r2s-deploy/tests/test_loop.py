"""The loop moves what it should, and stops with a reason where it must."""

import dataclasses
import sys
import time
from typing import cast

import numpy as np
import pytest

from r2s_deploy import bundle as bundles
from r2s_deploy.errors import DeployError, NoPose
from r2s_deploy.loop import Runner
from r2s_deploy.policy import Policy
from r2s_deploy.pose import ManualPose
from r2s_deploy.robot import RobotError, RobotState
from r2s_deploy.smooth import PATHS, Limits, Smoother
from r2s_deploy.testing import check_robot
from r2s_deploy.watch import Guard, Stopped

GOAL = np.array([0.5, 0.0, 0.25])


class FakeRobot:
    """Follows its targets at once, in cycles of 6 ms that take no time."""

    def __init__(self, bundle):
        self.cycle_s, self.joints = 0.006, bundle.law.arm.size
        self.angles = np.array(bundle.robot["joints"]["ready"], float)
        self.cycles, self.stops, self.commanded = 0, 0, []

    def read(self):
        zeros = np.zeros(self.joints)
        return RobotState(
            self.cycles * self.cycle_s, self.angles, zeros, np.full(2, 0.04), np.zeros(2)
        )

    def cycle(self, joint_targets, finger_target):
        self.cycles += 1
        self.commanded.append(np.array(joint_targets))
        self.angles = np.array(joint_targets)
        return self.read()

    def stop(self):
        self.stops += 1


@pytest.fixture(scope="module")
def bundle(bundle_dir):
    return bundles.load(bundle_dir)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({}, ""),
        ({"cycle_s": 0.0}, "cycle_s is 0"),
        ({"drift": 0.01}, "told to stay, a joint moved by"),
        ({"clock": 0.0}, "time_s does not rise"),
        ({"clock": 10.0}, "a cycle took 0.06"),
        ({"opening": 40.0}, "outside of 0.000 to 0.04"),
    ],
)
def test_a_robot_of_ones_own_is_checked(bundle, wrong, says):
    class Own(FakeRobot):
        def read(self):
            now = wrong.get("clock", 1.0) * self.cycles * 0.006
            fingers = np.full(2, wrong.get("opening", 0.04))
            zeros = np.zeros(self.joints)
            return RobotState(now, self.angles, zeros, fingers, np.zeros(2))

        def cycle(self, joint_targets, finger_target):
            super().cycle(joint_targets + wrong.get("drift", 0.0) * self.cycles, finger_target)
            return self.read()

    robot, arm = Own(bundle), bundle.law.arm
    robot.cycle_s = wrong.get("cycle_s", robot.cycle_s)
    try:
        check_robot(robot, arm.size, arm.fingers)
        told = ""
    except AssertionError as error:
        told = str(error)
    assert says in told
    assert bool(says) == bool(told)


def runner(bundle, robot, poses=None, **options):
    poses = poses or ManualPose((0.5, 0.0, 0.03))
    options = {"paced": False, "speed": 1.0, "guard": Guard(unfamiliar=1e9), **options}
    return Runner(bundle, robot, poses, goal=GOAL, **options)


def test_it_runs_an_episode_and_stops_the_robot(bundle):
    robot = FakeRobot(bundle)
    run = runner(bundle, robot).run(10)
    assert (run.steps, run.stopped, robot.stops) == (10, "", 1)
    assert robot.cycles == 10 * 8  # of 48 ms in 6 ms
    assert len(run.decide_s) == 10
    assert np.abs(np.diff(robot.commanded, axis=0)).max() > 0


def test_slow_motion_takes_longer_and_moves_slower(bundle):
    fast, slow = FakeRobot(bundle), FakeRobot(bundle)
    runner(bundle, fast, speed=1.0).run(6)
    runner(bundle, slow, speed=0.1).run(6)
    assert slow.cycles == 10 * fast.cycles
    steps = [np.abs(np.diff(robot.commanded, axis=0)).max() for robot in (fast, slow)]
    assert steps[1] < 0.15 * steps[0]


def faulty(bundle, kind):
    robot = FakeRobot(bundle)
    plain = robot.cycle

    def cycle(joint_targets, finger_target):
        state = plain(joint_targets, finger_target)
        if robot.cycles < 20:
            return state
        if kind == "nan":
            return RobotState(
                0.0, state.angles * np.nan, state.velocities, state.fingers, np.zeros(2)
            )
        if kind == "fewer":
            return RobotState(0.0, state.angles[:3], state.velocities, state.fingers, np.zeros(2))
        if kind == "jump":
            robot.angles = robot.angles + 0.7
            return robot.read()
        if kind == "driver":
            raise OSError("no such device")
        if kind == "nothing":
            return cast(RobotState, None)
        if kind == "same time":
            return RobotState(0.114, state.angles, state.velocities, state.fingers, np.zeros(2))
        if kind == "back in time":
            return RobotState(0.0, state.angles, state.velocities, state.fingers, np.zeros(2))
        if kind == "held":
            robot.angles = robot.commanded[19].copy()
            return robot.read()
        if kind == "outside":
            robot.angles = np.array(bundle.robot["joints"]["high"]) + 0.2
            return robot.read()
        raise RobotError("the connection to the robot broke: it is gone")

    robot.cycle = cycle
    return robot


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("nan", "angles that are not finite"),
        ("fewer", "sent 3 angles, not 7"),
        ("jump", "from where it was commanded"),
        ("outside", "outside of its limits"),
        ("gone", "connection to the robot broke"),
        ("driver", "the robot's driver failed: OSError: no such device"),
        ("nothing", "the robot's driver failed: AttributeError"),
        ("same time", "the robot's clock went on by"),
        ("back in time", "the robot's clock went back from"),
        ("held", "and does not move: the arm is held"),
    ],
)
def test_a_faulty_robot_is_stopped_with_a_reason(bundle, kind, says):
    robot = faulty(bundle, kind)
    run = runner(bundle, robot).run(30)
    assert says in run.stopped
    assert robot.stops == 1
    # Of the 20 cycles that were sound, and where it takes time to see, of some more.
    assert run.steps == 2 if kind not in ("same time", "held") else 2 < run.steps < 16
    assert run.log is not None


def test_a_robot_that_sends_the_same_for_ever_is_stopped_within_its_step(bundle):
    robot = faulty(bundle, "same time")
    run = runner(bundle, robot, speed=0.1).run(3)
    assert "has sent the same time, 0.114 s, for 0.20 s" in run.stopped
    assert robot.cycles < 20 + 45  # of 80 in a control step


def test_a_robot_whose_states_get_older_is_stopped(bundle):
    class Old(FakeRobot):
        def read(self):
            state = super().read()
            return dataclasses.replace(state, time_s=0.5 * state.time_s)

    robot = Old(bundle)
    run = runner(bundle, robot).run(30)
    assert "clock went on by 24 ms in a control step of 48 ms" in run.stopped


def test_a_policy_that_gives_nan_moves_nothing(bundle, monkeypatch):
    plain, calls = Policy.__call__, []

    def sometimes(self, inputs):
        made = plain(self, inputs)
        calls.append(made)
        return made if len(calls) < 4 else {n: x * np.float32(np.nan) for n, x in made.items()}

    monkeypatch.setattr(Policy, "__call__", sometimes)
    robot = FakeRobot(bundle)
    run = runner(bundle, robot).run(30)
    assert run.stopped == "the policy gave numbers that are not finite"
    assert run.steps == 3
    assert np.isfinite(robot.commanded).all()


def test_ctrl_c_brakes_too(bundle):
    robot = Rolling(bundle)

    def interrupt():
        if robot.cycles > 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner(bundle, robot, dead_man=interrupt).run(30)
    assert robot.stops == 1
    assert robot.last < 0.01


class Poses:
    follows = True

    def __init__(self, kind):
        self._kind, self._source, self._asked = kind, ManualPose((0.5, 0.0, 0.03)), 0

    def pose(self):
        self._asked += 1
        if self._asked < 4:
            return self._source.pose()
        if self._kind == "none":
            raise NoPose("the tag is hidden")
        if self._kind == "defect":
            raise ValueError("the tracker's own defect")
        ahead = 2.0 if self._kind == "future" else -2.0
        return dataclasses.replace(self._source.pose(), time_s=time.monotonic() + ahead)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("none", "the tag is hidden"),
        ("stale", "pose is 2.0"),
        ("future", "pose is from 2.0"),
        ("defect", "deciding failed: ValueError: the tracker's own defect"),
    ],
)
def test_without_the_objects_pose_it_stops(bundle, kind, says):
    robot = FakeRobot(bundle)
    run = runner(bundle, robot, Poses(kind)).run(30)
    assert says in run.stopped
    assert (run.steps, robot.stops) == (3, 1)


def test_a_scene_unlike_those_of_training_stops_it(bundle):
    far = ManualPose((50.0, 0.0, 0.03))
    run = runner(bundle, FakeRobot(bundle), far, guard=Guard(unfamiliar=8.0, patience=3)).run(30)
    assert "standard deviations from what the policy read in training" in run.stopped
    assert run.steps == 3


def test_a_robot_that_answers_late_stops_it(bundle):
    robot = FakeRobot(bundle)
    plain = robot.cycle

    def slow(joint_targets, finger_target):
        time.sleep(0.012)
        return plain(joint_targets, finger_target)

    robot.cycle = slow
    run = runner(bundle, robot, paced=True).run(30)
    assert "ms too long" in run.stopped
    assert robot.stops == 1


@pytest.mark.parametrize("speed", [0.0, -1.0, 1.5, float("nan")])
def test_a_speed_that_is_none_is_refused(bundle, speed):
    with pytest.raises(DeployError, match="share of full speed"):
        runner(bundle, FakeRobot(bundle), speed=speed)


@pytest.mark.parametrize("kind", ["filter", "ruckig"])
def test_the_path_keeps_its_limits_arrives_and_brakes(kind):
    pytest.importorskip("ruckig")
    one = np.ones(1)
    limits = Limits(2.0 * one, 10.0 * one, 5000.0 * one, -3.0 * one, 3.0 * one)
    smooth, dt = PATHS[kind](limits, 0.001, np.zeros(1)), 0.001
    path = np.array([smooth.step(np.array([1.5])) for _ in range(2500)])[:, 0]
    velocity = np.diff(path) / dt
    acceleration = np.diff(velocity) / dt
    assert np.abs(velocity).max() <= 2.0 + 1e-6
    assert np.abs(acceleration).max() <= 10.0 + 1e-6
    assert np.abs(np.diff(acceleration)).max() / dt <= 5000.0 * 1.01
    assert path[-1] == pytest.approx(1.5, abs=1e-3)
    assert path.max() < 1.5 + 0.01
    beyond = np.array([smooth.step(np.array([9.0])) for _ in range(700)])
    assert beyond.max() <= 3.0
    assert np.abs(smooth.velocity).max() > 0.5
    braking = np.array([smooth.brake() for _ in range(400)])[:, 0]
    assert np.abs(np.diff(braking, 2)).max() / dt**2 <= 10.0 + 1e-6
    assert np.abs(smooth.velocity).max() < 1e-3


@pytest.mark.parametrize("slower", [0.5, 0.2, 0.1])
def test_slow_motion_is_the_same_path_slower(slower):
    """What limits full speed limits all."""
    one, paths = np.ones(1), []
    targets = np.repeat([0.1, 0.25, 0.2], 48)[:, None]
    for share in (1.0, slower):
        limits = Limits(2.0 * one, 10.0 * one, 5000.0 * one, -3.0 * one, 3.0 * one, share, 0.0)
        smooth, many = Smoother(limits, 0.001, np.zeros(1)), round(1.0 / share)
        path = [smooth.step(target) for target in targets for _ in range(many)]
        paths.append(np.array(path)[many - 1 :: many, 0])
    assert np.abs(paths[0]).max() > 0.1
    np.testing.assert_allclose(paths[1], paths[0], atol=2e-3)


def test_slow_motion_has_the_lag_of_slower_servos():
    one = np.ones(1)
    limits = Limits(2.0 * one, 10.0 * one, 5000.0 * one, -9.0 * one, 9.0 * one, 0.1, 0.08)
    smooth = Smoother(limits, 0.001, np.zeros(1))
    path = 0.05 * 0.001 * np.arange(8000)  # rad, at 0.05 rad/s
    for target in path:
        smooth.step(target * one)
    behind = (path[-1] - smooth.position[0]) / 0.05
    assert behind == pytest.approx(0.08 * 9.0 + 2.0 / (0.1 * 250.0), rel=0.05)


def test_it_brakes_as_hard_as_it_may_in_slow_motion_too():
    one = np.ones(1)
    limits = Limits(2.0 * one, 10.0 * one, 5000.0 * one, -3.0 * one, 3.0 * one, 0.1)
    for path in PATHS.values():
        smooth = path(limits, 0.001, np.zeros(1))
        for _ in range(4000):
            smooth.step(one)
        assert smooth.velocity[0] > 0.1
        for _ in range(60):
            smooth.brake()
        assert abs(smooth.velocity[0]) < 1e-3


def test_without_ruckig_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ruckig", None)
    one = np.ones(1)
    with pytest.raises(DeployError, match="pip install ruckig"):
        PATHS["ruckig"](Limits(one, one, one, -one, one), 0.001, np.zeros(1))


class Rolling(FakeRobot):
    """Notes how fast it was sent when it was stopped."""

    def stop(self):
        super().stop()
        self.last = np.abs(np.diff(self.commanded[-2:], axis=0)).max() / self.cycle_s


def test_it_brakes_before_it_stops(bundle):
    robot, asked = Rolling(bundle), []

    def release():
        asked.append(robot.cycles)
        if robot.cycles > 30:
            raise Stopped("the key was released")

    run = runner(bundle, robot, dead_man=release).run(30)
    assert "the key was released" in run.stopped
    moving = np.abs(np.diff(robot.commanded, axis=0)).max() / robot.cycle_s
    assert moving > 0.05
    assert robot.last < 0.05 * moving
    assert asked[-1] == 31


def test_it_decides_while_the_robot_goes_on(bundle):
    """A decision that takes a third of a control step holds no cycle up, and one that takes longer
    than the step stops the robot."""
    for takes, ends in ((0.016, ""), (0.1, "deciding takes too long")):
        robot = FakeRobot(bundle)
        plain, cycles = robot.cycle, []

        def cycle(joint_targets, finger_target, plain=plain, cycles=cycles):
            cycles.append(time.monotonic())
            time.sleep(0.005)
            return plain(joint_targets, finger_target)

        class Slow(ManualPose):
            def pose(self, takes=takes):
                time.sleep(takes)
                return super().pose()

        robot.cycle = cycle
        poses = Slow((0.5, 0.0, 0.03))
        guard = Guard(unfamiliar=1e9, late_s=10.0)
        run = runner(bundle, robot, poses, paced=True, guard=guard).run(4)
        assert ends in run.stopped
        if not ends:
            assert run.steps == 4
            assert np.median(np.diff(cycles)) < 0.016


def test_it_goes_where_episodes_start(bundle):
    robot = FakeRobot(bundle)
    ready = robot.angles.copy()
    robot.angles = ready + np.linspace(-0.3, 0.2, robot.joints)
    path = runner(bundle, robot, speed=0.2)
    assert path.go_to(ready) == ""
    np.testing.assert_allclose(robot.angles, ready, atol=5e-3)
    speeds = np.abs(np.diff(robot.commanded, axis=0)).max(axis=0) / robot.cycle_s
    assert (speeds <= 0.2 * np.array(bundle.robot["joints"]["max_speed"]) + 1e-9).all()
    assert robot.stops == 1
