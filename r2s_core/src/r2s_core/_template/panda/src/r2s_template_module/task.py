"""The task: pure functions of ONE world, which the engine maps over all of them."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from r2s_core.registry import build_robot
from r2s_core.robot import FreeJoint
from r2s_core.task_info import TaskInfo
from r2s_core.types import Array, Named, SceneSpec, View, pytree
from r2s_envs_objects import ObjectOptions, load_object
from r2s_envs_pick_place import (
    OBJECT_JOINT,
    PickObject,
    SceneOptions,
    build_scene,
    camera_spec,
    default_cameras,
    render_spec,
)
from r2s_envs_robots import LAWS, Arm

from r2s_template_module.plugin import TemplateNameConfig

#: The arm's joints, rad: the gripper points down at x = 0.38 m, y = 0, 18 mm above the table.
START = (0.0, 0.3328, 0.0, -2.7345, 0.0, 3.0672, 0.7854)
_HEIGHT = 0.018  # of the grip above the table, m: what is pushed higher up tips over
_OBJECT = np.array([0.50, 0.0], np.float32)  # where the object starts, m
_OBJECT_RANGE = np.array([0.02, 0.05], np.float32)  # +- m
_FREE = 0.03  # between the hand's place behind the object and the object's side, m
_PUSHED = 0.01  # the object has been pushed by more than this, m
_BOUNDS = 0.35  # the object has left the table's workspace beyond this from its start, m
_OBSERVATION_NAMES = (
    *("hand_x", "hand_y", "hand_z", "object_x", "object_y", "object_z"),
    *("object_qw", "object_qx", "object_qy", "object_qz", "object_vx", "object_vy"),
    *("hand_to_object_x", "hand_to_object_y", "object_to_goal_x", "object_to_goal_y"),
)
_FELT_NAMES = ("hand_x", "hand_y", "hand_z", "goal_x", "goal_y")


@pytree
class PushState:
    """An episode's constants, and quantities of the current step that rewards read."""

    goal: Array  # float32[3], m; pictures mark it
    start: Array  # float32[2], m: where the object was
    object: Array  # float32[2], m
    hand: Array  # float32[2], m
    behind: Array  # float32[2], m: where the hand pushes from


class PushTask:
    """Push the object to the goal; see `r2s_core.types.Task`.

    Action: the hand's motion along x and y. The control law keeps its height, its orientation and
    the gripper closed.
    """

    action_low = np.full(2, -1.0, np.float32)
    action_high = np.full(2, 1.0, np.float32)

    def __init__(self, config: TemplateNameConfig) -> None:
        """Raises `AssetError` where the object is refused."""
        self.config = config
        # force: an object that is only pushed need not fit into the gripper.
        asset = load_object(config.object, ObjectOptions(force=True))
        self.object = PickObject.from_asset(asset)
        self.robot = build_robot("panda")
        self.info = TaskInfo(
            success="the object lies at the goal when the episode ends",
            robot=self.robot.name,
            objects=(asset.name,),
            action_names=("hand_x", "hand_y"),
            observation_names={"policy": _OBSERVATION_NAMES, "proprioception": _FELT_NAMES},
            stages=("pushed",),
            terminated="out of reach",
            markers={"goal_marker": "goal"},
            episode_steps=60,
            rewards={"template_name_reach": 0.2, "template_name_push": 1.0},
            cameras=default_cameras(self.robot),
        )
        self._options = SceneOptions(robot=self.robot)
        self._model = build_scene([self.object.shape], self._options).compile()
        self.arm = Arm.of(self._model, self.robot, START)
        self.body = FreeJoint.of(self._model, OBJECT_JOINT)
        start = self.robot.qpos(self._model, START)
        self._start = self.arm.slots.fingers.put(start, 0.0).astype(np.float32)  # closed
        self._radius = float(np.ptp(self.object.shape.points[:, :2], axis=0).max()) / 2

    def scene(self) -> SceneSpec:
        """The Panda at its table with the object."""
        return SceneSpec(
            model=self._model,
            substeps=self._options.substeps,
            view_fields=frozenset(
                {"qpos", "qvel", "ctrl", "xpos", "xquat", "site_xpos", "site_xmat"}
            ),
            render_spec=lambda variant: render_spec([self.object.shape], self._options),
            camera_spec=lambda variant: camera_spec(self.object.shape, self._options),
        )

    def init(self, key: Array, variant: Array) -> tuple[PushState, Array, Array]:
        """The object in front of the hand, in its resting pose, and the goal beyond it."""
        place_key, goal_key = jax.random.split(key)
        spread = jax.random.uniform(place_key, (2,), minval=-1.0)
        place = _OBJECT + _OBJECT_RANGE * spread
        near, far = self.config.goal_distance
        width = self.config.goal_width
        low, high = jnp.array([near, -width]), jnp.array([far, width])
        goal = place + jax.random.uniform(goal_key, (2,), minval=low, maxval=high)
        rest = jnp.asarray([self.object.rest_height, *self.object.rest_quat])
        pose = jnp.concatenate([place, rest]).astype(jnp.float32)
        qpos = self.body.pose.put(jnp.asarray(self._start), pose)
        # The last three are computed from the physics, see `update`.
        state = PushState(jnp.append(goal, 0.0), place, place, place, place)
        return state, qpos, jnp.zeros(self._model.nv, jnp.float32)

    def control(self, task: PushState, view: View, action: Array) -> Array:
        """Targets of the arm's and the fingers' servos."""
        rise = (_HEIGHT - view.site_xpos[self.arm.slots.grip][2]) / self.robot.pace.ee
        closed = jnp.float32(-1.0)
        return LAWS["ee_delta"](self.arm, view, jnp.stack([*action, rise, 0.0, closed]))

    def update(self, task: PushState, view: View) -> PushState:
        place, goal = self.body.position(view.qpos)[:2], task.goal[:2]
        way = (goal - place) / (jnp.linalg.norm(goal - place) + 1e-6)
        return dataclasses.replace(
            task,
            object=place,
            hand=view.site_xpos[self.arm.slots.grip][:2],
            behind=place - (self._radius + _FREE) * way,
        )

    def observe(self, task: PushState, view: View) -> Named:
        """Hand 3, object's position 3, quaternion 4 and velocity 2, vectors between them 4."""
        hand = view.site_xpos[self.arm.slots.grip]
        pose, speed = self.body.pose(view.qpos), self.body.velocity(view.qvel)[:2]
        place = pose[:3]
        ways = [place[:2] - hand[:2], task.goal[:2] - place[:2]]
        return {"policy": jnp.concatenate([hand, pose, speed, *ways])}

    def proprioception(self, task: PushState, view: View) -> Array:
        """Of a policy with cameras, `vision_enabled: true`: hand 3 and goal 2, not the object."""
        return jnp.concatenate([view.site_xpos[self.arm.slots.grip], task.goal[:2]])

    def terminated(self, task: PushState, view: View) -> Array:
        """The object is out of reach, or off the table."""
        place = self.body.position(view.qpos)
        return (place[2] < -0.05) | (jnp.linalg.norm(place[:2] - _OBJECT) > _BOUNDS)

    def success(self, task: PushState, view: View) -> Array:
        return goal_distance(task) < self.config.tolerance

    def metrics(self, task: PushState, view: View) -> Named:
        """The remaining distance, m, and whether the object was moved at all."""
        moved = jnp.linalg.norm(task.object - task.start) > _PUSHED
        return {"distance": goal_distance(task), "pushed": moved.astype(jnp.float32)}


def make(config: TemplateNameConfig) -> PushTask:
    """Build the task."""
    return PushTask(config)


def goal_distance(task: PushState) -> Array:
    """float32[], from the object to the goal, m."""
    return jnp.linalg.norm(task.object - task.goal[:2])
