"""Table, light, cameras and the goal's marker around the robot, for pictures only."""

from __future__ import annotations

import mujoco
import numpy as np

from r2s_envs_pick_place.robot.visuals import NOT_PHYSICAL

GOAL_MARKER = "goal_marker"
_MARKER_RADIUS = 0.02
_HIDDEN = (0.0, 0.0, -2.0)
#: Camera: position, what it looks at (m), vertical field of view (degrees).
_CAMERAS = {
    "front": ((1.65, -0.95, 0.75), (0.29, 0.0, 0.32), 33.0),
    "side": ((0.45, -1.75, 0.45), (0.35, 0.0, 0.33), 36.0),
}


def add_stage(spec: mujoco.MjSpec) -> None:
    """Add table, surroundings, lights, cameras and the mocap body `goal_marker`."""
    _add_surroundings(spec)
    _add_lights(spec)
    for name, (position, target, field_of_view) in _CAMERAS.items():
        spec.worldbody.add_camera(
            name=name, pos=position, quat=_looking_at(position, target), fovy=field_of_view
        )
    spec.add_material(name="goal", rgba=(0.1, 0.75, 0.35, 0.65), emission=0.5)
    marker = spec.worldbody.add_body(name=GOAL_MARKER, mocap=True, pos=_HIDDEN)
    marker.add_geom(
        type=mujoco.mjtGeom.mjGEOM_SPHERE,
        size=(_MARKER_RADIUS, 0, 0),
        material="goal",
        **NOT_PHYSICAL,
    )


def _add_surroundings(spec: mujoco.MjSpec) -> None:
    spec.add_texture(
        name="sky",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=(0.93, 0.95, 0.97),
        rgb2=(0.70, 0.75, 0.80),
        width=256,
        height=256,
    )
    spec.add_material(name="table", rgba=(0.72, 0.63, 0.52, 1), specular=0.15, shininess=0.2)
    spec.add_material(name="table_edge", rgba=(0.45, 0.38, 0.31, 1), specular=0.1)
    spec.add_material(name="floor", rgba=(0.62, 0.65, 0.68, 1), specular=0.0)
    for name, centre, half_sizes in (
        ("table", (0.3, 0.0, -0.015), (0.6, 0.65, 0.015)),
        ("table_edge", (0.3, 0.0, -0.04), (0.56, 0.61, 0.01)),
        *(
            ("table_edge", (0.3 + 0.52 * x, 0.57 * y, -0.40), (0.025, 0.025, 0.35))
            for x in (-1, 1)
            for y in (-1, 1)
        ),
    ):
        spec.worldbody.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX,
            pos=centre,
            size=half_sizes,
            material=name,
            **NOT_PHYSICAL,
        )
    spec.worldbody.add_geom(
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        pos=(0, 0, -0.75),
        size=(4, 4, 0.1),
        material="floor",
        **NOT_PHYSICAL,
    )


def _add_lights(spec: mujoco.MjSpec) -> None:
    spec.visual.headlight.ambient = (0.28, 0.28, 0.29)
    spec.visual.headlight.diffuse = (0.25, 0.25, 0.25)
    spec.visual.headlight.specular = (0.05, 0.05, 0.05)
    # The shadow map covers the extent: only as much as is worth a sharp shadow.
    spec.stat.extent, spec.stat.center = 1.0, (0.3, 0.0, 0.3)
    spec.visual.map.shadowclip = 1.0
    spec.visual.quality.shadowsize = 4096
    for position, brightness, shadow in (
        ((0.9, -0.9, 2.2), 0.55, True),
        ((-0.6, 1.4, 1.6), 0.22, False),
    ):
        spec.worldbody.add_light(
            type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
            pos=position,
            dir=np.subtract((0.35, 0.0, 0.1), position),
            diffuse=(brightness,) * 3,
            specular=(0.3 * brightness,) * 3,
            castshadow=shadow,
        )


def _looking_at(position, target) -> np.ndarray:
    """Quaternion of a camera at `position` that looks at `target`, its image upright."""
    backward = np.subtract(position, target)
    backward /= np.linalg.norm(backward)
    right = np.cross((0.0, 0.0, 1.0), backward)
    right /= np.linalg.norm(right)
    quat = np.empty(4)
    axes = np.column_stack([right, np.cross(backward, right), backward])
    mujoco.mju_mat2Quat(quat, axes.ravel())
    return quat
