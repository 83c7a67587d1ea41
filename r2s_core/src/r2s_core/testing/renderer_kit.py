"""The conformance of renderers: shapes, what is seen, and that no image is of an earlier state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from r2s_core.camera import CHANNELS, DRAWN_GROUPS, Camera, Channel, looking_at
from r2s_core.look_fields import LOOK_FIELDS
from r2s_core.system.foreign import describe
from r2s_core.testing.requirements import require, require_array, require_equal
from r2s_core.types import Renderer, SeenScene

MakeRenderer = Callable[[SeenScene, int], Renderer]
Images = Mapping[str, np.ndarray]  # by observation group

WORLDS = 3
#: Each of the kinds of geoms that robots and objects are made of, two lights and the headlight,
#: without highlights; a camera that stands still, and one that a moving body carries.
_SCENE = """
<mujoco>
  <statistic extent="1" center="0 0 .2"/>
  <visual><headlight ambient=".2 .2 .2" diffuse=".3 .3 .3" specular="0 0 0"/></visual>
  <default>
    <light castshadow="false" specular=".6 .6 .6"/><material specular="0" shininess=".3"/>
    <geom material="matt"/>
  </default>
  <asset>
    <mesh name="wedge" vertex="-.1 -.1 -.1  .1 -.1 -.1  0 .1 -.1  0 0 .15"/>
    <mesh name="block" vertex="-.1 -.1 -.1  .1 -.1 -.1  0 .1 -.1  -.1 -.1 .1  .1 -.1 .1  0 .1 .1"/>
    <texture name="checked" type="2d" builtin="checker" rgb1="1 1 1" rgb2=".3 .2 .5" width="16"
      height="16"/>
    <material name="matt"/>
    <material name="green" rgba=".2 .7 .3 1"/>
    <material name="brown" rgba=".5 .4 .3 1"/>
    <material name="checked" texture="checked" texrepeat="1 1"/>
  </asset>
  <worldbody>
    <light name="sun" type="directional" dir="-.3 .4 -1" diffuse=".4 .4 .35"
      ambient=".05 .05 .05"/>
    <light name="lamp" type="directional" pos=".4 .1 1.2" dir="-.3 -.2 -1" diffuse=".2 .2 .3"/>
    <light name="spare" type="spot" pos="0 0 1" active="false"/>
    <geom name="floor" type="plane" size="2 2 .1" material="brown"/>
    <body name="box" pos="0 -.3 .1"><freejoint/>
      <geom name="box" type="box" size=".1 .08 .1" material="green"/></body>
    <body name="ball" pos="0 0 .12"><freejoint/>
      <geom name="ball" type="sphere" size=".12" rgba=".8 .2 .2 1"/></body>
    <body name="stick" pos="-.1 .25 .15"><freejoint/>
      <geom name="stick" type="capsule" size=".05 .1" rgba=".2 .3 .9 1"/></body>
    <body name="wedge" pos="-.3 -.05 .1"><freejoint/>
      <geom name="wedge" type="mesh" mesh="wedge" rgba=".8 .7 .2 1"/></body>
    <body name="marker" mocap="true" pos="-.3 .5 .3">
      <geom type="sphere" size=".06" rgba="1 1 1 1"/></body>
    <body name="arm" pos=".6 .5 .5"><joint name="arm" axis="0 0 1"/>
      <geom type="box" size=".02 .02 .02" rgba=".1 .1 .1 1"/></body>
    <geom type="sphere" size=".3" pos="0 0 .2" rgba="1 0 1 1" group="3"/>
  </worldbody>
</mujoco>
"""
_PLACES = {  # mount, position, what it looks at, in the mount's frame, field of view
    "front": ("world", (1.4, 0.1, 0.7), (-0.1, 0.0, 0.15), 50.0),
    "hand": ("arm", (-0.05, 0.0, 0.0), (-0.6, -0.5, -0.3), 70.0),
}
_TOLERANCE = 0.01  # m, of depth in a pixel's centre, away from edges


def seen_scene(
    side: int = 24,
    cameras: int = 2,
    channels: Any = CHANNELS,
    varied: frozenset[str] = frozenset(),
    decorated: bool = False,
) -> SeenScene:
    """The kit's scene: a floor, four bodies, a marker, an arm, and one or two cameras of
    `side` x `side` pixels.

    decorated: with a texture on the box, highlights, and a spot light in place of the second.
    """
    spec, seen = mujoco.MjSpec.from_string(_SCENE), {}
    for name, (mount, position, target, angle) in [*_PLACES.items()][:cameras]:
        quaternion = looking_at(position, target, (0.0, 0.0, 1.0))
        spec.body(mount).add_camera(name=name, pos=position, quat=quaternion, fovy=angle)
        seen[name] = Camera(position, quaternion, angle, (side, side), tuple(channels), mount=mount)
    if decorated:
        spec.geom("box").material = "checked"
        spec.light("lamp").type = mujoco.mjtLightType.mjLIGHT_SPOT
        for material in spec.materials:
            material.specular = 0.5
    return SeenScene(spec.compile(), seen, varied)


def poses(model: mujoco.MjModel, worlds: int = WORLDS) -> tuple[Any, Any]:
    """(qpos float32[W, nq], mocap_pos float32[W, nmocap, 3]): another pose in each world."""
    qpos = np.tile(np.asarray(model.qpos0, np.float32), (worlds, 1))
    for name, step in {"box": 0.11, "ball": 0.06, "stick": 0.05, "wedge": -0.08}.items():
        joint = model.body(name).jntadr[0]
        address = model.jnt_qposadr[joint]
        qpos[:, address] += step * (np.arange(worlds) % 5)
        angle = 0.4 * np.arange(worlds) + step
        qpos[:, address + 3] = np.cos(angle / 2)
        qpos[:, address + 4] = np.sin(angle / 2) * 0.8
        qpos[:, address + 6] = np.sin(angle / 2) * 0.6
    qpos[:, model.joint("arm").qposadr[0]] = 0.15 * (np.arange(worlds) % 5)
    mocap = np.zeros((worlds, model.nmocap, 3), np.float32)
    mocap[:, 0] = (-0.3, 0.5, 0.3)
    mocap[:, 0, 2] += 0.04 * (np.arange(worlds) % 5)
    return jnp.asarray(qpos), jnp.asarray(mocap)


def check_renderer(make: MakeRenderer, channels: Sequence[Channel] = CHANNELS) -> None:
    """A renderer draws the state that it is given, and only that, in every world.

    Args:
        make: builds it: (scene, number of worlds) -> renderer.
        channels: what it can draw.

    Raises:
        AssertionError: with a sentence that says what the renderer does wrong.
    """
    scene = seen_scene(channels=channels)
    drawn = _Drawn(make(scene, WORLDS), scene)
    _check_attributes(drawn.renderer, scene.model)
    first, second = poses(scene.model), _other_poses(scene.model)
    images = drawn(first)
    _check_content(scene, first, images)
    _check_staleness(drawn, first, second, images)
    _check_due(drawn, first, second, images)
    if drawn.renderer.traceable:
        _check_scan(drawn, first, second, images)
    _check_fields(make, drawn.renderer.variable, channels)


class _Drawn:
    """A renderer as the engine uses it: compiled where it can be traced; checks its groups."""

    def __init__(self, renderer: Renderer, scene: SeenScene) -> None:
        self.renderer, self._scene = renderer, scene
        self._render: Any = jax.jit(renderer.render) if renderer.traceable else renderer.render
        self.everyone = {name: np.ones(WORLDS, bool) for name in scene.cameras}
        self.groups = {
            group: spec
            for name, camera in scene.cameras.items()
            for group, spec in camera.groups(name).items()
        }

    def __call__(self, state: Any, fields: Any = None, due: Any = None) -> Images:
        try:
            images = self._render(*state, fields or {}, due or self.everyone)
        except TypeError as error:  # as all of JAX's errors of tracing are
            if not self.renderer.traceable:
                raise
            raise AssertionError(
                f"traceable is True, but `render` cannot be traced: {describe(error)}"
            ) from error
        require(
            isinstance(images, Mapping) and set(images) == set(self.groups),
            f"`render` returned {sorted(images) if isinstance(images, Mapping) else images!r}; "
            f"the cameras' groups are {sorted(self.groups)}",
        )
        for group, spec in self.groups.items():
            require_array(images[group], (WORLDS, *spec.shape), spec.dtype, f"the group {group}")
        return {group: np.array(images[group]) for group in self.groups}


def _check_attributes(renderer: Renderer, model: mujoco.MjModel) -> None:
    """What a renderer says of itself."""
    count, name, variable = renderer.num_worlds, renderer.name, renderer.variable
    require(count == WORLDS, f"num_worlds is {count}, not {WORLDS}")
    require(isinstance(name, str) and name, f"name is {name!r}, not the plugin's name")
    found = type(variable).__name__
    require(isinstance(variable, frozenset), f"variable is a {found}, not a frozenset")
    for field in sorted(variable):
        known = field in LOOK_FIELDS or hasattr(model, field)
        require(known, f"variable names {field!r}, which no MjModel has")
    traceable = renderer.traceable
    require(isinstance(traceable, bool), f"traceable is {traceable!r}, not True or False")


def _other_poses(model: mujoco.MjModel) -> tuple[Any, Any]:
    """The poses with the worlds in another order."""
    return jax.tree.map(lambda values: values[jnp.array([1, 2, 0])], poses(model))


def _check_content(scene: SeenScene, state: Any, images: Images) -> None:
    """Depth and bodies are those that MuJoCo's rays meet; red is red; nothing is black."""
    for name, camera in scene.cameras.items():
        height, width = camera.shape
        for world in range(WORLDS):
            depth, geom = reference(scene, name, state[0][world], state[1][world])
            clear = neighbours_agree(geom)
            body = np.where(geom < 0, 0, scene.model.geom_bodyid[geom] + 1)
            where = f"camera {name}, {width} x {height}, world {world}, against MuJoCo's rays"
            if "segmentation" in camera.channels:
                seen = np.asarray(images[f"{name}_segmentation"])[world, ..., 0]
                wrong = clear & (seen != body)
                require(
                    not wrong.any(), f"{name}_segmentation: {_first(wrong, seen, body)} {where}"
                )
            if "depth" in camera.channels:
                seen = np.asarray(images[f"{name}_depth"])[world, ..., 0]
                expected = np.rint(1000 * depth)
                wrong = clear & (np.abs(seen - expected) > 1000 * _TOLERANCE * np.maximum(1, depth))
                require(
                    wrong.mean() < 0.01,
                    f"{name}_depth, mm: {_first(wrong, seen, expected)} {where}",
                )
            if "rgb" in camera.channels:
                _check_colours(scene, np.asarray(images[name])[world], geom, clear, where)


def _check_colours(
    scene: SeenScene, seen: np.ndarray, geom: np.ndarray, clear: np.ndarray, where: str
) -> None:
    nothing = seen[clear & (geom < 0)]
    require(not nothing.any(), f"rgb is not black where nothing is seen: {where}")
    ball = seen[clear & (geom == scene.model.geom("ball").id)].mean(axis=0)
    require(
        ball[0] > 2 * ball[2] and ball[0] > 30,
        f"the red ball has the mean colour {ball.round()} (red, green, blue): {where}",
    )


def _first(wrong: np.ndarray, seen: np.ndarray, expected: np.ndarray) -> str:
    """Of a wrong pixel: where, and what is there."""
    if not wrong.any():
        return ""
    row, column = np.argwhere(wrong)[0]
    return (
        f"row {row} (from the top), column {column} is {seen[row, column]}, not "
        f"{expected[row, column]:.0f};"
    )


def reference(
    scene: SeenScene, name: str, qpos: Any, mocap_pos: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Depth float[H, W], m along the viewing direction, 0 where nothing is seen, and geom
    int[H, W], -1 there, by one ray of MuJoCo's through the centre of each pixel."""
    model, data = scene.model, mujoco.MjData(scene.model)
    data.qpos, data.mocap_pos = np.asarray(qpos), np.asarray(mocap_pos)
    mujoco.mj_kinematics(model, data)
    mujoco.mj_camlight(model, data)
    index, camera = model.camera(name).id, scene.cameras[name]
    height, width = camera.shape
    half = np.tan(np.radians(model.cam_fovy[index]) / 2)
    across = (np.arange(width) + 0.5 - width / 2) / (height / 2) * half
    down = (np.arange(height) + 0.5 - height / 2) / (height / 2) * half
    turn = data.cam_xmat[index].reshape(3, 3)
    depth, geom = np.zeros((height, width)), np.full((height, width), -1)
    for row in range(height):
        for column in range(width):
            ray = turn @ (across[column], -down[row], -1.0)
            hit = np.full((1, 1), -1, np.int32)
            far = mujoco.mj_ray(model, data, data.cam_xpos[index], ray, DRAWN_GROUPS, 1, -1, hit)
            if hit[0, 0] >= 0:
                depth[row, column], geom[row, column] = far, hit[0, 0]
    near, far = camera.depth_range
    return np.where((depth >= near) & (depth <= far), depth, 0.0), geom


def neighbours_agree(geom: np.ndarray) -> np.ndarray:
    """bool[H, W]: all eight neighbours show the same geom."""
    padded = np.pad(geom, 1, mode="edge")
    height, width = geom.shape
    windows = [padded[r : r + height, c : c + width] for r in range(3) for c in range(3)]
    return np.all([window == geom for window in windows], axis=0)


def _check_staleness(drawn: _Drawn, first: Any, second: Any, images: Images) -> None:
    """Each image is of the state that was given, not of the one before."""
    kept = jax.tree.map(np.array, images)
    other = drawn(second)
    for group in images:
        same = np.array_equal(other[group], images[group])
        require(not same, f"{group} stays the same when the state changes: is it stale?")
    again = drawn(first)
    require_equal(again, kept, "images of a state that was drawn before another one")
    require_equal(drawn(first), again, "images of the same state, drawn again")
    # Worlds do not touch each other: the same pose gives the same image in another world.
    rolled = jax.tree.map(lambda values: values[np.array([1, 2, 0])], kept)
    require_equal(other, rolled, "images of the same poses in other worlds")


def _check_due(drawn: _Drawn, first: Any, second: Any, images: Images) -> None:
    """Images that are due are of this state, whichever were due before."""
    other, nobody = drawn(second), {name: np.zeros(WORLDS, bool) for name in drawn.everyone}
    drawn(first, due=nobody)
    one = {name: np.arange(WORLDS) == index for index, name in enumerate(drawn.everyone)}
    some = drawn(first, due=one)
    for index, name in enumerate(drawn.everyone):
        for group in (group for group in images if group.split("_")[0] == name):
            require_equal(
                some[group][index], images[group][index], f"{group} where one world is due"
            )
    require_equal(drawn(second), other, "images after a state of which only some were due")


def _check_scan(drawn: _Drawn, first: Any, second: Any, images: Images) -> None:
    """Within a scan each step has the images of its own state."""
    states = jax.tree.map(lambda *leaves: jnp.stack(leaves), first, second, first)

    @jax.jit
    def roll(states: Any) -> Any:
        def step(carry: Any, state: Any) -> Any:
            qpos, mocap_pos = state
            due: Any = drawn.everyone
            return carry, drawn.renderer.render(qpos, mocap_pos, {}, due)

        return jax.lax.scan(step, 0, states)[1]

    rolled = jax.tree.map(np.asarray, roll(states))
    other = drawn(second)
    for step, expected in enumerate((images, other, images)):
        for group, values in rolled.items():
            # Compiled differently, so sums may differ in their last bit.
            off = np.abs(values[step].astype(int) - expected[group]) > 1
            require(off.mean() < 0.005, f"{group} of step {step} of a scan is of another state")


def _check_fields(make: MakeRenderer, variable: frozenset[str], channels: Any) -> None:
    """Each field in `variable` that changes what is seen does so, in its own world only."""
    known = frozenset(name for name in _CHANGES if name in variable)
    # All together, and one alone, whose values then are the only ones with a row for each world.
    for varied in (known, known & {"mat_rgba"}):
        if varied:
            _check_varied(make, varied, channels)


def _check_varied(make: MakeRenderer, known: frozenset[str], channels: Any) -> None:
    scene = seen_scene(channels=channels, varied=known, decorated=True)
    drawn = _Drawn(make(scene, WORLDS), scene)
    qpos, mocap_pos = (values[:1].repeat(WORLDS, 0) for values in poses(scene.model))
    qpos = qpos.at[:, scene.model.joint("arm").qposadr[0]].set(0.3)
    nominal = {name: np.stack([_values(scene.model, name)] * WORLDS) for name in known}
    plain = drawn((qpos, mocap_pos), nominal)
    for name in sorted(known):
        for world in (WORLDS - 1, 0):
            values = nominal[name].copy()
            values[world] = _CHANGES[name](scene.model, values[world].copy())
            images = drawn((qpos, mocap_pos), {**nominal, name: values})
            others = np.arange(WORLDS) != world
            for group, image in images.items():
                require_equal(
                    image[others], plain[group][others], f"{group} where {name} did not change"
                )
            changed = any((images[group][world] != plain[group][world]).any() for group in images)
            require(changed, f"variable has {name}, but another {name} gives the same images")


def _values(model: mujoco.MjModel, name: str) -> np.ndarray:
    if name in LOOK_FIELDS:
        return LOOK_FIELDS[name](model) + _LOOK.get(name, np.float32(0.0))
    values = np.asarray(getattr(model, name))
    return values.astype(np.float32 if values.dtype.kind == "f" else np.int32)


def _at(kind: str, which: str, change: Callable[[np.ndarray], Any]) -> Any:
    """Changes the row of what is named."""

    def changed(model: mujoco.MjModel, values: np.ndarray) -> np.ndarray:
        row = getattr(model, kind)(which).id
        values[row] = change(values[row])
        return values

    return changed


_TURN = (0.8, 0.6, 0.0, 0.0)
#: Added to the nominal looks, of which nothing would be seen.
_LOOK = {
    "background": np.linspace(0.1, 0.9, 32, dtype=np.float32)[:, None, None],
    "pattern_amount": np.float32(0.8),
    "pattern_rgb": np.array([0.9, 0.1, 0.9], np.float32),
}
#: A change of each field that can be seen in the decorated scene.
_CHANGES: dict[str, Callable[[mujoco.MjModel, np.ndarray], np.ndarray]] = {
    "body_pos": _at("body", "arm", lambda v: v + 0.1),
    "body_quat": _at("body", "arm", lambda v: (0.8, 0.0, 0.0, 0.6)),
    "jnt_pos": _at("joint", "arm", lambda v: v + 0.2),
    "jnt_axis": _at("joint", "arm", lambda v: (0.0, 1.0, 0.0)),
    "cam_pos": _at("camera", "front", lambda v: v + 0.1),
    "cam_quat": _at("camera", "front", lambda v: v * (1, 1, -1, -1)),
    "cam_fovy": _at("camera", "front", lambda v: v + 20),
    "geom_pos": _at("geom", "ball", lambda v: v + 0.1),
    "geom_quat": _at("geom", "stick", lambda v: _TURN),
    "geom_size": _at("geom", "ball", lambda v: 1.5 * v),
    "geom_type": _at("geom", "box", lambda v: int(mujoco.mjtGeom.mjGEOM_ELLIPSOID)),
    "geom_group": _at("geom", "ball", lambda v: 3),
    "geom_dataid": _at("geom", "wedge", lambda v: 1 - v),
    "geom_rgba": _at("geom", "ball", lambda v: (0.1, 0.9, 0.4, 1.0)),
    "geom_matid": lambda model, values: np.where(
        np.arange(model.ngeom) == model.geom("floor").id, model.material("green").id, values
    ),
    "mat_rgba": _at("material", "brown", lambda v: (0.1, 0.2, 0.9, 1.0)),
    "mat_emission": _at("material", "brown", lambda v: 0.4),
    "mat_specular": _at("material", "brown", lambda v: 0.0),
    "mat_shininess": _at("material", "brown", lambda v: 0.02),
    "mat_texid": _at("material", "checked", lambda v: v * 0 - 1),
    "mat_texrepeat": _at("material", "checked", lambda v: 3 * v),
    "mat_texuniform": _at("material", "checked", lambda v: 1),
    "tex_data": lambda model, values: 255 - values,
    "light_active": _at("light", "sun", lambda v: 0),
    "light_type": _at("light", "lamp", lambda v: int(mujoco.mjtLightType.mjLIGHT_DIRECTIONAL)),
    "light_pos": _at("light", "lamp", lambda v: v + 0.2),
    "light_dir": _at("light", "sun", lambda v: (0.0, 0.0, -1.0)),
    "light_ambient": _at("light", "sun", lambda v: v + 0.2),
    "light_diffuse": _at("light", "sun", lambda v: 0.3 * v),
    "light_specular": _at("light", "sun", lambda v: 0.0 * v),
    "light_attenuation": _at("light", "lamp", lambda v: (1.0, 1.0, 0.0)),
    "light_cutoff": _at("light", "lamp", lambda v: 15.0),
    "light_exponent": _at("light", "lamp", lambda v: 1.0),
    "background": lambda model, values: 1.0 - values,
    "background_through": _at("geom", "floor", lambda v: 1.0),
    "pattern_amount": _at("material", "brown", lambda v: 0.2),
    "pattern_rgb": _at("material", "brown", lambda v: 1.0 - v),
    "pattern_size": _at("material", "brown", lambda v: 0.11),
    "pattern_shift": _at("material", "brown", lambda v: (0.23, 0.41, 0.17)),
    "pattern_checkered": _at("material", "brown", lambda v: 1.0),
}
