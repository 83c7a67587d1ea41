"""The simulated robot: in a process of its own, and as strong as the one of training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r2s_deploy import bundle as bundles
from r2s_deploy import cli
from r2s_deploy.robot import RobotError
from r2s_deploy.simulated import SimulatedRobot
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
        smooth = Smoother(Limits.of(bundle.robot, 1.0), robot.cycle_s, 1.0, start)
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
