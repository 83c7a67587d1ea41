"""What a robot needs to run a task's policy, as data: where each number that the policy reads comes
from, what its actions mean, and the control law and arm under them.

Imports neither JAX nor MuJoCo. `r2s export` writes it into a bundle's `contract.json`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, get_args

#: What measures a number on a robot. kinematics: it follows from the joint angles. gripper: the
#: gripper's own position and velocity. controller: what the robot was commanded. object: a constant
#: of the object that is handled. simulator: nothing on a robot does.
Source = Literal[
    "joint encoders",
    "kinematics",
    "gripper",
    "controller",
    "object pose",
    "goal",
    "object",
    "simulator",
]
SOURCES: tuple[str, ...] = get_args(Source)


@dataclasses.dataclass(frozen=True)
class Signal:
    """Where one number of an observation comes from on a robot.

    quantity: the vector that it is a component of, and index: which one.
    unit: "m", "rad", "m/s", "rad/s", or "1" for a number without a unit.
    frame: whose axes it is along: "base" (of the robot, z up), "gripper"; "" where there are none.
    estimate: for a number that only the simulator knows, what it may be guessed from.
    """

    quantity: str
    index: int
    unit: str
    source: Source
    frame: str = ""
    estimate: str = ""

    def __post_init__(self) -> None:
        if self.source not in SOURCES:
            raise ValueError(f"source is {self.source!r}; give one of {', '.join(SOURCES)}")

    @property
    def privileged(self) -> bool:
        """Whether no robot measures it."""
        return self.source == "simulator"


@dataclasses.dataclass(frozen=True)
class Command:
    """What an action's component does.

    one: how much of `unit` an action of 1 asks for in a control step. frame: as in `Signal`.
    """

    unit: str
    one: float
    frame: str = ""
    meaning: str = ""


@dataclasses.dataclass(frozen=True)
class Episode:
    """Where episodes start and what they aim at; each is drawn uniformly.

    object_low, object_high [3]: x and y, m, and yaw, rad, of the resting object. arm_noise: rad,
    by which the arm's joints are off `ready` at most. goal_low, goal_high [3], m.
    radius, m, and steps: an episode succeeds where the object is this near to the goal in each of
    so many control steps at its end.
    """

    object_low: tuple[float, float, float]
    object_high: tuple[float, float, float]
    arm_noise: float
    goal_low: tuple[float, float, float]
    goal_high: tuple[float, float, float]
    radius: float
    steps: int


@dataclasses.dataclass(frozen=True)
class Deployment:
    """What a robot needs to run a policy of a task.

    signals: by the name of the number in an observation group. commands: by the action's name.
    control: the control law from actions to joint targets: "law", its name, and its constants.
    robot: joints, limits, posture, kinematic chain and gripper, as plain values.
    objects: for each variant of the scene, its "name" and the constants that signals of the source
      "object" and the quantities of its grasp need.
    episode: where episodes start and what they aim at, for rehearsals: see `Episode`.
    """

    signals: Mapping[str, Signal]
    commands: Mapping[str, Command]
    control: Mapping[str, Any]
    robot: Mapping[str, Any]
    objects: tuple[Mapping[str, Any], ...] = ()
    episode: Episode | None = None
