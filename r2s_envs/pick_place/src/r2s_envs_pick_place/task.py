"""The task `real2sim_pick_place`: pick the scanned object up and bring it to the goal."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from r2s_core.types import Array, Backend, Named, SceneSpec, View, pytree
from r2s_envs_pick_place import control, rotation
from r2s_envs_pick_place.config import PickPlaceConfig
from r2s_envs_pick_place.observation import OBSERVATION_NAMES, Observer
from r2s_envs_pick_place.pick_object import PickObject, build_model, decorated_spec
from r2s_envs_pick_place.scene import SceneOptions

#: Centre of the workspace on the table, m.
CENTRE = np.array([0.5, 0.0], np.float32)
#: The arm's start: the gripper points down at the workspace's centre, 0.25 m above the table.
READY = np.array([0.0, 0.1756, 0.0, -2.3, 0.0, 2.4756, 0.7854, 0.04, 0.04], np.float32)
#: Success is the object within this of the goal, m, for the last `HOLD_STEPS` control steps.
GOAL_RADIUS, TIGHT_RADIUS, HOLD_STEPS = 0.05, 0.025, 10
#: The object has left the workspace beyond this from its centre, m.
BOUNDS = 0.40
_REACHED = 0.05  # the grip is at the grasp point within this, m
_LIFTED = 0.05  # the object is off its resting height by this, m
_START_NOISE = 0.03  # the arm's start angles lie within +- this of READY, rad


@pytree
class PickPlaceState:
    """What an episode remembers, and the facts of the current step that rewards read."""

    goal: Array  # float32[3], m
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
    steps_near: Array  # int32[], control steps in a row within GOAL_RADIUS
    steps_tight: Array  # int32[], the same within TIGHT_RADIUS

    @property
    def reach_distance(self) -> Array:
        """float32[]: from the grip to where it should close, m.

        Not to the object's centre: the palm would rest on a tall object before it got there.
        """
        return _norm(self.ee_position - self.grasp_point)

    @property
    def goal_distance(self) -> Array:
        """float32[]: from the object to the goal, m."""
        return _norm(self.object_position - self.goal)

    @property
    def lift(self) -> Array:
        """float32[]: height of the object above where it rested, m."""
        return self.object_position[2] - self.rest_height


class PickPlace:
    """See `r2s_core.types.Task`. One world; W of them are the engine's business."""

    default_episode_steps = 80

    def __init__(
        self, config: PickPlaceConfig, thing: PickObject, options: SceneOptions | None = None
    ) -> None:
        self.config, self.thing = config, thing
        self._scene_options = options or SceneOptions()
        self._model = build_model(thing, self._scene_options)
        self.arm = control.Arm.from_model(self._model, READY)
        self.observer = Observer.from_model(self._model, self.arm, thing, config)
        self._control = control.LAWS[config.action_space]
        self.object_name = thing.shape.name
        self.action_names = control.ACTION_NAMES[config.action_space]
        self.action_low = -np.ones(len(self.action_names), np.float32)
        self.action_high = np.ones(len(self.action_names), np.float32)
        self.observation_names: Mapping[str, tuple[str, ...]] = {
            group: tuple(name for part in parts for name in OBSERVATION_NAMES[part])
            for group, parts in self.observer.groups.items()
        }
        self._bank: Any = None

    def scene(self) -> SceneSpec:
        return SceneSpec(
            model=self._model,
            substeps=self._scene_options.substeps,
            view_fields=frozenset(
                {"qpos", "qvel", "ctrl", "xpos", "xquat", "site_xpos", "site_xmat", "sensordata"}
            ),
            render_spec=lambda: decorated_spec(self.thing, self._scene_options),
        )

    def init(self, key: Array) -> tuple[PickPlaceState, Array, Array]:
        c, thing = self.config, self.thing
        # One draw for everything: an episode's start is on the path of every control step.
        u = jax.random.uniform(key, (13,), minval=-1.0)
        arm = jnp.asarray(READY).at[:7].add(_START_NOISE * u[:7])
        place = CENTRE + c.object_range * u[7:9]
        yaw = rotation.about_vertical(jnp.deg2rad(c.object_yaw) * u[9])
        height = jnp.float32(thing.rest_height)
        quat = rotation.multiply(yaw, jnp.asarray(thing.rest_quat))
        qpos = jnp.concatenate([arm, place, height[None], quat]).astype(jnp.float32)
        low, high = c.goal_height
        goal_height = height if c.goal == "place" else low + (high - low) * (u[10] + 1) / 2
        goal = jnp.append(CENTRE + c.goal_range * u[11:13], goal_height)
        return self._fresh_state(goal, height), qpos, jnp.zeros(self._model.nv, jnp.float32)

    def control(self, task: PickPlaceState, view: View, action: Array) -> Array:
        return self._control(self.arm, view, action)

    def update(self, task: PickPlaceState, view: View) -> PickPlaceState:
        touching, grasped = self.observer.contact(view)
        task = dataclasses.replace(
            task,
            ee_position=view.site_xpos[self.arm.grip_id],
            object_position=view.qpos[9:12],
            grasp_point=self.thing.grasp_point(view.qpos[9:12], view.qpos[12:16]),
            aligned=0.5 + 0.5 * self.observer.closing_error(view)[0],
            touching=touching,
            grasped=grasped,
        )
        # Placing means letting go: the object counts as placed once no pad touches it.
        free = ~touching.any() if self.config.goal == "place" else jnp.bool_(True)
        near = (task.goal_distance < GOAL_RADIUS) & free
        tight = (task.goal_distance < TIGHT_RADIUS) & free
        return dataclasses.replace(
            task,
            ever_reached=task.ever_reached | (task.reach_distance < _REACHED),
            ever_grasped=task.ever_grasped | grasped,
            ever_lifted=task.ever_lifted | ((task.lift > _LIFTED) & grasped),
            steps_near=jnp.where(near, task.steps_near + 1, 0),
            steps_tight=jnp.where(tight, task.steps_tight + 1, 0),
        )

    def observe(self, task: PickPlaceState, view: View) -> Named:
        return self.observer.observe(task.goal, view)

    def terminated(self, task: PickPlaceState, view: View) -> Array:
        """The object has left the workspace or fallen off the table."""
        place = task.object_position
        outside = jnp.abs(place[:2] - CENTRE).max() > BOUNDS
        return outside | (place[2] < -0.05) | (place[2] > 1.0)

    def success(self, task: PickPlaceState, view: View) -> Array:
        return task.steps_near >= HOLD_STEPS

    def metrics(self, task: PickPlaceState, view: View) -> Named:
        values = {
            "success_2p5cm": task.steps_tight >= HOLD_STEPS,
            "reached": task.ever_reached,
            "grasped": task.ever_grasped,
            "lifted": task.ever_lifted,
            "held": task.grasped,
            "goal_distance": task.goal_distance,
        }
        return {name: value.astype(jnp.float32) for name, value in values.items()}

    def default_rewards(self) -> Mapping[str, float]:
        """The terms and weights of `reward: dense` and `reward: sparse`, by plugin name."""
        if self.config.reward == "sparse":
            return {"sparse": 1.0}
        terms = {"reach": 1 / 9, "grasp": 1 / 9, "lift": 1 / 9, "place": 8 / 9, "at_goal": 2 / 9}
        if self.config.goal == "place":
            # Letting go at the goal costs `grasp` and `place`: it has to pay more than holding on.
            terms["release"] = 16 / 9
        return terms

    # Start-state bank (`r2s_core.types.HasStartBank`).

    def build_start_bank(self, backend: Backend, key: Array) -> None:
        from r2s_envs_pick_place.bank import record

        self._bank = record(self, backend, key)

    def init_from_bank(self, key: Array) -> tuple[PickPlaceState, Array, Array]:
        index = jax.random.randint(key, (), 0, self._bank[1].shape[0])
        return jax.tree.map(lambda leaf: jnp.asarray(leaf)[index], self._bank)

    def _fresh_state(self, goal: Array, height: Array) -> PickPlaceState:
        no, zero = jnp.bool_(False), jnp.int32(0)
        return PickPlaceState(
            goal=goal.astype(jnp.float32),
            rest_height=height,
            ee_position=jnp.zeros(3),
            object_position=jnp.zeros(3),
            grasp_point=jnp.zeros(3),
            aligned=jnp.float32(0.0),
            touching=jnp.zeros(2, bool),
            grasped=no,
            ever_reached=no,
            ever_grasped=no,
            ever_lifted=no,
            steps_near=zero,
            steps_tight=zero,
        )


def _norm(x: Array) -> Array:
    return jnp.sqrt(jnp.sum(x * x) + 1e-12)
