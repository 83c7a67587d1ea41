"""Checks of a task's `TaskInfo` against what the task does."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from r2s_core.env.felt import PROPRIOCEPTION
from r2s_core.errors import R2SError
from r2s_core.suggest import did_you_mean
from r2s_core.system.foreign import calling
from r2s_core.task_info import TaskInfo
from r2s_core.types import SceneSpec


def check_info(
    owner: str,
    info: TaskInfo,
    metrics: Collection[str],
    observation_shapes: Mapping[str, tuple[int, ...]],
    num_actions: int,
    raising: type[Exception] = R2SError,
) -> None:
    """Raises `raising` where `info` names an unknown metric, has a wrong number of names, or ends
    episodes before their first step.

    metrics: their names. observation_shapes: of one world, by group, with that of
    `HasProprioception` where a task has it; an environment has that group as "policy" or not at
    all.
    """
    check_length(owner, info, raising)
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
        where = f"{owner}: info.observation_names has {len(names)} names for the group '{group}'"
        if (shape := observation_shapes.get(group)) is None:
            if group == PROPRIOCEPTION:
                continue
            meant = did_you_mean(group, observation_shapes)
            groups = ", ".join(observation_shapes)
            raise raising(f"{where}, but observe() has no such group{meant}; it has {groups}")
        if len(shape) != 1:
            raise raising(f"{where}, which is an image; images have no names")
        if len(names) != shape[0]:
            raise raising(f"{where}, which has {shape[0]} numbers")


def check_length(owner: str, info: TaskInfo, raising: type[Exception] = R2SError) -> None:
    """Raises `raising` where episodes would have no step."""
    steps = info.episode_steps
    if not isinstance(steps, int) or steps < 1:
        raise raising(
            f"{owner}: info.episode_steps is {steps!r}; it must be a whole number of control "
            "steps, at least 1"
        )


def check_markers(
    owner: str, info: TaskInfo, state: Any, scene: SceneSpec, raising: type[Exception] = R2SError
) -> None:
    """Raises `raising` where a marker names no position in the task's state (of one world), or no
    mocap body of what pictures show."""
    if info.markers and scene.render_spec is not None:
        with calling(owner, scene.render_spec):
            spec = scene.render_spec(0)
            bodies = {body.name: bool(body.mocap) for body in spec.bodies}
        for body in info.markers:
            if not bodies.get(body):
                mocap = [name for name, is_mocap in bodies.items() if is_mocap]
                raise raising(
                    f"{owner}: info.markers names the body '{body}', which "
                    + ("is no mocap body of " if body in bodies else "is not in ")
                    + f"the scene's render_spec{did_you_mean(body, mocap)}; its mocap bodies: "
                    + (", ".join(mocap) or "none")
                )
    for body, field in info.markers.items():
        shape = list(np.shape(getattr(state, field))) if hasattr(state, field) else None
        if shape != [3]:
            found = "does not exist" if shape is None else f"has the shape {shape}, not [3]"
            place = f"info.markers puts '{body}' at the state's field '{field}'"
            raise raising(f"{owner}: {place}, which {found}")
