"""A policy's graph means the same to NumPy, JAX and ONNX, and to flax where flax has the layer."""

import dataclasses
import tracemalloc
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import onnxruntime
import pytest

from r2s_core.policy import graph
from r2s_core.policy.network import as_jax
from r2s_core.policy.onnx_file import save_onnx
from r2s_core.policy.saved import PolicyError, as_saved, load_policy, save_policy
from r2s_core.testing.environments import bandit
from r2s_core.types import ArraySpec, Layer, PolicyExport

BATCH, ACTIONS = 5, 3


class Random:
    """Random graphs: images through convolutions, vectors, joined and brought to actions."""

    def __init__(self, seed):
        self.rng, self.layers = np.random.default_rng(seed), []

    def layer(self, kind, *inputs, options=None, **tensors):
        name = f"{kind}_{len(self.layers)}"
        arrays = {n: np.asarray(x, np.float32) for n, x in tensors.items()}
        self.layers.append(Layer(name, kind, inputs, options or {}, arrays))
        return name

    def normal(self, *shape):
        return self.rng.normal(size=shape) / max(np.prod(shape[:-1]), 1) ** 0.5

    def active(self, x):
        function = str(self.rng.choice(list(graph.ACTIVATIONS)))
        return self.layer("activation", x, options={"function": function})

    def features(self, group, spec):
        x = self.layer(
            "normalise",
            group,
            options={"clip": float(self.rng.uniform(0.5, 5.0))},
            mean=self.normal(spec.shape[-1]) + (100 if spec.is_image else 0),
            std=self.rng.uniform(0.5, 2.0, spec.shape[-1]) * (80 if spec.is_image else 1),
        )
        shape = spec.shape
        for _ in range(self.rng.integers(1, 3) if spec.is_image else 0):
            rows, columns, out = self.rng.integers(1, 5, 3)
            options = {
                "stride": int(self.rng.integers(1, 4)),
                "padding": str(self.rng.choice(graph.PADDINGS)),
            }
            kernel = self.normal(rows, columns, shape[-1], out)
            x = self.layer("conv", x, options=options, kernel=kernel, bias=self.normal(out))
            shape = graph.infer(self.layers, GROUPS)[x]
            x = self.active(x)
        return self.layer("flatten", x) if spec.is_image else x

    def export(self):
        parts = [self.features(name, spec) for name, spec in GROUPS.items()]
        x = self.layer("concat", *self.rng.permutation(parts).tolist())
        for _ in range(self.rng.integers(1, 4)):
            (size,), width = graph.infer(self.layers, GROUPS)[x], int(self.rng.integers(4, 16))
            x = self.layer("dense", x, kernel=self.normal(size, width), bias=self.normal(width))
            scale, bias = self.rng.uniform(0.5, 2.0, width), self.normal(width)
            x = self.layer("layer_norm", x, options={"epsilon": 1e-6}, scale=scale, bias=bias)
            x = self.active(x)
        (size,) = graph.infer(self.layers, GROUPS)[x]
        kernel, bias = 2 * self.normal(size, ACTIONS), self.normal(ACTIONS)
        x = self.layer("dense", x, kernel=kernel, bias=bias)
        function = str(self.rng.choice(list(graph.SQUASHES)))
        self.layer("squash", x, options={"function": function})
        return PolicyExport(tuple(self.layers))


GROUPS = {"camera": ArraySpec((12, 10, 3), "uint8"), "policy": ArraySpec((7,))}


def environment(groups=GROUPS):
    env = bandit(BATCH)
    env.spec = dataclasses.replace(
        env.spec,
        observations=groups,
        control_dt=0.05,
        action_low=np.array([-1.0, 0.0, -3.0], np.float32),
        action_high=np.array([1.0, 0.5, -2.0], np.float32),
    )
    return env


def observations(seed, scale=3.0):
    rng = np.random.default_rng(seed)
    return {
        "camera": rng.integers(0, 256, (BATCH, 12, 10, 3), np.uint8),
        "policy": rng.normal(scale=scale, size=(BATCH, 7)).astype(np.float32),
    }


@pytest.mark.parametrize("seed", range(12))
def test_numpy_jax_and_onnx_act_alike_on_random_graphs(tmp_path, seed):
    env, obs = environment(), observations(seed)
    export = Random(seed).export()
    policy = load_policy(save_policy(tmp_path / "policy", export, env.spec, task="see"))
    action = policy(obs)

    assert action.shape == (BATCH, ACTIONS)
    assert (action >= env.spec.action_low).all()
    assert (action <= env.spec.action_high).all()
    assert np.ptp(action, axis=0).max() > 1e-3  # not a constant compared with itself
    in_jax = as_jax(policy, env, "see")(obs, jax.random.key(0))
    np.testing.assert_allclose(in_jax, action, atol=2e-5)
    session = onnxruntime.InferenceSession(str(save_onnx(policy, tmp_path / "policy.onnx")))
    in_onnx: Any = session.run(["action"], obs)[0]
    np.testing.assert_allclose(in_onnx, action, atol=2e-5)
    one: Any = session.run(["action"], {name: x[:1] for name, x in obs.items()})[0]
    np.testing.assert_allclose(one, action[:1], atol=2e-5)
    np.testing.assert_allclose(policy({n: x[0] for n, x in obs.items()}), action[0], atol=2e-5)


@pytest.mark.parametrize("padding", graph.PADDINGS)
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_a_convolution_is_flax_s(padding, stride):
    x = np.random.default_rng(0).normal(size=(2, 9, 8, 3)).astype(np.float32)
    conv = nn.Conv(4, (3, 2), (stride, stride), padding.upper())
    params = conv.init(jax.random.key(0), x)
    tensors = {name: np.asarray(leaf) for name, leaf in params["params"].items()}
    layer = Layer("conv", "conv", ("x",), {"stride": stride, "padding": padding}, tensors)
    ours = graph.evaluate([layer], {f"conv.{n}": t for n, t in tensors.items()}, {"x": x}, np)
    expected: Any = conv.apply(params, x)
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_a_layer_norm_is_flax_s():
    x = np.random.default_rng(0).normal(3.0, 2.0, size=(4, 6)).astype(np.float32)
    norm = nn.LayerNorm()
    tensors = {"scale": np.linspace(0.5, 2, 6, dtype=np.float32), "bias": np.arange(6.0)}
    layer = Layer("norm", "layer_norm", ("x",), {"epsilon": norm.epsilon}, tensors)
    ours = graph.evaluate([layer], {f"norm.{n}": t for n, t in tensors.items()}, {"x": x}, np)
    expected: Any = norm.apply({"params": tensors}, x)
    np.testing.assert_allclose(ours, expected, atol=1e-5)


@pytest.mark.parametrize("seed", range(6))
def test_nothing_becomes_larger_than_the_bound(seed):
    """Whatever is observed: here what is far outside of everything."""
    export = Random(seed).export()
    tensors = graph.tensors_of(export.layers)
    bound = graph.largest(export.layers, tensors, GROUPS)
    assert np.isfinite(bound)
    for scale in (0.1, 3.0, 1e6):
        obs = observations(seed, scale)
        for end in range(1, len(export.layers) + 1):
            value = graph.evaluate(export.layers[:end], tensors, obs, np)
            assert np.abs(value).max() <= bound * (1 + 1e-5)


def test_groups_of_another_kind_are_refused_by_name():
    env = environment()
    policy = as_saved(Random(0).export(), env.spec, task="see")
    obs = observations(0)
    for change, message in (
        ({"camera": obs["camera"].astype(np.float32)}, r"'camera' as uint8\[12, 10, 3\], got an"),
        ({"camera": obs["camera"][:, :11]}, r"got an array of uint8\[5, 11, 10, 3\]"),
        (
            {"camera": obs["camera"][:2]},
            r"different leading dimensions: camera \[2\], policy \[5\]",
        ),
        ({"policy": obs["policy"][:, :6]}, r"'policy' as float32\[7\], got an array"),
    ):
        with pytest.raises(PolicyError, match=message):
            policy({**obs, **change})
    with pytest.raises(PolicyError, match="several groups: give a mapping of camera, policy"):
        policy(obs["policy"])
    other = environment({"policy": GROUPS["policy"]})
    with pytest.raises(
        PolicyError, match=r"reads the image 'camera', 10 x 12 pixels .* has no images"
    ):
        as_jax(policy, other, "see")


SEEN = {"seen": (12, 10, 3), "smaller": (6, 10, 3)}


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Layer("a", "dense", ("camera",), {}, {}), "a has the tensors none; dense takes"),
        (Layer("a", "flatten", ("camera",)), "a reads uint8; normalise it first"),
        (Layer("a", "squash", ("policy",), {"function": "sin"}), "function is 'sin'; known: clip"),
        (Layer("a", "squash", ("policy", "policy"), {"function": "clip"}), "a reads 2 inputs"),
        (Layer("a", "flatten", ("policy",)), r"reads shape \[7\]; it takes an image"),
        (
            Layer("a", "concat", ("seen", "smaller")),
            r"reads \[12, 10, 3\], \[6, 10, 3\]; it takes vectors, or images of equal height and",
        ),
        (Layer("a", "concat", ("seen", "policy")), r"reads \[12, 10, 3\], \[7\]; it takes"),
        (
            Layer("a", "layer_norm", ("policy",), {"epsilon": 0}, {"scale": [1] * 7, "bias": [0]}),
            "epsilon is 0; it must be",
        ),
        (  # 0 in float32, so that equal numbers would become NaN
            Layer("a", "layer_norm", ("policy",), {"epsilon": 1e-60}, {"scale": [1], "bias": [0]}),
            "epsilon is 1e-60; it must be",
        ),
    ],
)
def test_a_layer_that_does_not_fit_is_told_why(layer, message):
    with pytest.raises(ValueError, match=message):
        graph.infer([layer], GROUPS | {name: ArraySpec(x) for name, x in SEEN.items()})


def _elu(name: str, given: str) -> Layer:
    return Layer(name, "activation", (given,), {"function": "elu"})


def test_a_small_file_takes_neither_gigabytes_nor_minutes():
    chain = [_elu(f"a{i}", f"a{i - 1}" if i else "policy") for i in range(257)]
    with pytest.raises(ValueError, match="257 layers; at most 256"):
        graph.infer(chain, GROUPS)
    wide = {"policy": ArraySpec((2**24,))}
    with pytest.raises(ValueError, match="up to a4 the layers output 83,886,080 numbers"):
        graph.infer(chain[:200], wide)
    image = {"x": ArraySpec((4096, 4096, 1))}
    kernel = {"kernel": np.broadcast_to(np.float32(1.0), (64, 64, 1, 1)), "bias": np.zeros(1)}
    conv = Layer("c", "conv", ("x",), {"stride": 1, "padding": "same"}, kernel)
    with pytest.raises(ValueError, match=r"by 68,719,476,736 multiplications; at most"):
        graph.infer([conv], image)


def test_bounds_are_kept_no_longer_than_they_are_read():
    chain = [_elu(f"a{i}", f"a{i - 1}" if i else "n") for i in range(20)]
    layers = [Layer("n", "normalise", ("policy",), {"clip": 3.0}), *chain]
    layers.append(Layer("both", "concat", ("n", "a19")))
    groups = {"policy": ArraySpec((2**18,))}
    tensors = {"n.mean": np.zeros(1), "n.std": np.ones(1)}
    tracemalloc.start()
    assert graph.largest(layers, tensors, groups) == 3.0
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * 8 * 2**18
