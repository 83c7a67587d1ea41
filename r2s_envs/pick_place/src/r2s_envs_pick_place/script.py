"""A scripted pick: hover, descend, grasp, carry. Serves the start-state bank, the benchmarks'
replayed actions and the demonstrations.

Stateless: each step's phase follows from what the view shows, so it recovers from a slip.
"""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp

from r2s_core.types import Array, View
from r2s_envs_pick_place import control
from r2s_envs_pick_place.observation import Observer
from r2s_envs_pick_place.pick_object import PickObject

_GAIN = 0.45  # of the distance per step: at 1 the servos' lag makes a limit cycle
_HOVER = 0.08  # m above the grasp point
_ALIGNED_AT, _YAWED_AT = 0.012, 0.15  # m and rad: good enough to descend
_CLOSE_AT = 0.012  # m: near enough to close
_MAX_STEP, _MAX_YAW = 0.04, 0.25  # per control step, m and rad


@dataclasses.dataclass(frozen=True)
class ScriptedPick:
    """One world's controller; `ctrl` and `action` are pure functions of a view and the goal."""

    arm: control.Arm
    observer: Observer
    thing: PickObject

    def twist(self, goal: Array, view: View) -> tuple[Array, Array, Array]:
        """Motion [3] (m), yaw [] (rad) and whether to open the gripper, bool[]."""
        grip = view.site_xpos[self.arm.grip_id]
        place = view.qpos[9:12]
        _, grasped = self.observer.contact(view)
        target = self.thing.grasp_point(place, view.qpos[12:16])
        yaw = self._yaw_error(view)
        aside = jnp.linalg.norm(target[:2] - grip[:2])
        ready = (aside < _ALIGNED_AT) & (jnp.abs(yaw) < _YAWED_AT)
        there = ready & (jnp.abs(target[2] - grip[2]) < _CLOSE_AT)
        hover = jnp.where(ready, 0.0, _HOVER)
        move = jnp.where(grasped, goal - place, target + jnp.array([0.0, 0.0, 1.0]) * hover - grip)
        move = _GAIN * jnp.where(there & ~grasped, jnp.zeros(3), move)
        yaw = _GAIN * jnp.where(grasped, 0.0, yaw)
        return (
            jnp.clip(move, -_MAX_STEP, _MAX_STEP),
            jnp.clip(yaw, -_MAX_YAW, _MAX_YAW),
            ~(grasped | there),
        )

    def ctrl(self, goal: Array, view: View) -> Array:
        """Actuator targets [9]."""
        move, yaw, opens = self.twist(goal, view)
        twist = jnp.concatenate([move, self.arm.downward(view, yaw)])
        targets = self.arm.clip(view.qpos[:7] + self.arm.joint_step(view, twist), view)
        return jnp.concatenate([targets, control.gripper(jnp.where(opens, 1.0, -1.0)[None], view)])

    def _yaw_error(self, view: View) -> Array:
        """From the closing axis to the object's narrow direction, in (-pi/2, pi/2], rad."""
        closing = view.site_xmat[self.arm.grip_id][:, 1]
        narrow = self.thing.closing_direction(view.qpos[12:16])
        error = jnp.arctan2(narrow[1], narrow[0]) - jnp.arctan2(closing[1], closing[0])
        return jnp.mod(error + jnp.pi / 2, jnp.pi) - jnp.pi / 2
