"""The task `real2sim_pick_place`: pick the scanned object up and bring it to the goal."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from r2s_core import rotation
from r2s_core.deployment import Deployment
from r2s_core.errors import ConfigError
from r2s_core.registry import build_robot
from r2s_core.robot import Robot
from r2s_core.task_info import TaskInfo
from r2s_core.types import Array, Backend, Named, SceneSpec, View
from r2s_envs_pick_place.config import PickPlaceConfig
from r2s_envs_pick_place.scene.build import SceneOptions, implicit_damping
from r2s_envs_pick_place.scene.cameras import default_cameras
from r2s_envs_pick_place.scene.pick_object import (
    ObjectSet,
    PickObject,
    decorated_spec,
    seen_spec,
)
from r2s_envs_pick_place.scene.variants import build_models
from r2s_envs_pick_place.task import bank, capacity, failure
from r2s_envs_pick_place.task.deployed import deployment_of
from r2s_envs_pick_place.task.observation import Observer, observation_names
from r2s_envs_pick_place.task.script import ScriptedPick
from r2s_envs_pick_place.task.state import (
    GOAL_RADIUS,
    HOLD_STEPS,
    LIFTED,
    REACHED,
    TIGHT_RADIUS,
    PickPlaceState,
    fresh_state,
    norm,
)
from r2s_envs_robots import LAWS, Arm

#: The object has left the workspace beyond this from its centre, m.
BOUNDS = 0.40
_MIN_CARRY, _GOAL_DRAWS = 0.10, 8  # m between the object and a goal on the table; draws for it
_START_NOISE = 0.03  # the arm's start angles lie within +- this of its ready posture, rad


def robot_of(config: PickPlaceConfig) -> Robot:
    """The configured robot, with official meshes if configured.

    Raises ConfigError if it has no official meshes.
    """
    robot = build_robot(config.robot)
    if not config.official_meshes:
        return robot
    if robot.dress_officially is None:
        raise ConfigError(
            f"the robot {robot.name} has no official meshes; set environment.official_meshes: false"
        )
    return dataclasses.replace(robot, dress=robot.dress_officially)


class PickPlace:
    """See `r2s_core.types.Task`. One world; the engine maps it over W of them."""

    def __init__(
        self,
        config: PickPlaceConfig,
        *objects: PickObject,
        options: SceneOptions | None = None,
    ) -> None:
        """objects: each world has one of them."""
        self.config, self.objects = config, ObjectSet(objects)
        self._scene_options = options or SceneOptions(robot=robot_of(config))
        self.robot = robot = self._scene_options.robot
        self._model, self._variants = build_models(self.objects, self._scene_options)
        self.arm = Arm.of(self._model, robot, robot.ready)
        self.observer = Observer.from_model(self._model, self.arm, config)
        self._centre = np.array(robot.workspace, np.float32)
        self._ready = robot.qpos(self._model, robot.ready).astype(np.float32)
        self._control = LAWS[config.action_space]
        self._script = ScriptedPick(
            self.arm, self.observer, self.objects, config.action_space, config.goal == "place"
        )
        self.info = self._describe()
        self.action_low = -np.ones(len(self.info.action_names), np.float32)
        self.action_high = np.ones(len(self.info.action_names), np.float32)
        self._bank: Any = None
        self._capacity: tuple[int, int] | None = None  # contacts and constraint rows
        self._level: Array | None = None

    def _describe(self) -> TaskInfo:
        config, names = self.config, observation_names(len(self.robot.arm_joints))
        state = "stands on the table, let go" if config.goal == "place" else "is held"
        return TaskInfo(
            success=f"the object {state} within {100 * GOAL_RADIUS:g} cm of the goal, for the last "
            f"{HOLD_STEPS} control steps",
            robot=self.robot.name,
            objects=tuple(
                dict.fromkeys(m.shape.name for m in self.objects.members if not m.held_out)
            ),
            observation_names={
                group: tuple(name for part in parts for name in names[part])
                for group, parts in (
                    *self.observer.groups.items(),
                    ("proprioception", ("proprioception",)),
                )
            },
            action_names=self.robot.action_names[config.action_space],
            stages=("reached", "grasped", "lifted"),
            headline={"success_2p5cm": "success within 2.5 cm"},
            failures=failure.FAILURES[config.goal],
            markers={"goal_marker": "goal"},
            episode_steps=80,
            rewards=self._default_rewards(),
            cameras=default_cameras(self.robot),
            perturbations=Path(__file__).with_name("perturbations.yaml"),
        )

    def scene(self) -> SceneSpec:
        return SceneSpec(
            model=self._model,
            substeps=self._scene_options.substeps,
            view_fields=frozenset(
                {"qpos", "qvel", "ctrl", "xpos", "xquat", "site_xpos", "site_xmat", "sensordata"}
            ),
            render_spec=lambda variant: decorated_spec(
                self.objects.members[variant], self._scene_options
            ),
            camera_spec=lambda variant: seen_spec(self.objects, variant, self._scene_options),
            worst_case=self._worst_case,
            variants=self._variants,
            properties=self.objects.properties(),
            implicit_damping=implicit_damping(self._model),
        )

    def at_level(self, level: Array) -> PickPlace:
        """See `r2s_core.types.HasDifficulty`: an easy goal is near where the object starts."""
        easier = copy.copy(self)
        easier._level = level
        return easier

    def init(self, key: Array, variant: Array) -> tuple[PickPlaceState, Array, Array]:
        c, facts = self.config, self.objects.facts(variant)
        start_key, goal_key = jax.random.split(key)
        slots, joints = self.arm.slots, len(self.robot.arm_joints)
        # One draw for all of it: episode starts are computed in every control step.
        u = jax.random.uniform(start_key, (joints + 3,), minval=-1.0)
        arm, (x, y, turn) = u[:joints], u[joints:]
        place = self._centre + c.object_range * jnp.stack([x, y])
        yaw = rotation.about_vertical(jnp.deg2rad(c.object_yaw) * turn)
        quat = rotation.multiply(yaw, facts.rest_quat)
        qpos = slots.arm.put(jnp.asarray(self._ready), self.arm.home + _START_NOISE * arm)
        pose = jnp.concatenate([place, facts.rest_height[None], quat])
        qpos = self.observer.body.pose.put(qpos, pose)
        return self.aim(goal_key, qpos, variant), qpos, jnp.zeros(self._model.nv, jnp.float32)

    def aim(self, key: Array, qpos: Array, variant: Array) -> PickPlaceState:
        """The state of a new episode that starts at `qpos`, with a goal of its own."""
        c, height = self.config, self.objects.facts(variant).rest_height
        (low, high), place = c.goal_height, self.observer.body.position(qpos)[:2]
        if c.goal == "place":
            goal = jnp.append(self._goal_aside(key, place), height)
            way = goal - jnp.append(place, height)
            nearest = goal - way * (1.0 - jnp.minimum(_MIN_CARRY / (norm(way) + 1e-6), 1.0))
        else:
            u = jax.random.uniform(key, (3,), minval=-1.0)
            goal = jnp.append(
                self._centre + c.goal_range * u[1:], low + (high - low) * (u[0] + 1) / 2
            )
            nearest = jnp.append(place, low)
        if self._level is not None:
            goal = nearest + self._level * (goal - nearest)
        return fresh_state(goal, place, height, variant)

    def _goal_aside(self, key: Array, place: Array) -> Array:
        """float32[2]: a goal on the table, `_MIN_CARRY` from the object or, where a small
        `goal_range` leaves no room for that, the farthest of `_GOAL_DRAWS` samples."""
        u = jax.random.uniform(key, (_GOAL_DRAWS, 2), minval=-1.0)
        goals = self._centre + self.config.goal_range * u
        distance = jnp.linalg.norm(goals - place, axis=-1)
        return goals[jnp.argmax(jnp.minimum(distance, _MIN_CARRY))]

    def control(self, task: PickPlaceState, view: View, action: Array) -> Array:
        return self._control(self.arm, view, action)

    def begin(self, task: PickPlaceState, view: View) -> PickPlaceState:
        """See `r2s_core.types.HasBegin`. Where everything is at the start."""
        touching, grasped = self.observer.contact(view)
        facts = self.objects.facts(task.variant)
        return dataclasses.replace(
            task,
            ee_position=view.site_xpos[self.arm.slots.grip],
            object_position=self.observer.body.position(view.qpos),
            grasp_point=self.observer.grasp_point(facts, view),
            aligned=1.0 - jnp.abs(self.observer.closing_turn(facts, view)) * (2.0 / jnp.pi),
            touching=touching,
            grasped=grasped,
        )

    def update(self, task: PickPlaceState, view: View) -> PickPlaceState:
        task = self.begin(task, view)
        touching, grasped = task.touching, task.grasped
        ever_lifted = task.ever_lifted | ((task.lift > LIFTED) & grasped)
        places = self.config.goal == "place"
        free = ~touching.any()
        # Placing means letting go, of an object that was picked up rather than pushed.
        counts = (free & ever_lifted) if places else jnp.bool_(True)
        near = (task.goal_distance < GOAL_RADIUS) & counts
        tight = (task.goal_distance < TIGHT_RADIUS) & counts
        return dataclasses.replace(
            task,
            # A pad that touches the object has reached it, however far from the grasp point.
            ever_reached=task.ever_reached | touching.any() | (task.reach_distance < REACHED),
            ever_grasped=task.ever_grasped | grasped,
            ever_lifted=ever_lifted,
            placed=near & places,
            steps_near=jnp.where(near, task.steps_near + 1, 0),
            steps_tight=jnp.where(tight, task.steps_tight + 1, 0),
        ).remembering()

    def observe(self, task: PickPlaceState, view: View) -> Named:
        return self.observer.observe(task, self.objects.facts(task.variant), view)

    def proprioception(self, task: PickPlaceState, view: View) -> Array:
        """See `r2s_core.types.HasProprioception`."""
        return self.observer.proprioception(task.goal, view)

    def readings(self, task: PickPlaceState, view: View) -> Named:
        """See `r2s_core.types.HasReadings`."""
        return self.observer.readings(task.goal, view)

    def perceived(
        self, task: PickPlaceState, view: View, readings: Named
    ) -> tuple[PickPlaceState, View]:
        """See `r2s_core.types.HasReadings`."""
        perceived = dataclasses.replace(task, goal=readings["goal"])
        return perceived, self.observer.perceived(view, readings)

    def terminated(self, task: PickPlaceState, view: View) -> Array:
        """The object has left the workspace or fallen off the table."""
        place = task.object_position
        outside = jnp.abs(place[:2] - self._centre).max() > BOUNDS
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
        failed, kinds = (
            ~self.success(task, view),
            failure.kinds(task, self.terminated(task, view), self.config.goal),
        )
        values |= {name: failed & fits for name, fits in kinds.items()}
        return {name: value.astype(jnp.float32) for name, value in values.items()}

    def _default_rewards(self) -> Mapping[str, float]:
        """The terms and weights of `reward: dense` and `reward: sparse`, by plugin name."""
        if self.config.reward == "sparse":
            return {"sparse": 1.0}
        terms = {"reach": 1 / 9, "align": 0.5 / 9, "grasp": 1 / 9}
        terms |= {"lift": 1 / 9, "place": 8 / 9, "at_goal": 2 / 9}
        if self.config.goal == "place":
            terms |= {"lift": 3 / 9, "release": 2 / 9}
        return terms

    def deployment(self) -> Deployment:
        """See `r2s_core.types.HasDeployment`."""
        return deployment_of(
            self.observer, self._model, self.config, self.objects.members, _START_NOISE
        )

    def expert(self, task: PickPlaceState, view: View) -> Array:
        """See `r2s_core.types.HasExpert`."""
        return self._script.action(task, view)

    def expert_ctrl(self, task: PickPlaceState, view: View) -> Array:
        """Servo targets [nu] of the expert's action."""
        return self.control(task, view, self.expert(task, view))

    def _worst_case(self) -> tuple[int, int]:
        if self._capacity is None:  # each group of worlds asks for it
            self._capacity = capacity.worst_case(self)
        return self._capacity

    # Start-state bank (`r2s_core.types.HasStartBank`).

    def build_start_bank(self, backend: Backend, key: Array) -> None:
        self._bank = bank.record(self, backend, key)

    def init_from_bank(self, key: Array, variant: Array) -> tuple[PickPlaceState, Array, Array]:
        """From a banked snapshot; a fresh start where the script never solved this object."""
        kept, (index_key, goal_key, fresh_key) = self._bank, jax.random.split(key, 3)
        number = jnp.asarray(kept.number)[variant]
        index = jnp.asarray(kept.first)[variant] + jax.random.randint(
            index_key, (), 0, jnp.maximum(number, 1)
        )
        qpos, qvel = kept.qpos[index], kept.qvel[index]
        banked = self.aim(goal_key, qpos, variant), qpos, qvel
        if kept.number.all():
            return banked
        fresh = self.init(fresh_key, variant)
        return jax.tree.map(lambda b, f: jnp.where(number > 0, b, f), banked, fresh)
