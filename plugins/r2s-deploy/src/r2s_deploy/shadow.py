"""What a policy would have done where a robot has been: nothing moves."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from r2s_deploy.bundle import Bundle
from r2s_deploy.decide import Decider, Decision
from r2s_deploy.errors import DeployError
from r2s_deploy.log import Log, check_time
from r2s_deploy.policy import Policy
from r2s_deploy.sensed import Sensed
from r2s_deploy.transform import Transform, vector
from r2s_deploy.watch import Guard, Stopped, Watch

Array = np.ndarray
_BEYOND_RAD = 1.0  # its limits, which no arm's joint is


@dataclasses.dataclass(frozen=True)
class Shadow:
    """K control steps of the log.

    time [K], s. inputs [K, N] and unfamiliar [K, N]: what the policy read, and how many standard
    deviations of training that was off. actions [K, A]. angles, targets [K, n], rad, and fingers
    [K]. at_limit [K, n]: whether a target is at a joint's limit. speed [K, n]: of the motion to the
    target within a control step, as a share of the joint's fastest. decide_s [K]. commanded [K, n]:
    the targets in the log, rad; None: it has none. state_age [K], object_age [K]: s, how old what
    was measured of the joints and the object was; None: the log has no object. stopped: when a
    robot would have been stopped, s, and why; None: never. notes: what is said of the log.
    """

    time: Array
    inputs: Array
    unfamiliar: Array
    actions: Array
    angles: Array
    targets: Array
    fingers: Array
    at_limit: Array
    speed: Array
    decide_s: Array
    commanded: Array | None
    state_age: Array
    object_age: Array | None
    stopped: tuple[float, str] | None
    notes: tuple[str, ...]

    @property
    def apart(self) -> float | None:
        """The largest difference from the targets in the log, rad; None: it has none."""
        if self.commanded is None:
            return None
        return float(np.abs(self.targets - self.commanded).max())


def shadow(
    bundle: Bundle,
    log: Log,
    *,
    goal: Array | None = None,
    thing: Array | None = None,
    object_name: str | None = None,
) -> Shadow:
    """Replay a log at the policy's rate.

    goal [3], m, and thing [7], the object's pose: in place of the log's, if it has some.
    object_name: which of the bundle's objects it is, where there are several.

    Raises `DeployError` where the policy reads what neither has, the log's angles are not in
    radians or its times no seconds, a pose or goal is none, or none of several objects is named.
    """
    goal = None if goal is None else vector(goal, 3, "goal")
    if thing is not None:
        thing = _pose(thing)
    log = _with_given(log, goal, thing)
    check_time(log.time, "the log")
    _check(bundle, log, goal, thing)
    facts = bundle.handled(object_name)
    decider, arm = Decider(bundle, Policy(bundle)), bundle.law.arm
    period = 1.0 / bundle.rate
    moments = np.arange(log.time[0], log.time[-1] + 0.001 * period, period)
    rows = np.maximum(np.searchsorted(log.time, moments + 0.001 * period, side="right") - 1, 0)
    angles, state_age = log.angles[rows], np.maximum(moments - log.time[rows], 0.0)
    age = state_age + (0.0 if log.object_age is None else log.object_age[rows])
    watch, stopped = Watch(bundle, Guard()), None
    targets, finger = None, None
    read: list[Array] = []
    decided: list[Decision] = []
    times: list[float] = []
    images: dict[str, Array] = {}
    for step, row in enumerate(rows):
        began = time.perf_counter()
        images |= _images(bundle, log, step, int(row))
        sensed = _sensed(bundle, log, int(row), targets, finger, goal, thing, facts)
        read.append(decider.read(sensed))
        decided.append(decider.decide(sensed, read[-1], images))
        times.append(time.perf_counter() - began)
        if stopped is None:
            stopped = _stop(watch, moments[step], sensed, read[-1], age[step])
        _, targets, finger = decided[-1]
        if log.targets is not None:  # what the robot was really told by then
            targets = log.targets[row]
        if log.finger_target is not None:
            finger = float(log.finger_target[row])
    inputs, wanted = np.array(read), np.array([each.targets for each in decided])
    return Shadow(
        time=moments,
        inputs=inputs,
        unfamiliar=bundle.unfamiliar(inputs),
        actions=np.array([each.action for each in decided]),
        angles=angles,
        targets=wanted,
        fingers=np.array([each.finger for each in decided]),
        at_limit=(wanted <= arm.low + 1e-6) | (wanted >= arm.high - 1e-6),
        speed=np.abs(wanted - angles) / period / np.array(bundle.robot["joints"]["max_speed"]),
        decide_s=np.array(times),
        commanded=None if log.targets is None else log.targets[rows],
        state_age=state_age,
        object_age=None if log.object is None else age,
        stopped=stopped,
        notes=log.notes,
    )


def _pose(thing: Array) -> Array:
    """The object's [7], with a quaternion of length 1."""
    found = vector(thing, 7, "the object's pose")
    pose = Transform.of(found[:3], found[3:])
    return np.concatenate([pose.translation, pose.quaternion])


def _with_given(log: Log, goal: Array | None, thing: Array | None) -> Log:
    """The log without what is given in its place, and with a note of that."""
    notes = log.notes
    if goal is not None and log.goal is not None:
        notes = (*notes, "its goal is not used, but the one that was given")
        log = dataclasses.replace(log, goal=None)
    if thing is not None and log.object is not None:
        notes = (*notes, "its poses of the object are not used, but the one that was given")
        log = dataclasses.replace(log, object=None, object_age=None)
    return dataclasses.replace(log, notes=notes)


def _images(bundle: Bundle, log: Log, step: int, row: int) -> dict[str, Array]:
    """Those that the policy gets anew in a control step."""
    return {
        image.name: np.ascontiguousarray(log.images[image.name][row])
        for image in bundle.images
        if log.images is not None and step % bundle.cameras[image.camera].period == 0
    }


def _stop(
    watch: Watch, moment: float, sensed: Sensed, numbers: Array, pose_age: float
) -> tuple[float, str] | None:
    """Whether a robot would be stopped now; see `Runner`."""
    try:
        watch.state(sensed.angles, None)
        if sensed.object_position is not None:
            watch.pose(pose_age)
        watch.place(sensed.posture.position)
        watch.inputs(numbers)
    except Stopped as why:
        return float(moment), str(why)
    return None


def _check(bundle: Bundle, log: Log, goal: Array | None, thing: Array | None) -> None:
    for image in bundle.images:
        if image.name not in (log.images or {}):
            raise DeployError(
                f"{bundle.path}: the policy reads the image {image.name}, and the log has none; "
                "images are read from LeRobot data sets"
            )
    if bundle.unknown:
        raise DeployError(
            f"{bundle.path}: the policy reads {bundle.unknown[0]}, which no robot measures"
        )
    sources = {number.source for number in bundle.numbers}
    if "goal" in sources and log.goal is None and goal is None:
        raise DeployError(f"the policy reads a goal, and the log has none; give one{log.lacks}")
    if "object pose" in sources and log.object is None and thing is None:
        raise DeployError(
            f"the policy reads the object's pose, and the log has none; give one{log.lacks}"
        )
    arm, names = bundle.law.arm, bundle.robot["joints"]["names"]
    beyond = np.maximum(arm.low - log.angles, log.angles - arm.high).max(axis=0)
    if beyond.max() > _BEYOND_RAD:
        i = int(beyond.argmax())
        raise DeployError(
            f"{names[i]} is up to {beyond[i]:.3g} rad beyond its limits {arm.low[i]:.3g} to "
            f"{arm.high[i]:.3g} in the log: these are not radians of this arm's joints"
        )


def _sensed(
    bundle: Bundle,
    log: Log,
    row: int,
    targets: Array | None,
    finger: float | None,
    goal: Array | None,
    thing: Array | None,
    facts: Mapping[str, Any],
) -> Sensed:
    pose = thing if log.object is None else log.object[row]
    return Sensed(
        arm=bundle.law.arm,
        angles=log.angles[row],
        velocities=log.velocities[row],
        fingers=log.fingers[row],
        finger_velocities=log.finger_velocities[row],
        joint_targets=targets,
        finger_target=finger,
        object_position=None if pose is None else pose[:3],
        object_quaternion=None if pose is None else pose[3:],
        goal=goal if log.goal is None else log.goal[row],
        object=facts,
    )
