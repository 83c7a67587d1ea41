"""What r2s_deploy.franka uses of the library franka-rs, without a robot; a test compares them."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import numpy as np

HOME = np.array([0.0, 0.0, 0.0, -1.57, 0.0, 1.57, 0.785])


class FrankaError(Exception):
    def __init__(self, text, kind):
        super().__init__(text)
        self.kind = kind


class ControlException(FrankaError):
    def __init__(self, text, errors):
        super().__init__(text, "control")
        self.errors = errors
        self.reason = str(errors).replace("'", '"')  # as the library has it


class World:
    """The robot behind the library, for tests to look at and to break."""

    def __init__(self):
        self.q, self.dq, self.time = HOME.copy(), np.zeros(7), 0.0
        self.mode, self.m_ee, self.m_load, self.version = "idle", 0.73, 0.0, 10
        self.calls, self.targets = [], []
        self.silent, self.held, self.ended_by = (
            False,
            False,
            None,
        )  # the latter: an error that ends motions
        self.width, self.max_width, self.hand_s, self.hand_error = 0.08, 0.08, 0.0, None
        self.hand_clock = time.monotonic
        self.hand_stopped = threading.Event()

    def state(self):
        if not self.silent:
            self.time += 0.001
        return SimpleNamespace(
            q=self.q.copy(), dq=self.dq.copy(), time=self.time, robot_mode=self.mode,
            m_ee=self.m_ee, m_load=self.m_load,
        )  # fmt: skip

    def end_motion(self, error, mode):
        self.ended_by, self.mode = error, mode


class JointTargets:
    def __init__(self, world):
        self._world = world

    @property
    def running(self):
        return self._world.ended_by is None

    def move_to(self, target):
        if self._world.ended_by is not None:
            raise FrankaError("the control loop has ended; stop() returns its result", "control")
        self._world.targets.append(np.array(target))
        if not self._world.held:
            self._world.q = np.array(target)

    def state(self):
        return self._world.state()

    def stop(self):
        self._world.calls.append(("stop motion", ()))
        if self._world.ended_by is not None:
            raise self._world.ended_by
        self._world.mode = "idle"


class Gripper:
    def __init__(self, world):
        self._world = world

    def read_once(self):
        time.sleep(0.005)
        world = self._world
        return SimpleNamespace(
            width=world.width, max_width=world.max_width, time=world.hand_clock()
        )

    def move(self, width, speed):
        return self._take("move", (width, speed), width)

    def grasp(self, width, speed, force, epsilon_inner=0.005, epsilon_outer=0.005):
        given = (width, speed, force, epsilon_inner, epsilon_outer)
        return self._take("grasp", given, 0.03)

    def stop(self):
        self._world.calls.append(("stop hand", ()))
        self._world.hand_stopped.set()
        return True

    def _take(self, name, given, width):
        world = self._world
        world.calls.append((name, given))
        world.hand_stopped.clear()
        if world.hand_stopped.wait(world.hand_s):
            raise FrankaError("libfranka gripper: Command aborted!", "command")
        if world.hand_error is not None:
            raise world.hand_error
        world.width = width
        return True


class Robot:
    world: World  # set by a test

    def __init__(self, address, *, realtime=None, log_size=None):
        self.world.calls.append(("connect", (address, realtime)))
        self.fci_version = self.world.version

    def read_once(self):
        return self.world.state()

    def set_collision_behavior_simple(
        self,
        lower_torque_thresholds,
        upper_torque_thresholds,
        lower_force_thresholds,
        upper_force_thresholds,
    ):
        given = (upper_torque_thresholds, upper_force_thresholds)
        self.world.calls.append(("thresholds", given))

    def set_joint_impedance(self, K_theta):
        self.world.calls.append(("impedance", tuple(K_theta)))

    def joint_targets(
        self,
        *,
        fraction=0.2,
        max_deviation=1.0,
        backend="impedance",
        joint_stiffness=None,
        joint_damping=None,
        torque_limits=None,
        torque_cutoff=None,
        velocity_feedforward=None,
        leash=None,
        project_joint_gains=False,
        controller_mode="joint_impedance",
        limit_rate=True,
        realtime_priority=None,
    ):
        self.world.calls.append(("motion", (fraction, backend, controller_mode)))
        self.world.mode = "move"
        return JointTargets(self.world)

    def gripper(self):
        return Gripper(self.world)

    def automatic_error_recovery(self):
        self.world.calls.append(("recover", ()))
        self.world.mode, self.world.ended_by = "idle", None

    def stop(self):
        self.world.calls.append(("stop robot", ()))
