"""The state of an episode of `real2sim_pick_place`."""

from __future__ import annotations

import jax.numpy as jnp

from r2s_core.types import Array, pytree

#: Success is the object within this of the goal, m, for the last `HOLD_STEPS` control steps.
GOAL_RADIUS, TIGHT_RADIUS, HOLD_STEPS = 0.05, 0.025, 10


@pytree
class PickPlaceState:
    """What persists within an episode, and the values of the current step that rewards read."""

    goal: Array  # float32[3], m
    variant: Array  # int32[]: which object
    rest_height: Array  # float32[], of the object's origin on the table, m
    ee_position: Array  # float32[3], m
    object_position: Array  # float32[3], m
    grasp_point: Array  # float32[3], m: where on the object the grip should close
    aligned: Array  # float32[], 1 with the fingers along the direction to close in, 0 across it
    touching: Array  # bool[2]: the left and the right pad touch the object
    grasped: Array  # bool[]: the object is between the pads, which press on it
    ever_reached: Array  # bool[]
    ever_grasped: Array  # bool[]
    ever_lifted: Array  # bool[]
    placed: Array  # bool[]: `goal: place`: lifted once, within GOAL_RADIUS of the goal, released
    steps_near: Array  # int32[], control steps in a row within GOAL_RADIUS
    steps_tight: Array  # int32[], the same within TIGHT_RADIUS

    @property
    def reach_distance(self) -> Array:
        """float32[]: from the grip to where it should close, m.

        Not to the object's centre: on a tall object the palm would touch first.
        """
        return norm(self.ee_position - self.grasp_point)

    @property
    def goal_distance(self) -> Array:
        """float32[]: from the object to the goal, m."""
        return norm(self.object_position - self.goal)

    @property
    def lift(self) -> Array:
        """float32[]: height of the object above where it rested, m."""
        return self.object_position[2] - self.rest_height


def fresh_state(goal: Array, height: Array, variant: Array) -> PickPlaceState:
    """The state of a new episode, before the first view."""
    no, zero = jnp.bool_(False), jnp.int32(0)
    return PickPlaceState(
        goal=goal.astype(jnp.float32),
        variant=jnp.asarray(variant, jnp.int32),
        rest_height=height,
        ee_position=jnp.zeros(3, jnp.float32),
        object_position=jnp.zeros(3, jnp.float32),
        grasp_point=jnp.zeros(3, jnp.float32),
        aligned=jnp.float32(0.0),
        touching=jnp.zeros(2, bool),
        grasped=no,
        ever_reached=no,
        ever_grasped=no,
        ever_lifted=no,
        placed=no,
        steps_near=zero,
        steps_tight=zero,
    )


def norm(x: Array) -> Array:
    """float32[]: the length of [n], with a gradient at 0 too."""
    return jnp.sqrt(jnp.sum(x * x) + 1e-12)
