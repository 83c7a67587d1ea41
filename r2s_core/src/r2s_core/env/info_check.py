"""Checks of a task's `TaskInfo` against what the task does."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from r2s_core.errors import R2SError
from r2s_core.suggest import did_you_mean
from r2s_core.task_info import TaskInfo


def check_info(
    owner: str,
    info: TaskInfo,
    metrics: Collection[str],
    observation_shapes: Mapping[str, tuple[int, ...]],
    num_actions: int,
    raising: type[Exception] = R2SError,
) -> None:
    """Raises `raising` where `info` names an unknown metric or has a wrong number of names.

    metrics: their names. observation_shapes: of one world, by group.
    """
    for field in ("stages", "headline", "failures"):
        for name in getattr(info, field):
            if name not in metrics:
                raise raising(
                    f"{owner}: info.{field} names '{name}', but metrics() has no such metric"
                    f"{did_you_mean(name, metrics)}; it has {', '.join(metrics) or 'none'}"
                )
    if info.action_names and len(info.action_names) != num_actions:
        raise raising(
            f"{owner}: info.action_names has {len(info.action_names)} names, but there are "
            f"{num_actions} actions"
        )
    for group, names in info.observation_names.items():
        size = int(np.prod(observation_shapes.get(group, (0,))))
        if len(names) != size:
            raise raising(
                f"{owner}: info.observation_names has {len(names)} names for the group "
                f"'{group}', which has {size} numbers"
            )


def check_markers(
    owner: str, info: TaskInfo, state: Any, raising: type[Exception] = R2SError
) -> None:
    """Raises `raising` where a marker names no position in the task's state (of one world)."""
    for body, field in info.markers.items():
        shape = np.shape(getattr(state, field, ()))
        if shape != (3,):
            raise raising(
                f"{owner}: info.markers puts '{body}' at the state's field '{field}', which "
                f"{f'has the shape {list(shape)}, not [3]' if shape else 'does not exist'}"
            )
