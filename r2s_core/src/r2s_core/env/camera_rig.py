"""The cameras of an environment: what they see of each world, drawn once per control step."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from r2s_core import registry
from r2s_core.camera import DRAWN_GROUPS, OF_TASK, WORLD, Camera
from r2s_core.config import EngineConfig, Use
from r2s_core.device import check_memory
from r2s_core.env.curriculum import Levels
from r2s_core.env.randomization import Randomization, model_field
from r2s_core.env.variants import as_field, differing_fields
from r2s_core.errors import ConfigError, R2SError
from r2s_core.look_fields import LOOK_FIELDS
from r2s_core.suggest import did_you_mean
from r2s_core.system.foreign import ForeignError, calling
from r2s_core.system.text import say_once
from r2s_core.types import (
    EXPERT_GROUP,
    Array,
    ArraySpec,
    Named,
    Renderer,
    SceneSpec,
    SeenScene,
    Task,
)

#: Groups that are never a camera's.
_TAKEN: tuple[str, ...] = ("policy", "critic", EXPERT_GROUP)
#: Fields that other fields of a compiled model follow from, or that nothing drawn depends on.
_NOT_SEEN = ("opt.", "dof_", "key_", "bvh_aabb", "name", "cam_user", "text_", "numeric_", "tuple_")


@dataclasses.dataclass(frozen=True)
class Seen:
    """What the cameras see: one model, and how the scene's variants differ in it.

    tables: MjModel field -> its values [K, ...]; empty without variants.
    """

    model: mujoco.MjModel
    cameras: Mapping[str, Camera]
    tables: Mapping[str, np.ndarray]


def images_of(seen: Seen) -> dict[str, ArraySpec]:
    """The observation groups of all cameras."""
    return {
        group: spec
        for name, camera in seen.cameras.items()
        for group, spec in camera.groups(name).items()
    }


def described_by(seen: Seen, randomizers: Mapping[str, Any]) -> SeenScene:
    """What a renderer is built for; randomizers: by name, of any stage."""
    fields = {f for r in randomizers.values() if r.stage == "visual" for f in r.writes}
    return SeenScene(seen.model, seen.cameras, frozenset(fields | seen.tables.keys()))


def seen_by(engine: EngineConfig, task: Task[Any], scene: SceneSpec) -> Seen:
    """The scene with the configured cameras, or the task's own.

    Raises `ConfigError` where a camera cannot be placed, and `ForeignError` for a plugin's fault.
    """
    return seen_with(_cameras(engine, task), task, scene)


def seen_with(cameras: Mapping[str, Camera], task: Task[Any], scene: SceneSpec) -> Seen:
    """The scene with these cameras, by name; raises as `seen_by`."""
    build = scene.camera_spec or scene.render_spec
    if build is None:
        raise ConfigError(
            f"environment.vision_enabled: the task {type(task).__name__} has nothing to see; give "
            "its SceneSpec a camera_spec or a render_spec"
        )
    count = 1 if scene.variants is None else len(scene.variants)
    models = [_compiled(build, k, cameras, type(task).__name__) for k in range(count)]
    if (models[0].nq, models[0].nv) != (scene.model.nq, scene.model.nv):
        raise ConfigError(
            f"what the cameras of {type(task).__name__} see has {models[0].nq} coordinates, and "
            f"its physics {scene.model.nq}; they must be the same"
        )
    seen = Seen(models[0], cameras, differing_fields(models, _NOT_SEEN, _refused))
    _check_places(seen, scene)
    return seen


def _cameras(engine: EngineConfig, task: Task[Any]) -> dict[str, Camera]:
    """By name. Those without a size of their own have `camera_resolution`."""
    size, own, cameras = engine.camera_resolution, task.info.cameras, {}
    for name, use in engine.cameras.items():
        try:
            starts_from = _own(own, name) if use.use == OF_TASK else ()
            camera = registry.build("camera", use.use, *starts_from, use.options)
        except ConfigError as error:
            raise ConfigError(f"environment.cameras.{name}: {error}") from error
        if size is not None and getattr(use.options, "size", None) is None:
            camera = dataclasses.replace(camera, size=size)
        cameras[name] = camera
    if not cameras:
        cameras = {n: dataclasses.replace(c, size=size or c.size) for n, c in own.items()}
    if not cameras:
        raise ConfigError(
            f"environment.cameras: the task {type(task).__name__} has no cameras of its own; name "
            "some, as in cameras: {front: {position: [1, 0, 0.7], look_at: [0.5, 0, 0.1]}}"
        )
    groups = list(_TAKEN)
    for name, camera in cameras.items():
        for group in camera.groups(name):
            if group in groups:
                raise ConfigError(
                    f"environment.cameras.{name}: there is an observation group '{group}' already; "
                    "give the camera another name"
                )
            groups.append(group)
    return cameras


def _own(cameras: Mapping[str, Camera], name: str) -> tuple[Camera]:
    if name not in cameras:
        hint = did_you_mean(name, cameras)
        there = f"it has {', '.join(cameras)}" if cameras else "it has none"
        raise ConfigError(f"the task has no camera of its own with this name{hint}; {there}")
    return (cameras[name],)


def _compiled(
    build: Callable[[int], mujoco.MjSpec], variant: int, cameras: Mapping[str, Camera], owner: str
) -> mujoco.MjModel:
    with calling(f"environment '{owner}'", build):
        spec = build(variant)
        for name, camera in cameras.items():
            _mount(spec, name, camera)
        return spec.compile()


def _mount(spec: mujoco.MjSpec, name: str, camera: Camera) -> None:
    """Add a camera in place of the scene's own of that name."""
    for own in spec.cameras:
        if own.name == name:
            spec.delete(own)
    body, position, quaternion = spec.worldbody, camera.position, camera.quaternion
    if camera.mount != WORLD:
        bodies = {each.name: each for each in spec.bodies if each.name}
        sites = {each.name: each for each in spec.sites if each.name}
        if camera.mount in bodies:
            body = bodies[camera.mount]
        elif camera.mount in sites:
            site = sites[camera.mount]
            body = site.parent
            position, quaternion = _composed(site.pos, site.quat, position, quaternion)
        else:
            known = [*bodies, *sites]
            raise ConfigError(
                f"environment.cameras.{name}.mount: the scene has no body or site "
                f"'{camera.mount}'{did_you_mean(camera.mount, known)}; it has {', '.join(known)}"
            )
    body.add_camera(
        name=name, pos=position, quat=quaternion, fovy=camera.field_of_view, resolution=camera.size
    )


def _composed(pos: Any, quat: Any, position: Any, quaternion: Any) -> tuple[Any, Any]:
    """A pose [3], [4] in the frame of a pose, in the frame that that is in."""
    at, turn = np.empty(3), np.empty(4)
    mujoco.mju_rotVecQuat(at, np.asarray(position, float), np.asarray(quat, float))
    mujoco.mju_mulQuat(turn, np.asarray(quat, float), np.asarray(quaternion, float))
    return at + np.asarray(pos), turn


def _refused(field: str) -> ConfigError:
    return ConfigError(
        f"what cameras see of the scene's variants differs in size ({field}), which no model can "
        "hold; train on one object, or without cameras"
    )


def _check_places(seen: Seen, scene: SceneSpec) -> None:
    """Raises `ConfigError` where a camera is inside of a geom, of which it would see nothing else.

    In the keyframe `home` or else `qpos0`: most rays from inside meet the same geom, from within.
    """
    model, data = seen.model, mujoco.MjData(seen.model)
    data.qpos[:] = scene.model.key_qpos[0] if scene.model.nkey else scene.model.qpos0
    mujoco.mj_forward(model, data)
    # Along no axis and through no corner, where a ray may slip out.
    around = np.random.default_rng(0).normal(size=(32, 3))
    for name in seen.cameras:
        place, within = data.cam_xpos[model.camera(name).id], np.zeros(model.ngeom)
        for direction in around:
            geom, normal = np.zeros(1, np.int32), np.zeros(3)
            mujoco.mj_ray(model, data, place, direction, DRAWN_GROUPS, 1, -1, geom, normal)
            if geom[0] >= 0 and float(normal @ direction) > 0:
                within[geom[0]] += 1
        if within.max(initial=0) > len(around) / 2:
            inside = model.geom(int(within.argmax()))
            what = _called(inside.name, model.body(int(inside.bodyid[0])).name)
            raise ConfigError(
                f"environment.cameras.{name}: the camera is inside of {what}, so it would see "
                "nothing else; move its position"
            )
    _warn_of_nothing(seen, data)


def _warn_of_nothing(seen: Seen, data: Any) -> None:
    """Say which cameras see nothing where episodes start, as far as a few rays tell."""
    model = seen.model
    for name, camera in seen.cameras.items():
        place = model.camera(name).id
        slope = np.tan(np.radians(camera.field_of_view) / 2)
        x, y = np.meshgrid(*[np.linspace(-0.95, 0.95, 9)] * 2)
        wide = camera.size[0] / camera.size[1]
        rays = np.stack([slope * wide * x, slope * y, -np.ones_like(x)], -1).reshape(-1, 3)
        rays = rays @ data.cam_xmat[place].reshape(3, 3).T
        geom = np.zeros(1, np.int32)
        distances = [
            mujoco.mj_ray(model, data, data.cam_xpos[place], ray, DRAWN_GROUPS, 1, -1, geom)
            for ray in rays
        ]
        if max(distances) < 0:
            say_once(
                f"environment.cameras.{name}: it sees nothing where episodes start; does it look "
                "the right way? `r2s cameras CONFIG` draws its images"
            )


def _called(geom: str, body: str) -> str:
    return f"the geom {geom} of the body {body}" if geom else f"the body {body}"


class CameraRig:
    """The cameras of W worlds, and how what they see varies.

    cameras: by name. groups: their observation groups. traceable: as `Renderer.traceable`.
    """

    def __init__(
        self,
        seen: Seen,
        task: Task[Any],
        scene: SceneSpec,
        num_worlds: int,
        renderer: Use,
        randomizers: Mapping[str, Any],
        alone: bool,
    ) -> None:
        """randomizers: by name; those of other stages than "visual" are left out. alone: the policy
        sees nothing but images, so these show the task's markers, such as its goal.

        Raises `R2SError` where the renderer does not work, or cannot vary what is to vary.
        """
        self._randomization = Randomization(
            {name: r for name, r in randomizers.items() if r.stage == "visual"}, scene
        )
        described = described_by(seen, randomizers)
        self._varied = tuple(sorted(described.varied))
        self.cameras, self.groups = seen.cameras, images_of(seen)
        needed = 4 * num_worlds * sum(spec.nbytes for spec in self.groups.values())
        check_memory(
            needed,
            f"environment.cameras: images of {num_worlds:,} worlds",
            "lower camera_resolution, or environment.num_parallel_envs",
        )
        self._name, self._worlds = f"renderer '{renderer.use}'", num_worlds
        self._renderer: Renderer = registry.build(
            "renderer", renderer.use, described, num_worlds, renderer.options
        )
        if self._renderer.num_worlds != num_worlds:
            raise ForeignError(
                f"{self._name}: it is for {self._renderer.num_worlds} worlds, not {num_worlds}"
            )
        self.traceable = self._renderer.traceable
        self._camera_of = {g: n for n, c in seen.cameras.items() for g in c.groups(n)}
        self._nominal = {name: nominal_look(seen.model, name) for name in self._varied}
        self._tables = {name: as_field(table) for name, table in seen.tables.items()}
        mocap = {
            seen.model.body(i).name: int(seen.model.body_mocapid[i])
            for i in range(seen.model.nbody)
            if seen.model.body_mocapid[i] >= 0
        }
        places = np.zeros((seen.model.nmocap, 3), np.float32)
        for name, number in mocap.items():
            places[number] = seen.model.body(name).pos
        #: float32[W, nmocap, 3]: where the mocap bodies are that show nothing.
        self.hidden: Any = np.tile(places, (num_worlds, 1, 1))
        shown = task.info.markers if alone else {}
        if missing := sorted(shown.keys() - mocap.keys()):
            raise ConfigError(
                f"environment.observation_type: rgb: images alone have to show {missing[0]}, but "
                f"what the cameras of {type(task).__name__} see has no mocap body of that name"
            )
        self._shown = {mocap[body]: field for body, field in shown.items()}
        self.shows_markers = bool(self._shown)

    # Pure functions, of all worlds.

    def looks(self, key: Array, levels: Levels, variant: Array) -> dict[str, Array]:
        """How the worlds look in the episodes that start now: MjModel field -> [W, ...].

        variant: int32[W].
        """
        if not self._varied:
            return {}

        def one(key: Array, variant: Array) -> dict[str, Array]:
            own = {name: table[variant] for name, table in self._tables.items()}
            values = self._nominal | own
            varied = self._randomization.vary("visual", key, values, levels, variant)
            return {name: varied[name] for name in self._varied}

        return jax.vmap(one)(jax.random.split(key, len(variant)), variant)

    def markers(self, task: Any) -> Array:
        """float32[W, nmocap, 3]: where the mocap bodies are. task: the state of all worlds."""
        places = jnp.asarray(self.hidden)
        for number, field in self._shown.items():
            places = places.at[:, number].set(getattr(task, field))
        return places

    # Once per control step.

    def see(self, before: Named, qpos: Array, mocap: Array, looks: Named, due: Named) -> Named:
        """The images, by group [W, H, W, C], of the worlds that are `due` (camera -> bool[W]);
        the others keep those in `before`."""
        with calling(self._name, self._renderer):
            drawn = self._renderer.render(qpos, mocap, looks, due)
        self._check(drawn)
        xp: Any = jnp if self.traceable else np
        images = {}
        for group, old in before.items():
            mask = due[self._camera_of[group]]
            images[group] = xp.where(mask[:, None, None, None], drawn[group], old)
        return images

    def _check(self, drawn: Named) -> None:
        """Raises `ForeignError` where these are not the images of all worlds; a wrong shape would
        be broadcast, and a wrong dtype would pass."""
        for group, spec in self.groups.items():
            wanted = f"{spec.dtype}{[self._worlds, *spec.shape]}"
            if not isinstance(drawn, Mapping) or group not in drawn:
                raise ForeignError(f"{self._name}: render returned no '{group}', {wanted}")
            image = drawn[group]
            found = f"{getattr(image, 'dtype', type(image).__name__)}{list(np.shape(image))}"
            if found != wanted:
                raise ForeignError(
                    f"{self._name}: render returned {found} for '{group}', not {wanted}"
                )

    def no_images(self) -> dict[str, Any]:
        """Black ones."""
        xp: Any = jnp if self.traceable else np
        return {
            group: xp.zeros((self._worlds, *spec.shape), spec.dtype)
            for group, spec in self.groups.items()
        }

    def due(self, elapsed: Any) -> dict[str, Any]:
        """camera -> bool[W]: whose image is due after `elapsed` int32[W] control steps."""
        return {name: elapsed % c.period == 0 for name, c in self.cameras.items()}

    def all_due(self, mask: Any) -> dict[str, Any]:
        """The images of the worlds under a mask, bool[W], are due."""
        return dict.fromkeys(self.cameras, mask)


def nominal_look(model: mujoco.MjModel, name: str) -> Array:
    """A field that visual randomizers vary, as it is in the model that cameras see.

    Raises `R2SError` where there is no such field.
    """
    if name in LOOK_FIELDS:
        return jnp.asarray(LOOK_FIELDS[name](model))
    values = getattr(model, name, None)
    if not isinstance(values, np.ndarray):
        raise R2SError(
            f"a visual randomizer writes {name}, which is neither a field of MjModel nor one of "
            f"{', '.join(LOOK_FIELDS)}"
        )
    return as_field(values) if values.dtype.kind in "iub" else model_field(model, name)
