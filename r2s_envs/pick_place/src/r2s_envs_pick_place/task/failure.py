"""How episodes fail: kinds that exclude each other, one of which fits every failure.

They are read off the task's state as the episode ends, which remembers what they need. An object
is held while it is grasped, or touches a pad 3 cm or more above where it rested.
"""

from __future__ import annotations

from collections.abc import Mapping

import jax.numpy as jnp

from r2s_core.types import Array, Named
from r2s_envs_pick_place.config import Goal
from r2s_envs_pick_place.task.state import (
    CLEAR,
    GOAL_RADIUS,
    HOLD_STEPS,
    LIFTED,
    REACHED,
    PickPlaceState,
    norm,
)

#: m along the table: an object that was never held and ends farther from its start was pushed.
AWAY = 0.10


def _cm(length: float) -> str:
    return f"{100 * length:g} cm"


_BEFORE_LIFTING = {
    "knocked_away": "the object was never held, and left the workspace or ended more than "
    f"{_cm(AWAY)} from where it lay",
    "never_reached": f"the gripper neither came within {_cm(REACHED)} of where it should close nor "
    "touched the object with a pad",
    "missed_grasp": "the gripper was at the object and never held it",
    "slipped": f"the object was held, and lost before it was lifted by {_cm(LIFTED)}",
    "not_lifted": f"the object was held to the end, and never lifted by {_cm(LIFTED)}",
}
_OFF = f"came no nearer to the goal in the last {HOLD_STEPS} control steps"
#: By goal: each kind, by its metric, and what it means.
FAILURES: Mapping[Goal, Mapping[str, str]] = {
    "air": {
        **_BEFORE_LIFTING,
        "dropped": "the object was lifted, and lost",
        "off_goal": f"the object was held to the end, but left the workspace or {_OFF}",
        "out_of_time": "the object was held, and still on its way or only just at the goal",
    },
    "place": {
        **_BEFORE_LIFTING,
        "dropped": f"the object was lifted, and lost above {_cm(CLEAR)}",
        "off_goal": f"the object was set down more than {_cm(GOAL_RADIUS)} from the goal, or was "
        f"held to the end and left the workspace or {_OFF}",
        "not_released": "the object was at the goal, and the gripper still at the object",
        "out_of_time": "the object was held and still on its way, or only just set down",
    },
}


def kinds(state: PickPlaceState, outside: Array, goal: Goal) -> Named:
    """bool[] each: the kind of failure that the episode is, unless it is a success, if it ends now.

    outside: bool[], the object has left the workspace.
    """
    lifted, holds, was_held = state.ever_carried, state.holds, state.ever_held
    aside = norm(state.object_position[:2] - state.start)
    carried = lifted & holds
    stuck = outside | (state.steps_no_nearer >= HOLD_STEPS)
    found = {
        "knocked_away": ~was_held & (outside | (aside > AWAY)),
        "never_reached": ~state.ever_reached,
        "missed_grasp": ~was_held,
        "slipped": ~lifted & ~holds,
        "not_lifted": ~lifted,
    }
    if goal == "place":
        near = state.goal_distance < GOAL_RADIUS
        found["not_released"] = near & ~state.placed & (holds | state.touching.any())
        found["out_of_time"] = state.placed | (carried & ~stuck)
        found["off_goal"] = carried | ((state.held_lift < CLEAR) & ~outside)
        found["dropped"] = jnp.bool_(True)
    else:
        found["dropped"] = ~holds
        found["off_goal"] = stuck
        found["out_of_time"] = jnp.bool_(True)
    return _first(found)


def _first(found: Named) -> Named:
    """Only the first that is true stays so."""
    left, first = jnp.bool_(True), {}
    for name, fits in found.items():
        first[name] = left & fits
        left = left & ~fits
    return first
