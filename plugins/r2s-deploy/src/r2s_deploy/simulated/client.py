"""The client of the simulated robot, as `r2s_deploy.robot.Robot`, and a tracker of its object."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from r2s_deploy.pose.source import ObjectPose
from r2s_deploy.robot import RobotError, RobotState
from r2s_deploy.simulated.protocol import Line
from r2s_deploy.transform import Transform

Array = np.ndarray


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
        # -P: what lies in the current folder is not imported.
        server = "r2s_deploy.simulated.server"
        command = [sys.executable, "-P", "-m", server, str(scene), *options]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=_environment()
        )
        assert self._process.stdout is not None
        port = self._process.stdout.readline().strip()
        if not port.isdigit():
            told = self._process.communicate()[1].strip().splitlines()
            raise RobotError(f"the simulated robot does not start: {told[-1] if told else port}")
        # To the robot, and to what sees it: the two may be asked from different threads.
        self._line, self._seeing = (
            Line(socket.create_connection(("127.0.0.1", int(port)), timeout=timeout_s))
            for _ in range(2)
        )
        described = self._ask("describe")
        self.joints: Sequence[str] = described["joints"]
        self.cycle_s = float(described["cycle"])

    def reset(self, angles: Array | None = None, thing: Array | None = None) -> RobotState:
        """Begin anew; angles [n], rad, and the object's pose [7]: default: the scene's."""
        given: dict[str, Any] = {}
        if angles is not None:
            given["angles"] = np.asarray(angles).tolist()
        if thing is not None:
            given["object"] = np.asarray(thing).tolist()
        return _state(self._ask("reset", **given))

    def read(self) -> RobotState:
        """See `Robot.read`."""
        return _state(self._ask("read"))

    def cycle(self, joint_targets: Array, finger_target: float) -> RobotState:
        """See `Robot.cycle`."""
        ctrl = [*np.asarray(joint_targets).tolist(), finger_target, finger_target]
        return _state(self._ask("cycle", ctrl=ctrl))

    def stop(self) -> None:
        """See `Robot.stop`."""
        try:
            self._ask("stop")
        except RobotError:
            return  # it is gone already

    def image(self, camera: str) -> dict[str, Any]:
        """What a camera sees, as `r2s_deploy.simulated.camera` reads it."""
        return self._ask("image", self._seeing, camera=camera)

    def object_pose(self) -> tuple[Array, Array]:
        """The true position [3], m, and quaternion [4] of the object."""
        pose = np.array(self._ask("object", self._seeing)["pose"])
        return pose[:3], pose[3:]

    def close(self) -> None:
        """End the other process."""
        self._line.close()
        self._seeing.close()
        self._process.terminate()
        self._process.communicate()

    def __enter__(self) -> SimulatedRobot:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, what: str, line: Line | None = None, **values: Any) -> dict[str, Any]:
        line = line or self._line
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


def _state(answer: dict[str, Any]) -> RobotState:
    try:
        qpos, qvel = (np.array(answer[key], float) for key in ("qpos", "qvel"))
        return RobotState(float(answer["time"]), qpos[:-2], qvel[:-2], qpos[-2:], qvel[-2:])
    except (KeyError, TypeError, ValueError) as error:
        raise RobotError(f"the robot sent no state: {error}") from error


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
