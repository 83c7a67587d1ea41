"""The state of an episode of `real2sim_pick_place`."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp

from r2s_core.types import Array, pytree

#: Success is the object within this of the goal, m, for the last `HOLD_STEPS` control steps.
GOAL_RADIUS, TIGHT_RADIUS, HOLD_STEPS = 0.05, 0.025, 10
REACHED = 0.05  # the hand is at the object: the grip at the grasp point within this, m
LIFTED = 0.05  # the object is off its resting height by this, m
CLEAR = 0.03  # an object this high that touches a pad is in the hand, m; one below stands
LOST_STEPS = 3  # control steps for which an object is out of the hand before it counts as lost
_NEARER = 0.002  # m: nearer to the goal by less than this is no progress


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
    # What tells how an episode failed (`failure.kinds`).
    start: Array  # float32[2], m: where the object lay
    ever_held: Array  # bool[]: it was in the hand
    ever_carried: Array  # bool[]: it was in the hand, LIFTED off the table
    held_lift: Array  # float32[], m: `lift` when it was last in the hand
    steps_lost: Array  # int32[], control steps since it was last in the hand
    nearest: Array  # float32[], m: the least `goal_distance` since it was picked up
    steps_no_nearer: Array  # int32[], control steps since then

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

    @property
    def holds(self) -> Array:
        """bool[]: the object was in the hand a moment ago; contacts flicker."""
        return self.ever_held & (self.steps_lost < LOST_STEPS)

    def remembering(self) -> PickPlaceState:
        """The state after a control step, with what tells how an episode failed.

        In the hand is more than `grasped`, which wants both pads square on the object: an object
        may also hang between their edges.
        """
        in_hand = self.grasped | (self.touching.any() & (self.lift > CLEAR))
        state = dataclasses.replace(
            self,
            ever_held=self.ever_held | in_hand,
            ever_carried=self.ever_carried | (in_hand & (self.lift > LIFTED)),
            steps_lost=jnp.where(in_hand, 0, self.steps_lost + 1),
            held_lift=jnp.where(in_hand, self.lift, self.held_lift),
        )
        nearer = ~state.holds | (self.goal_distance < self.nearest - _NEARER)
        return dataclasses.replace(
            state,
            nearest=jnp.where(nearer, self.goal_distance, self.nearest),
            steps_no_nearer=jnp.where(nearer, 0, self.steps_no_nearer + 1),
        )


def fresh_state(goal: Array, place: Array, height: Array, variant: Array) -> PickPlaceState:
    """The state of a new episode, before the first view.

    place: float32[2], m: where the object is. height: float32[], m, at which it rests.
    """
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
        start=place.astype(jnp.float32),
        ever_held=no,
        ever_carried=no,
        held_lift=jnp.float32(0.0),
        steps_lost=zero,
        nearest=jnp.float32(0.0),
        steps_no_nearer=zero,
    )


def norm(x: Array) -> Array:
    """float32[]: the length of [n], with a gradient at 0 too."""
    return jnp.sqrt(jnp.sum(x * x) + 1e-12)
