"""The scene: a robot at a table, and one object on it.

`build_scene` is what physics steps: no decoration, as few collision pairs as the task needs.
`render_spec` is the same world, dressed for pictures.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Sequence

import mujoco
import numpy as np

from r2s_core.errors import AssetError
from r2s_core.robot import (
    ARM_CONTACT,
    COLLISION_GROUP,
    NO_FRICTION,
    NOT_PHYSICAL,
    OBJECT_CONTACT,
    PAD_CONTACT,
    VISUAL_GROUP,
    Robot,
)
from r2s_envs_pick_place.scene import stage
from r2s_envs_robots.panda.robot import panda

OBJECT_BODY, OBJECT_JOINT = "object", "object_joint"
HOME = "home"  # the keyframe
SEEN_FACES = 500  # of an object in the images of cameras
_TOUCHES_NOTHING = 1 << 20  # a contact bit in no geom's conaffinity
#: Contact sensors. Each pad's reads [found, force 3 (normal first), normal 3]; mask by `found`:
#: MJX leaves the other values undefined where nothing touches. Table: [found].
LEFT_PAD_CONTACT, RIGHT_PAD_CONTACT, TABLE_CONTACT = (
    "left_pad_contact",
    "right_pad_contact",
    "table_contact",
)


@dataclasses.dataclass(frozen=True)
class SceneObject:
    """A rigid object, in its body frame; z is up when it rests as scanned.

    pieces: vertices [n, 3] of convex pieces, m; or box: half sizes of one box, m.
    mass: kg; com [3]: m; inertia [3, 3]: kg m^2 about the centre of mass, body axes.
    friction: sliding friction against everything. visual: (vertices [n, 3], faces [m, 3]).
    """

    name: str
    mass: float
    inertia: np.ndarray
    com: tuple[float, float, float] = (0.0, 0.0, 0.0)
    pieces: tuple[np.ndarray, ...] = ()
    box: tuple[float, float, float] | None = None
    friction: float = 1.0
    visual: tuple[np.ndarray, np.ndarray] | None = None
    rgba: tuple[float, float, float, float] = (0.85, 0.45, 0.15, 1.0)

    def __post_init__(self) -> None:
        if (self.box is None) == (not self.pieces):
            raise AssetError(f"object {self.name!r} needs either convex pieces or a box, not both")
        numbers = (self.mass, self.friction, *np.ravel(self.inertia), *self.com, *self.points.flat)
        if not np.isfinite(numbers).all():
            raise AssetError(f"object {self.name!r} has a number that is not finite")
        least = float(np.linalg.eigvalsh(self.inertia)[0])
        if min(self.mass, least) <= mujoco.mjMINVAL or self.friction < 0:
            raise AssetError(
                f"object {self.name!r} has a mass of {self.mass:g} kg, a moment of inertia of "
                f"{least:g} kg m^2 and a friction of {self.friction:g}, which cannot be simulated; "
                "is its mass, its unit or its scale wrong?"
            )

    @property
    def points(self) -> np.ndarray:
        """Vertices [n, 3] of the collision shape, m."""
        if self.box is not None:
            return np.array(list(itertools.product((-1.0, 1.0), repeat=3))) * self.box
        return np.concatenate(self.pieces)

    @property
    def bounds(self) -> np.ndarray:
        """Lowest and highest corner [2, 3] of the collision shape, m."""
        points = self.points
        return np.array([points.min(axis=0), points.max(axis=0)])

    @functools.cached_property
    def few_faces(self) -> tuple[np.ndarray, np.ndarray]:
        """(vertices [n, 3], m, faces [m, 3]) of what it looks like, in at most `SEEN_FACES` faces
        where that can be; of the collision shape where it has no looks."""
        # SciPy and the simplification of meshes are loaded only where cameras are.
        from r2s_envs_objects.mesh.decompose import decimate
        from r2s_envs_objects.mesh.hull import hull_mesh

        if self.visual is not None:
            return decimate(*self.visual, SEEN_FACES)
        hulls = [hull_mesh(points) for points in self.pieces or (self.points,)]
        first = np.cumsum([0, *(len(vertices) for vertices, _ in hulls[:-1])])
        vertices = np.concatenate([vertices for vertices, _ in hulls])
        faces = np.concatenate([f + n for (_, f), n in zip(hulls, first, strict=True)])
        return decimate(vertices, faces, SEEN_FACES)


def box_object(
    half_sizes: tuple[float, float, float] = (0.02, 0.02, 0.03),
    mass: float = 0.1,
    name: str = "box",
    friction: float = 1.0,
) -> SceneObject:
    """A homogeneous box, its origin at its centre; half sizes in m, mass in kg."""
    squares = np.square(half_sizes)
    inertia = np.diag(mass / 3 * (squares.sum() - squares))
    return SceneObject(name, mass, inertia, box=half_sizes, friction=friction)


@dataclasses.dataclass(frozen=True)
class SceneOptions:
    """Physics of the scene; the hold test validates the defaults.

    robot: the robot at the table; default: the Panda. timestep s; substeps per control step;
    contact_stiffness N/m: of the object and the pads, the same for objects of any mass.
    """

    robot: Robot = dataclasses.field(default_factory=panda)
    timestep: float = 0.012
    substeps: int = 4
    impratio: float = 40.0
    iterations: int = 50
    line_search_iterations: int = 50
    contact_stiffness: float = 1.15e4
    max_hull_vertices: int = 64


def build_scene(
    objects: Sequence[SceneObject],
    options: SceneOptions | None = None,
    library: Sequence[SceneObject] = (),
) -> mujoco.MjSpec:
    """The world that physics steps: qpos is the robot's joints, then the object's pose 7.

    Keyframe `home` has the arm ready and the object on the table at the robot's `workspace`.
    library: objects, this one included, whose meshes the model also holds. With the same library,
    models of different objects have the same sizes and differ in values only: see `variants.py`.
    Raises AssetError unless there is exactly one object.
    """
    options = options or SceneOptions()
    if len(objects) != 1:
        raise AssetError(f"the pick-and-place scene takes exactly one object, not {len(objects)}")
    spec = mujoco.MjSpec()
    spec.modelname = f"{options.robot.name}_pick_place"
    _set_physics(spec, options, objects[0].mass)
    _add_table(spec)
    options.robot.add(spec)
    _damp_as_inertia(spec)
    _add_object(spec, objects[0], options, library or objects)
    _add_sensors(spec, options.robot)
    _add_home(spec, options.robot, objects[0])
    return spec


def _set_physics(spec: mujoco.MjSpec, options: SceneOptions, object_mass: float) -> None:
    spec.option.timestep = options.timestep
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_EULER  # see `_damp_as_inertia`
    spec.option.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_EULERDAMP)
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = options.impratio
    spec.option.iterations = options.iterations
    spec.option.ls_iterations = options.line_search_iterations
    # MuJoCo's contacts are springs in acceleration: an object of mass m held by them yields by
    # force / m * time_constant^2 * (1 - d) / d. This impedance d makes that force / stiffness.
    time_constant = 2 * options.timestep  # the stiffest that is stable
    yielding = object_mass / (options.contact_stiffness * time_constant**2)
    solref, solimp = (time_constant, 1.0), (1 / (1 + yielding),) * 2 + (0.001, 0.5, 2.0)
    # One softness for every contact and joint limit; MuJoCo would mix different ones. It takes the
    # greater friction of two geoms: robot and table have none of their own, so that the object's
    # applies wherever it is touched. The pads add torsional friction.
    geom, joint = spec.default.geom, spec.default.joint
    geom.solref = joint.solref_limit = solref
    geom.solimp = joint.solimp_limit = solimp
    geom.friction = (NO_FRICTION,) * 3


def _damp_as_inertia(spec: mujoco.MjSpec) -> None:
    """Integrate the servos' damping implicitly, and let the contact solver know.

    An implicit step divides by inertia + timestep * damping. MuJoCo's own does so only after
    solving for the contact forces, so that the hand moves more slowly than the solver assumed:
    while it accelerates, the object in it lags by up to half a millimetre, as deep as a pad
    presses, and a thin round one slips out. Adding timestep * damping to the joints' armature
    instead moves the arm in the same way, and the grip holds.
    """
    for servo in spec.actuators:
        joint = spec.joint(servo.target)
        damping = float(joint.damping[0]) - float(servo.biasprm[2])
        joint.armature += spec.option.timestep * damping


def implicit_damping(model: mujoco.MjModel) -> np.ndarray:
    """float64[nv], N m s/rad or N s/m: the damping in the armature, see `_damp_as_inertia`."""
    damping = np.zeros(model.nv)
    for servo in range(model.nu):
        dof = model.jnt_dofadr[model.actuator_trnid[servo, 0]]
        damping[dof] = model.dof_damping[dof] - model.actuator_biasprm[servo, 2]
    return damping


def _add_table(spec: mujoco.MjSpec) -> None:
    # Two coincident planes, one for the robot and one for the object: a contact of the object's
    # plane with any geom is then "object on table". MJX's contact sensors take geoms, not bodies.
    for name, touched_by in (
        ("table_for_robot", ARM_CONTACT),
        ("table_for_object", OBJECT_CONTACT),
    ):
        spec.worldbody.add_geom(
            name=name,
            type=mujoco.mjtGeom.mjGEOM_PLANE,
            size=(0, 0, 0.05),
            contype=0,
            conaffinity=touched_by,
            group=COLLISION_GROUP,
        )


def _add_free_body(spec: mujoco.MjSpec, mass: float, com, inertia) -> mujoco.MjsBody:
    """The object's body with its free joint, without geoms."""
    body = spec.worldbody.add_body(name=OBJECT_BODY)
    body.add_freejoint(name=OBJECT_JOINT)
    body.explicitinertial = True
    body.mass, body.ipos = mass, com
    body.fullinertia = np.asarray(inertia)[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]
    return body


def _add_object(
    spec: mujoco.MjSpec,
    scene_object: SceneObject,
    options: SceneOptions,
    library: Sequence[SceneObject],
) -> None:
    body = _add_free_body(spec, scene_object.mass, scene_object.com, scene_object.inertia)
    contact = {
        "contype": OBJECT_CONTACT,
        "conaffinity": ARM_CONTACT | PAD_CONTACT,
        "condim": 3,
        "friction": (scene_object.friction, NO_FRICTION, NO_FRICTION),
        "group": COLLISION_GROUP,
        "mass": 0.0,
    }
    if scene_object.box is not None:
        body.add_geom(
            name="object_0", type=mujoco.mjtGeom.mjGEOM_BOX, size=scene_object.box, **contact
        )
    for number, shape in enumerate(library):
        for index, vertices in enumerate(shape.pieces):
            spec.add_mesh(
                name=_mesh_name(number, index),
                uservert=np.asarray(vertices, np.float32).ravel(),
                maxhullvert=options.max_hull_vertices,
                inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_CONVEX,
            )
    own_number = next(number for number, shape in enumerate(library) if shape is scene_object)
    for index in range(max(len(shape.pieces) for shape in library)):
        used = index < len(scene_object.pieces)
        mesh = _mesh_name(own_number, index if used else 0)
        # Spare geoms of an object with fewer pieces touch nothing. They keep a contact bit, since
        # MuJoCo's tree of bounding volumes omits geoms without one, and are offset slightly, since
        # it merges coincident ones: trees of different objects would differ in size.
        unused = {"contype": _TOUCHES_NOTHING, "conaffinity": 0, "pos": (1e-4 * index, 0.0, 0.0)}
        kind = mujoco.mjtGeom.mjGEOM_MESH
        body.add_geom(
            name=f"object_{index}", type=kind, meshname=mesh, **(contact | ({} if used else unused))
        )


def _mesh_name(number: int, index: int) -> str:
    return f"object{number}_{index}" if number else f"object_{index}"


def _add_sensors(spec: mujoco.MjSpec, robot: Robot) -> None:
    found = 1 << int(mujoco.mjtConDataField.mjCONDATA_FOUND)
    force = 1 << int(mujoco.mjtConDataField.mjCONDATA_FORCE)
    normal = 1 << int(mujoco.mjtConDataField.mjCONDATA_NORMAL)
    strongest = 2  # of several contacts, report the one with the greatest force
    for name, geom, fields in (
        (LEFT_PAD_CONTACT, robot.pads[0], found | force | normal),
        (RIGHT_PAD_CONTACT, robot.pads[1], found | force | normal),
        (TABLE_CONTACT, "table_for_object", found),
    ):
        spec.add_sensor(
            name=name,
            type=mujoco.mjtSensor.mjSENS_CONTACT,
            objtype=mujoco.mjtObj.mjOBJ_GEOM,
            objname=geom,
            intprm=(fields, strongest, 1),
        )


def _add_home(spec: mujoco.MjSpec, robot: Robot, scene_object: SceneObject) -> None:
    resting = (*robot.workspace, -float(scene_object.bounds[0, 2]), 1.0, 0.0, 0.0, 0.0)
    add_home(spec, robot, [np.array(resting)])


def add_home(spec: mujoco.MjSpec, robot: Robot, poses: Sequence[np.ndarray]) -> None:
    """The keyframe `home`: the robot ready, and the free bodies after it at poses [7]."""
    alone = robot.spec().compile()
    qpos = np.concatenate([robot.qpos(alone, robot.home), *poses])
    spec.add_key(name=HOME, qpos=qpos, ctrl=robot.ctrl(robot.home, closed=False))


def render_spec(
    objects: Sequence[SceneObject], options: SceneOptions | None = None, *, plain: bool = False
) -> mujoco.MjSpec:
    """The world of `build_scene` with visuals, for pictures; its qpos layout is the same.

    Cameras `front`, `side` and, at the object, `portrait`. The mocap body `goal_marker`, below the
    table until it is moved, marks a goal.
    plain: with the looks of `camera_spec`, and without cameras.
    """
    options = options or SceneOptions()
    spec = build_scene(objects, options)
    if plain:
        (options.robot.sketch or options.robot.dress)(spec)
        stage.add_plain_stage(spec)
        _dress_object(spec, objects[0])
        _dull(spec)
        return spec
    options.robot.dress(spec)
    stage.add_stage(spec)
    _dress_object(spec, objects[0])
    stage.add_portrait_camera(spec.body(OBJECT_BODY), objects[0].bounds)
    return spec


def camera_spec(
    scene_object: SceneObject,
    options: SceneOptions | None = None,
    library: Sequence[SceneObject] = (),
) -> mujoco.MjSpec:
    """The world of `build_scene` as the cameras of a policy see it; its qpos layout is the same.

    Lean, since images cost time with every geom: the robot's sketch, a table without legs, the
    object in few faces, no shadows and no highlights. Materials, lights and the mocap body
    `goal_marker` have the names that they have in `render_spec`. It has no cameras of its own.
    library: as for `build_scene`.
    """
    options = options or SceneOptions()
    robot, library = options.robot, library or (scene_object,)
    spec = mujoco.MjSpec()
    spec.modelname = f"{robot.name}_seen"
    robot.add(spec)
    _drop_unseen(spec)
    (robot.sketch or robot.dress)(spec)
    body = _add_free_body(spec, 1.0, (0.0, 0.0, 0.0), np.eye(3))  # all alike: it is not seen
    stage.add_plain_stage(spec)
    stage.add_distractors(spec, robot.workspace)
    spec.add_material(name="object", rgba=scene_object.rgba)
    for number, shape in enumerate(library):
        _add_visual_mesh(spec, _mesh_name(number, 0), *shape.few_faces)
    own = next(number for number, shape in enumerate(library) if shape is scene_object)
    body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_MESH,
        meshname=_mesh_name(own, 0),
        material="object",
        **NOT_PHYSICAL,
    )
    _dull(spec)
    return spec


def _dull(spec: mujoco.MjSpec) -> None:
    """No highlights and reflections."""
    for material in spec.materials:
        material.specular = material.reflectance = 0.0


def _drop_unseen(spec: mujoco.MjSpec) -> None:
    """Delete collision geoms where they are not what gives their body its mass."""
    for geom in list(spec.geoms):
        if geom.group == COLLISION_GROUP and geom.parent.explicitinertial:
            spec.delete(geom)


def _dress_object(spec: mujoco.MjSpec, scene_object: SceneObject) -> None:
    spec.add_material(name="object", rgba=scene_object.rgba, specular=0.3, shininess=0.3)
    if scene_object.visual is None:
        for geom in spec.body(OBJECT_BODY).geoms:
            geom.group, geom.material = VISUAL_GROUP, "object"
        return
    _add_visual_mesh(spec, "object_visual", *scene_object.visual)
    spec.body(OBJECT_BODY).add_geom(
        type=mujoco.mjtGeom.mjGEOM_MESH,
        meshname="object_visual",
        material="object",
        **NOT_PHYSICAL,
    )


def _add_visual_mesh(spec: mujoco.MjSpec, name: str, vertices, faces) -> None:
    spec.add_mesh(
        name=name,
        uservert=np.asarray(vertices, np.float32).ravel(),
        userface=np.asarray(faces, np.int32).ravel(),
        # Scans may be open; the body's inertia is explicit, so any finite mesh inertia will do.
        inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_CONVEX,
    )
