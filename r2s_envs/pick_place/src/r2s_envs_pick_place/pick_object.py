"""The object as the task needs it: what the scene takes, and how it rests and is grasped."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import mujoco
import numpy as np

from r2s_core.types import Array
from r2s_envs_objects import ObjectAsset
from r2s_envs_pick_place import rotation, scene
from r2s_envs_pick_place.scene import SceneObject, SceneOptions


@dataclasses.dataclass(frozen=True)
class PickObject:
    """An object and its resting pose.

    rest_height: of the body's origin above the table, m. rest_quat [4]: orientation at rest.
    grasp_yaw: angle about the vertical from the world's x axis to the direction in which the
    resting object is narrowest, rad: the gripper closes along it.
    grasp_offset [3]: from the body's origin to where the grip closes, body axes, m.
    """

    shape: SceneObject
    rest_height: float
    rest_quat: np.ndarray
    grasp_yaw: float = 0.0
    grasp_offset: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def grasp_point(self, position: Array, quat: Array) -> Array:
        """float32[3], m: where the grip closes on the object at a pose [3], [4]."""
        return position + rotation.to_matrix(quat) @ jnp.array(self.grasp_offset, jnp.float32)

    def closing_direction(self, quat: Array) -> Array:
        """float32[3], world axes: along this the gripper closes on an object of orientation [4]."""
        at_rest = jnp.array([np.cos(self.grasp_yaw), np.sin(self.grasp_yaw), 0.0], jnp.float32)
        return rotation.to_matrix(quat) @ (
            rotation.to_matrix(jnp.asarray(self.rest_quat)).T @ at_rest
        )

    @staticmethod
    def from_asset(asset: ObjectAsset) -> PickObject:
        """What the object pipeline found out."""
        shape = SceneObject(
            name=asset.name,
            mass=asset.mass,
            inertia=asset.inertia,
            com=(float(asset.com[0]), float(asset.com[1]), float(asset.com[2])),
            pieces=asset.pieces,
            friction=asset.friction,
            visual=(asset.visual_vertices, asset.visual_faces),
        )
        rest, yaw, along = asset.resting_qpos, asset.grasp_yaw, asset.grasp_offset
        offset = (along * float(np.cos(yaw)), along * float(np.sin(yaw)), asset.grasp_height)
        return PickObject(shape, rest.height, np.array(rest.quat), yaw, offset)


def box(
    half_sizes: tuple[float, float, float] = (0.02, 0.02, 0.03), mass: float = 0.1
) -> PickObject:
    """A box at rest on its lower face, grasped along its narrower side."""
    yaw = 0.0 if half_sizes[0] <= half_sizes[1] else float(np.pi / 2)
    upright = np.array([1.0, 0.0, 0.0, 0.0])
    return PickObject(scene.box_object(half_sizes, mass), half_sizes[2], upright, yaw)


def build_model(thing: PickObject, options: SceneOptions) -> mujoco.MjModel:
    """The lean model that physics steps."""
    return scene.build_scene([thing.shape], options).compile()


def decorated_spec(thing: PickObject, options: SceneOptions) -> mujoco.MjSpec:
    """The same world for pictures; equal qpos layout."""
    return scene.render_spec([thing.shape], options)
