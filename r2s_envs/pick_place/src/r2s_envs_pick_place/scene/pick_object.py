"""The task's objects: their shape in the scene, and how each rests and is grasped."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from r2s_core import rotation
from r2s_core.gripper import Gripper
from r2s_core.types import Array, pytree
from r2s_envs_objects import ObjectAsset, RestingPose, narrowest_grasp
from r2s_envs_pick_place.scene import build as scene
from r2s_envs_pick_place.scene.build import SceneObject, SceneOptions

#: Directions of the shape embedding, body axes: of a cube, its faces, edges and corners.
DIRECTIONS = np.stack(np.meshgrid(*[[-1.0, 0.0, 1.0]] * 3, indexing="ij"), -1).reshape(-1, 3)
DIRECTIONS = DIRECTIONS[np.abs(DIRECTIONS).sum(axis=1) > 0]
DIRECTIONS /= np.linalg.norm(DIRECTIONS, axis=1, keepdims=True)
EMBEDDING_SIZE = len(DIRECTIONS)
#: Least fraction of random drops for a pose to be one that an object starts in.
_LIKELY = 0.05
#: Of a round object: its greatest width over its least, and how far off its middle it is grasped.
_ROUND, _CENTRED = 1.12, 0.1


@pytree
class Facts:
    """One object's properties, as arrays for pure functions.

    grasp_offset: from the body's origin to where the grip closes; closing: unit vector along which
    it closes; both in body axes. size: extents in body axes, m. embedding: how far the shape
    reaches from its origin in 26 directions of the body, m. round_width: for an object that rests
    as good as round, so that no direction to close along is better than another, its greatest
    width, m; infinite for others.
    """

    rest_height: Array  # float32[], of the body's origin above the table, m
    rest_quat: Array  # float32[4], orientation at rest
    grasp_offset: Array  # float32[3]
    closing: Array  # float32[3]
    size: Array  # float32[3]
    embedding: Array  # float32[26]
    round_width: Array  # float32[]

    def grasp_point(self, position: Array, quat: Array) -> Array:
        """float32[3], m: where the grip closes on the object at a pose [3], [4]."""
        return position + rotation.to_matrix(quat) @ self.grasp_offset

    def closing_direction(self, quat: Array) -> Array:
        """float32[3], world axes: along this the gripper closes on an object of orientation [4]."""
        return rotation.to_matrix(quat) @ self.closing


@dataclasses.dataclass(frozen=True)
class PickObject:
    """An object and its resting pose.

    rest_height: of the body's origin above the table, m. rest_quat [4]: orientation at rest.
    grasp_yaw: angle about the vertical from the world's x axis to the direction in which the
    resting object is narrowest, rad: the gripper closes along it.
    grasp_offset [3]: from the body's origin to where the grip closes, body axes, m.
    mass_range, friction_range: plausible for such an object, kg and 1; None: its own value only.
    poses: its stable poses, the most probable first. pose: 1, 2, ... from `in_all_poses`.
    scan_to_body [4, 4]: from the scan file's coordinates to the body's frame; None: no scan.
    """

    shape: SceneObject
    rest_height: float
    rest_quat: np.ndarray
    grasp_yaw: float = 0.0
    grasp_offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    held_out: bool = False
    mass_range: tuple[float, float] | None = None
    friction_range: tuple[float, float] | None = None
    poses: tuple[RestingPose, ...] = ()
    pose: int = 0
    scan_to_body: np.ndarray | None = None

    @property
    def name(self) -> str:
        """The object's name, with the number of its pose where there are several."""
        return f"{self.shape.name} (pose {self.pose})" if self.pose else self.shape.name

    def facts(self) -> Facts:
        """Computed on the host: not to be called in traced code."""
        at_rest = jnp.array([np.cos(self.grasp_yaw), np.sin(self.grasp_yaw), 0.0], jnp.float32)
        points = self.shape.points
        return Facts(
            rest_height=jnp.float32(self.rest_height),
            rest_quat=jnp.asarray(self.rest_quat, jnp.float32),
            grasp_offset=jnp.array(self.grasp_offset, jnp.float32),
            closing=rotation.to_matrix(jnp.asarray(self.rest_quat)).T @ at_rest,
            size=jnp.asarray(np.ptp(points, axis=0), jnp.float32),
            embedding=jnp.asarray((points @ DIRECTIONS.T).max(axis=0), jnp.float32),
            round_width=jnp.float32(self._round_width()),
        )

    def _round_width(self) -> float:
        """See `Facts.round_width`."""
        turn = np.empty(9)
        mujoco.mju_quat2Mat(turn, np.array(self.rest_quat, float))
        points = (self.shape.points @ turn.reshape(3, 3).T)[:, :2]
        angles = np.linspace(0.0, np.pi, 36, endpoint=False)
        reach = points @ np.stack([np.cos(angles), np.sin(angles)])
        widths, middle = np.ptp(reach, axis=0), (points.max(axis=0) + points.min(axis=0)) / 2
        grasp = (turn.reshape(3, 3) @ self.grasp_offset)[:2]
        is_round = widths.max() < _ROUND * widths.min()
        centred = np.linalg.norm(grasp - middle) < _CENTRED * widths.min()
        return float(widths.max()) if is_round and centred else np.inf

    @staticmethod
    def from_asset(asset: ObjectAsset, held_out: bool = False) -> PickObject:
        """From what the object pipeline found."""
        shape = SceneObject(
            name=asset.name,
            mass=asset.mass,
            inertia=asset.inertia,
            com=(float(asset.com[0]), float(asset.com[1]), float(asset.com[2])),
            pieces=asset.pieces,
            friction=asset.friction,
            visual=(asset.visual_vertices, asset.visual_faces),
        )
        rest, yaw = asset.resting_qpos, asset.grasp_yaw
        cos, sin, along, across = np.cos(yaw), np.sin(yaw), asset.grasp_offset, asset.grasp_across
        offset = (
            float(along * cos - across * sin),
            float(along * sin + across * cos),
            asset.grasp_height,
        )
        ranges = asset.mass_range, asset.friction_range
        return PickObject(
            shape,
            rest.height,
            np.array(rest.quat),
            yaw,
            offset,
            held_out,
            *ranges,
            poses=asset.resting_poses,
            scan_to_body=asset.scan_to_body,
        )

    def in_all_poses(self, gripper: Gripper) -> list[PickObject]:
        """The object in each pose in which it often comes to rest and the gripper can span it."""
        likely = [pose for pose in self.poses if pose.probability >= _LIKELY]
        lying = [self._lying(pose, gripper) for pose in likely] if self.shape.visual else []
        spanned = [each for each in lying if each is not None] or [self]
        return [dataclasses.replace(each, pose=n) for n, each in enumerate(spanned, start=1)]

    def _lying(self, pose: RestingPose, gripper: Gripper) -> PickObject | None:
        """The object in this pose, with its narrowest grasp from above; None if too wide."""
        assert self.shape.visual is not None
        quat = np.array(pose.quat)
        turn = np.asarray(rotation.to_matrix(jnp.asarray(quat)), np.float64)
        vertices, faces = self.shape.visual
        width, yaw, height, along = narrowest_grasp(vertices @ turn.T, faces, gripper)
        if width > gripper.widest:
            return None
        closes = np.array([along * np.cos(yaw), along * np.sin(yaw), height])
        x, y, z = (float(v) for v in turn.T @ closes)
        return dataclasses.replace(
            self,
            rest_height=pose.height,
            rest_quat=quat,
            grasp_yaw=yaw,
            grasp_offset=(x, y, z),
        )

    def scaled(self, factor: float) -> PickObject:
        """The same material and shape, `factor` times as large: mass grows by its cube."""
        shape = self.shape
        visual = None if shape.visual is None else (shape.visual[0] * factor, shape.visual[1])
        larger = dataclasses.replace(
            shape,
            name=f"{shape.name}@{factor:g}",
            mass=shape.mass * factor**3,
            inertia=shape.inertia * factor**5,
            com=tuple(factor * x for x in shape.com),
            pieces=tuple(piece * factor for piece in shape.pieces),
            box=None if shape.box is None else tuple(factor * x for x in shape.box),
            visual=visual,
        )
        return dataclasses.replace(
            self,
            shape=larger,
            rest_height=self.rest_height * factor,
            grasp_offset=tuple(factor * x for x in self.grasp_offset),
            mass_range=self.mass_range and tuple(factor**3 * x for x in self.mass_range),
            poses=tuple(pose._replace(height=factor * pose.height) for pose in self.poses),
            scan_to_body=None
            if self.scan_to_body is None
            else np.diag([factor, factor, factor, 1.0]) @ self.scan_to_body,
        )


class ObjectSet:
    """The objects of a task, by the scene's variant."""

    def __init__(self, members: Sequence[PickObject]) -> None:
        self.members = tuple(members)
        self.names = tuple(member.name for member in members)
        # An object that starts in several poses is one shape.
        self.shapes = tuple({id(member.shape): member.shape for member in members}.values())
        facts = [member.facts() for member in members]
        self._table = jax.device_get(jax.tree.map(lambda *x: jnp.stack(x), *facts))

    def __len__(self) -> int:
        return len(self.members)

    def properties(self) -> dict[str, np.ndarray]:
        """`SceneSpec.properties`: float32[2] of the object, [K, 2] of several: the ranges of its
        mass (kg) and of its sliding friction."""
        ranges = {
            "object_mass_range": [m.mass_range or (m.shape.mass,) * 2 for m in self.members],
            "object_friction_range": [
                m.friction_range or (m.shape.friction,) * 2 for m in self.members
            ],
        }
        tables = {name: np.array(rows, np.float32) for name, rows in ranges.items()}
        return tables if len(self) > 1 else {name: rows[0] for name, rows in tables.items()}

    def facts(self, variant: Array) -> Facts:
        """Of one world's object; variant int32[]."""
        if len(self.members) == 1:
            return jax.tree.map(lambda leaf: leaf[0], self._table)
        return jax.tree.map(lambda leaf: jnp.asarray(leaf)[variant], self._table)


def box(
    half_sizes: tuple[float, float, float] = (0.02, 0.02, 0.03), mass: float = 0.1
) -> PickObject:
    """A box at rest on its lower face, grasped along its narrower side."""
    yaw = 0.0 if half_sizes[0] <= half_sizes[1] else float(np.pi / 2)
    upright = np.array([1.0, 0.0, 0.0, 0.0])
    return PickObject(scene.box_object(half_sizes, mass), half_sizes[2], upright, yaw)


def decorated_spec(pick_object: PickObject, options: SceneOptions) -> mujoco.MjSpec:
    """One object's world for pictures; the qpos layout is the same for all objects."""
    return scene.render_spec([pick_object.shape], options)


def seen_spec(objects: ObjectSet, variant: int, options: SceneOptions) -> mujoco.MjSpec:
    """A variant's world as cameras see it; all variants' models have the same sizes."""
    return scene.camera_spec(objects.members[variant].shape, options, objects.shapes)
