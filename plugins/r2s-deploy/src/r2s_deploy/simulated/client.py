"""The client of the simulated robot, as `r2s_deploy.robot.Robot`, and a tracker of its object."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from r2s_deploy.pose.source import ObjectPose
from r2s_deploy.robot import RobotError, RobotState
from r2s_deploy.simulated.protocol import Line
from r2s_deploy.transform import Transform

Array = np.ndarray
_STARTING_S, _ENDING_S = 20.0, 2.0
_LONGEST_LINE = 1000  # characters, where a port is to be
_LONGEST_CYCLE_S = 0.1
_LENGTH_TOLERANCE = 0.01  # of a quaternion


class SimulatedRobot:
    """A robot in another process. Use it in a `with` statement, which ends that process."""

    def __init__(self, scene: Path | str, *options: str, timeout_s: float = 5.0) -> None:
        """options: of `r2s_deploy.simulated.server`. timeout_s: how long an answer may take.

        Raises `RobotError` where the process does not start.
        """
        if importlib.util.find_spec("mujoco") is None:
            raise RobotError(
                "the simulated robot needs MuJoCo: pip install mujoco, or r2s-deploy[sim]"
            )
        # -P: what lies in the current folder is not imported. A session of its own: an interrupt
        # from the keyboard does not reach the robot, which is to brake; it ends as its client does.
        server = "r2s_deploy.simulated.server"
        command = [sys.executable, "-P", "-m", server, str(scene), *options]
        self._lines: list[Line] = []
        try:
            self._process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                env=_environment(),
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise RobotError(f"the simulated robot does not start: {error}") from error
        try:
            port = self._port()
            # To the robot, and to what sees it: the two may be asked from different threads.
            for _ in range(2):
                self._lines.append(_connected(port, timeout_s))
            self.joints, self.cycle_s = _described(self._ask("describe"))
        except BaseException:
            self.close()
            raise

    def _port(self) -> int:
        """Where it listens, as it prints once it is ready."""
        assert self._process.stdout is not None
        printed: list[str] = []
        read = self._process.stdout.readline
        # A pipe has no timeout.
        thread = threading.Thread(target=lambda: printed.append(read(_LONGEST_LINE)), daemon=True)
        thread.start()
        thread.join(_STARTING_S)
        if not printed:
            raise RobotError(f"the simulated robot does not start within {_STARTING_S:g} s")
        port = printed[0].strip()
        if port.isdecimal() and int(port) < 2**16:
            return int(port)
        told = self._ended().strip().splitlines()
        raise RobotError(f"the simulated robot does not start: {told[-1] if told else port}")

    def _ended(self) -> str:
        """What the process wrote of errors, once it has ended, or is ended."""
        for _ in range(2):
            try:
                return self._process.communicate(timeout=_ENDING_S)[1] or ""
            except subprocess.TimeoutExpired:
                self._process.kill()
        return ""

    def reset(self, angles: Array | None = None, thing: Array | None = None) -> RobotState:
        """Begin anew; angles [n], rad, and the object's pose [7]: default: the scene's."""
        given: dict[str, Any] = {}
        if angles is not None:
            given["angles"] = np.asarray(angles).tolist()
        if thing is not None:
            given["object"] = np.asarray(thing).tolist()
        return self._state(self._ask("reset", **given))

    def read(self) -> RobotState:
        """See `Robot.read`."""
        return self._state(self._ask("read"))

    def cycle(self, joint_targets: Array, finger_target: float) -> RobotState:
        """See `Robot.cycle`."""
        ctrl = [*np.asarray(joint_targets).tolist(), finger_target, finger_target]
        return self._state(self._ask("cycle", ctrl=ctrl))

    def stop(self) -> None:
        """See `Robot.stop`."""
        try:
            self._ask("stop")
        except RobotError:
            return  # it is gone already

    def image(self, camera: str) -> dict[str, Any]:
        """What a camera sees, as `r2s_deploy.simulated.camera` reads it."""
        return self._ask("image", self._lines[1], camera=camera)

    def object_pose(self) -> tuple[Array, Array]:
        """The true position [3], m, and quaternion [4] of the object."""
        pose = _numbers(self._ask("object", self._lines[1]), "pose")
        if pose.shape != (7,) or abs(np.linalg.norm(pose[3:]) - 1.0) > _LENGTH_TOLERANCE:
            raise RobotError("the robot sent a pose of the object that is none")
        return pose[:3], pose[3:]

    def close(self) -> None:
        """End the other process; may be called again."""
        for line in self._lines:
            line.close()
        self._process.terminate()
        self._ended()

    def __enter__(self) -> SimulatedRobot:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _state(self, answer: dict[str, Any]) -> RobotState:
        time, qpos, qvel = (_numbers(answer, key) for key in ("time", "qpos", "qvel"))
        if time.shape != () or qpos.ndim != 1 or qvel.ndim != 1:
            raise RobotError("the robot sent no state: time is a number, qpos and qvel are lists")
        state = RobotState(float(time), qpos[:-2], qvel[:-2], qpos[-2:], qvel[-2:])
        state.check(len(self.joints))
        return state

    def _ask(self, what: str, line: Line | None = None, **values: Any) -> dict[str, Any]:
        line = line or self._lines[0]
        try:
            line.send({"do": what, **values})
            answer = line.receive()
        except TimeoutError as error:
            raise RobotError("the robot does not answer") from error
        except OSError as error:
            raise RobotError(f"the connection to the robot broke: {error}") from error
        if answer is None:
            raise RobotError("the robot closed the connection")
        if "error" in answer:
            raise RobotError(f"the robot refused: {answer['error']}")
        return answer


def _environment() -> dict[str, str]:
    """Without a screen MuJoCo draws only where it is told how, before it is imported."""
    found = dict(os.environ)
    if sys.platform == "linux" and not found.get("DISPLAY"):
        found.setdefault("MUJOCO_GL", "egl")
    return found


def _connected(port: int, timeout_s: float) -> Line:
    try:
        return Line(socket.create_connection(("127.0.0.1", port), timeout=timeout_s))
    except OSError as error:
        raise RobotError(f"the simulated robot does not start: {error}") from error


def _described(answer: dict[str, Any]) -> tuple[Sequence[str], float]:
    """Its joints, and the seconds of a cycle."""
    joints, cycle = answer.get("joints"), answer.get("cycle")
    if not isinstance(joints, list) or not all(isinstance(name, str) for name in joints):
        raise RobotError("the robot does not say what its joints are called")
    if not isinstance(cycle, int | float) or not 0.0 < cycle <= _LONGEST_CYCLE_S:
        raise RobotError(f"the robot says that a cycle takes {str(cycle)[:40]} s")
    return joints, float(cycle)


def _numbers(answer: dict[str, Any], key: str) -> Array:
    """Finite ones."""
    try:
        found = np.array(answer[key], float)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise RobotError(f"the robot sent no {key}: {type(error).__name__}, {error}") from error
    if not np.isfinite(found).all():
        raise RobotError(f"the robot sent numbers of {key} that are not finite")
    return found


class SimulatedTracker:
    """Where the object of a simulated robot is, with the errors of a tracker."""

    follows = True

    def __init__(
        self,
        robot: SimulatedRobot,
        clock: Any,
        position_std_m: float = 0.0,
        rotation_std_deg: float = 0.0,
        seed: int = 0,
    ) -> None:
        self._robot, self._clock = robot, clock
        self._std = position_std_m, rotation_std_deg
        self._random = np.random.default_rng(seed)

    def pose(self) -> ObjectPose:
        """See `PoseSource.pose`."""
        position, quaternion = self._robot.object_pose()
        moved = position + self._std[0] * self._random.normal(size=3)
        turn = np.radians(self._std[1]) * self._random.normal(size=3) / 2.0
        small = Transform.of(np.zeros(3), _unit(np.append(1.0, turn)))
        pose = Transform.of(moved, quaternion / np.linalg.norm(quaternion)) @ small
        return ObjectPose(pose, self._clock(), self._std[0], self._std[1])


def _unit(quaternion: Array) -> Array:
    return quaternion / np.linalg.norm(quaternion)
