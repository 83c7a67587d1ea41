"""The task: pure functions of ONE world, which the engine maps over all of them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from r2s_core.task_info import TaskInfo
from r2s_core.types import Array, Named, RewardFn, SceneSpec, Transition, View, pytree

from r2s_template_module.plugin import DistanceConfig, TemplateNameConfig
from r2s_template_module.scene import make_scene

_MAX_TORQUE = 0.5  # N m
_TIP = 0  # the scene has one site
_NEAR = 0.1  # m


@pytree
class ReachState:
    """An episode's state besides the physics."""

    target: Array  # float32[3], m


class ReachTask:
    """Bring the tip of the arm to the target; see `r2s_core.types.Task`."""

    action_low = np.full(2, -1.0, np.float32)
    action_high = np.full(2, 1.0, np.float32)
    info = TaskInfo(
        success="the tip is at the target when the episode ends",
        action_names=("shoulder_torque", "elbow_torque"),
        observation_names={
            "policy": (
                *("sin_shoulder", "sin_elbow", "cos_shoulder", "cos_elbow"),
                *("shoulder_velocity", "elbow_velocity", "target_x", "target_y"),
            )
        },
        stages=("near",),
        markers={"target": "target"},
        episode_steps=50,
        rewards={"template_name_distance": 1.0},
    )

    def __init__(self, config: TemplateNameConfig) -> None:
        self.config = config

    def scene(self) -> SceneSpec:
        return make_scene()

    def init(self, key: Array, variant: Array) -> tuple[ReachState, Array, Array]:
        """Any posture, at rest; any target within reach."""
        distance_key, angle_key, posture_key = jax.random.split(key, 3)
        near, far = self.config.target_distance
        distance = jax.random.uniform(distance_key, minval=near, maxval=far)
        angle = jax.random.uniform(angle_key, minval=-jnp.pi, maxval=jnp.pi)
        target = distance * jnp.stack([jnp.cos(angle), jnp.sin(angle), 0.0])
        qpos = jax.random.uniform(posture_key, (2,), minval=-jnp.pi, maxval=jnp.pi)
        return ReachState(target), qpos, jnp.zeros(2)

    def control(self, task: ReachState, view: View, action: Array) -> Array:
        """Torques, N m."""
        return _MAX_TORQUE * action

    def update(self, task: ReachState, view: View) -> ReachState:
        return task

    def observe(self, task: ReachState, view: View) -> Named:
        """Posture as sine and cosine 4, velocities 2, tip -> target 2."""
        offset = (task.target - view.site_xpos[_TIP])[:2]
        parts = [jnp.sin(view.qpos), jnp.cos(view.qpos), 0.1 * view.qvel, offset]
        return {"policy": jnp.concatenate(parts)}

    def terminated(self, task: ReachState, view: View) -> Array:
        """Never: the arm cannot fail, only run out of time."""
        return jnp.bool_(False)

    def success(self, task: ReachState, view: View) -> Array:
        return distance_to_target(task, view) < self.config.tolerance

    def metrics(self, task: ReachState, view: View) -> Named:
        """The remaining distance, m, and whether the tip is near the target."""
        distance = distance_to_target(task, view)
        return {"distance": distance, "near": (distance < _NEAR).astype(jnp.float32)}


def make(config: TemplateNameConfig) -> ReachTask:
    """Build the task."""
    return ReachTask(config)


def make_distance(config: DistanceConfig) -> RewardFn:
    """Build the reward term."""

    def term(transition: Transition) -> Array:
        distance = distance_to_target(transition.task, transition.view)
        return 1.0 - jnp.tanh(config.sharpness * distance)

    return term


def distance_to_target(task: ReachState, view: View) -> Array:
    """float32[], m."""
    return jnp.linalg.norm(task.target - view.site_xpos[_TIP])
