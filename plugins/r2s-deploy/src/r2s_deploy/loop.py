"""Runs a policy on a robot: measure, decide, move, and stop with a reason."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from r2s_deploy.bundle import Bundle
from r2s_deploy.decide import Decider
from r2s_deploy.errors import DeployError, NoPose
from r2s_deploy.log import Log
from r2s_deploy.policy import Policy
from r2s_deploy.pose.source import PoseSource
from r2s_deploy.robot import Robot, RobotState
from r2s_deploy.sensed import Sensed
from r2s_deploy.smooth import Limits, Smoother
from r2s_deploy.watch import Guard, Stopped, Watch

Array = np.ndarray
Moment = tuple[RobotState, Sensed, Array, float]


@dataclasses.dataclass(frozen=True)
class Run:
    """What happened. steps: control steps. stopped: why; empty: all steps were made.

    decide_s [steps]: seconds from the measurement to the targets. farthest: by number, standard
    deviations from what training had, the most. log: what was measured and commanded, a moment for
    each control step; None: no step was made.
    """

    steps: int
    stopped: str
    decide_s: Array
    farthest: dict[str, float]
    log: Log | None


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
        clock: Callable[[], float] = time.monotonic,
        paced: bool = True,
        on_step: Callable[[], object] = lambda: None,
    ) -> None:
        """goal [3]: where the object is to go, m, in the base's frame.

        speed: in (0, 1], of the motion in training: each control step takes 1 / speed as long, and
          the policy reads velocities as if it did not.
        paced: False where the robot's cycles do not take real time, as in a simulation.
        on_step: called after each control step.

        Raises `DeployError` where the bundle needs what it does not get.
        """
        if not 0.0 < speed <= 1.0:
            raise DeployError(f"speed is {speed:g}; give a share of full speed, above 0 to 1")
        if bundle.images:
            raise DeployError(
                f"{bundle.path}: the policy reads the image {bundle.images[0].name}, and there is "
                "no camera"
            )
        if bundle.unknown:
            raise DeployError(
                f"{bundle.path}: the policy reads {bundle.unknown[0]}, which nothing on a robot "
                "measures and nothing here can guess"
            )
        if poses is None and any(n.source == "object pose" for n in bundle.numbers):
            raise DeployError(f"{bundle.path}: the policy reads the object's pose; give a source")
        self._bundle, self._robot, self._poses = bundle, robot, poses
        self._goal, self._speed, self._guard = np.asarray(goal, float), speed, guard
        self._object = _chosen(bundle, object_name)
        self._policy, self._clock, self._paced = Policy(bundle), clock, paced
        self._on_step = on_step
        self._cycles = max(1, round(1.0 / (bundle.rate * speed) / robot.cycle_s))

    def run(self, steps: int | None = None) -> Run:
        """Control steps until there were `steps` (default: an episode's), or something stops it."""
        bundle, robot = self._bundle, self._robot
        watch, times, done, why = Watch(bundle, self._guard), [], 0, ""
        moments: list[Moment] = []
        decider = Decider(bundle, self._policy)
        try:
            state = robot.read()
            state.check(bundle.law.arm.size)
            limits = Limits.of(bundle.robot, self._speed)
            smooth = Smoother(limits, robot.cycle_s, self._speed, state.angles)
            targets, finger, due = None, None, self._clock()
            for _ in range(bundle.max_steps if steps is None else steps):
                if self._paced:
                    watch.late(self._clock() - due)
                began = self._clock()
                sensed = self._sense(state, targets, finger, watch)
                watch.place(sensed.posture.position)
                numbers = decider.read(sensed)
                watch.inputs(numbers)
                _, targets, finger = decider.decide(sensed, numbers)
                times.append(self._clock() - began)
                moments.append((state, sensed, targets, finger))
                for _ in range(self._cycles):
                    state = robot.cycle(smooth.step(targets), finger)
                state.check(bundle.law.arm.size)
                watch.state(state.angles, smooth.position)
                self._on_step()
                done += 1
                due += self._cycles * robot.cycle_s
        except DeployError as error:
            why = str(error)
        finally:
            robot.stop()
        log = _log(moments) if moments else None
        return Run(done, why, np.array(times), dict(watch.farthest), log)

    def _sense(
        self, state: RobotState, targets: Array | None, finger: float | None, watch: Watch
    ) -> Sensed:
        position = quaternion = None
        if self._poses is not None:
            try:
                found = self._poses.pose()
            except NoPose as error:
                raise Stopped(f"there is no pose of the object: {error}") from error
            watch.pose(self._clock() - found.time_s)
            position, quaternion = found.position, found.quaternion
        return Sensed(
            arm=self._bundle.law.arm,
            angles=state.angles,
            velocities=state.velocities / self._speed,
            fingers=state.fingers,
            finger_velocities=state.finger_velocities / self._speed,
            joint_targets=targets,
            finger_target=finger,
            object_position=position,
            object_quaternion=quaternion,
            goal=self._goal,
            object=self._object,
        )


def _log(moments: list[Moment]) -> Log:
    states, sensed, targets, fingers = zip(*moments, strict=True)
    poses = [_pose(each) for each in sensed]
    return Log(
        time=np.array([state.time_s for state in states]),
        angles=np.array([state.angles for state in states]),
        velocities=np.array([state.velocities for state in states]),
        fingers=np.array([state.fingers for state in states]),
        finger_velocities=np.array([state.finger_velocities for state in states]),
        object=None if poses[0] is None else np.array(poses),
        goal=np.array([each.goal for each in sensed]),
        targets=np.array(targets),
        finger_target=np.array(fingers),
    )


def _pose(sensed: Sensed) -> Array | None:
    if sensed.object_position is None or sensed.object_quaternion is None:
        return None
    return np.concatenate([sensed.object_position, sensed.object_quaternion])


def _chosen(bundle: Bundle, name: str | None) -> dict[str, Any]:
    """The facts of the object that is handled."""
    objects = {each["name"]: each for each in bundle.object["objects"]}
    if name is None and len(objects) == 1:
        return next(iter(objects.values()))
    if name not in objects:
        known = ", ".join(objects)
        raise DeployError(f"{bundle.path}: which object is handled? it knows {known}")
    return objects[name]
