"""A task's description of itself, for reports, pictures, training and deployment."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from r2s_core.camera import Camera


@dataclasses.dataclass(frozen=True)
class TaskInfo:
    """Facts about a task; all of them have defaults.

    success: what counts as a success; pages show it after "Success:".
    robot: the robot plugin's name. objects: the names of the objects that are handled.
    observation_names: group -> a name for each of its numbers. action_names: one per action.
    stages: metrics, in order, that are 1 at the end of an episode that reached the stage, else 0.
    headline: other metrics in [0, 1] -> their labels. Reports show their means as rates, in %,
      beside the success rate; a metric with a unit, such as a distance, belongs in `metrics` only,
      which the report lists under its details.
    failures: the kinds of failure, each a metric -> what it means. A failed episode is of the first
      kind whose metric is at least 1/2 at its end, and pages call it as the metric is called, with
      spaces. Those that fit none are named after the first stage that they did not reach, else:
    terminated, out_of_time: the labels of failed episodes that reached every stage and were
      terminated, or were truncated.
    markers: mocap body of the scene that pictures show -> the field of the task's state,
      float32[3], m, that holds its position.
    episode_steps: control steps after which an episode is truncated, unless configured.
    rewards: the reward terms and their weights, by plugin name, unless configured; None: the task
      has no default terms.
    start_state_share: share of training episodes that start from the bank, unless configured.
    cameras: by name, those that a policy sees with unless it has others; see `environment.cameras`.
    perturbations: a YAML file with the grid of `r2s eval --robustness`; None: the generic grid.
    """

    success: str = ""
    robot: str | None = None
    objects: tuple[str, ...] = ()
    observation_names: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    action_names: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
    headline: Mapping[str, str] = dataclasses.field(default_factory=dict)
    failures: Mapping[str, str] = dataclasses.field(default_factory=dict)
    terminated: str = "terminated"
    out_of_time: str = "time ran out"
    markers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    episode_steps: int = 200
    rewards: Mapping[str, float] | None = None
    start_state_share: float = 0.0
    cameras: Mapping[str, Camera] = dataclasses.field(default_factory=dict)
    perturbations: Path | None = None

    def facts(self) -> dict[str, Any]:
        """The facts that result.json stores, as plain values."""
        return {
            "success": self.success,
            "objects": list(self.objects),
            "stages": list(self.stages),
            "headline": dict(self.headline),
            "failures": {failure_name(metric): text for metric, text in self.failures.items()},
        }


def failure_name(metric: str) -> str:
    """What a kind of failure is called, by its metric in `TaskInfo.failures`."""
    return metric.replace("_", " ")
