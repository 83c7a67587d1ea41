"""Cameras of an environment: where they are, what they see of which state, and what is refused."""

import dataclasses
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from r2s_core.camera import Camera, looking_at
from r2s_core.cameras.rays import Rays
from r2s_core.config import load_mapping
from r2s_core.env.build import wrap_task
from r2s_core.errors import ConfigError, R2SError
from r2s_core.task_info import TaskInfo
from r2s_core.testing.tasks import CartTask

WORLDS, STEPS = 6, 5
_SEEN = """
<mujoco>
  <visual><headlight ambient=".4 .4 .4" diffuse=".3 .3 .3"/></visual>
  <worldbody>
    <light name="key" type="directional" dir="0 .3 -1" diffuse=".6 .6 .6"/>
    <geom name="floor" type="plane" size="2 2 .1" rgba=".1 .1 .6 1"/>
    <body name="cart" pos="0 0 .3">
      <joint name="slide" type="slide" axis="1 0 0"/>
      <geom name="cart" type="box" size=".1 .05 .05" rgba="1 0 0 1"/>
      <site name="tip" pos=".1 0 0"/>
      <body name="pole" pos="0 0 .05">
        <joint name="hinge" type="hinge" axis="0 1 0"/>
        <inertial pos="0 0 0" mass=".1" diaginertia="1e-3 1e-3 1e-3"/>
      </body>
    </body>
    <body name="box" pos="0 .5 .04">
      <freejoint name="box"/>
      <geom name="box" type="box" size=".04 .04 .04" rgba="0 1 0 1"/>
    </body>
    <body name="target" mocap="true" pos="0 -.4 0">
      <geom type="sphere" size=".06" rgba="1 1 0 1"/>
    </body>
  </worldbody>
</mujoco>
"""
#: Straight down from 2 m above: 32 columns show about 2 m of the floor.
ABOVE = {
    "position": [0, 0, 2.3],
    "look_at": [0, 0, 0],
    "up": [0, 1, 0],
    "field_of_view": 53.13,
    "size": [32, 32],
    "channels": ["rgb", "depth", "segmentation"],
}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SeenState:
    target: jax.Array
    marker: jax.Array


class SeenCart(CartTask):
    """The cart, seen; its speed is felt. It moves by centimetres in a control step."""

    info = TaskInfo(
        episode_steps=STEPS,
        rewards={},
        observation_names={
            "policy": ("off", "tilt", "speed", "swing"),
            "proprioception": ("felt_speed",),
        },
        cameras={"own": Camera((0, 0, 2.3), looking_at((0, 0, 2.3), (0, 0, 0), (0, 1, 0)))},
        markers={"target": "marker"},
    )

    def scene(self):
        self._model.actuator_ctrllimited[0] = 0
        return dataclasses.replace(
            super().scene(), camera_spec=lambda variant: mujoco.MjSpec.from_string(_SEEN)
        )

    def control(self, task, view, action):
        return 300.0 * action

    def init(self, key, variant) -> Any:
        state, qpos, qvel = super().init(key, variant)
        marker = jnp.stack([state.target, -0.4, 0.0])
        return SeenState(state.target, marker), qpos, qvel

    def proprioception(self, task, view):
        return view.qvel[:1]


def config(**environment):
    return load_mapping({"environment": environment})


def environment(task=None, *, worlds=WORLDS, backend="mujoco", **keys):
    keys.setdefault("cameras", {"above": ABOVE})
    keys.setdefault("renderer", "rays")
    settings = load_mapping({"environment": keys, "backend": backend})
    return wrap_task(task or SeenCart(), settings, worlds, training=False)


def push(newtons):
    return jnp.broadcast_to(jnp.asarray(newtons, jnp.float32) / 300.0, (WORLDS, 1))


def cart_column(segmentation):
    """Where the cart's middle is, m, from the segmentation [W, 32, 32, 1] of `ABOVE`."""
    cart = np.asarray(segmentation)[..., 0] == 2
    columns = (np.arange(32) + 0.5 - 16) / 16
    # The top of the cart is 1.95 m below the camera, whose half width is there 0.975 m.
    return (cart * columns).sum((1, 2)) / cart.sum((1, 2)) * 0.975


def test_a_camera_that_looks_straight_down_needs_no_direction_upward():
    down = {name: value for name, value in ABOVE.items() if name != "up"}
    obs = environment(cameras={"above": down}).reset(jax.random.key(0))[1]
    top = np.asarray(obs["above_segmentation"])[:, :16] == 2  # x, along which the cart goes, is up
    assert 0 < top.sum() < (np.asarray(obs["above_segmentation"]) == 2).sum()


def test_groups_and_names():
    spec = environment().spec
    shapes = {name: (group.shape, group.dtype) for name, group in spec.observations.items()}
    assert shapes == {
        "policy": ((1,), "float32"),
        "critic": ((4,), "float32"),
        "above": ((32, 32, 3), "uint8"),
        "above_depth": ((32, 32, 1), "uint16"),
        "above_segmentation": ((32, 32, 1), "uint8"),
    }
    assert spec.observations["policy"].names == ("felt_speed",)
    assert spec.observations["critic"].names == ("off", "tilt", "speed", "swing")
    names = {"policy": ("felt_speed",), "critic": ("off", "tilt", "speed", "swing")}
    assert spec.task.observation_names == names
    assert not spec.traceable


@pytest.mark.parametrize("backend", ["mujoco", "mjx"])
def test_an_image_is_of_the_state_that_it_is_observed_with(backend):
    env = environment(backend=backend)
    state, obs = env.reset(jax.random.key(0))
    rng = np.random.default_rng(0)
    restarts = 0
    for _ in range(STEPS + 2):
        now = cart_column(obs["above_segmentation"])
        np.testing.assert_allclose(now, np.asarray(state.physics.view.qpos[:, 0]), atol=0.05)
        state, step = env.step(state, push(300 * rng.choice([-1, 1], (WORLDS, 1))))
        obs, done = step.obs, np.asarray(step.done)
        last = cart_column(step.final_obs["above_segmentation"])
        assert (np.abs(last - now)[:, None] > 0.0).any()  # it moved
        # The last image of an old episode is not the first of the new one.
        first = cart_column(obs["above_segmentation"])
        np.testing.assert_array_equal(first[~done], last[~done])
        restarts += int((np.abs(last - first)[done] > 0.05).sum())
    assert restarts >= WORLDS // 2


def test_no_image_is_of_the_state_before():
    env = environment()
    state, obs = env.reset(jax.random.key(0))
    state, _ = env.step(state, push(300))
    state, step = env.step(state, push(300))
    going = ~np.asarray(step.done)
    seen = cart_column(step.obs["above_segmentation"])[going]
    places = np.asarray(state.physics.view.qpos[:, 0])[going]
    before = cart_column(obs["above_segmentation"])[going]
    assert np.abs(seen - places).max() < 0.05 < 0.2 < np.abs(before - places).min()


def test_depth_is_in_millimetres_and_colours_are_lit():
    _, obs = environment().reset(jax.random.key(0))
    depth, body = np.asarray(obs["above_depth"])[..., 0], np.asarray(obs["above_segmentation"])
    assert set(np.unique(body)) == {1, 2, 4, 5}
    assert (np.median(depth[body[..., 0] == 2]), depth[body[..., 0] == 2].min()) == (1950, 1950)
    np.testing.assert_allclose(depth[body[..., 0] == 1], 2300, atol=1)
    red, green, blue = np.moveaxis(np.asarray(obs["above"]), -1, 0)
    light = 0.4 + 0.3 + 0.6 / np.hypot(1, 0.3)  # ambient, headlight, key light on what is level
    assert np.median(red[body[..., 0] == 2]) == 255
    np.testing.assert_allclose(blue[body[..., 0] == 1], 255 * 0.6 * light, atol=2)
    assert (green[body[..., 0] == 2] == 0).all()


def test_a_period_keeps_the_image_until_the_next_and_an_episode_starts_with_its_own():
    env = environment(cameras={"above": ABOVE | {"period": 3}})
    state, obs = env.reset(jax.random.key(0))
    seen = [np.asarray(obs["above"])]
    for _ in range(STEPS):
        state, step = env.step(state, push(30))
        seen.append(np.asarray(step.obs["above"]))
    same = [bool((a == b).all()) for a, b in itertools.pairwise(seen)]
    assert same == [True, True, False, True, False]


def test_images_alone_show_the_goal():
    env = environment(observation_type="rgb")
    assert list(env.spec.observations) == [
        "critic",
        "above",
        "above_depth",
        "above_segmentation",
    ]
    state, obs = env.reset(jax.random.key(3))
    marker = np.asarray(obs["above_segmentation"])[..., 0] == 5
    columns = (np.arange(32) + 0.5 - 16) / 16
    found = (marker * columns).sum((1, 2)) / marker.sum((1, 2)) * 2.3 / 2
    np.testing.assert_allclose(found, np.asarray(state.task.target), atol=0.03)
    hidden = np.asarray(environment().reset(jax.random.key(3))[1]["above_segmentation"])
    rows, at = np.nonzero(hidden[..., 0] == 5)[1:]
    assert len(set(zip(rows, at, strict=True))) < 12  # one place in all worlds


def test_images_alone_must_be_able_to_show_the_goal():
    class Unmarked(SeenCart):
        info = dataclasses.replace(SeenCart.info, markers={"goal": "marker"})

    with pytest.raises(ConfigError, match="images alone have to show goal"):
        environment(Unmarked(), observation_type="rgb")


def test_the_missions_own_keys():
    keys = {"vision_enabled": True, "camera_resolution": "(24, 16)", "cameras": {}}
    spec = environment(**keys, observation_type="rgb_and_state").spec
    assert spec.observations["own"].shape == (16, 24, 3)
    assert environment(observation_type="state").spec.observations.keys() == {"policy"}
    off = environment(vision_enabled=False).spec.observations
    assert off.keys() == {"policy"}


def test_the_tasks_own_camera_with_another_channel():
    own = {"use": "task", "channels": ["depth"], "period": 2, "field_of_view": 30}
    env = environment(cameras={"own": own}, camera_resolution=[24, 16])
    assert env.spec.observations["own_depth"].shape == (16, 24, 1)
    camera, asked = env.spec.cameras["own"], SeenCart.info.cameras["own"]
    assert (camera.position, camera.quaternion) == (asked.position, asked.quaternion)
    assert (camera.channels, camera.period, camera.field_of_view) == (("depth",), 2, 30)


def test_a_camera_rides_on_a_body_or_a_site():
    down = {"look_at": [0, 0, -1], "position": [0, 0, 1.0], "up": [0, 1, 0], "size": [33, 33]}
    rides = {"channels": ["segmentation"], **down}
    cameras = {"body": {"mount": "cart", **rides}, "site": {"mount": "tip", **rides}}
    _, obs = environment(cameras=cameras).reset(jax.random.key(0))
    body, site = (np.asarray(obs[f"{name}_segmentation"])[:, 16, :, 0] for name in cameras)
    assert (body[:, 16] == 2).all()  # wherever the cart is
    assert (body[:, 10:22] == body[:, 22:10:-1]).all()  # symmetrically
    assert ((site == 2).sum(1) == (site[:, :17] == 2).sum(1)).all()  # its tip is its right end


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"mount": "crat"}, "no body or site 'crat'; did you mean cart"),
        ({"position": [0, 0.5, 0.04], "look_at": [0, 0.5, 0]}, "inside of the geom box"),
        ({"look_at": [0, 0, 2.3]}, "look_at is the camera's own position"),
        ({"up": [0, 0, 1]}, "along the viewing direction"),
        ({"field_of_view": 0}, "field_of_view"),
        ({"size": [0, 0]}, "size"),
        ({"size": [4096, 4096]}, "size"),
        ({"channels": []}, "channels is empty"),
        ({"channels": ["infrared"]}, "infrared"),
        ({"quaternion": [1, 0, 0, 0]}, "either look_at or quaternion"),
        ({"depth_range": [2.0, 1.0]}, "depth_range"),
        ({"period": 0}, "period"),
        ({"use": "fisheye"}, "no camera named 'fisheye'"),
    ],
)
def test_what_no_camera_can_be_is_refused_in_a_sentence(changed, says):
    with pytest.raises(R2SError) as error:
        environment(cameras={"above": ABOVE | changed})
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"vision_enabled": False, "observation_type": "rgb"}, "drop one of the two"),
        ({"vision_enabled": True, "observation_type": "state"}, "drop one of the two"),
        ({"cameras": {"critic": ABOVE}}, "an observation group 'critic' already"),
        ({"cameras": {"9": ABOVE}}, "starts with a letter"),
        ({"renderer": "crayon"}, "no renderer named 'crayon'"),
        ({"cameras": {"front": {"use": "task"}}}, "no camera of its own .* it has own"),
        ({"cameras": {"own": {"use": "task", "channels": []}}}, "channels is empty"),
        ({"camera_resolution": "(64, 0)", "vision_enabled": True, "cameras": {}}, "resolution"),
    ],
)
def test_keys_that_contradict_are_refused(keys, says):
    with pytest.raises(R2SError, match=says):
        environment(**keys)


def _float(images):
    return {name: image.astype(np.float32) for name, image in images.items()}


def _first_world(images):
    return {name: image[0] for name, image in images.items()}


def _fewer(images):
    return {name: image for name, image in images.items() if name != "above_depth"}


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (
            _float,
            r"renderer 'rays': render returned float32\[6, 32, 32, 3\] for 'above', not uint8",
        ),
        (_first_world, r"render returned uint8\[32, 32, 3\] for 'above'"),
        (_fewer, "render returned no 'above_depth'"),
        (lambda images: None, "render returned no 'above'"),
        (lambda images: images["depths"], "renderer 'rays' failed"),
    ],
)
def test_images_that_are_not_what_was_asked_for_are_the_renderers_fault(monkeypatch, fault, says):
    draw = Rays.render
    monkeypatch.setattr(Rays, "render", lambda *arguments: fault(draw(*arguments)))
    with pytest.raises(R2SError, match=says):
        environment().reset(jax.random.key(0))


def test_the_first_image_shows_the_goal_that_an_episode_begins_with():
    class Begun(SeenCart):
        def begin(self, task, view):
            return dataclasses.replace(task, marker=jnp.array([0.7, 0.4, 0.3], jnp.float32))

    _, obs = environment(Begun(), observation_type="rgb").reset(jax.random.key(3))
    _, columns = np.nonzero(np.asarray(obs["above_segmentation"])[0, ..., 0] == 5)
    assert abs((columns.mean() + 0.5 - 16) / 16 - 0.7) < 0.05


def test_a_camera_may_not_have_the_name_of_a_group_of_the_tasks_own():
    class Seeing(SeenCart):
        def observe(self, task, view):
            return {**super().observe(task, view), "above": view.qvel}

    with pytest.raises(ConfigError, match="Seeing has a reading 'above'"):
        environment(Seeing())


def test_a_camera_that_sees_nothing_is_told(capsys):
    environment(cameras={"away": ABOVE | {"look_at": [0, 0, 9], "channels": ["rgb"]}})
    assert "environment.cameras.away: it sees nothing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"position": (0.0, 1.0)}, "position is .*; give 3 numbers"),
        ({"size": (32, 32, 3)}, "size is .*; give 2 numbers"),
        ({"size": (32.5, 32)}, "size is"),
        ({"period": 2.5}, "period is 2.5"),
        ({"mount": None}, "mount is None"),
        ({"channels": ("rgb", "rgb")}, "names rgb twice"),
    ],
)
def test_a_camera_of_a_plugin_is_checked_too(changed, says):
    with pytest.raises(ConfigError, match=says):
        Camera(**{"position": (0.0, 0.0, 1.0), "quaternion": (1.0, 0.0, 0.0, 0.0)} | changed)


def test_a_task_without_proprioception_needs_images_alone():
    class Numb(SeenCart):
        proprioception: Any = None

    with pytest.raises(ConfigError, match="method `proprioception`"):
        environment(Numb())


def test_a_task_without_cameras_of_its_own_wants_some():
    class Blind(SeenCart):
        info = dataclasses.replace(SeenCart.info, cameras={})

    with pytest.raises(ConfigError, match="no cameras of its own"):
        environment(Blind(), vision_enabled=True, cameras={})


def test_numbers_of_a_run_without_cameras_are_as_before():
    seen, blind = environment(), environment(vision_enabled=False)
    a, b = (env.reset(jax.random.key(5))[0] for env in (seen, blind))
    np.testing.assert_array_equal(a.physics.view.qpos, b.physics.view.qpos)
