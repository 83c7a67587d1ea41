"""The simulated robot: in a process of its own, and as strong as the one of training."""

import json
import os
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r2s_deploy import bundle as bundles
from r2s_deploy import cli
from r2s_deploy.errors import DeployError
from r2s_deploy.robot import RobotError
from r2s_deploy.simulated import SimulatedRobot, SimulatedTracker, client, protocol
from r2s_deploy.simulated.camera import SimulatedCamera
from r2s_deploy.smooth import Limits, Smoother
from r2s_deploy.testing import check_robot

from .conftest import environment


def test_it_moves_as_in_training(scene, bundle_dir):
    bundle, env = bundles.load(bundle_dir), environment(1)
    arm, law = bundle.law.arm, bundle.law
    state, _ = env.reset(jax.random.key(0))
    slots = env.task.arm.slots  # type: ignore[attr-defined]
    start = np.asarray(slots.arm(state.physics.view.qpos[0]), float)
    random = np.random.default_rng(1)
    actions = np.repeat(random.uniform(-0.3, 0.3, (4, 5)), 5, axis=0).astype(np.float32)
    actions[:, 4] = 1.0
    with SimulatedRobot(scene) as robot:
        assert robot.cycle_s == 0.001
        measured = robot.reset(start)
        smooth = Smoother(Limits.of(bundle.robot), robot.cycle_s, start)
        finger = None
        for action in actions:
            state, _ = env.step(state, jnp.asarray(action[None]))
            targets, finger = law.targets(action, measured.angles, measured.fingers, finger)
            for _ in range(48):
                measured = robot.cycle(smooth.step(targets), finger)
            trained = np.asarray(slots.arm(state.physics.view.qpos[0]), float)
            apart = arm.posture(trained).position - arm.posture(measured.angles).position
            assert np.linalg.norm(apart) < 0.025  # of 20 cm and more: it starts softly


def test_it_is_a_robot(scene, bundle_dir):
    arm = bundles.load(bundle_dir).law.arm
    with SimulatedRobot(scene) as robot:
        check_robot(robot, arm.size, arm.fingers)


def test_what_it_refuses_and_that_it_can_go_away(scene):
    with SimulatedRobot(scene, "--seed=1") as robot:
        with pytest.raises(RobotError, match="refused: ctrl must be 9 finite numbers"):
            robot.cycle(np.zeros(3), 0.0)
        with pytest.raises(RobotError, match="there is no request 'fly'"):
            robot._ask("fly")
        robot._process.kill()
        robot._process.wait()
        with pytest.raises(RobotError, match="connection"):
            robot.read()
        robot.stop()  # does not raise
    with SimulatedRobot(scene) as robot:
        for line in robot._lines:  # as if the client was killed
            line.close()
        assert robot._process.wait(5.0) == 0


def test_a_scene_that_is_none_is_told():
    with pytest.raises(RobotError, match="does not start"):
        SimulatedRobot("/nowhere/scene.xml")


def test_without_mujoco_it_says_so(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RobotError, match="needs MuJoCo: pip install mujoco"):
        SimulatedRobot("scene.xml")


def test_a_rehearsal_plays_episodes(scene, bundle_dir, capsys):
    arguments = ["rehearse", str(bundle_dir), str(scene), "--episodes", "2"]
    assert cli.main(arguments) == 0
    told = capsys.readouterr().out
    assert "of 2 episodes" in told
    assert cli.main(["rehearse", str(bundle_dir), "none.xml"]) == 1
    assert "none.xml is not a file" in capsys.readouterr().err


def test_what_is_hidden_in_it_shows(scene):
    soft = ("--stiffness", "1", "0.5", "1", "1", "1", "1", "1")
    with SimulatedRobot(scene, "--payload=1", "--quantum=0.001", *soft) as robot:
        measured = robot.reset()
        start = measured.angles
        for _ in range(400):
            measured = robot.cycle(start, 0.04)
        sagged = measured.angles - start
        assert sagged[1] > 0.008  # rad: 1 kg half a metre away, on 500 N m/rad
        assert np.abs(sagged[[0, 2]]).max() <= 0.001  # about the vertical
        np.testing.assert_allclose(measured.angles / 0.001, np.round(measured.angles / 0.001))
    with pytest.raises(RobotError, match="--servo-damping takes 1 number or 7, not 2"):
        SimulatedRobot(scene, "--servo-damping", "1", "2")


#: Answers each request by the text that it was given for it.
_FAKE = """
import json, socket, sys, threading, time
answers = json.loads(sys.argv[1])
server = socket.create_server(("127.0.0.1", 0))
print(answers.get("port", server.getsockname()[1]), flush=True)
def serve(connection):
    for line in connection.makefile("rb"):
        for part in answers[json.loads(line)["do"]].split("|"):
            connection.sendall(part.encode())
            time.sleep(0.04 if "|" in answers["read"] else 0)
first, second = server.accept()[0], server.accept()[0]
threading.Thread(target=serve, args=(second,), daemon=True).start()
serve(first)
"""
_DESCRIBED = {"joints": ["a"], "cycle": 0.001}
_STATE = {"time": 0.0, "qpos": [0.0] * 3, "qvel": [0.0] * 3}


@pytest.fixture
def fake(monkeypatch):
    """A simulated robot that answers as it is told."""
    start, robots = subprocess.Popen, []
    monkeypatch.setattr(client, "_ENDING_S", 0.1)

    def made(timeout_s=5.0, **answers):
        usual = {"describe": _DESCRIBED, "read": _STATE, "stop": {}}
        told = {
            what: answer if isinstance(answer, str) else json.dumps(answer) + "\n"
            for what, answer in {**usual, **answers}.items()
        }
        command = [sys.executable, "-P", "-S", "-c", _FAKE, json.dumps(told)]
        monkeypatch.setattr(subprocess, "Popen", lambda _, **how: start(command, **how))
        robots.append(SimulatedRobot("scene.xml", timeout_s=timeout_s))
        return robots[-1]

    yield made
    for robot in robots:
        robot.close()


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ({"describe": {}}, "does not say what its joints are called"),
        ({"describe": {"joints": 5, "cycle": 0.001}}, "does not say what its joints"),
        ({"describe": {**_DESCRIBED, "cycle": "x"}}, "a cycle takes x s"),
        ({"describe": {**_DESCRIBED, "cycle": 0}}, "a cycle takes 0 s"),
        ({"port": "99999"}, "does not start: 99999"),
        ({"read": {**_STATE, "qpos": [0.0] * 9}}, "7 angles, not 1"),
        ({"read": {**_STATE, "qpos": [10**400] * 3}}, "no qpos: OverflowError"),
        ({"read": {**_STATE, "time": 10**400}}, "no time: OverflowError"),
        ({"read": {**_STATE, "time": [1.0]}}, "no state"),
        ({"read": "[" * 100_000 + "\n"}, "not JSON"),
        ({"object": {}}, "sent no pose"),
        ({"object": {"pose": "hello"}}, "sent no pose"),
        ({"object": {"pose": None}}, "not finite"),
        ({"object": {"pose": [10**400, 0, 0, 1, 0, 0, 0]}}, "sent no pose"),
        ({"object": {"pose": [0] * 7}}, "that is none"),
        ({"image": {}}, "sent no image"),
        ({"image": {"size": [2, -1], "rgb": 5, "depth": ""}}, "sent no image"),
    ],
)
def test_a_server_that_answers_nonsense_is_told(fake, answers, says):
    def use():
        robot = fake(**answers)
        robot.read()
        SimulatedTracker(robot, time.monotonic).pose() if "object" in answers else None
        SimulatedCamera(robot, "front").frame()

    with pytest.raises(DeployError, match=says):
        use()


def test_an_answer_that_trickles_is_none(fake, monkeypatch):
    robot = fake(0.1, read=" |" * 100)
    began = time.monotonic()
    with pytest.raises(RobotError, match="does not answer"):
        robot.read()
    assert time.monotonic() - began < 0.5
    with pytest.raises(RobotError, match="an earlier answer did not come in time"):
        robot.read()
    monkeypatch.setattr(protocol, "_LIMIT", 1000)
    with pytest.raises(RobotError, match="a line of more than 1,000 bytes"):
        fake(read=" " * 70_000).read()


def test_a_server_that_says_no_port_or_is_stopped_is_ended(fake, monkeypatch):
    robot = fake()
    assert os.getsid(robot._process.pid) == robot._process.pid  # an interrupt does not reach it
    robot._process.send_signal(signal.SIGSTOP)
    robot.close()
    assert robot._process.returncode in (-signal.SIGKILL, -signal.SIGTERM)
    monkeypatch.setattr(client, "_STARTING_S", 0.1)
    monkeypatch.setitem(globals(), "_FAKE", "import time; time.sleep(60)")
    with pytest.raises(RobotError, match=r"does not start within 0.1 s"):
        fake()
