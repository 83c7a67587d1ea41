"""What a policy saw is recorded as it saw it, and shown so that one can tell what it is."""

import types
from typing import Any

import imageio_ffmpeg
import jax
import mujoco
import numpy as np
import pytest

from r2s_core.camera import Camera
from r2s_core.evaluation import episodes
from r2s_core.evaluation.episodes import Recording, run_episodes
from r2s_core.policy.saved import as_saved
from r2s_core.rendering import render
from r2s_core.rendering.pictures import take_pictures
from r2s_core.rendering.saliency import overlaid, saliency
from r2s_core.rendering.sights import Sights, body_colours, depth_colours, fitted
from r2s_core.types import ArraySpec, EnvSpec, Layer, PolicyExport, SceneSpec, Step

WORLDS, STEPS = 6, 5
CAMERA = Camera((0, 0, 1), (1, 0, 0, 0), size=(12, 8), channels=("rgb", "depth", "segmentation"))
SPEC = EnvSpec(
    num_worlds=WORLDS,
    observations={"policy": ArraySpec((2,)), **CAMERA.groups("front"), "critic": ArraySpec((9,))},
    action_low=np.full(2, -1, np.float32),
    action_high=np.ones(2, np.float32),
    max_episode_steps=STEPS,
    control_dt=0.1,
    traceable=False,
    cameras={"front": CAMERA},
)


class Clock:
    """Everything that is observed is the number 10 * world + control step, as is the position."""

    spec = SPEC

    def reset(self, key):
        return self._at(0)

    def step(self, state, action):
        elapsed = state.elapsed + 1
        done = np.full(WORLDS, elapsed == STEPS)
        state, obs = self._at(0 if done.all() else elapsed)
        nothing, zeros = np.zeros(WORLDS, bool), np.zeros(WORLDS, np.float32)
        success = done & (np.arange(WORLDS) % 2 == 0)
        outcome = {"terminated": nothing, "truncated": done, "success": success}
        lengths = np.full(WORLDS, elapsed)
        make: Any = Step
        step = make(obs, obs, zeros, {}, **outcome, diverged=nothing, episode_return=zeros,
                    episode_length=lengths, metrics={}, variant=None)  # fmt: skip
        return state, step

    def _at(self, elapsed):
        number = 10 * np.arange(WORLDS) + elapsed
        view = types.SimpleNamespace(qpos=number[:, None].astype(np.float32))
        obs = {
            name: np.broadcast_to(
                number.reshape(-1, *[1] * len(spec.shape)), (WORLDS, *spec.shape)
            ).astype(spec.dtype)
            for name, spec in SPEC.observations.items()
        }
        state = types.SimpleNamespace(
            physics=types.SimpleNamespace(view=view), task={}, elapsed=elapsed
        )
        return state, obs


def played(record=WORLDS):
    env: Any = Clock()
    still: Any = lambda obs, key: np.zeros((WORLDS, 2))  # noqa: E731
    return run_episodes(env, still, jax.random.key(0), 1, record)


def test_a_recording_has_what_the_policy_read_at_each_step_and_nothing_else():
    recordings = played().recordings
    assert len(recordings) == WORLDS
    for recording in recordings:
        assert list(recording.read) == ["policy", "front", "front_depth", "front_segmentation"]
        for name, values in recording.read.items():
            spec = SPEC.observations[name]
            assert (values.shape, values.dtype) == ((STEPS, *spec.shape), spec.dtype)
            flat = values.reshape(STEPS, -1)
            np.testing.assert_array_equal(flat, np.broadcast_to(recording.qpos, flat.shape))


def test_images_are_kept_of_the_first_episodes_as_far_as_there_is_room(monkeypatch):
    episode = STEPS * (8 + 12 * 8 * (3 + 2 + 1))
    monkeypatch.setattr(episodes, "_READ_BYTES", 4 * episode + episode // 2)
    kept = [bool(recording.read) for recording in played().recordings]
    assert kept == [True] * 4 + [False] * 2
    monkeypatch.setattr(episodes, "_READ_BYTES", episode - 1)
    assert not any(recording.read for recording in played().recordings)


def test_nothing_is_kept_for_a_policy_that_sees_nothing():
    numbers = {"policy": SPEC.observations["policy"], "critic": SPEC.observations["critic"]}
    assert episodes._room_for_images(EnvSpec(**{**vars(SPEC), "observations": numbers}), 9) == {}


def test_depth_is_white_near_and_black_far_and_blue_where_there_is_none():
    grey = depth_colours(np.array([500, 1000, 1500, 9000, 100, 0], np.uint16), 500, 1500)
    assert [int(pixel[0]) for pixel in grey[:5]] == [255, 64, 0, 0, 255]
    assert all(len(set(map(int, pixel))) == 1 for pixel in grey[:5])
    assert int(grey[5, 2]) > 2 * int(grey[5, 0])


def test_bodies_of_neighbouring_numbers_have_colours_that_one_can_tell_apart():
    colours = body_colours(np.arange(40, dtype=np.uint8)).astype(float)
    apart = np.linalg.norm(colours[:, None] - colours[None], axis=-1)
    near = np.abs(np.subtract.outer(np.arange(40), np.arange(40))) <= 2
    assert apart[near & ~np.eye(40, dtype=bool)].min() > 60
    assert apart[~np.eye(40, dtype=bool)].min() > 8
    assert body_colours(np.array([0, 1], np.uint8)).tolist() == [[0] * 3, [190] * 3]


@pytest.mark.parametrize(
    ("shape", "room", "expected"),
    [
        ((8, 12), (50, 50), (32, 48)),
        ((8, 12), (8, 12), (8, 12)),
        ((64, 30), (20, 20), (16, 7)),
        ((1, 90), (20, 20), (1, 18)),
    ],
)
def test_images_are_enlarged_and_reduced_by_whole_factors(shape, room, expected):
    image = np.random.default_rng(0).integers(0, 255, (2, *shape, 3), np.uint8)
    drawn = fitted(image, room)
    assert drawn.shape == (2, *expected, 3)
    if expected[0] >= shape[0] and expected[1] >= shape[1]:
        factor = expected[0] // shape[0]
        np.testing.assert_array_equal(drawn[:, ::factor, ::factor], image)
        np.testing.assert_array_equal(drawn[:, factor - 1 :: factor, factor - 1 :: factor], image)
    else:
        assert abs(float(drawn.mean()) - float(image.mean())) < 12


def seen_recording(success, length=20):
    """The red stripe in the image and the box are where the step's number says."""
    red = np.zeros((length, 8, 12, 3), np.uint8)
    red[np.arange(length), :, np.arange(length) * 12 // length, 0] = 255
    depth = np.full((length, 8, 12, 1), 800, np.uint16)
    depth[:, :4] = 2300
    bodies = np.ones((length, 8, 12, 1), np.uint8)
    felt = np.zeros((length, 2), np.float32)
    read = {"policy": felt, "front": red, "front_depth": depth, "front_segmentation": bodies}
    qpos = np.linspace(-0.6, 0.6, length, dtype=np.float32)[:, None]
    succeeded = (np.arange(length) >= length - 3) & success
    return Recording(qpos, {}, success, 0, {}, succeeded, "" if success else "lost", read)


def stripe(images):
    """The column of the stripe, in shares of the image's width."""
    redness = images[..., 0].astype(int) - images[..., 1]
    return (redness.sum(-2).argmax(-1) + 0.5) / images.shape[-2]


def test_what_is_shown_of_a_moment_is_what_the_action_was_decided_on():
    recording = seen_recording(True)
    moments = np.array([0, 7, 19])
    for chunk, decided in ((1, [0, 7, 19]), (4, [0, 4, 16])):
        spec = EnvSpec(**{**vars(SPEC), "action_chunk": chunk})
        env: Any = types.SimpleNamespace(spec=spec)
        sights = Sights.of(env, [recording])
        assert sights is not None
        np.testing.assert_array_equal(
            sights.colours(recording, "front", moments), recording.read["front"][decided]
        )
    assert [*sights.channels.values()] == ["rgb", "depth", "segmentation"]
    assert sights.caption("front_depth").startswith("front_depth: white 0.80 m, black 2.30 m")


def test_a_panel_shows_each_image_under_its_name_and_is_dark_where_none_was_kept():
    recording = seen_recording(True)
    sights = Sights.of(environment(), [recording])
    assert sights is not None
    panel = sights.panel(recording, np.arange(20), 300)
    assert panel.shape == (20, 300, 300, 3)
    where = stripe(panel[:, 60:120, 3:147])  # the first image: 12 times 12 x 8, from (3, 36) on
    np.testing.assert_allclose(where, (np.arange(20) * 12 // 20 + 0.5) / 12, atol=0.05)
    name = panel[0, 10:36, :150]
    assert (name == 214).any()
    assert (panel[0, 150:, :150] == panel[7, 150:, :150]).all()  # the depths do not change
    blank = sights.panel(Recording(recording.qpos, {}, True), np.arange(3), 300)
    assert len(np.unique(blank.reshape(-1, 3), axis=0)) == 1
    assert Sights.of(environment(), [Recording(recording.qpos, {}, True)]) is None


XML = """<mujoco><worldbody><light pos="0 0 3"/>
  <camera name="front" pos="0 -2 0.3" xyaxes="1 0 0 0 0 1"/>
  <body><joint type="slide" axis="1 0 0"/><geom size="0.2" rgba="1 0 0 1"/></body>
</worldbody></mujoco>"""


def environment() -> Any:
    build = lambda variant: mujoco.MjSpec.from_string(XML)  # noqa: E731
    scene = SceneSpec(build(0).compile(), 1, frozenset({"qpos"}), build)
    return types.SimpleNamespace(scene=scene, spec=SPEC)


def linear(rng):
    """A policy whose output is linear in its images: [kernel of the colours, of the depths]."""
    kernel = rng.normal(size=(8 * 12 * 4, 2)).astype(np.float32)
    bias = np.array([3e3, 0], np.float32)
    std = np.array([50, 60, 70], np.float32)
    layers = (
        Layer("colour", "normalise", ("front",), {"clip": 100.0}, {"mean": std, "std": std}),
        Layer("depth", "normalise", ("front_depth",), {"clip": 100.0},
              {"mean": np.array([900], np.float32), "std": np.array([500], np.float32)}),
        Layer("both", "concat", ("colour", "depth")),
        Layer("flat", "flatten", ("both",)),
        Layer("dense", "dense", ("flat",), {}, {"kernel": kernel, "bias": bias}),
        Layer("squashed", "squash", ("dense",), {"function": "clip"}),
    )  # fmt: skip
    policy = as_saved(PolicyExport(layers), SPEC, task="clock")
    scaled = kernel.reshape(8, 12, 4, 2) / np.array([50, 60, 70, 500], np.float32)[:, None]
    squares = (scaled**2).sum(-1)
    return policy, np.sqrt(squares[..., :3].sum(-1)), np.sqrt(squares[..., 3])


def test_saliency_is_the_gradient_also_of_an_action_at_its_bound():
    policy, colour, depth = linear(np.random.default_rng(0))
    read = {name: x[::7] for name, x in seen_recording(True).read.items()}
    assert abs(policy(read)[0, 0]) == 1.0
    maps = saliency(policy, read)
    assert list(maps) == ["front", "front_depth"]
    for found, expected in ((maps["front"], colour), (maps["front_depth"], depth)):
        np.testing.assert_allclose(found, np.broadcast_to(expected, (3, 8, 12)), rtol=1e-4)


def test_the_heat_is_where_the_saliency_is():
    images = np.full((2, 20, 30, 3), 120, np.uint8)
    maps = np.zeros((2, 20, 30), np.float32)
    maps[0, 4:8, 5:9] = 1e-6
    drawn = overlaid(images, maps).astype(int)
    warmth = drawn[..., 0] - drawn[..., 2]
    assert warmth[0, 4:8, 5:9].min() > 100
    assert warmth[0, 12:].max() < 5
    assert (drawn[1] == drawn[1, 0, 0]).all()  # nothing matters in the second


def test_films_and_looks_need_no_renderer(tmp_path, monkeypatch):
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(render, "probe_gl", lambda: None)
    policy, *_ = linear(np.random.default_rng(0))
    unseen = Recording(np.zeros((5, 1)), {}, False, failure="late")
    recordings = [unseen, seen_recording(False), seen_recording(True), seen_recording(True)]
    drawn = take_pictures(tmp_path, environment(), recordings, policy)
    assert len(drawn.notes) == 1
    assert "apt-get install" in drawn.notes[0]
    assert [(film.title, film.state) for film in drawn.films] == [
        ("success", "good"),
        ("failure: lost", "bad"),
    ]
    success, failure = drawn.films
    assert [name.split(":")[0] for name, _ in success.reels] == [*CAMERA.groups("front")]
    assert [shot.caption for shot in failure.reels[0][1]] == [
        *("0.0 s", "0.2 s", "0.5 s", "0.7 s", "1.0 s", "1.2 s", "1.4 s", "1.7 s", "1.9 s")
    ]
    assert success.reels[0][1][-1].caption == "1.8 s"  # the success, not the end
    assert drawn.looks is not None
    assert [(name, len(shots)) for name, shots in drawn.looks.reels] == [
        ("front", 4),
        ("front_depth", 4),
    ]


def test_what_a_policy_looks_at_costs_a_line_not_the_run_where_it_fails(tmp_path, monkeypatch):
    def broken(*_):
        raise MemoryError("too large")

    monkeypatch.setattr("r2s_core.rendering.pictures.saliency", broken)
    monkeypatch.setattr(render, "render_frames", broken)
    policy, *_ = linear(np.random.default_rng(0))
    drawn = take_pictures(tmp_path, environment(), [seen_recording(True)], policy)
    assert [note.split(":")[0] for note in drawn.notes] == [
        "Not shown what the policy looks at",
        "No pictures",
    ]
    assert len(drawn.films) == 1


@pytest.mark.skipif(render.probe_gl() is None, reason=render.missing_gl_advice())
def test_the_video_shows_the_images_beside_the_scene_in_step(tmp_path):
    drawn = take_pictures(tmp_path, environment(), [seen_recording(False)])
    assert drawn.beside == tuple(CAMERA.groups("front"))
    reader = imageio_ffmpeg.read_frames(str(tmp_path / "video.mp4"))
    meta: Any = next(reader)
    width, height = meta["size"]
    assert (width, height) == (400 + 300, 300)
    clip = np.stack([np.frombuffer(f, np.uint8).reshape(height, width, 3) for f in reader])[:20]
    ball, image = stripe(clip[:, 60:, :400]), stripe(clip[:, 60:120, 403:547])
    assert np.corrcoef(ball, image)[0, 1] > 0.98
    np.testing.assert_allclose(image, (np.arange(20) * 12 // 20 + 0.5) / 12, atol=0.06)
