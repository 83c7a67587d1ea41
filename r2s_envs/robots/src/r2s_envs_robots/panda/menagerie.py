"""The Panda's official meshes, for pictures, through the optional package `mujoco-menagerie`."""

from __future__ import annotations

import mujoco
import numpy as np

from r2s_core.errors import R2SError
from r2s_core.robot import NOT_PHYSICAL, VISUAL_GROUP

_ROBOT, _ENTRY = "franka_emika_panda", "panda"


def add_menagerie_visuals(spec: mujoco.MjSpec) -> None:
    """Dress the robot that `model.add_panda` put into `spec` with the official meshes.

    They are downloaded once, into the package's own cache. Raises R2SError where the package is
    missing, or the meshes are neither cached nor to be had.
    """
    try:
        import mujoco_menagerie  # type: ignore[reportMissingImports]
    except ImportError as error:
        raise R2SError(
            "the official Panda meshes need the package mujoco-menagerie: "
            "pip install 'r2s-envs-robots[menagerie]'"
        ) from error
    try:
        model = mujoco_menagerie.get(_ROBOT).model(_ENTRY)
    except mujoco_menagerie.MenagerieError as error:
        raise R2SError(
            f"the official Panda meshes are not cached and could not be downloaded ({error}); "
            "connect once, or use the built-in looks"
        ) from error
    copy_visuals(model, spec)


def copy_visuals(source: mujoco.MjModel, spec: mujoco.MjSpec) -> None:
    """Copy the visual meshes of `source` to the bodies of the same names in `spec`."""
    for geom in range(source.ngeom):
        body = spec.body(source.body(source.geom_bodyid[geom]).name)
        is_mesh = source.geom_type[geom] == mujoco.mjtGeom.mjGEOM_MESH
        if body is None or not is_mesh or source.geom_group[geom] != VISUAL_GROUP:
            continue
        mesh = source.geom_dataid[geom]
        name = f"menagerie_{source.mesh(mesh).name}"
        if spec.mesh(name) is None:
            _add_mesh(spec, source, mesh, name)
        body.add_geom(
            type=mujoco.mjtGeom.mjGEOM_MESH,
            meshname=name,
            # The compiled mesh is centred, and its geom placed to make up for that.
            pos=source.geom_pos[geom],
            quat=source.geom_quat[geom],
            material=_material(spec, source, source.geom_matid[geom]),
            **NOT_PHYSICAL,
        )


def _add_mesh(spec: mujoco.MjSpec, source: mujoco.MjModel, mesh: int, name: str) -> None:
    vertices, faces = source.mesh_vertadr[mesh], source.mesh_faceadr[mesh]
    spec.add_mesh(
        name=name,
        uservert=source.mesh_vert[vertices : vertices + source.mesh_vertnum[mesh]].ravel(),
        userface=source.mesh_face[faces : faces + source.mesh_facenum[mesh]].ravel(),
        inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL,  # open meshes are welcome
    )


def _material(spec: mujoco.MjSpec, source: mujoco.MjModel, index: int) -> str:
    if index < 0:
        return ""
    name = f"menagerie_{source.mat(index).name}"
    if spec.material(name) is None:
        spec.add_material(
            name=name,
            rgba=np.array(source.mat_rgba[index]),
            specular=float(source.mat_specular[index]),
            shininess=float(source.mat_shininess[index]),
        )
    return name
