"""A scripted pick: hover, descend, grasp, carry; with `goal: place` set down and release.

Used by the start-state bank, the benchmarks' replayed actions and the demonstrations.

Stateless: each step's phase follows from the view, so it recovers from a slip.
"""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np

from r2s_core.types import Array, View
from r2s_envs_pick_place.scene.pick_object import Facts, ObjectSet
from r2s_envs_pick_place.task.observation import Observer
from r2s_envs_pick_place.task.state import PickPlaceState
from r2s_envs_robots import Arm

_UP = np.array([0.0, 0.0, 1.0], np.float32)
_GAIN = 0.45  # fraction of the distance per step: at 1 the servos' lag causes a limit cycle
_HOVER = 0.08  # m above the grasp point
_ALIGNED_AT, _YAWED_AT = 0.012, 0.15  # m and rad: good enough to descend
_CLOSE_AT = 0.012  # m: near enough to close
_CARRY, _OVER_AT = 0.08, 0.02  # m: height above the goal, kept until this near to it horizontally
_PLACED_AT = 0.012  # m: near enough to the goal to release
_MAX_STEP, _MAX_YAW = 0.04, 0.25  # per control step, m and rad


@dataclasses.dataclass(frozen=True)
class ScriptedPick:
    """One world's controller: pure functions of the task's state and a view."""

    arm: Arm
    observer: Observer
    objects: ObjectSet
    places: bool  # set down at the goal and release, rather than hold there

    @property
    def steps(self) -> int:
        """Control steps within which it is usually done."""
        return 100 if self.places else 60

    def twist(self, state: PickPlaceState, view: View) -> tuple[Array, Array, Array]:
        """Motion [3] (m), yaw [] (rad) and whether to open the gripper, bool[]."""
        grip = view.site_xpos[self.arm.slots.grip]
        place = self.observer.body.position(view.qpos)
        _, grasped = self.observer.contact(view)
        facts = self.objects.facts(state.variant)
        target = self.observer.grasp_point(facts, view)
        yaw = self._yaw_error(facts, view)
        aside = jnp.linalg.norm(target[:2] - grip[:2])
        ready = (aside < _ALIGNED_AT) & (jnp.abs(yaw) < _YAWED_AT)
        there = ready & (jnp.abs(target[2] - grip[2]) < _CLOSE_AT)
        carry, placed = self._carry(state.goal, place)
        hover = jnp.where(ready & ~placed, 0.0, _HOVER)
        pick = jnp.where(there & ~placed, 0.0, target + _UP * hover - grip)
        move = jnp.where(grasped, jnp.where(placed, 0.0, carry), pick)
        return (
            jnp.clip(_GAIN * move, -_MAX_STEP, _MAX_STEP),
            jnp.clip(_GAIN * jnp.where(grasped | placed, 0.0, yaw), -_MAX_YAW, _MAX_YAW),
            ~(grasped | there) | placed,
        )

    def _carry(self, goal: Array, place: Array) -> tuple[Array, Array]:
        """Motion [3] (m) of the held object, and bool[]: it is placed, so release it."""
        away = goal - place
        if not self.places:
            return away, jnp.bool_(False)
        over = jnp.linalg.norm(away[:2]) < _OVER_AT
        lifted = -away[2] > 0.75 * _CARRY
        aside = jnp.where(over | lifted, 1.0, 0.0) * away * (1.0 - _UP)
        upward = _UP * (away[2] + jnp.where(over, 0.0, _CARRY))
        return aside + upward, jnp.linalg.norm(away) < _PLACED_AT

    def ctrl(self, state: PickPlaceState, view: View) -> Array:
        """Servo targets [nu]."""
        move, yaw, opens = self.twist(state, view)
        twist = jnp.concatenate([move, self.arm.downward(view, yaw)])
        command = jnp.where(opens, 1.0, -1.0)[None]
        return jnp.concatenate([self.arm.follow(view, twist), self.arm.gripper(command, view)])

    def _yaw_error(self, facts: Facts, view: View) -> Array:
        """From the closing axis to the object's narrow direction, in (-pi/2, pi/2], rad."""
        closing = view.site_xmat[self.arm.slots.grip][:, 1]
        narrow = self.observer.closing_direction(facts, view)
        error = jnp.arctan2(narrow[1], narrow[0]) - jnp.arctan2(closing[1], closing[0])
        return jnp.mod(error + jnp.pi / 2, jnp.pi) - jnp.pi / 2
