"""The object as files for MuJoCo and most other tools: meshes, and an MJCF model."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np

from r2s_core.system.text import printable
from r2s_envs_objects.asset import Floats, Ints, ObjectAsset
from r2s_envs_objects.behaviour.rest import TIMESTEP
from r2s_envs_objects.mesh.hull import hull_mesh
from r2s_envs_objects.object_folder import MODEL, PIECES, VISUAL

_XML = """<mujoco model={name}>
  <!-- SI units; written by r2s from {source}. The body frame is at the centre of mass. -->
  <compiler angle="radian"/>
  <option timestep="{timestep}" integrator="implicitfast" cone="elliptic"/>
  <visual><headlight ambient="0.4 0.4 0.4" diffuse="0.5 0.5 0.5"/></visual>
  <statistic extent="{extent}" center="0 0 {height}"/>
  <asset>
    <mesh name="visual" file="visual.obj" inertia="shell"/>
{meshes}
  </asset>
  <worldbody>
    <light pos="0 0 3" dir="0 0 -1"/>
    <geom name="floor" type="plane" size="1 1 0.1" condim="6" friction="1 0.005 0.001"
      rgba="0.8 0.8 0.8 1"/>
    <body name="object" pos="0 0 {height}" quat="{quat}">
      <freejoint name="object"/>
      <inertial pos="0 0 0" mass="{mass}"
        fullinertia="{inertia}"/>
      <geom name="visual" type="mesh" mesh="visual" group="2" contype="0" conaffinity="0"
        mass="0" rgba="0.85 0.45 0.15 1"/>
{geoms}
    </body>
  </worldbody>
  <keyframe><key name="rest" qpos="0 0 {height} {quat}"/></keyframe>
</mujoco>
"""


def write_model(folder: Path, asset: ObjectAsset) -> Path:
    """Write object.xml with its meshes into `folder`; the path of the model.

    It is standalone: the object with its convex pieces (geom group 3), its visual mesh (group 2)
    and a floor, with the resting pose as the keyframe `rest`.
    """
    (folder / PIECES).mkdir()
    _write_obj(folder / VISUAL, asset.visual_vertices, asset.visual_faces)
    names = [f"piece_{i:02d}" for i in range(len(asset.pieces))]
    for name, piece in zip(names, asset.pieces, strict=True):
        _write_obj(folder / PIECES / f"{name}.obj", *hull_mesh(piece))
    friction = f'condim="6" friction="{asset.friction:g} 0.005 0.001"'
    text = _XML.format(
        name=quoteattr(asset.name),
        source=printable(Path(asset.source).name).replace("--", "- -"),
        timestep=TIMESTEP,
        extent=f"{2.0 * float(np.linalg.norm(asset.size)):.6g}",
        height=f"{asset.resting_qpos.height:.9g}",
        quat=_numbers(asset.resting_qpos.quat),
        mass=f"{asset.mass:.9g}",
        inertia=_numbers(asset.inertia[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]),
        meshes="\n".join(f'    <mesh name="{n}" file="{PIECES}/{n}.obj"/>' for n in names),
        geoms="\n".join(
            f'      <geom name="{n}" type="mesh" mesh="{n}" group="3" mass="0" {friction}/>'
            for n in names
        ),
    )
    path = folder / MODEL
    path.write_text(text, encoding="utf-8")
    return path


def _numbers(values: Floats | tuple[float, ...]) -> str:
    return " ".join(f"{float(value):.9g}" for value in values)


def _write_obj(path: Path, vertices: Floats, faces: Ints) -> None:
    with path.open("w", encoding="ascii") as file:
        np.savetxt(file, vertices, fmt="v %.7g %.7g %.7g")
        np.savetxt(file, faces + 1, fmt="f %d %d %d")
