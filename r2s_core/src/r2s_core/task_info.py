"""What a task says of itself, for reports, pictures and whoever trains or deploys a policy."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True)
class TaskInfo:
    """Facts of a task; every one of them has a default.

    success: what counts as a success, as the end of a sentence that begins "Success:".
    robot: what acts, by its plugin's name. objects: what is handled, by name.
    observation_names: group -> a name for each of its numbers. action_names: one per action.
    stages: metrics of which an episode ends with 1 where it came that far, in order.
    headline: other metrics that reports show beside the success rate -> how they call them.
    failures: metrics that end below 1/2 in a kind of failure -> what it is called, in order; asked
      of the episodes that came through every stage.
    terminated, out_of_time: what a failure is called that came through every stage and is none of
      `failures`, where the episode was terminated and where it was truncated.
    markers: mocap bodies of the scene that pictures show -> the field of the task's state,
      float32[3], m, that says where.
    episode_steps: control steps after which an episode is truncated, unless configured.
    rewards: the reward terms and their weights, by plugin name, unless configured; None: it has
      none of its own.
    start_state_share: share of training episodes that start from the bank, unless configured.
    perturbations: a YAML file of what `r2s eval --robustness` tries; None: what suits any task.
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
    perturbations: Path | None = None

    def facts(self) -> dict[str, Any]:
        """What result.json keeps of it, as plain values."""
        return {
            "success": self.success,
            "objects": list(self.objects),
            "stages": list(self.stages),
            "headline": dict(self.headline),
        }
