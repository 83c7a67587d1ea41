"""Table, lights, cameras and the goal marker around the robot: what is seen, and no physics."""

from __future__ import annotations

import itertools

import mujoco
import numpy as np

from r2s_core.robot import NOT_PHYSICAL

GOAL_MARKER = "goal_marker"
#: The goal marker is a ring around the goal with the radius of success
#: (`task.state.GOAL_RADIUS`), so that the object is visible inside it.
_RING_RADIUS, _RING_THICKNESS = 0.05, 0.0035
_HIDDEN = (0.0, 0.0, -2.0)
_TABLE = (0.3, 0.0, -0.015), (0.6, 0.65, 0.015)  # its top's centre and half sizes, m
#: Spare bodies around the area where objects start, which randomizers show: place from its centre,
#: m, shape and half sizes, m (a cylinder's: radius and half length).
_DISTRACTORS = (
    ((-0.14, 0.25), mujoco.mjtGeom.mjGEOM_BOX, (0.025, 0.035, 0.02)),
    ((0.14, -0.25), mujoco.mjtGeom.mjGEOM_CYLINDER, (0.028, 0.03)),
    ((0.13, 0.26), mujoco.mjtGeom.mjGEOM_SPHERE, (0.03,)),
    ((-0.13, -0.26), mujoco.mjtGeom.mjGEOM_ELLIPSOID, (0.045, 0.025, 0.025)),
)
#: Of the lights in the images of cameras, in place of MuJoCo's headlight, which is the same in all
#: worlds: lights can be randomized whole.
_AMBIENT = 0.2
PORTRAIT = "portrait"
_PORTRAIT_VIEW, _PORTRAIT_FIELD = np.array([0.75, -1.0, 0.6]), 24.0
#: Camera: position, what it looks at (m), vertical field of view (degrees).
_CAMERAS = {
    "front": ((1.55, -1.0, 0.62), (0.49, 0.01, 0.2), 21.0),
    "side": ((0.45, -1.75, 0.45), (0.35, 0.0, 0.33), 36.0),
}


def add_stage(spec: mujoco.MjSpec) -> None:
    """Add table, surroundings, lights, cameras and the mocap body `goal_marker`, a ring."""
    _add_sky(spec)
    _add_materials(spec)
    _add_surroundings(spec)
    _add_lights(spec, shadows=True)
    for name, (position, target, field_of_view) in _CAMERAS.items():
        spec.worldbody.add_camera(
            name=name, pos=position, quat=_looking_at(position, target), fovy=field_of_view
        )
    _add_goal(spec, *_ring())


def add_plain_stage(spec: mujoco.MjSpec) -> None:
    """The same for the cameras of a policy: a table without legs, no sky, shadows or headlight.

    Their images cost time with every geom and face; these are 3 geoms and 96 faces.
    """
    _add_materials(spec)
    _add_box(spec, "table", *_TABLE)
    _add_floor(spec)
    _add_lights(spec, shadows=False)
    spec.visual.headlight.active = 0
    for light in spec.lights:
        light.ambient = (_AMBIENT,) * 3
    _add_goal(spec, *_ring(16, 3))


def add_distractors(spec: mujoco.MjSpec, centre: tuple[float, float]) -> None:
    """Add bodies on the table that are transparent until a randomizer gives them a colour:
    `distractor_0` and so on, around the centre [2], m, of the area of objects."""
    for number, ((x, y), kind, size) in enumerate(_DISTRACTORS):
        height = size[0] if kind == mujoco.mjtGeom.mjGEOM_SPHERE else size[-1]
        body = spec.worldbody.add_body(
            name=f"distractor_{number}", pos=(centre[0] + x, centre[1] + y, height)
        )
        padded = (*size, 0.0, 0.0)[:3]
        body.add_geom(type=kind, size=padded, rgba=(0.5, 0.5, 0.5, 0.0), **NOT_PHYSICAL)


def _add_goal(spec: mujoco.MjSpec, vertices: np.ndarray, faces: np.ndarray) -> None:
    marker = spec.worldbody.add_body(name=GOAL_MARKER, mocap=True, pos=_HIDDEN)
    spec.add_mesh(
        name="goal_ring",
        uservert=vertices.astype(np.float32).ravel(),
        userface=faces.ravel(),
        inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL,
    )
    marker.add_geom(
        type=mujoco.mjtGeom.mjGEOM_MESH, meshname="goal_ring", material="goal", **NOT_PHYSICAL
    )


def add_portrait_camera(body: mujoco.MjsBody, bounds: np.ndarray) -> None:
    """Add the camera `portrait`, which follows a body and keeps its direction.

    bounds [2, 3]: of the body's shape, m, body frame.
    """
    radius = 0.5 * float(np.linalg.norm(bounds[1] - bounds[0]))
    distance = 1.15 * radius / np.sin(np.radians(_PORTRAIT_FIELD / 2))
    backward = _PORTRAIT_VIEW / np.linalg.norm(_PORTRAIT_VIEW)
    centre = bounds.mean(axis=0)
    body.add_camera(
        name=PORTRAIT,
        mode=mujoco.mjtCamLight.mjCAMLIGHT_TRACK,
        pos=centre + distance * backward,
        quat=_looking_at(distance * backward, np.zeros(3)),
        fovy=_PORTRAIT_FIELD,
    )


def _ring(around: int = 48, across: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """A horizontal torus: vertices [n, 3], m, and triangles [m, 3]."""
    u, v = np.meshgrid(
        np.linspace(0, 2 * np.pi, around, endpoint=False),
        np.linspace(0, 2 * np.pi, across, endpoint=False),
        indexing="ij",
    )
    radius = _RING_RADIUS + _RING_THICKNESS * np.cos(v)
    vertices = np.stack([radius * np.cos(u), radius * np.sin(u), _RING_THICKNESS * np.sin(v)], -1)
    i, j = np.meshgrid(np.arange(around), np.arange(across), indexing="ij")
    corners = [
        (i + di) % around * across + (j + dj) % across
        for di, dj in ((0, 0), (1, 0), (1, 1), (0, 1))
    ]
    a, b, c, d = (corner.ravel() for corner in corners)
    faces = np.concatenate([np.stack([a, b, c], -1), np.stack([a, c, d], -1)])
    return vertices.reshape(-1, 3), faces.astype(np.int32)


def _add_sky(spec: mujoco.MjSpec) -> None:
    spec.add_texture(
        name="sky",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=(0.93, 0.95, 0.97),
        rgb2=(0.70, 0.75, 0.80),
        width=256,
        height=256,
    )


def _add_materials(spec: mujoco.MjSpec) -> None:
    spec.add_material(name="goal", rgba=(0.05, 0.7, 0.35, 0.7), emission=0.6)
    spec.add_material(name="table", rgba=(0.72, 0.63, 0.52, 1), specular=0.15, shininess=0.2)
    spec.add_material(name="table_edge", rgba=(0.45, 0.38, 0.31, 1), specular=0.1)
    spec.add_material(name="floor", rgba=(0.62, 0.65, 0.68, 1), specular=0.0)


def _add_surroundings(spec: mujoco.MjSpec) -> None:
    _add_box(spec, "table", *_TABLE)
    _add_box(spec, "table_edge", (0.3, 0.0, -0.04), (0.56, 0.61, 0.01))
    for x, y in itertools.product((-1, 1), repeat=2):
        leg = (0.3 + 0.52 * x, 0.57 * y, -0.40)
        _add_box(spec, "table_edge", leg, (0.025, 0.025, 0.35))
    _add_floor(spec)


def _add_box(spec: mujoco.MjSpec, material: str, centre, half_sizes) -> None:
    spec.worldbody.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX,
        pos=centre,
        size=half_sizes,
        material=material,
        **NOT_PHYSICAL,
    )


def _add_floor(spec: mujoco.MjSpec) -> None:
    spec.worldbody.add_geom(
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        pos=(0, 0, -0.75),
        size=(4, 4, 0.1),
        material="floor",
        **NOT_PHYSICAL,
    )


def _add_lights(spec: mujoco.MjSpec, shadows: bool) -> None:
    spec.visual.headlight.ambient = (0.28, 0.28, 0.29)
    spec.visual.headlight.diffuse = (0.25, 0.25, 0.25)
    spec.visual.headlight.specular = (0.05, 0.05, 0.05)
    # The shadow map covers the extent: the smaller, the sharper the shadows.
    spec.stat.extent, spec.stat.center = 1.0, (0.3, 0.0, 0.3)
    spec.visual.map.shadowclip = 1.0
    spec.visual.quality.shadowsize = 1024
    # Subdivisions of spheres and capsules: fewer than MuJoCo's default, which on a CPU halves the
    # time of a frame.
    spec.visual.quality.numslices, spec.visual.quality.numstacks = 18, 9
    for name, position, brightness, shadow in (
        ("key", (0.9, -0.9, 2.2), 0.55, shadows),
        ("fill", (-0.6, 1.4, 1.6), 0.22, False),
    ):
        spec.worldbody.add_light(
            name=name,
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
