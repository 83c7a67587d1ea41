"""Encoders of images: against flax, against the saved policy, and what augmentation changes."""

import dataclasses
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime
import pytest

from r2s_algos_common.encoders.augment import augmented, recoloured, shifted
from r2s_algos_common.encoders.config import Augmentation, ImageEncoder
from r2s_algos_common.encoders.convolution import (
    Encoder,
    convolutions,
    encoder_layers,
    init_encoder,
)
from r2s_algos_common.encoders.reader import Reader
from r2s_algos_common.normalize import init_statistics, update_statistics
from r2s_core.policy import graph
from r2s_core.policy.network import as_jax
from r2s_core.policy.onnx_file import save_onnx
from r2s_core.policy.saved import load_policy, save_policy
from r2s_core.testing.environments import bandit
from r2s_core.types import ArraySpec, PolicyExport


@pytest.mark.parametrize("side", [16, 24, 32, 48, 64, 100, 128])
def test_an_image_of_any_size_becomes_few_places(side):
    shapes = convolutions(side, side // 2, (16, 32))
    assert [shape.channels for shape in shapes] == [16] + [32] * (len(shapes) - 1)
    for shape in shapes:
        side = -(-side // shape.stride)
    assert 2 <= side <= 4


def test_init_encoder_draws_from_the_same_distribution_as_flax():
    encoder: Any = Encoder(convolutions(32, 32, (32, 64)), 300)
    ours = init_encoder(encoder, jax.random.key(0), (32, 32, 6))
    flax = jax.jit(encoder.init)(jax.random.key(0), jnp.zeros((1, 32, 32, 6)))
    chex.assert_trees_all_equal_shapes_and_dtypes(ours, flax)
    for x, y in zip(jax.tree.leaves(ours), jax.tree.leaves(flax), strict=True):
        np.testing.assert_allclose(np.std(x), np.std(y), rtol=0.03)
        np.testing.assert_allclose(np.max(x), np.max(y), rtol=0.03)
    again, other = (init_encoder(encoder, jax.random.key(s), (32, 32, 6)) for s in (0, 1))
    chex.assert_trees_all_equal(ours, again)
    kernels = [np.asarray(x["params"]["Conv_1"]["kernel"]) for x in (ours, other)]
    assert not np.array_equal(kernels[0], kernels[1])


@pytest.mark.parametrize("size", [(16, 18), (33, 42)])
def test_the_encoder_computes_what_its_layers_say(size):
    """Also where patches and strides do not divide the image."""
    encoder: Any = Encoder(convolutions(size[0], size[1], (8, 16)), 10)
    params = init_encoder(encoder, jax.random.key(0), (*size, 3))
    image = np.random.default_rng(0).normal(size=(5, *size, 3)).astype(np.float32)
    layers = tuple(encoder_layers(encoder, params, "eye", "image"))
    expected = graph.evaluate(layers, graph.tensors_of(layers), {"image": image}, np)
    found = jax.jit(encoder.apply)(params, image)
    assert np.std(expected) > 0.3
    np.testing.assert_allclose(found, expected, atol=1e-5)


GROUPS = {
    "policy": ArraySpec((3,)),
    "left": ArraySpec((16, 16, 3), "uint8"),
    "depth": ArraySpec((16, 16, 1), "uint16"),
    "right": ArraySpec((16, 16, 3), "uint8"),
    "wrist": ArraySpec((20, 24, 1), "uint8"),
    "critic": ArraySpec((2,)),
}


def _environment(groups=GROUPS):
    env = bandit(5)
    env.spec = dataclasses.replace(env.spec, observations=groups)
    return env


def _observations(leading=(5,)) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        name: rng.normal(1.0, 2.0, (*leading, *x.shape)).astype(np.float32)
        if x.dtype == "float32"
        else rng.integers(0, 256 if x.dtype == "uint8" else 3000, (*leading, *x.shape), x.dtype)
        for name, x in GROUPS.items()
    }


def _reader(cameras, groups=GROUPS):
    """(reader, its parameters, statistics)"""
    env, options = _environment(groups), ImageEncoder(cameras, (8, 8), 6)
    reader = Reader(env.spec, env.spec.policy_groups, options)
    statistics = init_statistics((3,))
    statistics = update_statistics(statistics, _observations((50,))["policy"])
    return reader, reader.init(jax.random.key(0)), {"policy": statistics}


@pytest.mark.parametrize(
    ("cameras", "encoders", "size"),
    [
        ("separate", {"left", "depth", "right", "wrist"}, 3 + 4 * 6),
        ("shared", {"left+right", "depth", "wrist"}, 3 + 4 * 6),
        ("stacked", {"left+depth+right", "wrist"}, 3 + 2 * 6),
    ],
)
def test_what_is_read_is_read_alike_by_numpy_jax_and_onnx(cameras, encoders, size, tmp_path):
    reader, params, statistics = _reader(cameras)
    env, obs = _environment(), _observations()
    assert (set(params), reader.size) == (encoders, size)
    read = jax.jit(reader.read)(params, statistics, obs)
    assert read.shape == (5, size)
    last = np.random.default_rng(1).normal(size=(size, 1)).astype(np.float32) / size
    layers = reader.layers(params, statistics)
    export = PolicyExport.on(layers, ((last, np.zeros(1, np.float32)),), "relu", "tanh")
    action = np.tanh(np.asarray(read) @ last)
    assert np.ptp(action) > 0.1
    policy = load_policy(save_policy(tmp_path / "policy", export, env.spec, task="see"))
    seen = {name: obs[name] for name in reader.groups}
    np.testing.assert_allclose(policy(seen), action, atol=1e-5)
    np.testing.assert_allclose(
        as_jax(policy, env, "see")(obs, jax.random.key(0)), action, atol=1e-5
    )
    session = onnxruntime.InferenceSession(str(save_onnx(policy, tmp_path / "policy.onnx")))
    found: Any = session.run(["action"], seen)[0]
    np.testing.assert_allclose(found, action, atol=1e-5)


def test_leading_dimensions_do_not_matter():
    reader, params, statistics = _reader("shared")
    flat, deep = _observations((6,)), {}
    for name, x in flat.items():
        deep[name] = x.reshape(2, 3, *x.shape[1:])
    read = jax.jit(reader.read)
    expected = read(params, statistics, flat).reshape(2, 3, -1)
    np.testing.assert_allclose(read(params, statistics, deep), expected, atol=1e-6)
    assert (reader.leading(deep), reader.leading(flat)) == ((2, 3), (6,))


def test_bytes_are_centred_and_depths_are_metres():
    """Seen where a policy reads an image's first pixel."""
    reader, params, statistics = _reader("separate")
    layers = {layer.name: layer for layer in reader.layers(params, statistics)}
    for name, x, expected in (("left", 255, 0.5), ("left", 0, -0.5), ("depth", 1500, 1.5)):
        layer, image = layers[f"{name}_normalised"], np.full((16, 16, 1), x)
        tensors = {k: np.asarray(v, np.float32)[:1] for k, v in layer.tensors.items()}
        y = graph.KINDS["normalise"].compute(layer, tensors, [image], np)
        np.testing.assert_allclose(y, expected, rtol=1e-6)


def test_a_shift_moves_each_image_by_its_own_whole_pixels():
    images = np.random.default_rng(0).integers(0, 256, (200, 6, 7, 3), np.uint8)
    moved = np.asarray(jax.jit(shifted, static_argnums=1)(images, 2, jax.random.key(0)))
    assert moved.dtype == np.uint8
    padded = np.pad(images, [(0, 0), (2, 2), (2, 2), (0, 0)], mode="edge")
    seen = set()
    for before, after in zip(padded, moved, strict=True):
        offsets = [
            (i, j)
            for i in range(5)
            for j in range(5)
            if np.array_equal(before[i : i + 6, j : j + 7], after)
        ]
        assert len(offsets) == 1
        seen.update(offsets)
    assert len(seen) > 20


def test_colours_change_each_image_as_a_whole_and_stay_colours():
    grey = np.full((300, 2, 2, 3), 100, np.uint8)
    key = jax.random.key(0)
    recolour = jax.jit(recoloured, static_argnums=1)
    for option, spread in (("brightness", 25.5), ("contrast", 2.75), ("gain", 10.0)):
        options = dataclasses.replace(Augmentation(), **{option: 0.1})
        found = np.asarray(recolour(grey, options, key))
        assert np.ptp(found, axis=(1, 2)).max() < 1e-4
        assert np.abs(found - 100.0).max() == pytest.approx(spread, rel=0.05)
        apart = np.ptp(found[:, 0, 0], axis=-1).max()
        assert (apart > 1.0) == (option == "gain")
    bright = np.asarray(recolour(grey + 150, Augmentation(brightness=1.0), key))
    assert (bright.min(), bright.max()) == (0.0, 255.0)


def test_augmentation_is_off_by_default_and_leaves_depths_their_values():
    obs, images = _observations(), ("left", "depth", "right")
    same = augmented(Augmentation(), obs, images, jax.random.key(0))
    assert all(same[name] is obs[name] for name in obs)
    options = Augmentation(brightness=0.2, shift=1)
    found = augmented(options, obs, images, jax.random.key(0))
    assert found["depth"].dtype == np.uint16
    assert set(np.unique(found["depth"])) <= set(np.unique(obs["depth"]))
    assert found["left"].dtype == np.float32
    assert not np.array_equal(found["left"] - obs["left"], found["right"] - obs["right"])
    assert found["wrist"] is obs["wrist"]
