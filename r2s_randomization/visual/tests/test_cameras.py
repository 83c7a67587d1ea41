"""What cameras see varies by world and by episode, as it is told to, and nothing else does."""

import functools
import io
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy import stats
from scipy.spatial.transform import Rotation

from r2s_core.camera import Camera, looking_at
from r2s_core.cameras import patterns
from r2s_core.config import load_config, load_mapping
from r2s_core.env.build import wrap_task
from r2s_core.errors import BackendError, ConfigError
from r2s_core.record import inputs
from r2s_core.record.folder import RunFolder
from r2s_core.rendering import render
from r2s_core.testing import build_randomizer, check_randomizer
from r2s_core.testing.randomizer_kit import nominal_values
from r2s_core.testing.tasks import CartTask, SeenCartTask
from r2s_randomization_visual import pictures

TASK, WORLDS = SeenCartTask(), 4
EYE, AIM = (0.0, -1.6, 1.2), (0.0, 0.2, 0.1)
CAMERAS = {"front": Camera(EYE, looking_at(EYE, AIM, (0, 0, 1)), 50.0, (24, 24))}
SEEN = {
    "visual_lights": {},
    "visual_colors": {},
    "visual_camera": {},
    "moved": {"use": "visual_camera", "whole": True},
    "visual_patterns": {},
    "visual_background": {"share": 0.5},
    "visual_distractors": {"number": [0, 1]},
}


def environment(worlds=WORLDS, randomization=None, training=False, **engine):
    camera = {"position": EYE, "look_at": AIM, "field_of_view": 50, "size": [24, 24]}
    camera["channels"] = ["rgb", "segmentation"]
    seen = {"cameras": {"front": camera}, "observation_type": "rgb", "renderer": "rays"}
    made = {
        "backend": "mujoco",
        "environment": {**seen, **engine},
        "randomization": randomization or {},
    }
    return wrap_task(TASK, load_mapping(made), worlds, training=training, rewarded=False)


@functools.cache
def plain_images():
    return first_images(environment(), 0)


def seen(randomization, worlds=WORLDS):
    """The first images of an episode, and the numbers of the bodies in them."""
    return first_images(environment(worlds, randomization), 0)


def first_images(env, key):
    _, obs = env.reset(jax.random.key(key))
    return np.asarray(obs["front"]).astype(int), np.asarray(obs["front_segmentation"])[
        ..., 0
    ].astype(int) - 1


@pytest.mark.parametrize("name", SEEN)
def test_it_keeps_the_contract_with_cameras(name):
    options = dict(SEEN[name])
    use = options.pop("use", name)
    check_randomizer(lambda _: build_randomizer(use, TASK, options, CAMERAS), TASK, CAMERAS)


@pytest.mark.parametrize("name", [n for n in SEEN if n != "moved"])
def test_each_world_and_each_episode_looks_its_own_way(name):
    options = SEEN[name] | ({"number": [1, 1]} if name == "visual_distractors" else {})
    options = {n: x for n, x in options.items() if n != "share"}
    plain, env = plain_images()[0], environment(randomization={name: options})
    varied, other, again = (first_images(env, key)[0] for key in (0, 1, 0))
    np.testing.assert_array_equal(varied, again)
    for world in range(WORLDS):
        assert (varied[world] != plain[world]).any()
        others = np.arange(WORLDS) != world
        assert (np.abs(varied[world] - varied[others]).max(axis=(1, 2, 3)) > 3).all()
    assert (varied != other).any(axis=(1, 2, 3)).all()


def test_looks_last_for_the_episode_and_the_numbers_do_not_know():
    env, plain = (
        environment(2, given, max_episode_steps=3)
        for given in ({"visual_colors": {"amount": 1.0}, "visual_background": {}}, {})
    )
    states = [e.reset(jax.random.key(0)) for e in (env, plain)]
    (state, obs), (other, _) = states
    floor, floors = (slice(None), -1, 0), [np.asarray(obs["front"])[:, -1, 0]]
    for _ in range(4):
        state, step = env.step(state, jnp.zeros((2, 1)))
        other, like = plain.step(other, jnp.zeros((2, 1)))
        np.testing.assert_array_equal(step.obs["critic"], like.obs["critic"])
        floors.append(np.asarray(step.obs["front"])[floor])
    np.testing.assert_array_equal(floors[0], floors[2])
    assert (floors[0] != floors[3]).any(-1).all()  # a new episode
    np.testing.assert_array_equal(floors[3], floors[4])


@pytest.mark.parametrize("training", [True, False])
def test_looks_are_drawn_anew_within_an_episode_that_is_trained_on(training):
    looks = {"visual_colors": {"amount": 1.0}}
    env = environment(4, looks, training, visual_period=3, max_episode_steps=12)
    state, obs = env.reset(jax.random.key(0))
    clocks = np.asarray(state.elapsed)
    for _ in range(7):
        before, floors = np.asarray(state.looks["mat_rgba"]), np.asarray(obs["front"])[:, -1, 0]
        state, step = env.step(state, jnp.zeros((4, 1)))
        clocks, obs = (clocks + 1) % 12, step.obs
        due = (clocks % 3 == 0) & training | (clocks == 0)
        changed = (np.asarray(state.looks["mat_rgba"]) != before).any(axis=(1, 2))
        np.testing.assert_array_equal(changed, due)
        # The image is of the looks that the world has, not of those before.
        repainted = (np.asarray(obs["front"])[:, -1, 0] != floors).any(axis=-1)
        np.testing.assert_array_equal(repainted, due)


def test_half_the_light_is_half_of_every_colour():
    half = {"shift": 0.0, "tilt": 0.0, "tint": 0.0, "brightness": [0.5, 0.5]}
    plain, dark = plain_images()[0], seen({"visual_lights": half})[0]
    lit = plain < 255  # what is not
    assert np.abs(dark - plain / 2)[lit].max() <= 1.0


def test_a_camera_is_moved_by_the_whole_of_what_is_asked():
    made = build_randomizer("visual_camera", TASK, {"whole": True, "shift": 0.01}, CAMERAS)
    values = nominal_values(made, TASK, TASK.scene(), CAMERAS)
    drawn = jax.vmap(lambda key: made(key, values))(jax.random.split(jax.random.key(0), 200))
    shift = np.asarray(drawn["cam_pos"] - values["cam_pos"])[:, 0]
    np.testing.assert_allclose(np.linalg.norm(shift, axis=1), 0.01, rtol=1e-3)
    assert np.abs(shift.mean(axis=0)).max() < 0.002
    cosine = np.abs(np.asarray(drawn["cam_quat"])[:, 0] @ np.asarray(values["cam_quat"])[0])
    turned = np.degrees(2 * np.arccos(np.clip(cosine.astype(float), 0, 1)))
    np.testing.assert_allclose(turned, 2.0, atol=0.1)


def test_a_background_replaces_what_is_fixed_and_not_kept():
    plain, body = plain_images()
    varied, _ = seen({"visual_background": {}})
    assert (varied == plain)[body > 0].all()
    for replaced in (body == 0, body < 0):  # the floor, and what is beyond it
        assert (varied != plain).any(-1)[replaced].mean() > 0.9
    kept, _ = seen({"visual_background": {"keep": ["fl*"]}})
    nothing = body < 0
    assert (kept == plain)[~nothing].all()


def test_a_share_of_the_episodes_has_another_background():
    made = build_randomizer("visual_background", TASK, {"share": 0.3}, CAMERAS)
    values = nominal_values(made, TASK, TASK.scene(), CAMERAS)
    drawn = jax.vmap(lambda key: made(key, values))(jax.random.split(jax.random.key(0), 1000))
    through = np.asarray(drawn["background_through"]).max(axis=1)
    assert set(through) == {0.0, 1.0}
    assert stats.binomtest(int(through.sum()), 1000, 0.3).pvalue > 1e-3


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("visual_lights", "light_diffuse"),
        ("visual_colors", "mat_rgba"),
        ("visual_camera", "cam_quat"),
    ],
)
def test_a_share_of_the_episodes_looks_otherwise(name, field):
    env = environment(256, {name: {"share": 0.25}})
    looks = np.asarray(env.reset(jax.random.key(0))[0].looks[field])
    plain = np.asarray(
        environment(1, {name: {"share": 1e-6}}).reset(jax.random.key(0))[0].looks[field]
    )
    varied = (np.abs(looks - plain).reshape(256, -1).max(axis=1) > 1e-6).sum()
    assert stats.binomtest(int(varied), 256, 0.25).pvalue > 1e-3


def test_patterns_have_two_colours_and_move_with_what_they_are_on():
    checks = {"materials": ["cart"], "amount": [1, 1], "size": [0.03, 0.03], "checkered": 1.0}
    plain, body = plain_images()
    varied, _ = seen({"visual_patterns": checks})
    cart = body == 1
    assert (varied == plain)[~cart].all()
    same = (varied == plain).all(-1)[cart]
    assert 0.2 < same.mean() < 0.8


@pytest.mark.parametrize("checkered", [0.0, 1.0])
def test_a_pattern_moves_with_its_geom(checkered):
    """The colour at a point of the geom is the same wherever the geom is."""
    points = np.random.default_rng(0).uniform(-0.2, 0.2, (500, 3))
    turn, place = Rotation.from_rotvec((0.3, -1.0, 0.4)), np.array([0.5, -0.2, 0.1])
    values = {"amount": 0.7, "size": 0.05, "checkered": checkered}
    values = {name: np.full((1, 1), x, np.float32) for name, x in values.items()}
    values |= {"rgb": np.array([[[1.0, 0, 1]]]), "shift": np.zeros((1, 1, 3))}
    frames = (
        np.stack([np.zeros(3), place])[:, None],
        np.stack([np.eye(3), turn.as_matrix()])[:, None],
    )
    places = jnp.asarray([points, turn.apply(points) + place])
    drawn = patterns.patterned(
        jnp.zeros((2, 500, 3)),
        patterns.Patterns.of(values, *frames),
        jnp.zeros((2, 500), jnp.int32),
        places,
    )
    colours = np.asarray(drawn)
    close = np.abs(colours[0] - colours[1]).max(-1) < 1e-3
    assert close.mean() > 0.99  # but for points at the border of two cells
    assert colours[..., 0].max() <= 0.7 + 1e-6
    assert colours[..., 0].min() >= 0.0
    assert colours[..., 0].std() > 0.1
    assert not colours[..., 1].any()


def test_what_is_distracting_is_only_seen():
    hidden, body = plain_images()
    number = 4  # world, cart, pole, box, distractor
    assert body.max() < number
    shown, found = seen({"visual_distractors": {"number": [1, 1]}})
    assert ((found == number).sum(axis=(1, 2)) >= 2).all()
    assert (shown == hidden)[found != number].all()


def encoded(array, kind="PNG"):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "rooms"
    path.mkdir()
    for name, level in (("a.png", 40), ("b.jpg", 120), ("c.PNG", 200)):
        picture = np.full((50, 90, 3), level, np.uint8)
        (path / name).write_bytes(encoded(picture, "JPEG" if "j" in name else "PNG"))
    (path / "notes.txt").write_text("mine")
    return path


def test_pictures_of_a_folder_are_behind(folder):
    varied, _ = seen({"visual_background": {"pictures": str(folder)}}, worlds=30)
    levels = {int(x) for x in varied[:, 0, 0, 0]}
    assert len(levels) == 3
    for level in levels:
        assert min(abs(level - x) for x in (40, 120, 200)) <= 1


def test_a_run_keeps_its_pictures(folder, tmp_path):
    """Its folder can be moved away from them, and goes on as it began."""
    (tmp_path / "x.yaml").write_text(
        "algorithms: {ppo: {}}\nrandomization: {visual_background: {pictures: rooms}}\n"
    )

    def begin(file, resume=False):
        with RunFolder(tmp_path / "run", resume) as run:
            found = run.inputs_of(load_config(file))
            run.begin(found)
            return found.config.randomization["visual_background"].options.pictures

    wanted, kept = pictures.read_pictures(folder), begin(tmp_path / "x.yaml")
    assert kept.parent == tmp_path / "run" / "inputs"
    np.testing.assert_array_equal(pictures.read_pictures(kept), wanted)
    assert str(tmp_path) not in (tmp_path / "run" / "config.yaml").read_text()
    shutil.rmtree(folder)
    assert begin(tmp_path / "run" / "config.yaml", resume=True) == kept
    inputs.verify(tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("x.png", b"no picture", "x.png: is no PNG or JPEG"),
        ("x.png", encoded(np.zeros((40, 40, 3), np.uint8))[:-30], "damaged"),
        ("x.jpg", encoded(np.zeros((4, 4, 3), np.uint8), "GIF"), "is no PNG or JPEG"),
        ("x.png", encoded(np.zeros((8000, 8000), np.uint8)), "megapixels"),
    ],
)
def test_what_is_no_picture_is_refused(folder, name, content, complaint):
    (folder / name).write_bytes(content)
    with pytest.raises(ConfigError, match=complaint):
        pictures.read_pictures(folder)


@pytest.mark.parametrize(
    ("name", "options", "complaint"),
    [
        ("visual_background", {"keep": ["flor"]}, "did you mean floor"),
        ("visual_background", {"pictures": "/nowhere/at/all"}, "/nowhere/at/all"),
        ("visual_patterns", {"materials": ["box "]}, "no material"),
        ("visual_patterns", {"amount": [0, 2]}, "from 0 to 1"),
        ("visual_distractors", {"number": [2, 5]}, "only 1"),
        ("visual_distractors", {"number": [2, 1]}, "fewest"),
    ],
)
def test_what_is_impossible_is_refused(name, options, complaint):
    with pytest.raises(ConfigError, match=complaint):
        build_randomizer(name, TASK, options, CAMERAS)


@pytest.mark.parametrize("name", ["visual_patterns", "visual_background", "visual_distractors"])
def test_without_cameras_they_have_nothing_to_vary(name):
    with pytest.raises(ConfigError, match="what cameras see, and there are none"):
        build_randomizer(name, CartTask())


@pytest.mark.parametrize(
    ("name", "renderer"),
    [
        ("visual_surfaces", "rays"),
        pytest.param(
            "visual_background",
            "gl",
            marks=pytest.mark.skipif(render.probe_gl() is None, reason="no OpenGL here"),
        ),
    ],
)
def test_a_renderer_refuses_what_it_does_not_draw(name, renderer):
    with pytest.raises(BackendError, match=f"the renderer {renderer} cannot vary"):
        environment(2, {name: {}}, renderer=renderer)
