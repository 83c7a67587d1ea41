"""Runs a policy on a robot: measure, decide, move, and stop with a reason."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np

from r2s_deploy.bundle import Bundle
from r2s_deploy.carried import Carried
from r2s_deploy.episode import Episode, Moment, Run, Thought, log_of, real_time, told
from r2s_deploy.errors import DeployError, NoImage, NoPose
from r2s_deploy.eyes import Eye, Eyes
from r2s_deploy.policy import Policy
from r2s_deploy.pose.source import PoseSource
from r2s_deploy.robot import Robot, RobotError, RobotState
from r2s_deploy.sensed import Sensed
from r2s_deploy.smooth import PATHS, Limits, Smoother, TimeOptimal
from r2s_deploy.transform import Transform
from r2s_deploy.watch import Guard, Stopped

Array = np.ndarray
_SLOWEST = 0.01
_BRAKING_S = 2.0  # the longest
_THINKING_S = 60.0  # the longest, where the robot waits for it
_LOOKED_S = 0.2  # longer than it takes from an image to its use
_AT_REST = 1e-3  # rad/s
_SWITCH_S = 1e-5  # between threads: Python's 5 ms would be five cycles


def _allowed() -> None:
    """A dead-man key that is always held."""


class Runner:
    """One bundle on one robot, with one object."""

    def __init__(
        self,
        bundle: Bundle,
        robot: Robot,
        poses: PoseSource | None = None,
        *,
        goal: Array,
        speed: float = 0.1,
        guard: Guard = Guard(),  # noqa: B008
        object_name: str | None = None,
        cameras: Mapping[str, Eye] | None = None,
        path: Literal["filter", "ruckig"] = "filter",
        dead_man: Callable[[], None] = _allowed,
        clock: Callable[[], float] = time.monotonic,
        paced: bool = True,
        on_step: Callable[[], object] = lambda: None,
        on_state: Callable[[RobotState], object] = lambda state: None,
    ) -> None:
        """goal [3]: where the object is to go, m, in the base's frame.

        speed: 0.01 to 1, of the motion in training: each control step takes 1 / speed as long, and
          the policy reads velocities as if it did not.
        cameras: by the names that the bundle's cameras have.
        path: from targets to what the robot follows; see `r2s_deploy.smooth`.
        dead_man: called in every cycle of the robot; raises `Stopped` where it may not move.
        paced: False where the robot's cycles do not take real time, as in a simulation; a decision
          then takes none. Else it is made while the robot goes on to its last targets.
        on_step: called after each control step, and on_state with every measurement of the robot.

        Raises `DeployError` where the bundle needs what it does not get.
        """
        if not _SLOWEST <= speed <= 1.0:
            raise DeployError(f"speed is {speed:g}; give a share of full speed, {_SLOWEST} to 1")
        if bundle.unknown:
            raise DeployError(
                f"{bundle.path}: the policy reads {bundle.unknown[0]}, which nothing on a robot "
                "measures and nothing here can guess"
            )
        if poses is None and any(n.source == "object pose" for n in bundle.numbers):
            raise DeployError(
                f"{bundle.path}: the policy reads the object's pose; enter it (--object), or let "
                "the cell say how it is found ([object] pose)"
            )
        self._bundle, self._robot = bundle, robot
        self._poses = None if poses is None else Carried(poses)
        self._eyes = Eyes(bundle, cameras or {})
        self._goal, self._speed, self._guard = np.asarray(goal, float), speed, guard
        self._object = bundle.handled(object_name)
        self._policy, self._clock, self._paced = Policy(bundle), clock, paced
        self._path, self._dead_man = path, dead_man
        self._on_step, self._on_state = on_step, on_state
        self._cycles = max(1, round(1.0 / (bundle.rate * speed) / robot.cycle_s))

    def run(self, steps: int | None = None) -> Run:
        """Control steps until there were `steps` (default: an episode's), or something stops it."""
        episode = Episode(self._bundle, self._policy, self._guard)
        why, smooth = "", None
        with real_time() if self._paced else contextlib.nullcontext():
            try:
                state = self._read()
                smooth = self._smooth(state)
                self._follow(episode, smooth, state, steps)
            except DeployError as error:
                why = str(error)
                if not isinstance(error, RobotError):
                    self._brake(smooth, episode)
            except BaseException:  # Ctrl-C, or a defect: the arm must not roll on
                self._brake(smooth, episode)
                raise
            finally:
                self._robot.stop()
        moments = episode.moments
        return Run(
            steps=episode.done,
            stopped=why,
            decide_s=np.array([each.decide_s for each in moments]),
            cycle_s=np.diff(episode.ends),
            farthest=dict(episode.watch.farthest),
            carried=0 if self._poses is None else self._poses.steps,
            log=log_of(moments) if moments else None,
            images=moments[0].images if moments else {},
        )

    def look(self) -> Run:
        """One control step without the motion: what the policy would do now.

        Raises `DeployError` where the robot may not move: the reason.
        """
        episode = Episode(self._bundle, self._policy, self._guard)
        state = self._read()
        episode.watch.state(state.angles, None)
        moment = self._think(episode, 0, state)
        return Run(
            steps=0,
            stopped="",
            decide_s=np.array([moment.decide_s]),
            cycle_s=np.zeros(0),
            farthest=dict(episode.watch.farthest),
            carried=0,
            log=log_of([moment]),
            images=moment.images,
        )

    def go_to(self, angles: Array) -> str:
        """Move the joints straight to `angles` [n], rad, slowly, all arriving together; the gripper
        stays as it is. Nothing checks what is in the way.

        Returns why it was stopped; empty: it arrived.
        """
        episode, robot = Episode(self._bundle, self._policy, self._guard), self._robot
        smooth = None
        with real_time() if self._paced else contextlib.nullcontext():
            try:
                state = self._read()
                # Accelerations need not be small here, where no policy reads them.
                limits, start = Limits.of(self._bundle.robot), state.angles
                smooth = Smoother(limits, robot.cycle_s, start)
                own = self._bundle.law.arm.fingers
                half = 0.5 * own.opening
                episode.finger = own.opened if own.opening_of(state.fingers) > half else own.closed
                fastest = self._speed * np.array(self._bundle.robot["joints"]["max_speed"])
                # Half of the fastest, so that the path can follow.
                cycles = float((np.abs(angles - start) / fastest).max()) / robot.cycle_s * 2.0
                for cycle in range(int(cycles) + round(1.0 / robot.cycle_s)):
                    share = min(1.0, (cycle + 1) / max(cycles, 1.0))
                    self._cycle(episode, smooth, start + share * (angles - start))
            except DeployError as error:
                if not isinstance(error, RobotError):
                    self._brake(smooth, episode)
                return str(error)
            except BaseException:
                self._brake(smooth, episode)
                raise
            finally:
                robot.stop()
        return ""

    def _read(self) -> RobotState:
        """Of a robot that stands still: for a while, so that it is known where a camera on the hand
        was when an image was taken."""
        until = time.monotonic() + (_LOOKED_S if self._paced else 0.0)
        while True:
            state = self._checked(self._robot.read)
            if time.monotonic() >= until:
                return state
            time.sleep(self._robot.cycle_s)

    def _smooth(self, state: RobotState) -> Smoother | TimeOptimal:
        limits = Limits.of(self._bundle.robot, self._speed)
        return PATHS[self._path](limits, self._robot.cycle_s, state.angles)

    def _follow(
        self,
        episode: Episode,
        smooth: Smoother | TimeOptimal,
        state: RobotState,
        steps: int | None,
    ) -> None:
        step_s = self._cycles * self._robot.cycle_s
        for step in range(self._bundle.max_steps if steps is None else steps):
            thought, began = Thought(self._think, episode, step, state), state
            if step == 0 or not self._paced:
                episode.keep(thought.wait(_THINKING_S))
            due = self._clock() + step_s
            for _ in range(self._cycles):
                if not episode.kept(step) and thought.done():
                    episode.keep(thought.wait(0.0))
                assert episode.targets is not None
                state = self._cycle(episode, smooth, episode.targets)
            if not episode.kept(step):
                episode.keep(thought.wait(0.0))
            self._on_step()
            episode.done += 1
            episode.watch.held(state.angles, smooth.position, step_s)
            episode.watch.pace(state.time_s - began.time_s, step_s)
            if self._paced:
                episode.watch.late(self._clock() - due, self._speed)

    def _cycle(
        self, episode: Episode, smooth: Smoother | TimeOptimal, targets: Array
    ) -> RobotState:
        finger, watch = episode.finger, episode.watch
        assert finger is not None
        self._dead_man()
        reference = smooth.step(targets)
        began = time.perf_counter()
        state = self._checked(lambda: self._robot.cycle(reference, finger))
        episode.ends.append(time.perf_counter())
        if self._paced:
            watch.cycle(episode.ends[-1] - began)
        watch.clock(state.time_s, self._robot.cycle_s)
        watch.state(state.angles, smooth.position)
        return state

    def _checked(self, ask: Callable[[], RobotState]) -> RobotState:
        """What a robot's driver answers; what it raises or sends instead, as `RobotError`."""
        try:
            state = ask()
            state.check(self._bundle.law.arm.size)
        except DeployError:
            raise
        except Exception as error:  # another's code
            raise RobotError(f"the robot's driver failed: {told(error)}") from error
        self._on_state(state)
        return state

    def _brake(self, smooth: Smoother | TimeOptimal | None, episode: Episode) -> None:
        """Come to rest within the path's limits; `Robot.stop` follows."""
        finger = episode.finger
        if smooth is None or finger is None:
            return
        with contextlib.suppress(Exception):  # there is a reason to stop already
            for _ in range(round(_BRAKING_S / self._robot.cycle_s)):
                if np.abs(smooth.velocity).max() < _AT_REST:
                    return
                self._robot.cycle(smooth.brake(), finger)

    def _think(self, episode: Episode, step: int, state: RobotState) -> Moment:
        """The decision on what was measured; raises `DeployError` where the robot must stop."""
        try:
            return self._decide(episode, step, state)
        except DeployError:
            raise
        except Exception as error:  # of a camera's or a tracker's code
            raise Stopped(f"deciding failed: {told(error)}") from error

    def _decide(self, episode: Episode, step: int, state: RobotState) -> Moment:
        began, watch = time.perf_counter(), episode.watch
        sensed = self._sense(state, episode)
        watch.place(sensed.posture.position)
        try:
            images, taken = self._eyes.look(step)
        except NoImage as error:
            raise Stopped(f"there is no image: {error}") from error
        if taken is not None:
            watch.image(self._clock() - taken)
        numbers = episode.decider.read(sensed)
        watch.inputs(numbers)
        action, targets, finger = episode.decider.decide(sensed, numbers, images)
        watch.outputs(action, targets, finger)
        return Moment(state, sensed, images, targets, finger, time.perf_counter() - began)

    def _sense(self, state: RobotState, episode: Episode) -> Sensed:
        sensed = Sensed(
            arm=self._bundle.law.arm,
            angles=state.angles,
            velocities=state.velocities / self._speed,
            fingers=state.fingers,
            finger_velocities=state.finger_velocities,  # a gripper is not slowed
            joint_targets=episode.targets,
            finger_target=episode.finger,
            goal=self._goal,
            object=self._object,
        )
        if self._poses is None:
            return sensed
        hand, now = sensed.posture, self._clock()
        try:
            found = self._poses.pose(sensed.grip, Transform(hand.rotation, hand.position), now)
        except NoPose as error:
            raise Stopped(f"there is no pose of the object: {error}") from error
        episode.watch.pose(self._clock() - found.time_s)
        return dataclasses.replace(
            sensed, object_position=found.position, object_quaternion=found.quaternion
        )
