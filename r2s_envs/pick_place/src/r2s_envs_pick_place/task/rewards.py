"""The reward terms of pick and place: pure, unweighted, of one world.

The dense set follows the staged shaping that manipulation benchmarks share (reach, grasp, lift,
move to the goal), with every later stage gated by a true grasp. It also rewards turning the
fingers, without which a policy squeezes objects that lie across them. An object that was placed
and released still counts as held: opening the gripper at the goal costs nothing, and `release` is
a bonus.
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp

from r2s_core.plugin import NoConfig
from r2s_core.types import Array, Transition
from r2s_envs_pick_place.config import PlaceConfig, ReachConfig
from r2s_envs_pick_place.task.state import TIGHT_RADIUS, PickPlaceState

Term = Callable[[Transition], Array]
_FULL_LIFT = 0.05  # m


def reach(config: ReachConfig) -> Term:
    """1 with the grip at the object, falling as 1 - tanh(distance * sharpness)."""
    return lambda transition: 1.0 - jnp.tanh(config.sharpness * _state(transition).reach_distance)


def align(config: NoConfig) -> Term:
    """1 with the fingers turned so that they close along the object's narrow direction, falling
    linearly with the angle to 0 across it: there, where it matters most, a cosine would be flat."""
    return lambda transition: _state(transition).aligned


def grasp(config: NoConfig) -> Term:
    """1 while the object is held between the pads, or placed."""
    return lambda transition: _held(transition)


def lift(config: NoConfig) -> Term:
    """0 to 1 over the first 5 cm that the grasped object rises; 1 once it is placed."""

    def term(transition: Transition) -> Array:
        rise = jnp.clip(_state(transition).lift / _FULL_LIFT, 0.0, 1.0)
        return _held(transition) * jnp.where(_state(transition).placed, 1.0, rise)

    return term


def place(config: PlaceConfig) -> Term:
    """How near the held object is to the goal, 0 to 1: half falls linearly with the distance, so
    that far goals pull as much as near ones; half is 1 - tanh(distance * sharpness)."""

    def term(transition: Transition) -> Array:
        e = _state(transition).goal_distance
        far = jnp.clip(1.0 - e / config.range, 0.0, 1.0)
        near = 1.0 - jnp.tanh(config.sharpness * e)
        return _held(transition) * 0.5 * (far + near)

    return term


def at_goal(config: NoConfig) -> Term:
    """1 while the object is within 2.5 cm of the goal."""
    return lambda transition: (_state(transition).goal_distance < TIGHT_RADIUS).astype(jnp.float32)


def release(config: NoConfig) -> Term:
    """1 while the object is at the goal and no pad touches it (`goal: place`)."""
    return lambda transition: _state(transition).placed.astype(jnp.float32)


def sparse(config: NoConfig) -> Term:
    """+1 on a step at which the task is solved, else -1."""
    return lambda transition: jnp.where(transition.success, 1.0, -1.0)


def _state(transition: Transition) -> PickPlaceState:
    return transition.task


def _held(transition: Transition) -> Array:
    return (_state(transition).grasped | _state(transition).placed).astype(jnp.float32)
