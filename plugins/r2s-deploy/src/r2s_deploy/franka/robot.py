"""A Franka arm as `r2s_deploy.robot.Robot`, through the library franka-rs.

**This has not touched hardware**, see `r2s_deploy.franka`. The library keeps the robot's rhythm of
1 kHz in a thread that does not wait for Python: it moves the arm towards the latest target within
limits of velocity, acceleration and jerk, and holds it there when no newer one comes, so that a
policy may think for some milliseconds. The robot's own controller follows, with the joints'
stiffness below, and ends the motion where a joint or the hand meets more than the thresholds of
collision.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from r2s_deploy.franka import library, reasons
from r2s_deploy.franka.hand import Hand
from r2s_deploy.franka.limits import MODELS, Model, check_described
from r2s_deploy.robot import RobotError, RobotState

Array = np.ndarray
_STIFFNESS = (
    3000.0,
    3000.0,
    3000.0,
    2500.0,
    2500.0,
    2000.0,
    2000.0,
)  # Nm/rad, of libfranka's examples
_NEAR = 0.02  # rad, from where the arm is to where its first target may be
_FARTHEST = 2.5  # rad, that a joint may go from where a motion began
_CATCH_UP_S = 0.1  # of cycles that are late, how many are made up for
_CONNECT_S, _STOP_S = 5.0, 3.0


class FrankaRobot:
    """The arm and its hand. Use it in a `with` statement, which ends motion and connection.

    Connecting moves nothing. The first `cycle` begins a motion, `stop` ends it; errors that the
    robot latched are cleared by `recover` alone, which nothing here calls.
    """

    cycle_s = 0.001

    def __init__(
        self,
        address: str,
        *,
        speed: float = 0.1,
        collision_torque_nm: float = 20.0,
        collision_force_n: float = 20.0,
        load_kg: float = 0.0,
        hand_kg: float = 0.73,
        grasp_force_n: float = 20.0,
        timeout_s: float = 0.1,
        realtime: bool = True,
    ) -> None:
        """Connect, check that the robot is ready, and set its thresholds; nothing moves.

        address: of the control box. speed: in (0, 1], the share of the joints' highest speed that
          no target may exceed; the same as the `Runner`'s.
        collision_torque_nm, collision_force_n: at a joint, and at the hand (and Nm about it): more
          ends the motion.
        load_kg, hand_kg: masses that the robot should be compensating; compared with what it says,
          since franka-rs cannot set them.
        timeout_s: how long the robot may be silent. realtime: False on a kernel without PREEMPT_RT.

        Raises `RobotError` where there is no robot, or it is not ready.
        """
        for name, value, most in (
            ("speed", speed, 1.0),
            ("collision_torque_nm", collision_torque_nm, 100.0),
            ("collision_force_n", collision_force_n, 100.0),
            ("grasp_force_n", grasp_force_n, 70.0),
            ("timeout_s", timeout_s, 1.0),
        ):
            if not 0.0 < value <= most:
                raise RobotError(f"{name} is {value:g}; give a number above 0, to {most:g}")
        self.address, self._speed, self._timeout = address, speed, timeout_s
        self._library = library.load()
        self._motion: Any = None
        self._before = np.zeros(7)
        self._due = self._told_at = self._told = 0.0
        mode = "enforce" if realtime else "ignore"
        self._robot: Any = self._ask(lambda: self._library.Robot(address, realtime=mode))
        try:
            self.model = self._known_model()
            self._check_ready(self._ask(self._robot.read_once), load_kg, hand_kg)
            self._ask(lambda: self._set(collision_torque_nm, collision_force_n))
            self._hand = self._connect_hand(grasp_force_n)
        except RobotError:
            self._robot = None  # which disconnects, so that another try is let in
            raise

    def check(self, described: Mapping[str, Any]) -> None:
        """That a bundle's `robot.json` describes a Franka; raises `RobotError` where it does not.

        Bundles of a Panda are taken for an FR3 too, whose links are the same; targets beyond its
        own limits stop it.
        """
        check_described(described)

    def read(self) -> RobotState:
        """See `Robot.read`."""
        if self._motion is not None:
            return self._state(self._motion.state())
        return self._state(self._ask(self._robot.read_once))

    def cycle(self, joint_targets: Array, finger_target: float) -> RobotState:
        """See `Robot.cycle`. The first call begins a motion, from where the arm is."""
        targets = np.array(joint_targets, float)
        self.model.check_target(targets, finger_target)
        motion = self._motion
        if motion is None:
            motion = self._motion = self._begin(targets)
        self.model.check_step(targets - self._before, self.cycle_s, self._speed)
        self._before = targets
        try:
            if not motion.running:
                raise self._ended()
            motion.move_to(targets)
        except self._library.FrankaError as error:
            raise self._ended() from error
        self._hand.command(float(finger_target))
        self._wait()
        found = motion.state()
        self._check_follows(np.array(found.q, float))
        now = time.monotonic()
        if found.time != self._told:
            self._told, self._told_at = found.time, now
        elif now - self._told_at > self._timeout:
            raise RobotError(
                f"the robot at {self.address} has been silent for {1000 * self._timeout:.0f} ms: "
                "check its cable and power; the arm stops by itself"
            )
        return self._state(found)

    def stop(self) -> None:
        """See `Robot.stop`: brakes to the last target, and ends the motion."""
        motion, self._motion = self._motion, None
        self._hand.halt()
        if motion is None:
            return
        try:
            library.within(_STOP_S, motion.stop, "the motion does not end")
        except Exception:  # it has ended already, or the robot is gone
            with contextlib.suppress(Exception):
                library.within(_STOP_S, self._robot.stop, "the robot does not answer")

    def recover(self) -> None:
        """Clear the errors of a reflex: for a person who has seen why it came."""
        self._ask(self._robot.automatic_error_recovery)

    def close(self) -> None:
        """End the motion and the connection."""
        self.stop()
        self._hand.close()
        self._robot = None  # which disconnects

    def __enter__(self) -> FrankaRobot:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _known_model(self) -> Model:
        version = self._robot.fci_version
        if version not in MODELS:
            raise RobotError(
                f"the robot at {self.address} speaks version {version} of its protocol; this "
                f"program knows {' and '.join(str(each) for each in MODELS)}"
            )
        return MODELS[version]

    def _connect_hand(self, force: float) -> Hand:
        try:
            gripper = library.within(_CONNECT_S, self._robot.gripper, "the hand does not answer")
            return Hand(gripper, force, self._explain)
        except self._library.FrankaError as error:
            raise RobotError(
                f"the Franka Hand does not answer ({error}): select it as end effector in Desk, "
                "and see that no other program is connected to it"
            ) from error

    def _check_ready(self, state: Any, load_kg: float, hand_kg: float) -> None:
        if state.robot_mode != "idle":
            raise RobotError(reasons.of_mode(state.robot_mode))
        for what, told, given in (
            ("hand", state.m_ee, hand_kg),
            ("payload", state.m_load, load_kg),
        ):
            if not abs(told - given) <= 0.05:
                raise RobotError(
                    f"the robot compensates the weight of a {what} of {told:.2f} kg, and "
                    f"{given:.2f} kg were expected: correct it in Desk, or here; the arm would "
                    "sink, rise, or feel collisions that are none"
                )

    def _set(self, torque: float, force: float) -> None:
        torques, forces = [torque] * 7, [force] * 6
        self._robot.set_collision_behavior_simple(torques, torques, forces, forces)
        self._robot.set_joint_impedance(list(_STIFFNESS))

    def _begin(self, targets: Array) -> Any:
        """Take control of the arm, which then holds where it is: `franka.JointTargets`."""
        state = self._ask(self._robot.read_once)
        if state.robot_mode != "idle":
            raise RobotError(reasons.of_mode(state.robot_mode))
        angles = np.array(state.q, float)
        away = np.abs(targets - angles)
        if not away.max() <= _NEAR:
            i = int(away.argmax())
            raise RobotError(
                f"the first target of joint {i + 1} is {away[i]:.2f} rad from where it is: a "
                "motion begins where the arm stands"
            )
        begun = time.monotonic()
        motion = self._ask(
            lambda: self._robot.joint_targets(
                # Under full speed, room is left for the robot's own bounds on the commands.
                fraction=0.4 + 0.4 * self._speed,
                max_deviation=_FARTHEST,
                backend="robot",
                controller_mode="joint_impedance",
                limit_rate=True,  # of what is left of a command after others were lost
            )
        )
        self._before, self._due = targets, begun
        self._told, self._told_at = -1.0, time.monotonic()
        return motion

    def _check_follows(self, angles: Array) -> None:
        """The arm is where its targets are, but for what it trails at this speed."""
        behind, most = np.abs(angles - self._before), 0.05 + 0.2 * self._speed
        i = int(behind.argmax())
        if behind[i] > most:
            with contextlib.suppress(self._library.FrankaError):
                self._motion.move_to(angles)  # so that it does not go on pushing
            raise RobotError(
                f"joint {i + 1} is {behind[i]:.2f} rad from its target: something holds the arm, "
                "or commands do not reach it in time"
            )

    def _wait(self) -> None:
        """Until the cycle's end; what the policy took is made up for by shorter ones."""
        now = time.monotonic()
        self._due = max(self._due + self.cycle_s, now - _CATCH_UP_S)
        if self._due > now:
            time.sleep(self._due - now)

    def _state(self, found: Any) -> RobotState:
        fingers, velocities = self._hand.read()
        state = RobotState(
            time_s=float(found.time),
            angles=np.array(found.q, float),
            velocities=np.array(found.dq, float),
            fingers=fingers,
            finger_velocities=velocities,
        )
        state.check(7)
        return state

    def _ended(self) -> RobotError:
        """Why the motion ended before it was told to."""
        motion, self._motion = self._motion, None
        try:
            library.within(_STOP_S, motion.stop, "the motion does not end")
        except RobotError as error:
            return error
        except self._library.FrankaError as error:
            return RobotError(self._explain(error))
        return RobotError("the robot ended the motion and gave no reason: see Desk")

    def _explain(self, error: BaseException) -> str:
        return reasons.of_error(error, self.address)

    def _ask(self, call: Callable[[], Any]) -> Any:
        """The answer to a call of the library, its errors as `RobotError`."""
        try:
            return library.within(_CONNECT_S, call, f"the robot at {self.address} does not answer")
        except self._library.FrankaError as error:
            raise RobotError(self._explain(error)) from error
