"""What a task's observation is without cameras, and with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from r2s_core.errors import ConfigError
from r2s_core.types import Array, HasProprioception, Named, Task, View

#: (the task's state, view) of one world -> observation groups.
Observe = Callable[[Any, View], dict[str, Array]]
PROPRIOCEPTION = "proprioception"  # its names in `TaskInfo.observation_names`


def observe_of(task: Task[Any], vision: Literal["rgb_and_state", "rgb"] | None) -> Observe:
    """The groups of numbers that an environment observes.

    Without cameras they are the task's. With them "policy" is what a robot feels, or missing where
    it has images alone, and what the task calls "policy" goes to the critic: it may hold the true
    state of things, which a policy that sees must not read.

    Raises `ConfigError` where the task does not say what a robot feels.
    """
    if vision is None:
        return lambda state, view: dict(task.observe(state, view))
    if vision == "rgb_and_state" and not isinstance(task, HasProprioception):
        raise ConfigError(
            f"environment: the task {type(task).__name__} does not say what a robot feels without "
            "its cameras; give it the method `proprioception`, or set observation_type: rgb"
        )

    def observe(state: Any, view: View) -> dict[str, Array]:
        groups = dict(task.observe(state, view))
        groups.setdefault("critic", groups["policy"])
        del groups["policy"]
        if vision == "rgb_and_state":
            assert isinstance(task, HasProprioception)
            groups = {"policy": task.proprioception(state, view), **groups}
        return groups

    return observe


def names_of(
    names: dict[str, tuple[str, ...]], groups: Named, vision: str | None
) -> dict[str, tuple[str, ...]]:
    """The names of the numbers in `observe_of`'s groups. names: `TaskInfo.observation_names`."""
    if vision is None:
        return names
    state = {"critic": names.get("critic", names.get("policy", ()))}
    felt = {"policy": names.get(PROPRIOCEPTION, ())}
    return {group: own for group, own in (names | state | felt).items() if group in groups}
