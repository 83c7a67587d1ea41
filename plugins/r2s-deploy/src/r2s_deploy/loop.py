"""Runs a policy on a robot: measure, decide, move, and stop with a reason."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from typing import Any, Literal

import numpy as np

from r2s_deploy.bundle import Bundle
from r2s_deploy.carried import Carried
from r2s_deploy.decide import Decider
from r2s_deploy.errors import DeployError, NoImage, NoPose
from r2s_deploy.eyes import Eye, Eyes
from r2s_deploy.log import Log
from r2s_deploy.policy import Policy
from r2s_deploy.pose.source import PoseSource
from r2s_deploy.robot import Robot, RobotError, RobotState
from r2s_deploy.sensed import Sensed
from r2s_deploy.smooth import PATHS, Limits, Smoother, TimeOptimal
from r2s_deploy.transform import Transform
from r2s_deploy.watch import Guard, Stopped, Watch

Array = np.ndarray
_SLOWEST = 0.01
_BRAKING_S = 2.0  # the longest
_THINKING_S = 60.0  # the longest, where the robot waits for it
_LOOKED_S = 0.2  # longer than it takes from an image to its use
_AT_REST = 1e-3  # rad/s
_SWITCH_S = 1e-5  # between threads: Python's 5 ms would be five cycles


@dataclasses.dataclass(frozen=True, eq=False)
class Moment:
    """A control step. images: what the policy saw, by name. decide_s: from the measurement to the
    targets [n]."""

    state: RobotState
    sensed: Sensed
    images: Mapping[str, Array]
    targets: Array
    finger: float
    decide_s: float


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """What happened. steps: control steps. stopped: why; empty: all steps were made.

    decide_s [steps]: seconds from the measurement to the targets. cycle_s: seconds from the end of
    each of the robot's cycles to that of the next. farthest: by number, standard deviations from
    what training had, the most. carried: control steps in which the object's pose followed from the
    hand. log: what was measured and commanded, a moment for each control step; None: no step was
    made. images: what the policy saw first.
    """

    steps: int
    stopped: str
    decide_s: Array
    cycle_s: Array
    farthest: dict[str, float]
    carried: int
    log: Log | None
    images: Mapping[str, Array]


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
        episode = _Episode(self._bundle, self._policy, self._guard)
        why, smooth = "", None
        with _real_time() if self._paced else contextlib.nullcontext():
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
            log=_log(moments) if moments else None,
            images=moments[0].images if moments else {},
        )

    def look(self) -> Run:
        """One control step without the motion: what the policy would do now.

        Raises `DeployError` where the robot may not move: the reason.
        """
        episode = _Episode(self._bundle, self._policy, self._guard)
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
            log=_log([moment]),
            images=moment.images,
        )

    def go_to(self, angles: Array) -> str:
        """Move the joints straight to `angles` [n], rad, slowly, all arriving together; the gripper
        stays as it is. Nothing checks what is in the way.

        Returns why it was stopped; empty: it arrived.
        """
        episode, robot = _Episode(self._bundle, self._policy, self._guard), self._robot
        smooth = None
        with _real_time() if self._paced else contextlib.nullcontext():
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
        episode: _Episode,
        smooth: Smoother | TimeOptimal,
        state: RobotState,
        steps: int | None,
    ) -> None:
        step_s = self._cycles * self._robot.cycle_s
        for step in range(self._bundle.max_steps if steps is None else steps):
            thought, began = _Thought(self._think, episode, step, state), state
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
        self, episode: _Episode, smooth: Smoother | TimeOptimal, targets: Array
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
            raise RobotError(f"the robot's driver failed: {_told(error)}") from error
        self._on_state(state)
        return state

    def _brake(self, smooth: Smoother | TimeOptimal | None, episode: _Episode) -> None:
        """Come to rest within the path's limits; `Robot.stop` follows."""
        finger = episode.finger
        if smooth is None or finger is None:
            return
        with contextlib.suppress(Exception):  # there is a reason to stop already
            for _ in range(round(_BRAKING_S / self._robot.cycle_s)):
                if np.abs(smooth.velocity).max() < _AT_REST:
                    return
                self._robot.cycle(smooth.brake(), finger)

    def _think(self, episode: _Episode, step: int, state: RobotState) -> Moment:
        """The decision on what was measured; raises `DeployError` where the robot must stop."""
        try:
            return self._decide(episode, step, state)
        except DeployError:
            raise
        except Exception as error:  # of a camera's or a tracker's code
            raise Stopped(f"deciding failed: {_told(error)}") from error

    def _decide(self, episode: _Episode, step: int, state: RobotState) -> Moment:
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

    def _sense(self, state: RobotState, episode: _Episode) -> Sensed:
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


class _Episode:
    """What changes in one run."""

    def __init__(self, bundle: Bundle, policy: Policy, guard: Guard) -> None:
        self.decider, self.watch = Decider(bundle, policy), Watch(bundle, guard)
        self.moments: list[Moment] = []
        self.targets: Array | None = None
        self.finger: float | None = None
        self.ends: list[float] = []  # of the robot's cycles
        self.done = 0  # control steps

    def keep(self, moment: Moment) -> None:
        """From now on these targets count."""
        self.moments.append(moment)
        self.targets, self.finger = moment.targets, moment.finger

    def kept(self, step: int) -> bool:
        """Whether the decision of this control step was taken over."""
        return len(self.moments) > step


class _Thought:
    """A decision that is being made in a thread of its own, which no one has to wait for."""

    def __init__(self, think: Callable[..., Moment], *given: Any) -> None:
        self._made: Future[Moment] = Future()
        threading.Thread(target=self._run, args=(think, given), daemon=True).start()

    def _run(self, think: Callable[..., Moment], given: tuple[Any, ...]) -> None:
        try:
            self._made.set_result(think(*given))
        except BaseException as error:
            self._made.set_exception(error)

    def done(self) -> bool:
        """Whether it was made."""
        return self._made.done()

    def wait(self, seconds: float) -> Moment:
        """It; raises `Stopped` where it takes longer, and what deciding raises."""
        try:
            return self._made.result(seconds)
        except TimeoutError as error:
            if self._made.done():
                raise
            raise Stopped("deciding takes too long: this computer is too slow") from error


def _told(error: Exception) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


@contextlib.contextmanager
def _real_time() -> Iterator[None]:
    """No pauses by Python's own housekeeping, which take several of a robot's cycles."""
    collecting, interval = gc.isenabled(), sys.getswitchinterval()
    gc.disable()
    sys.setswitchinterval(_SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)
        if collecting:
            gc.enable()


def _log(moments: list[Moment]) -> Log:
    poses = [_pose(each.sensed) for each in moments]
    states = [each.state for each in moments]
    return Log(
        time=np.array([state.time_s for state in states]),
        angles=np.array([state.angles for state in states]),
        velocities=np.array([state.velocities for state in states]),
        fingers=np.array([state.fingers for state in states]),
        finger_velocities=np.array([state.finger_velocities for state in states]),
        object=None if poses[0] is None else np.array(poses),
        goal=np.array([each.sensed.goal for each in moments]),
        targets=np.array([each.targets for each in moments]),
        finger_target=np.array([each.finger for each in moments]),
    )


def _pose(sensed: Sensed) -> Array | None:
    if sensed.object_position is None or sensed.object_quaternion is None:
        return None
    return np.concatenate([sensed.object_position, sensed.object_quaternion])
