"""What a task says of itself, held to what it does."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from r2s_core.errors import R2SError
from r2s_core.suggest import did_you_mean
from r2s_core.task_info import TaskInfo


def check_info(
    whose: str,
    info: TaskInfo,
    metrics: Collection[str],
    observation_shapes: Mapping[str, tuple[int, ...]],
    num_actions: int,
    raising: type[Exception] = R2SError,
) -> None:
    """Raises `raising` where `info` names a metric or counts numbers that there are not.

    metrics: their names. observation_shapes: of one world, by group.
    """
    for field in ("stages", "headline", "failures"):
        for name in getattr(info, field):
            if name not in metrics:
                raise raising(
                    f"{whose}: info.{field} names '{name}', but metrics() has no such metric"
                    f"{did_you_mean(name, metrics)}; it has {', '.join(metrics) or 'none'}"
                )
    if info.action_names and len(info.action_names) != num_actions:
        raise raising(
            f"{whose}: info.action_names has {len(info.action_names)} names, and there are "
            f"{num_actions} actions"
        )
    for group, names in info.observation_names.items():
        size = int(np.prod(observation_shapes.get(group, (0,))))
        if len(names) != size:
            raise raising(
                f"{whose}: info.observation_names has {len(names)} names for the group "
                f"'{group}', which has {size} numbers"
            )


def check_markers(
    whose: str, info: TaskInfo, state: Any, raising: type[Exception] = R2SError
) -> None:
    """Raises `raising` where a marker's place is no position in the task's state (of one world)."""
    for body, field in info.markers.items():
        shape = np.shape(getattr(state, field, ()))
        if shape != (3,):
            raise raising(
                f"{whose}: info.markers puts '{body}' where the state's '{field}' says, which "
                f"{f'has the shape {list(shape)}' if shape else 'is not there'}, not [3]"
            )
