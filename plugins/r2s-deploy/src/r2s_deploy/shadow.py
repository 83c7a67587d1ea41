"""What a policy would have done where a robot has been: nothing moves."""

from __future__ import annotations

import dataclasses
import time

import numpy as np

from r2s_deploy.bundle import Bundle
from r2s_deploy.decide import Decider, Decision
from r2s_deploy.errors import DeployError
from r2s_deploy.log import Log
from r2s_deploy.policy import Policy
from r2s_deploy.sensed import Sensed

Array = np.ndarray


@dataclasses.dataclass(frozen=True)
class Shadow:
    """K control steps of the log.

    time [K], s. inputs [K, N] and unfamiliar [K, N]: what the policy read, and how many standard
    deviations of training that was off. actions [K, A]. angles, targets [K, n], rad, and fingers
    [K]. at_limit [K, n]: whether a target is at a joint's limit. speed [K, n]: of the motion to the
    target within a control step, as a share of the joint's fastest. decide_s [K]. apart: rad, the
    largest difference from the targets in the log; None: it has none.
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
    apart: float | None


def shadow(
    bundle: Bundle, log: Log, *, goal: Array | None = None, thing: Array | None = None
) -> Shadow:
    """Replay a log at the policy's rate.

    goal [3], m, and thing [7], the object's pose: where the log has none.

    Raises `DeployError` where the policy reads what neither has.
    """
    _check(bundle, log, goal, thing)
    decider, arm = Decider(bundle, Policy(bundle)), bundle.law.arm
    period = 1.0 / bundle.rate
    moments = np.arange(log.time[0], log.time[-1] + 0.001 * period, period)
    rows = np.maximum(np.searchsorted(log.time, moments + 0.001 * period, side="right") - 1, 0)
    targets, finger = None, None
    read: list[Array] = []
    decided: list[Decision] = []
    times: list[float] = []
    for row in rows:
        began = time.perf_counter()
        sensed = _sensed(bundle, log, int(row), targets, finger, goal, thing)
        read.append(decider.read(sensed))
        decided.append(decider.decide(sensed, read[-1]))
        times.append(time.perf_counter() - began)
        _, targets, finger = decided[-1]
        if log.targets is not None:  # what the robot was really told by then
            targets = log.targets[row]
        if log.finger_target is not None:
            finger = float(log.finger_target[row])
    inputs, wanted = np.array(read), np.array([each.targets for each in decided])
    angles = log.angles[rows]
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
        apart=None if log.targets is None else float(np.abs(wanted - log.targets[rows]).max()),
    )


def _check(bundle: Bundle, log: Log, goal: Array | None, thing: Array | None) -> None:
    if bundle.images:
        raise DeployError(f"{bundle.path}: the policy reads images, and a log of joints has none")
    if bundle.unknown:
        raise DeployError(
            f"{bundle.path}: the policy reads {bundle.unknown[0]}, which no robot measures"
        )
    sources = {number.source for number in bundle.numbers}
    if "goal" in sources and log.goal is None and goal is None:
        raise DeployError("the policy reads a goal, and the log has none; give one")
    if "object pose" in sources and log.object is None and thing is None:
        raise DeployError("the policy reads the object's pose, and the log has none; give one")


def _sensed(
    bundle: Bundle,
    log: Log,
    row: int,
    targets: Array | None,
    finger: float | None,
    goal: Array | None,
    thing: Array | None,
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
        object=bundle.object["objects"][0],
    )
