"""Pictures of an object: the scan, repaired, its pieces, its resting poses, its grasps."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from r2s_core.gripper import Gripper
from r2s_core.rendering import render
from r2s_envs_objects.asset import Floats, GraspPose, Ints, ObjectAsset, RestingPose
from r2s_envs_objects.mesh.decompose import decimate
from r2s_envs_objects.mesh.hull import hull_mesh
from r2s_envs_objects.mesh.repair import compact
from r2s_envs_objects.scan import load

Picture = tuple[str, bytes]  # caption, PNG

SQUARE = 0.02  # m, of the floor's pattern
_WIDTH, _HEIGHT = 480, 360
_POSES, _GRASPS = 4, 3  # shown at most
_MOST_FACES = 150_000  # of a scan in a picture
_TURN_FRAMES, _TURN_S = 30, 5.0
#: Poses look alike if no quantile of the surface differs by more than this fraction of the extents.
_ALIKE, _QUANTILES, _POINTS = 0.04, np.linspace(0.02, 0.98, 13), 4000
_AWAY = -100.0  # m, height of the hidden bodies
_VIEW = np.array([0.75, -1.0, 0.75])
_FIELD_OF_VIEW = 30.0  # degrees
_SCAN, _OBJECT, _PAD = (0.62, 0.66, 0.72, 1.0), (0.90, 0.52, 0.20, 1.0), (0.15, 0.55, 0.30, 1.0)
#: Neighbouring pieces get colours far apart.
_COLOURS = (
    (0.12, 0.47, 0.71), (1.00, 0.50, 0.05), (0.17, 0.63, 0.17), (0.84, 0.15, 0.16),
    (0.58, 0.40, 0.74), (0.89, 0.47, 0.76), (0.74, 0.74, 0.13), (0.09, 0.75, 0.81),
    (0.55, 0.34, 0.29), (0.50, 0.50, 0.50), (0.68, 0.78, 0.91), (1.00, 0.73, 0.47),
)  # fmt: skip


def raw_scan(data: bytes, suffix: str, label: str) -> dict[str, Any]:
    """The mesh as it is in a file, for `sandbox`: vertices [n, 3] in its units, faces [m, 3]."""
    vertices, faces, _ = load.parse(data, suffix, label)
    if len(faces) > _MOST_FACES:
        vertices, faces = decimate(vertices, faces, _MOST_FACES)
    vertices, faces = compact(vertices, faces)
    return {"vertices": vertices, "faces": faces}


def draw(asset: ObjectAsset, gripper: Gripper, scan: tuple[Floats, Ints] | None) -> list[Picture]:
    """Pictures of the object, the scan (vertices [n, 3] in the file's units, faces) among them.

    R2SError if this machine cannot render.
    """
    stage = _Stage(float(np.linalg.norm(asset.visual_vertices, axis=1).max()))
    at_rest = asset.resting_qpos
    if scan is not None:
        vertices = scan[0] @ asset.scan_to_body[:3, :3].T + asset.scan_to_body[:3, 3]
        stage.show(f"the scan, {len(scan[1]):,} faces", at_rest)
        stage.add_mesh(vertices, scan[1], _SCAN)
    stage.show("repaired, as it rests", at_rest)
    stage.add_mesh(asset.visual_vertices, asset.visual_faces, _OBJECT)
    count = len(asset.pieces)
    stage.show(f"{count} convex piece{'s' * (count > 1)} for collisions", at_rest)
    for i, piece in enumerate(asset.pieces):
        stage.add_mesh(*hull_mesh(piece), (*_COLOURS[i % len(_COLOURS)], 1.0))
    for alike in _merged(asset)[:_POSES]:
        share = sum(pose.probability for pose in alike)
        poses = f" ({len(alike)} poses alike)" if len(alike) > 1 else ""
        stage.show(f"lands like this in {share:.0%} of drops{poses}", alike[0])
        stage.add_mesh(asset.visual_vertices, asset.visual_faces, _OBJECT)
    if asset.grasps:
        best = asset.grasps[:_GRASPS]
        stage.show(f"where the pads meet it: the best {len(best)} grasps", at_rest)
        stage.add_mesh(asset.visual_vertices, asset.visual_faces, (*_OBJECT[:3], 0.55))
        for grasp in best:
            stage.add_pads(grasp, gripper)
    return stage.draw()


def turntable(asset: ObjectAsset) -> bytes:
    """An MP4 of the object with its collision pieces over it, turning once round.

    R2SError if this machine cannot render, or the encoder fails.
    """
    stage = _Stage(float(np.linalg.norm(asset.visual_vertices, axis=1).max()))
    stage.show("", asset.resting_qpos, turns=True)
    stage.add_mesh(asset.visual_vertices, asset.visual_faces, _SCAN)
    for i, piece in enumerate(asset.pieces):
        stage.add_mesh(*hull_mesh(piece), (*_COLOURS[i % len(_COLOURS)], 0.5))
    height = asset.resting_qpos.height
    angles = np.linspace(0.0, 2.0 * np.pi, _TURN_FRAMES, endpoint=False)
    frames = stage.frames(np.array([[height, 0.0, angle] for angle in angles]))
    with tempfile.TemporaryDirectory(prefix="r2s-turn-") as folder:
        path = Path(folder) / "turn.mp4"
        render.write_video(path, frames, fps=_TURN_FRAMES / _TURN_S)
        return path.read_bytes()


def _merged(asset: ObjectAsset) -> list[list[RestingPose]]:
    """The resting poses, grouped where the object looks alike in them, the most probable first."""
    points = _surface_points(asset.visual_vertices, asset.visual_faces)
    groups: list[tuple[Floats, list[RestingPose]]] = []
    for pose in asset.resting_poses:
        signature = _signature(points, pose)
        for other, alike in groups:
            if np.abs(signature - other).max() < _ALIKE * np.ptp(points, axis=0).max():
                alike.append(pose)
                break
        else:
            groups.append((signature, [pose]))
    merged = [alike for _, alike in groups]
    return sorted(merged, key=lambda alike: -sum(pose.probability for pose in alike))


def _signature(points: Floats, pose: RestingPose) -> Floats:
    """How points [n, 3] lie in a pose, invariant to yaw: quantiles of their heights and of their
    distances from the vertical through the body's origin, m.
    """
    rotation = np.empty(9)
    mujoco.mju_quat2Mat(rotation, np.asarray(pose.quat, float))
    x, y, z = rotation.reshape(3, 3) @ points.T
    return np.concatenate([np.quantile(q, _QUANTILES) for q in (z + pose.height, np.hypot(x, y))])


def _surface_points(vertices: Floats, faces: Ints) -> Floats:
    """Points [n, 3] spread evenly over a surface; deterministic."""
    rng = np.random.default_rng(0)
    corners = vertices[faces]
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = np.linalg.norm(np.cross(a, b), axis=1)
    chosen = rng.choice(len(faces), _POINTS, p=area / area.sum())
    u, v = rng.random((2, _POINTS, 1))
    outside = u + v > 1
    u, v = np.where(outside, 1 - u, u), np.where(outside, 1 - v, v)
    return corners[chosen, 0] + u * a[chosen] + v * b[chosen]


class _Stage:
    """A floor, a camera and several bodies, of which each picture shows one."""

    def __init__(self, radius: float) -> None:
        self.spec, self.poses, self.captions = mujoco.MjSpec(), list[RestingPose](), list[str]()
        self._body, self._radius = None, radius
        visual = self.spec.visual
        visual.headlight.ambient, visual.headlight.diffuse = (0.35,) * 3, (0.3,) * 3
        visual.headlight.specular = (0.05,) * 3
        visual.quality.shadowsize = 2048
        # Near and far, in these units, also bound the region with shadows.
        self.spec.stat.extent, self.spec.stat.center = 2.0 * radius, (0.0, 0.0, 0.0)
        visual.map.znear, visual.map.zfar, visual.map.shadowclip = 0.02, 12.0, 1.5
        self._add_floor()
        self._add_camera()

    def _add_camera(self) -> None:
        """The first joint moves the camera up and down, to the visible body."""
        backward = _VIEW / np.linalg.norm(_VIEW)
        right = np.cross((0.0, 0.0, 1.0), backward)
        right /= np.linalg.norm(right)
        distance = 1.05 * self._radius / np.sin(np.radians(_FIELD_OF_VIEW / 2.0))
        self._sliding(0.0).add_camera(
            name="portrait",
            pos=backward * distance,
            xyaxes=[*right, *np.cross(backward, right)],
            fovy=_FIELD_OF_VIEW,
        )

    def _sliding(self, height: float):
        """A new body at a height, m, that moves vertically."""
        body = self.spec.worldbody.add_body(pos=(0.0, 0.0, height))
        body.add_joint(type=mujoco.mjtJoint.mjJNT_SLIDE, axis=(0.0, 0.0, 1.0))
        body.mass, body.inertia, body.explicitinertial = 1.0, (1.0,) * 3, True
        return body

    def _add_floor(self) -> None:
        spec = self.spec
        spec.add_texture(
            name="squares",
            type=mujoco.mjtTexture.mjTEXTURE_2D,
            builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER,
            rgb1=(0.93, 0.93, 0.92),
            rgb2=(0.87, 0.87, 0.86),
            width=256,
            height=256,
        )
        floor = spec.add_material(name="floor", texrepeat=(0.5 / SQUARE,) * 2, texuniform=True)
        floor.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "squares"
        spec.add_texture(
            name="sky",
            type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
            builtin=mujoco.mjtBuiltin.mjBUILTIN_FLAT,
            rgb1=(0.97, 0.97, 0.96),
            rgb2=(0.97, 0.97, 0.96),
            width=64,
            height=64,
        )
        spec.worldbody.add_geom(
            type=mujoco.mjtGeom.mjGEOM_PLANE, size=(0.0, 0.0, 0.1), material="floor"
        )
        spec.worldbody.add_light(
            type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
            pos=np.array([0.3, -0.25, 1.0]) * 6.0 * self._radius,
            dir=(-0.3, 0.25, -1.0),
            diffuse=(0.55,) * 3,
            specular=(0.1,) * 3,
            castshadow=True,
        )

    def show(self, caption: str, pose: RestingPose, turns: bool = False) -> None:
        """Begin another picture, of a body in a pose; geometry added next belongs to it.

        turns: add a joint about the vertical.
        """
        self.captions.append(caption)
        self.poses.append(pose)
        mount = self._sliding(pose.height)
        if turns:
            mount.add_joint(type=mujoco.mjtJoint.mjJNT_HINGE, axis=(0.0, 0.0, 1.0))
        self._body = mount.add_body(quat=pose.quat)

    def add_mesh(self, vertices: Floats, faces: Ints, rgba: tuple[float, ...]) -> None:
        """Add a mesh, vertices [n, 3] in m, body frame; it may be open."""
        assert self._body is not None
        name = f"mesh{len(self.spec.meshes)}"
        self.spec.add_mesh(
            name=name,
            uservert=vertices.astype(np.float32).ravel(),
            userface=faces.astype(np.int32).ravel(),
            inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL,
        )
        self._body.add_geom(
            type=mujoco.mjtGeom.mjGEOM_MESH, meshname=name, rgba=rgba, contype=0, conaffinity=0
        )

    def add_pads(self, grasp: GraspPose, gripper: Gripper) -> None:
        """Add the two pads of a grasp where they meet the object."""
        assert self._body is not None
        along = np.array([np.cos(grasp.yaw), np.sin(grasp.yaw), 0.0])
        thickness = 0.003
        for side in (-1.0, 1.0):
            self._body.add_geom(
                type=mujoco.mjtGeom.mjGEOM_BOX,
                pos=np.array(grasp.position) + side * along * (grasp.width / 2.0 + thickness),
                quat=(np.cos(grasp.yaw / 2.0), 0.0, 0.0, np.sin(grasp.yaw / 2.0)),
                size=(thickness, gripper.finger_half_width, gripper.pad_half_height),
                rgba=_PAD,
                contype=0,
                conaffinity=0,
            )

    def draw(self) -> list[Picture]:
        """All pictures, in the order of the calls to `show`."""
        camera = np.array([[pose.height] for pose in self.poses])
        heights = np.where(np.eye(len(self.poses), dtype=bool), 0.0, _AWAY)
        frames = self.frames(np.hstack([camera, heights]))
        return list(zip(self.captions, map(render.encode_png, frames), strict=True))

    def frames(self, qpos: Floats) -> np.ndarray:
        """uint8[T, height, width, 3] of qpos [T, nq]: the camera's height, then each body's."""
        return render.render_frames(
            self.spec.compile(), qpos, width=_WIDTH, height=_HEIGHT, shadows=True
        )
