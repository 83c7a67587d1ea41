"""A policy that sees knows its cameras: it refuses other images and tells where others stand."""

import dataclasses
import json
import math
import types
from typing import Any

import jax
import numpy as np
import pytest

from r2s_core import cli
from r2s_core.camera import Camera, looking_at
from r2s_core.policy.cameras import described, differences
from r2s_core.policy.contract import sealed, text_of
from r2s_core.policy.network import as_function, as_jax
from r2s_core.policy.saved import PolicyError, as_saved, load_policy, save_policy
from r2s_core.types import ArraySpec, EnvSpec, Layer, PolicyExport

FRONT = Camera(
    (1.2, 0.0, 0.7), looking_at((1.2, 0.0, 0.7), (0.5, 0.0, 0.1), (0, 0, 1)), 40.0, (6, 4)
)
WRIST = Camera((0, 0, 0.05), (0, 1, 0, 0), size=(6, 4), channels=("rgb", "depth"), mount="hand")
CAMERAS = {"front": FRONT, "wrist": WRIST}


def spec(cameras=CAMERAS, numbers=2) -> EnvSpec:
    images = {g: s for name, camera in cameras.items() for g, s in camera.groups(name).items()}
    return EnvSpec(
        num_worlds=3,
        observations={"policy": ArraySpec((numbers,)), **images, "critic": ArraySpec((9,))},
        action_low=np.full(2, -1, np.float32),
        action_high=np.ones(2, np.float32),
        max_episode_steps=50,
        control_dt=0.05,
        traceable=True,
        cameras=cameras,
    )


def environment(*arguments, **keys) -> Any:
    return types.SimpleNamespace(spec=spec(*arguments, **keys))


def export() -> PolicyExport:
    """It reads the numbers, both cameras' colours, stacked, and no depth."""
    rng = np.random.default_rng(0)

    def normalised(group, size):
        tensors = {"mean": np.full(size, 3.0), "std": np.full(size, 60.0)}
        return Layer(f"{group}_n", "normalise", (group,), {"clip": 10.0}, tensors)

    kernel = rng.normal(size=(4 * 6 * 6 + 2, 2)).astype(np.float32) / 10
    layers = (
        *(normalised("policy", 2), normalised("front", 3), normalised("wrist", 3)),
        Layer("stacked", "concat", ("front_n", "wrist_n")),
        Layer("flat", "flatten", ("stacked",)),
        Layer("read", "concat", ("flat", "policy_n")),
        Layer("dense", "dense", ("read",), {}, {"kernel": kernel, "bias": np.zeros(2)}),
        Layer("squashed", "squash", ("dense",), {"function": "tanh"}),
    )
    return PolicyExport(layers)


@pytest.fixture
def policy(tmp_path):
    return load_policy(save_policy(tmp_path / "policy", export(), spec(), task="look"))


def observed(seed=0, rows=3):
    rng = np.random.default_rng(seed)
    image = lambda: rng.integers(0, 256, (rows, 4, 6, 3), np.uint8)  # noqa: E731
    return {
        "policy": rng.normal(size=(rows, 2)).astype(np.float32),
        "front": image(),
        "wrist": image(),
    }


def test_the_file_has_the_cameras_that_are_read_as_they_were_in_training(policy):
    assert policy.spec.cameras == CAMERAS
    assert list(policy.contract["cameras"]) == ["front", "wrist"]
    one = {"front": FRONT, "unread": dataclasses.replace(FRONT, period=3)}
    layers = PolicyExport.mlp([(np.zeros((2, 2)), np.zeros(2))], "elu", [0, 0], [1, 1], 5.0, "clip")
    assert "cameras" not in as_saved(layers, spec(one), task="look").contract
    odd = dataclasses.replace(
        FRONT, position=np.array([1, 2, 3], np.float32), size=(np.int64(6), 4)
    )
    saved = as_saved(export(), spec({"front": odd, "wrist": WRIST}), task="look")
    assert saved.spec.cameras["front"].position == (1.0, 2.0, 3.0)


def test_images_are_found_by_name_whatever_their_order(policy):
    obs = observed()
    turned = {name: obs[name] for name in ("wrist", "policy", "front")}
    swapped = obs | {"front": obs["wrist"], "wrist": obs["front"]}
    expected = policy(obs)
    np.testing.assert_array_equal(policy(turned), expected)
    np.testing.assert_allclose(as_function(policy)(turned), expected, atol=1e-5)
    assert np.abs(policy(swapped) - expected).max() > 0.01
    other = spec({"wrist": WRIST, "front": FRONT})
    act = as_jax(policy, types.SimpleNamespace(spec=other), "look")  # type: ignore[arg-type]
    np.testing.assert_allclose(act(turned, jax.random.key(0)), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda x: x[:, :, :5],
            r"'front' as uint8\[4, 6, 3\], got an array of uint8\[3, 4, 5, 3\]; ",
        ),
        (lambda x: x / np.float32(255), r"got an array of float32\[3, 4, 6, 3\]; .* from 0 to 255"),
        (lambda x: x[..., :1], r"got an array of uint8\[3, 4, 6, 1\]"),
        (lambda x: x.transpose(0, 3, 1, 2), r"\[3, 3, 4, 6\]; .* height, width and channels"),
        (lambda x: x[0, 0], r"got an array of uint8\[6, 3\]"),
        (lambda x: x[:2], "different leading dimensions: policy .3., front .2., wrist .3."),
        (lambda x: None, "array of numbers, got object"),
    ],
    ids=["size", "float", "channels", "channels first", "no image", "rows", "nothing"],
)
def test_another_image_is_refused_in_one_sentence(policy, change, message):
    obs = observed()
    with pytest.raises(PolicyError, match=message) as caught:
        policy(obs | {"front": change(obs["front"])})
    assert "\n" not in str(caught.value)


def test_a_missing_camera_is_refused(policy):
    obs = observed()
    del obs["wrist"]
    with pytest.raises(PolicyError, match=r"reads the observation group 'wrist', but the given"):
        policy(obs)


@pytest.mark.parametrize(
    ("cameras", "gives"),
    [
        ({}, "has no images"),
        ({"front": FRONT}, "has only front"),
        (CAMERAS | {"wrist": dataclasses.replace(WRIST, size=(12, 8))}, "gives 12 x 8 pixels of 3"),
    ],
)
def test_an_environment_that_shows_something_else_is_refused(policy, cameras, gives):
    # Whatever else differs, what it sees is told first.
    with pytest.raises(PolicyError) as caught:
        as_jax(policy, environment(cameras, numbers=7), "look")
    assert gives in str(caught.value)
    assert "with the cameras that it was trained with" in str(caught.value)


def test_a_policy_without_eyes_is_not_told_of_cameras():
    layers = PolicyExport.mlp([(np.zeros((2, 2)), np.zeros(2))], "elu", [0, 0], [1, 1], 5.0, "clip")
    blind = as_saved(layers, spec({}), task="look")
    with pytest.raises(PolicyError, match=r"observation group 'policy' is float32\[2\], the env"):
        as_jax(blind, environment(numbers=7), "look")


def turned(camera, degrees):
    """About its viewing direction."""
    half = math.radians(degrees) / 2
    w, x, y, z = camera.quaternion
    c, s = math.cos(half), math.sin(half)
    spun = (c * w - s * z, c * x + s * y, c * y - s * x, c * z + s * w)
    return dataclasses.replace(camera, quaternion=tuple(-part for part in spun))


def test_what_differs_of_a_camera_is_told_in_a_line():
    assert differences(CAMERAS, CAMERAS) == []
    assert differences(CAMERAS, {}) == []
    same = tuple(-x for x in FRONT.quaternion)
    assert differences(CAMERAS, {"front": dataclasses.replace(FRONT, quaternion=same)}) == []
    moved = dataclasses.replace(FRONT, position=(1.2, 0.03, 0.66), field_of_view=45.0, period=2)
    more = dataclasses.replace(WRIST, mount="tool", position=(1, 1, 1), depth_range=(0.1, 2.0))
    assert differences(CAMERAS, {"wrist": more, "front": moved}) == [
        "the camera front is not as in training: moved by 50 mm, field of view 45 instead of 40 "
        "degrees, an image every 2 control steps instead of 1",
        "the camera wrist is not as in training: carried by tool instead of hand, depths of "
        "[0.1, 2.0] instead of [0.05, 10.0] m",
    ]
    for degrees in (0.01, 7.5, 180.0):
        [line] = differences(CAMERAS, {"front": turned(FRONT, degrees)})
        assert line.endswith(f"turned by {degrees:g} degrees")


def test_a_camera_in_words():
    assert described(WRIST, 20.0) == (
        "6 x 4 pixels of colour and depth; field of view 45 degrees from top to bottom; carried by "
        "hand, at (0, 0, 0.05) m in its frame, looking along (0, 0, 1); an image every control "
        "step (20 per second); depths from 0.05 to 10 m"
    )
    slow = described(dataclasses.replace(FRONT, period=4), 20.0)
    assert "fixed at (1.2, 0, 0.7) m, looking along (-0.759, 0, -0.651)" in slow
    assert "every 4 control steps (5 per second)" in slow


def resaved(folder, change):
    path = folder / "policy" / "policy.json"
    contract = json.loads(path.read_text())
    change(contract)
    path.write_text(text_of(sealed({k: v for k, v in contract.items() if k != "sha256"})))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: c["front"].update(size=[4, 6]),
            "cameras.front: its image front is uint8.6, 4, 3",
        ),
        (lambda c: c.update(top=c["front"]), "cameras.top: no layer reads an image of it"),
        (lambda c: c["front"].update(field_of_view=0.5), "cameras.front: field_of_view is 0.5"),
        (lambda c: c["front"].update(fov=3), "cameras.front.fov: unknown key"),
        (lambda c: c["front"].update(quaternion=[1, 0, 0]), "quaternion: expected 4 entries"),
        (lambda c: c["front"].pop("position"), "cameras.front.position: is missing"),
    ],
)
def test_a_file_whose_cameras_do_not_fit_is_refused(policy, tmp_path, change, message):
    resaved(tmp_path, lambda contract: change(contract["cameras"]))
    with pytest.raises(PolicyError, match=message):
        load_policy(tmp_path)


def test_a_file_without_cameras_is_read(policy, tmp_path):
    resaved(tmp_path, lambda contract: contract.pop("cameras"))
    assert load_policy(tmp_path).spec.cameras == {}


def test_info_shows_what_a_policy_reads_and_gives(policy, tmp_path, capsys):
    for folder in (tmp_path, tmp_path / "policy"):
        assert cli.main(["info", str(folder)]) == 0
        out = " ".join(capsys.readouterr().out.split())
        for fact in (
            *("policy of look", "every 50 ms", "front: uint8[4, 6, 3], an image", "observation_1"),
            *("carried by hand, at (0, 0, 0.05) m", "quaternion (w, x, y, z) 0.000000 1.000000"),
            "action_1 from -1 to 1",
        ):
            assert fact in out
    assert cli.main(["info", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == policy.contract
    assert cli.main(["info", str(tmp_path / "none")]) == 1
    assert "there is no such folder" in capsys.readouterr().err
