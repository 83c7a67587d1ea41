"""Episodes of a policy on a simulated robot: what it will be worth outside of its training."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from r2s_deploy import rotation
from r2s_deploy.bundle import Bundle, Starts
from r2s_deploy.errors import DeployError
from r2s_deploy.log import Log
from r2s_deploy.loop import Runner
from r2s_deploy.pose.source import ManualPose
from r2s_deploy.simulated import SimulatedRobot, SimulatedTracker
from r2s_deploy.simulated.camera import described, eyes
from r2s_deploy.watch import Guard

_NORMAL = 1.96  # 95 %
_LONG_S = 1e6  # longer than an episode


@dataclasses.dataclass(frozen=True)
class Played:
    """An episode. distance: of the object from its goal at the end, m. stopped: why; empty: not.

    decide_s: of the control steps. log: of the episode.
    """

    success: bool
    distance: float
    stopped: str
    decide_s: np.ndarray
    log: Log | None


def rehearse(
    bundle: Bundle,
    scene: Path,
    episodes: int,
    *,
    seed: int = 0,
    options: tuple[str, ...] = (),
    tracker_std_m: float = 0.0,
    object_name: str | None = None,
    entered: bool = False,
    path: Literal["filter", "ruckig"] = "filter",
    speed: float = 1.0,
    steps: int | None = None,
    guard: Guard = Guard(),  # noqa: B008
) -> Iterator[Played]:
    """Play episodes that start and aim as in training.

    scene: an MJCF file with the robot and the object, as `r2s scene` writes it. options: of
    `r2s_deploy.simulated.server`. tracker_std_m: the error of the object's position. object_name:
    which of the bundle's objects is in the scene, where there are several. entered: its pose is
    known as the episode starts, as if by hand, and not tracked.
    path, speed: see `Runner`. steps: control steps; default: an episode's of training.

    Raises `DeployError` where the bundle does not say where episodes start, or has several objects
    and none is named.
    """
    starts = bundle.starts
    if starts is None:
        raise DeployError(
            f"{bundle.path}: its contract does not say where episodes start; play it on the robot"
        )
    thing = bundle.handled(object_name)
    # Simulated time stands still while this computer thinks: nothing is late or old.
    guard = dataclasses.replace(guard, stale_s=math.inf, image_s=math.inf)
    random = np.random.default_rng(seed)
    options = (f"--object-mass={thing['mass']}", *options)
    if bundle.images:
        options = (*options, f"--cameras={json.dumps(described(bundle))}")
    with SimulatedRobot(scene, *options) as robot:
        if list(robot.joints) != list(bundle.robot["joints"]["names"]):
            raise DeployError(f"{scene} has the joints {', '.join(robot.joints)}, not the bundle's")
        tracker = SimulatedTracker(robot, time.monotonic, tracker_std_m, seed=seed)
        seeing = eyes(bundle, robot) if bundle.images else {}
        for _ in range(episodes):
            angles, pose, goal = _start(bundle, starts, thing, random)
            robot.reset(angles, pose)
            distances: list[float] = []
            runner = Runner(
                bundle,
                robot,
                _entered(tracker) if entered else tracker,
                goal=goal,
                speed=speed,
                guard=guard,
                object_name=thing["name"],
                cameras=seeing,
                path=path,
                paced=False,
                on_step=lambda d=distances, g=goal: d.append(_away(robot, g)),
            )
            run = runner.run(steps)
            last = distances[-starts.steps :]
            near = len(last) == starts.steps and max(last) < starts.radius
            end = distances[-1] if distances else math.nan
            yield Played(near and not run.stopped, end, run.stopped, run.decide_s, run.log)


def check_log(path: Path) -> None:
    """Raises `DeployError` unless a log may be written here: there is nothing, or a CSV file."""
    try:
        if not path.parent.is_dir():
            raise DeployError(f"{path} cannot be written: there is no folder {path.parent}")
        if path.exists() and not (path.is_file() and path.suffix == ".csv"):
            raise DeployError(f"{path} exists, and is no CSV file; name another file")
    except OSError as error:
        raise DeployError(f"{path} cannot be written: {error.strerror}") from error
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise DeployError(f"{path} cannot be written: you may not write there")


def _entered(tracker: SimulatedTracker) -> ManualPose:
    """Simulated time is not measured: it holds for the episode."""
    found = tracker.pose()
    return ManualPose(found.position, found.quaternion, valid_s=_LONG_S)


def _away(robot: SimulatedRobot, goal: np.ndarray) -> float:
    return float(np.linalg.norm(robot.object_pose()[0] - goal))


def _start(
    bundle: Bundle, starts: Starts, thing: Mapping[str, Any], random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Joint angles [n], the object's pose [7] and the goal [3]."""
    x, y, yaw = random.uniform(starts.object_low, starts.object_high)
    quaternion = rotation.multiply(rotation.about_z(yaw), np.array(thing["rest_quaternion"]))
    pose = np.array([x, y, thing["rest_height"], *quaternion])
    ready = np.array(bundle.robot["joints"]["ready"])
    angles = ready + random.uniform(-starts.arm_noise, starts.arm_noise, len(ready))
    return angles, pose, random.uniform(starts.goal_low, starts.goal_high)


def summary(played: list[Played]) -> Iterator[str]:
    """Lines for people."""
    count, good = len(played), sum(each.success for each in played)
    low, high = wilson(good, count)
    yield (
        f"success {100 * good / count:.1f} % (95 % interval {100 * low:.1f} to {100 * high:.1f} %) "
        f"of {count} episodes"
    )
    for why, times in Counter(each.stopped for each in played if each.stopped).most_common(5):
        yield f"stopped {times} times: {why}"
    decided = np.concatenate([each.decide_s for each in played])
    if len(decided):
        yield (
            f"from a measurement to the joints' targets: {1000 * np.median(decided):.2f} ms, "
            f"99 % within {1000 * np.quantile(decided, 0.99):.2f} ms"
        )


def wilson(good: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a rate (Wilson 1927)."""
    rate, z = good / count, _NORMAL
    middle = (rate + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(rate * (1 - rate) / count + z * z / (4 * count**2)) / (1 + z * z / count)
    return max(0.0, middle - half), min(1.0, middle + half)
