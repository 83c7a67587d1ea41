"""A scripted expert: come down over the object, close, lift, carry; with `goal: place` set down
and release.

It starts the start-state bank, replays in benchmarks and demonstrates to learners, so it acts as a
policy does: in the task's own action space, bounded as a policy's actions are.

Each step's phase follows from the state and the view alone, so it recovers from a slip.
"""

from __future__ import annotations

import dataclasses
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np

from r2s_core import rotation
from r2s_core.types import Array, Task, View
from r2s_envs_pick_place.config import ActionSpace
from r2s_envs_pick_place.scene.pick_object import DIRECTIONS, Facts, ObjectSet
from r2s_envs_pick_place.task.observation import Observer
from r2s_envs_pick_place.task.state import GOAL_RADIUS, PickPlaceState, norm
from r2s_envs_robots import Arm

_UP = np.array([0.0, 0.0, 1.0], np.float32)
#: A motion is _GAIN * (what is left - _LAG * velocity): the velocity term makes up for the servos'
#: lag, without which a gain above 0.45 causes a limit cycle.
_GAIN, _LAG = 0.7, 0.05  # 1 and s
_CLEARANCE = 0.015  # m of the fingertips above the object's top until they are aligned with it
_WITHIN, _TURNED = 0.012, 0.3  # m and rad: the mouth of the funnel through which they come down
_THERE = (0.01, 0.005, 0.15)  # m sideways, m in height, rad: close enough to close the gripper
_STAYS = (0.02, 0.02, 0.3)  # the same: a gripper that is closing goes on
_HELD = 0.03  # m: an object that both pads touch is held if the grip is as near as this to it
_STILL = 0.03  # m/s: the opening changes by less, so the grip has settled
_OPEN = 0.95  # of the full opening: open
_SPAN = 0.9  # of the full opening, that an object may take up
_EMPTY = 0.004  # m: a gripper that is closed further than this holds nothing
_LOOSE, _SLOW = 0.01, 0.02  # m: below this height an object is lifted by at most that in a step
_CLEAR = 0.03  # m of height before an object moves sideways at full speed
_CARRY, _OVER = 0.08, 0.02  # m: height above a goal on the table, until as near as this sideways
_PLACED = 0.012  # m: near enough to a goal on the table to let go
_RISE = 0.1  # m per step, after letting go


class Scripted(Task[PickPlaceState], Protocol):
    """A task on these objects that can play its expert."""

    objects: ObjectSet

    def expert_ctrl(self, task: PickPlaceState, view: View) -> Array:
        """Servo targets [nu] of the expert's action."""
        ...


@dataclasses.dataclass(frozen=True)
class ScriptedPick:
    """One world's expert: pure functions of the task's state and a view.

    places: it sets the object down at the goal and releases it, rather than hold it there.
    """

    arm: Arm
    observer: Observer
    objects: ObjectSet
    action_space: ActionSpace
    places: bool

    def action(self, state: PickPlaceState, view: View) -> Array:
        """float32[A]: the action in the task's action space, within -1 and 1."""
        move, yaw, opens = self._twist(state, view)
        pace, fingers = self.arm.robot.pace, jnp.where(opens, 1.0, -1.0)
        if self.action_space == "ee_delta":
            turn = jnp.clip(yaw / pace.ee_yaw, -1.0, 1.0)
            return jnp.concatenate([_bounded(move / pace.ee), turn[None], fingers[None]])
        # The control law adds the pull to the arm's posture, which `joint_step` includes.
        pull = self.arm.joint_step(view, jnp.zeros(6))
        travel, turn = (
            (self.arm.joint_step(view, jnp.concatenate(twist)) - pull) / pace.joint
            for twist in ((move, jnp.zeros(3)), (jnp.zeros(3), self.arm.downward(view, yaw)))
        )
        # Apart, so that a long turn, which is for the wrist, does not hold up the arm.
        joints = jnp.clip(_bounded(travel) + turn, -1.0, 1.0)
        return jnp.concatenate([joints, jnp.stack([fingers, fingers])])

    def _twist(self, state: PickPlaceState, view: View) -> tuple[Array, Array, Array]:
        """Motion [3] (m), yaw [] (rad) and whether to open the gripper, bool[]."""
        facts = self.objects.facts(state.variant)
        grip = view.site_xpos[self.arm.slots.grip]
        away = self.observer.grasp_point(facts, view) - grip
        yaw = self._yaw_error(facts, view)
        speed = self.arm.jacobian(view) @ self.arm.slots.arm_velocity(view.qvel)
        closing, opening, still = self._gripper(view)
        touching, grasped = self.observer.contact(view)
        held = grasped | (touching.all() & closing & (norm(away) < _HELD))
        released = self.places & state.ever_lifted & ~closing & (state.goal_distance < GOAL_RADIUS)

        empty = closing & still & ~held & (opening < _EMPTY)
        there = _near(away, yaw, _THERE) | (closing & _near(away, yaw, _STAYS))
        closes = (there | held) & ~empty & ~released
        settled = still | (state.lift > _LOOSE)
        carry, arrived = self._carry(state, view)
        approach = jnp.where(closes, away, self._approach(facts, view, away, yaw))
        move = jnp.where(held, jnp.where(settled, carry, 0.0), approach)
        move = jnp.where(released, _RISE * _UP, move)
        turn = jnp.where(touching.any() | held | released, 0.0, yaw)
        return (
            _GAIN * (move - _LAG * speed[:3]),
            _GAIN * (turn - _LAG * speed[5]),
            ~closes | (held & arrived),
        )

    def _approach(self, facts: Facts, view: View, away: Array, yaw: Array) -> Array:
        """Motion [3] of the open hand: above the object until aligned, then down upon it."""
        body, quat = self.observer.body, self.observer.body.quaternion(view.qpos)
        heights = facts.embedding * (DIRECTIONS.astype(np.float32) @ rotation.to_matrix(quat)[2])
        top = body.position(view.qpos)[2] + heights.max()
        tip = view.site_xpos[self.arm.slots.grip][2] - self.arm.robot.gripper.pad_below_grip
        off = jnp.maximum(norm(away[:2]) / _WITHIN, jnp.abs(yaw) / _TURNED)  # 1: at the mouth
        rise = jnp.maximum(top + _CLEARANCE - tip, away[2])
        up = away[2] + jnp.clip(2.0 * off - 1.0, 0.0, 1.0) * (rise - away[2])
        # A hand beside a tall object rises before it moves over it.
        sideways = jnp.where(off < 1.0, 1.0, jnp.clip(1.0 - up / _CLEAR, 0.0, 1.0))
        return jnp.append(sideways * away[:2], up)

    def _carry(self, state: PickPlaceState, view: View) -> tuple[Array, Array]:
        """Motion [3] of the held object, and bool[]: it is where it is to be let go."""
        away = state.goal - self.observer.body.position(view.qpos)
        aside, up, lift = norm(away[:2]), away[2], state.lift
        # Only what was lifted counts as placed, so a goal under the object is not yet reached.
        over = self.places & (aside < _OVER) & state.ever_lifted
        if self.places:
            up = up + jnp.where(over, 0.0, _CARRY)
        else:
            # Not along the table, to a goal that is lower than what a grip can be carried at.
            up = jnp.maximum(up, jnp.where(aside > _OVER, 1.2 * _CLEAR - lift, -1.0))
        up = jnp.where(lift < _LOOSE, jnp.minimum(up, _SLOW), up)
        sideways = jnp.where(over, 1.0, jnp.clip(lift / _CLEAR, 0.0, 1.0))
        return jnp.append(sideways * away[:2], up), over & (norm(away) < _PLACED)

    def _gripper(self, view: View) -> tuple[Array, Array, Array]:
        """Whether it is closing or closed, bool[]; its opening, m; whether that stays, bool[].

        From the fingers' motion, which a policy observes, rather than from the last command.
        """
        slots, robot = self.arm.slots, self.arm.robot
        fingers, velocities = slots.fingers(view.qpos), slots.finger_velocity(view.qvel)
        opening, rate = jax.jvp(robot.opening, (fingers,), (velocities,))
        closing = (opening < _OPEN * robot.gripper.opening) & (rate < _STILL)
        return closing, opening, jnp.abs(rate) < _STILL

    def _yaw_error(self, facts: Facts, view: View) -> Array:
        """From the closing axis to the direction to close along, in (-pi/2, pi/2], rad.

        0 for a round object, which any direction fits: the best one would be an accident of its
        scan, which no policy could see.
        """
        closing = view.site_xmat[self.arm.slots.grip][:, 1]
        narrow = self.observer.closing_direction(facts, view)
        error = jnp.arctan2(narrow[1], narrow[0]) - jnp.arctan2(closing[1], closing[0])
        fits = facts.round_width < _SPAN * self.arm.robot.gripper.opening
        return jnp.where(fits, 0.0, jnp.mod(error + jnp.pi / 2, jnp.pi) - jnp.pi / 2)


def _near(away: Array, yaw: Array, within: tuple[float, float, float]) -> Array:
    """bool[]: the grip is at its grasp, within m sideways, m in height and rad."""
    sideways, height, turn = within
    return (norm(away[:2]) < sideways) & (jnp.abs(away[2]) < height) & (jnp.abs(yaw) < turn)


def _bounded(action: Array) -> Array:
    """The action, shortened where its largest component is beyond 1: its direction stays."""
    return jnp.clip(action / jnp.maximum(1.0, jnp.abs(action).max()), -1.0, 1.0)
