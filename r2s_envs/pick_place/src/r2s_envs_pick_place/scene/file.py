"""A scene of several objects as files for MuJoCo's own tools: XML, and meshes beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import mujoco
import numpy as np
import trimesh

from r2s_core.errors import AssetError
from r2s_core.robot import (
    ARM_CONTACT,
    COLLISION_GROUP,
    NO_FRICTION,
    NOT_PHYSICAL,
    OBJECT_CONTACT,
    PAD_CONTACT,
    Robot,
)
from r2s_core.system import files
from r2s_envs_objects import ObjectAsset
from r2s_envs_objects.mesh.hull import hull_mesh
from r2s_envs_pick_place.scene import build as scene
from r2s_envs_pick_place.scene.build import SceneOptions
from r2s_envs_pick_place.scene.stage import GOAL_MARKER

#: The part of the table on which objects are put, m: within the arm's reach, clear of its base.
REACH_X, REACH_Y = (0.32, 0.86), (-0.55, 0.55)
GAP = 0.04  # m between objects
_COLOURS = (
    (0.85, 0.45, 0.15, 1.0),
    (0.20, 0.50, 0.75, 1.0),
    (0.35, 0.65, 0.30, 1.0),
    (0.75, 0.25, 0.30, 1.0),
    (0.55, 0.40, 0.70, 1.0),
    (0.85, 0.70, 0.20, 1.0),
)


@dataclasses.dataclass(frozen=True, eq=False)
class Placed:
    """An object under a unique name, its origin at position [3], m, resting on the table."""

    name: str
    asset: ObjectAsset
    position: np.ndarray


def place(assets: Sequence[ObjectAsset], robot: Robot) -> list[Placed]:
    """The objects side by side in rows across the table; AssetError if they need more room."""
    corners = [_footprint(asset) for asset in assets]
    rows, width = [[]], 0.0
    for index, (low, high) in enumerate(corners):
        across = float(high[1] - low[1])
        if rows[-1] and width + GAP + across > REACH_Y[1] - REACH_Y[0]:
            rows.append([])
            width = 0.0
        width += across + (GAP if rows[-1] else 0.0)
        rows[-1].append(index)
    depths = [max(float((corners[i][1] - corners[i][0])[0]) for i in row) for row in rows]
    _check_room(corners, depths)
    positions = np.zeros((len(assets), 3))
    # The first row is where a single object stands in the keyframe, if the others fit behind it.
    start = min(
        robot.workspace[0] - depths[0] / 2, REACH_X[1] - sum(depths) - GAP * (len(rows) - 1)
    )
    for row, depth in zip(rows, depths, strict=True):
        widths = [float((corners[i][1] - corners[i][0])[1]) for i in row]
        y = -(sum(widths) + GAP * (len(row) - 1)) / 2
        for index, across in zip(row, widths, strict=True):
            low, high = corners[index]
            middle = np.array([start + depth / 2, y + across / 2])
            positions[index, :2] = middle - (low + high)[:2] / 2
            positions[index, 2] = assets[index].resting_qpos.height
            y += across + GAP
        start += depth + GAP
    names = _names([asset.name for asset in assets], robot)
    return [Placed(*item) for item in zip(names, assets, positions, strict=True)]


def _footprint(asset: ObjectAsset) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest corner [3] of everything that may touch, body frame, m."""
    points = np.concatenate([asset.visual_vertices, *asset.pieces])
    return points.min(axis=0), points.max(axis=0)


def _check_room(corners: list[tuple[np.ndarray, np.ndarray]], depths: list[float]) -> None:
    room_x, room_y = REACH_X[1] - REACH_X[0], REACH_Y[1] - REACH_Y[0]
    widest = max(float((high - low)[1]) for low, high in corners)
    deep = sum(depths) + GAP * (len(depths) - 1)
    if deep > room_x or widest > room_y:
        raise AssetError(
            f"{len(corners)} objects side by side take {deep:.2f} x {widest:.2f} m, more than the "
            f"{room_x:.2f} x {room_y:.2f} m within the arm's reach; give fewer or smaller ones"
        )


def _names(names: Sequence[str], robot: Robot) -> list[str]:
    """The objects' names as MuJoCo accepts them, distinct from each other and the robot's."""
    taken = {"world", GOAL_MARKER, *(body.name for body in robot.spec().bodies)}
    result = []
    for name in names:
        base = "".join(c if c.isalnum() or c in "_-" else "_" for c in name) or "object"
        unique, count = base, 1
        while unique in taken:
            count += 1
            unique = f"{base}_{count}"
        taken.add(unique)
        result.append(unique)
    return result


def scene_spec(
    placed: Sequence[Placed], mesh_folder: str, options: SceneOptions, *, plain: bool = False
) -> tuple[mujoco.MjSpec, dict[str, bytes]]:
    """The dressed scene with these objects, and the content of its mesh files by relative path.

    plain: as cameras of a policy see it in training, without cameras.

    Keyframe `home`: arm ready, objects at rest. Objects collide with each other. All have the
    contact softness that the heaviest would have alone.
    """
    heaviest = max(item.asset.mass for item in placed)
    # `render_spec` takes one object: its position and softness become those of the objects added.
    spec = scene.render_spec([scene.box_object(mass=heaviest)], options, plain=plain)
    spec.delete(spec.body(scene.OBJECT_BODY))
    meshes: dict[str, bytes] = {}
    for index, item in enumerate(placed):
        spec.add_material(
            name=f"{item.name}_material",
            rgba=_COLOURS[index % len(_COLOURS)],
            specular=0.0 if plain else 0.3,
            shininess=0.3,
        )
        _add_body(spec, item, mesh_folder, options, meshes)
    spec.assets = meshes
    for key in list(spec.keys):
        spec.delete(key)
    poses = [np.r_[item.position, 1.0, 0.0, 0.0, 0.0] for item in placed]
    scene.add_home(spec, options.robot, poses)
    return spec, meshes


def _add_body(
    spec: mujoco.MjSpec,
    item: Placed,
    mesh_folder: str,
    options: SceneOptions,
    meshes: dict[str, bytes],
) -> None:
    asset = item.asset
    body = spec.worldbody.add_body(name=item.name, pos=item.position)
    body.add_freejoint(name=f"{item.name}_joint")
    body.explicitinertial = True
    body.mass, body.ipos = asset.mass, asset.com
    body.fullinertia = asset.inertia[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]

    def mesh(name: str, vertices: np.ndarray, faces: np.ndarray, hull_vertices: int) -> str:
        file = f"{mesh_folder}/{name}.obj"
        text = trimesh.Trimesh(vertices, faces, process=False).export(file_type="obj")
        meshes[file] = text if isinstance(text, bytes) else str(text).encode()
        spec.add_mesh(
            name=name,
            file=file,
            maxhullvert=hull_vertices,
            inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_CONVEX,
        )
        return name

    for index, piece in enumerate(asset.pieces):
        name = f"{item.name}_{index}"
        body.add_geom(
            name=name,
            type=mujoco.mjtGeom.mjGEOM_MESH,
            meshname=mesh(name, *hull_mesh(piece), options.max_hull_vertices),
            contype=OBJECT_CONTACT,
            conaffinity=ARM_CONTACT | PAD_CONTACT | OBJECT_CONTACT,
            condim=3,
            friction=(asset.friction, NO_FRICTION, NO_FRICTION),
            group=COLLISION_GROUP,
            mass=0.0,
        )
    visual = mesh(f"{item.name}_visual", asset.visual_vertices, asset.visual_faces, -1)
    body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_MESH,
        meshname=visual,
        material=f"{item.name}_material",
        **NOT_PHYSICAL,
    )


def write_scene(
    path: Path, assets: Sequence[ObjectAsset], options: SceneOptions, *, plain: bool = False
) -> list[Placed]:
    """Write FILE.xml and FILE_meshes/ beside it; return where each object was put.

    plain: see `scene_spec`.

    AssetError where the table has no room for them or the path cannot be written to.
    """
    placed = place(assets, options.robot)
    folder = f"{path.stem}_meshes"
    spec, meshes = scene_spec(placed, folder, options, plain=plain)
    spec.modelname = path.stem
    spec.compile()
    text = spec.to_xml()
    meshes_folder = path.parent / folder
    if meshes_folder.is_symlink():
        raise AssetError(f"{meshes_folder}: is a link; choose another place with -o")
    try:
        meshes_folder.mkdir(parents=True, exist_ok=True)
        for name, content in meshes.items():
            files.write_bytes(path.parent / name, content)
        files.write_text(path, text)
    except OSError as error:
        raise AssetError(
            f"{path}: cannot be written ({error.strerror}); choose another place with -o"
        ) from None
    return placed
