"""What the pages know of tasks: the one place with a task's own words and metrics."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

_PICK_PLACE = "real2sim_pick_place"
_AIR = "the object within 5 cm of the goal for the last 10 control steps"
_PLACE = "the object set down within 5 cm of the goal and let go, for the last 10 control steps"


@dataclasses.dataclass(frozen=True)
class TaskWords:
    """How a task's episodes are told.

    success: what counts as one. rates: (key of `rates_of`, name), in the order in which an
    episode passes them; what was not measured is left out. stages: (column of the training's
    metrics, name), in order.
    """

    success: str
    rates: tuple[tuple[str, str], ...]
    stages: tuple[tuple[str, str], ...]


def task_words(environment: Mapping[str, Any]) -> TaskWords:
    """Of the task that a resolved configuration's section `environment` names."""
    success = "as the task's own `success` counts it when the episode ends"
    if environment["use"].split(":")[-1] == _PICK_PLACE:
        success = _PLACE if environment.get("goal") == "place" else _AIR
    stages = ("reached", "grasped", "lifted", "success")
    return TaskWords(
        success,
        rates=(*((name, name) for name in stages), ("success_rate_2p5cm", "within 2.5 cm")),
        stages=tuple((f"episode/{name}", name) for name in stages),
    )


def rates_of(result: Mapping[str, Any], words: TaskWords) -> list[tuple[str, float]]:
    """(name, rate) of an evaluation, in the task's order."""
    rates = {
        **result.get("stage_rates", {}),
        "success": result["success_rate"],
        "success_rate_2p5cm": result.get("success_rate_2p5cm"),
    }
    return [(name, rates[key]) for key, name in words.rates if rates.get(key) is not None]
