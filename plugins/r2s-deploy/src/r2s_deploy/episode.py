"""One run of a policy on a robot: what changes in it, and what is kept of it."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from typing import Any

import numpy as np

from r2s_deploy.bundle import Bundle
from r2s_deploy.decide import Decider
from r2s_deploy.log import Log
from r2s_deploy.policy import Policy
from r2s_deploy.robot import RobotState
from r2s_deploy.sensed import Sensed
from r2s_deploy.watch import Guard, Stopped, Watch

Array = np.ndarray
_SWITCH_S = 1e-4  # between threads: Python's 5 ms would be five cycles


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


class Episode:
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


class Thought:
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


def told(error: Exception) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


@contextlib.contextmanager
def real_time() -> Iterator[None]:
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


def log_of(moments: list[Moment]) -> Log:
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
