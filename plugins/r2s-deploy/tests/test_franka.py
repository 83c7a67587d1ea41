"""The adapter of a Franka, against a fake of its library, which a test holds to the library's own
signatures; benchmarks/franka_loopback.py runs the real library against a server."""

import importlib.util
import inspect
import itertools
import os
import socket
import struct
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from r2s_deploy.arm import Fingers
from r2s_deploy.franka import FrankaRobot, robot
from r2s_deploy.franka.limits import MODELS
from r2s_deploy.robot import RobotError
from r2s_deploy.smooth import Limits, Smoother
from r2s_deploy.testing import check_robot

_PATH = Path(__file__).with_name("franka_fake.py")
_SPEC = importlib.util.spec_from_file_location("franka_fake", _PATH)
assert _SPEC is not None
assert _SPEC.loader is not None
fake = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(fake)
OPEN, CLOSED = 0.04, -0.02  # of training's fingers


@pytest.fixture
def world(monkeypatch):
    made = fake.World()
    monkeypatch.setitem(sys.modules, "franka", fake)
    monkeypatch.setattr(fake.Robot, "world", made, raising=False)
    return made


def names(world):
    return [name for name, _ in world.calls]


def given(world, name):
    return next(values for each, values in world.calls if each == name)


def until(condition):
    end = time.monotonic() + 2.0
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def repeat(arm, finger):
    for _ in range(1000):
        arm.cycle(fake.HOME, finger)


def smoother(speed=0.1):
    ones = np.ones(7)
    return Smoother(
        Limits(2.1 * ones, 10 * ones, 5000 * ones, -3 * ones, 4 * ones, speed), 0.001, fake.HOME
    )


def test_connecting_sets_thresholds_and_moves_nothing(world):
    with FrankaRobot("10.0.0.2", collision_torque_nm=15.0, collision_force_n=12.0) as arm:
        state = arm.read()
        assert names(world) == ["connect", "thresholds", "impedance"]
    assert given(world, "connect") == ("10.0.0.2", "enforce")
    assert given(world, "thresholds") == ([15.0] * 7, [12.0] * 6)
    np.testing.assert_array_equal(state.angles, fake.HOME)
    np.testing.assert_allclose(state.fingers, [0.04, 0.04])
    assert "stop motion" not in names(world)


def test_every_cycle_hands_on_one_target_and_takes_a_millisecond(world):
    smooth, path = smoother(), []
    goal = fake.HOME + 0.05
    with FrankaRobot("arm") as arm:
        began = time.monotonic()
        for _ in range(100):
            path.append(smooth.step(goal))
            arm.cycle(path[-1], OPEN)
        took = time.monotonic() - began
        state = arm.read()
    np.testing.assert_array_equal(world.targets, path)
    np.testing.assert_array_equal(state.angles, path[-1])
    assert 0.099 < took < 0.5
    fraction, *how = given(world, "motion")
    assert how == ["robot", "joint_impedance"]
    assert 0.1 < fraction < 0.5  # of the arm's limits, at 10 % speed
    assert names(world).count("motion") == names(world).count("stop motion") == 1


def test_it_does_what_the_loop_relies_on(world):
    fingers = Fingers(CLOSED, OPEN, 0.08, np.array([[0.0, 0.0], [0.04, 0.08]]))
    with FrankaRobot("arm") as arm:
        check_robot(arm, 7, fingers)


def test_time_that_the_policy_took_is_made_up_for(world):
    with FrankaRobot("arm") as arm:
        arm.cycle(fake.HOME, OPEN)
        began = time.monotonic()
        time.sleep(0.08)
        for _ in range(100):
            arm.cycle(fake.HOME, OPEN)
        assert time.monotonic() - began < 0.17


@pytest.mark.parametrize(
    ("mode", "says"),
    [
        ("reflex", "FrankaRobot.recover()"),
        ("user_stopped", "release it when nobody is in reach"),
        ("guiding", "guided by hand"),
        ("other", "activate FCI in Desk"),
        ("move", "something else moves it"),
    ],
)
def test_a_robot_that_is_not_ready_is_refused(world, mode, says):
    world.mode = mode
    with pytest.raises(RobotError, match="not ready") as caught:
        FrankaRobot("arm")
    assert says in str(caught.value)
    assert names(world) == ["connect"]


def test_a_weight_that_desk_does_not_know_is_refused(world):
    world.m_ee = 0.0
    with pytest.raises(RobotError, match=r"weight of a hand of 0\.00 kg, and 0\.73 kg were"):
        FrankaRobot("arm")
    world.m_ee, world.m_load = 0.73, 0.4
    with pytest.raises(RobotError, match=r"a payload of 0\.40 kg"):
        FrankaRobot("arm")
    with FrankaRobot("arm", load_kg=0.4):
        pass


@pytest.mark.parametrize("name", ["speed", "collision_torque_nm", "collision_force_n", "timeout_s"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), 1e3])
def test_nonsense_is_refused_before_connecting(world, name, value):
    with pytest.raises(RobotError, match=f"{name} is .*; give a number"):
        FrankaRobot("arm", **{name: value})
    assert not world.calls


def moved(joint, by):
    target = fake.HOME.copy()
    target[joint] += by
    return target


@pytest.mark.parametrize(
    ("target", "says"),
    [
        (moved(2, 0.3), r"first target of joint 3 is 0\.30 rad from where it is"),
        (moved(0, np.nan), "not a finite number"),
        (fake.HOME[:6], "6 joint targets for a Franka, which has 7"),
        (moved(5, -1.2), r"0\.370 rad of joint 6 is outside of what a FR3 allows"),
    ],
)
def test_a_first_target_that_cannot_be_is_refused(world, target, says):
    with FrankaRobot("arm") as arm, pytest.raises(RobotError, match=says):
        arm.cycle(target, OPEN)
    assert "motion" not in names(world)


def test_targets_faster_than_the_speed_stop_it(world):
    with FrankaRobot("arm", speed=0.1) as arm:
        arm.cycle(fake.HOME, OPEN)
        with pytest.raises(RobotError, match=r"joint 4 moves at 1\.00 rad/s, and 0\.27 are 10%"):
            arm.cycle(moved(3, 0.001), OPEN)
        assert len(world.targets) == 1
        arm.stop()
    assert names(world)[-1] == "stop motion"


def control(name):
    return fake.ControlException(f"libfranka: Move command aborted: {name}", [name])


@pytest.mark.parametrize(
    ("error", "mode", "says"),
    [
        (control("cartesian_reflex"), "reflex", r"\(cartesian_reflex\): something pushed harder"),
        (control("communication_constraints_violation"), "reflex", "PREEMPT_RT"),
        (control("joint_motion_generator_velocity_discontinuity"), "reflex", "commands jumped"),
        (fake.FrankaError("libfranka: UDP receive: Timeout", "network"), "idle", "check its cable"),
    ],
)
def test_a_motion_that_the_robot_ends_is_told_and_not_resumed(world, error, mode, says):
    with FrankaRobot("arm") as arm:
        arm.cycle(fake.HOME, OPEN)
        world.end_motion(error, mode)
        with pytest.raises(RobotError, match=says):
            arm.cycle(fake.HOME, OPEN)
        arm.stop()
        if mode == "reflex":
            with pytest.raises(RobotError, match="not ready: a reflex stopped it"):
                arm.cycle(fake.HOME, OPEN)
            assert "recover" not in names(world)
            arm.recover()
            arm.cycle(fake.HOME, OPEN)
            assert names(world).count("motion") == 2


def test_a_robot_that_falls_silent_stops_it(world):
    with FrankaRobot("arm", timeout_s=0.05) as arm:
        arm.cycle(fake.HOME, OPEN)
        world.silent = True
        began = time.monotonic()
        with pytest.raises(RobotError, match="silent for 50 ms"):
            repeat(arm, OPEN)
        assert 0.045 < time.monotonic() - began < 1.0


def test_an_arm_that_does_not_follow_is_stopped(world):
    with FrankaRobot("arm", speed=0.1) as arm:
        arm.cycle(fake.HOME, OPEN)
        world.held = True

        def push():
            for i in range(1000):
                arm.cycle(moved(1, 0.0002 * i), OPEN)

        with pytest.raises(RobotError, match=r"joint 2 is 0\.07 rad from its target"):
            push()
        np.testing.assert_array_equal(world.targets[-1], world.q)  # it pushes no more


def test_states_that_are_no_numbers_stop_it(world):
    with FrankaRobot("arm") as arm:
        arm.cycle(fake.HOME, OPEN)
        world.dq = np.full(7, np.nan)
        with pytest.raises(RobotError, match="velocities that are not finite"):
            arm.cycle(fake.HOME, OPEN)
        world.dq, world.q, world.held = np.zeros(7), np.full(7, np.nan), True
        with pytest.raises(RobotError, match="angles that are not finite"):
            arm.cycle(fake.HOME, OPEN)


def test_stop_never_raises(world):
    arm = FrankaRobot("arm")
    arm.stop()
    arm.cycle(fake.HOME, OPEN)
    world.end_motion(RuntimeError("gone"), "other")
    arm.stop()
    arm.stop()
    arm.close()


def test_the_hand_grasps_at_any_width_and_the_arm_does_not_wait_for_it(world):
    world.hand_s = 0.4
    with FrankaRobot("arm", grasp_force_n=30.0) as arm:
        arm.cycle(fake.HOME, CLOSED)
        began = time.monotonic()
        for _ in range(50):
            arm.cycle(fake.HOME, CLOSED)
        assert time.monotonic() - began < 0.3
        assert given(world, "grasp") == (0.0, 0.1, 30.0, 0.08, 0.08)
        np.testing.assert_allclose(arm.read().fingers, 0.04)
        until(lambda: arm.read().fingers[0] < 0.02)
        np.testing.assert_allclose(arm.read().fingers, 0.015)
        assert arm.cycle(fake.HOME, CLOSED).finger_velocities.shape == (2,)
        for _ in range(30):
            arm.cycle(fake.HOME, CLOSED)
        assert names(world).count("grasp") == 1
        arm.cycle(fake.HOME, OPEN)
        until(lambda: arm.read().fingers[0] > 0.03)
        assert given(world, "move") == (0.08, 0.1)
    assert "stop hand" not in names(world)


@pytest.mark.parametrize("clock", ["tells the time", "counts states"])
def test_the_fingers_velocity_is_of_their_width(world, clock):
    if clock == "counts states":
        world.hand_clock = itertools.count(0.0, 0.001).__next__
    with FrankaRobot("arm") as arm:
        seen, began = [], time.monotonic()

        def closing():
            world.width = 0.08 - 0.1 * (time.monotonic() - began)
            seen.append(arm.read().finger_velocities[0])
            return len(seen) > 50

        until(closing)
        assert np.median(seen) == pytest.approx(-0.05, rel=0.4)
        until(lambda: arm.read().finger_velocities[0] == 0.0)


def test_a_new_command_ends_the_hands_motion(world):
    world.hand_s = 5.0
    with FrankaRobot("arm") as arm:
        arm.cycle(fake.HOME, CLOSED)
        until(lambda: "grasp" in names(world))
        arm.cycle(fake.HOME, OPEN)
        until(lambda: "move" in names(world))
        assert [n for n in names(world) if "hand" in n or n in ("grasp", "move")] == [
            "grasp",
            "stop hand",
            "move",
        ]
        arm.stop()
        until(lambda: names(world).count("stop hand") == 2)
        arm.cycle(fake.HOME, OPEN)  # which it did not reach
        until(lambda: names(world).count("move") == 2)


def test_what_is_held_stays_held_when_the_arm_stops(world):
    with FrankaRobot("arm") as arm:
        arm.cycle(fake.HOME, CLOSED)
        until(lambda: arm.read().fingers[0] < 0.02)
        time.sleep(0.02)
        arm.stop()
    assert "stop hand" not in names(world)
    assert names(world).count("move") == 0


def test_a_hand_that_fails_stops_the_arm(world):
    world.hand_error = fake.FrankaError("libfranka gripper: Command failed!", "command")
    with FrankaRobot("arm") as arm, pytest.raises(RobotError, match="hand failed"):
        repeat(arm, CLOSED)


def test_a_hand_that_was_not_homed_is_refused(world):
    world.max_width = 0.0
    with pytest.raises(RobotError, match="home it in Desk"):
        FrankaRobot("arm")


def test_threads_end_with_the_robot(world):
    def hands():
        return [thread for thread in threading.enumerate() if "franka hand" in thread.name]

    arm = FrankaRobot("arm")
    assert len(hands()) == 2
    arm.close()
    assert not hands()


def described(low, high, title="Some arm"):
    names_ = [f"joint{i}" for i in range(len(low))]
    return {"title": title, "joints": {"names": names_, "low": list(low), "high": list(high)}}


def test_a_bundle_of_another_arm_is_refused(world):
    panda = MODELS[5]
    with FrankaRobot("arm") as arm:
        arm.check(described(panda.low, panda.high))
        with pytest.raises(RobotError, match="for UR5e, of 6 joints; a Franka has 7"):
            arm.check(described([-6.0] * 6, [6.0] * 6, "UR5e"))
        with pytest.raises(RobotError, match="limits are not a Franka's"):
            arm.check(described([-3.0] * 7, [3.0] * 7, "iiwa"))


def test_without_the_library_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "franka", None)
    with pytest.raises(RobotError, match="pip install franka-rs"):
        FrankaRobot("arm")


def _parameters(method):
    return list(inspect.signature(method).parameters.values())[1:]


def test_the_fake_has_the_librarys_signatures():
    real = pytest.importorskip("franka")
    for name in ("Robot", "JointTargets", "Gripper"):
        for method, mine in vars(getattr(fake, name)).items():
            if method.startswith("_"):
                continue
            theirs = getattr(getattr(real, name), method)
            if inspect.isfunction(mine):
                assert _parameters(mine) == _parameters(theirs), method
    made, theirs = inspect.signature(fake.Robot), inspect.signature(real.Robot)
    assert made == theirs
    assert hasattr(real.Robot, "fci_version")
    for field in vars(fake.World().state()):
        assert hasattr(real.RobotState, field)
    for field in ("width", "max_width", "time"):
        assert hasattr(real.GripperState, field)
    assert issubclass(real.ControlException, real.FrankaError)


@pytest.fixture
def box():
    """A control box of one's own: an address of this computer, and its listening socket."""
    pytest.importorskip("franka")
    address = _own_address(77)
    listening = socket.create_server((address, 1337))
    yield address, listening
    listening.close()


def _own_address(network):
    """Of this process alone: the port is always the same, and tests may run twice at a time."""
    high, low = divmod(os.getpid(), 256)
    return f"127.{network}.{high % 256}.{low}"


def test_the_library_is_refused_where_nothing_listens():
    pytest.importorskip("franka")
    with pytest.raises(RobotError, match=r"^127\.78\..* refused the connection: .* FCI in Desk"):
        FrankaRobot(_own_address(78), realtime=False)


def test_the_library_is_told_of_another_version(box):
    address, listening = box

    def answer():
        connection, _ = listening.accept()
        with connection:
            # Version and port too: what is left unread would reset the connection.
            asked = connection.recv(16, socket.MSG_WAITALL)
            command, number, size, version, _ = struct.unpack("<IIIHH", asked)
            assert (command, size, version) == (0, 16, 10)
            # Size, status "incompatible", and the version of the server.
            connection.sendall(struct.pack("<IIIBH", command, number, 15, 1, 7))

    thread = threading.Thread(target=answer)
    thread.start()
    with pytest.raises(RobotError, match=r"another version of its protocol .*server version: 7"):
        FrankaRobot(address, realtime=False)
    thread.join()


def test_a_box_that_never_answers_is_given_up(box, monkeypatch):
    monkeypatch.setattr(robot, "_CONNECT_S", 0.2)
    with pytest.raises(RobotError, match=r"does not answer within 0\.2 s: is another program"):
        FrankaRobot(box[0], realtime=False)
