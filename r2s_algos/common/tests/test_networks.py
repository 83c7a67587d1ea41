"""Networks and distributions against their definitions."""

import chex
import jax
import jax.numpy as jnp
import numpy as np

from r2s_algos_common import networks
from r2s_algos_common.gaussian import gaussian, tanh_log_det


def test_mlp_is_what_its_exported_layers_say():
    mlp = networks.MLP((16, 8, 3), "tanh")
    x = jax.random.normal(jax.random.key(1), (5, 4))
    params = jax.jit(mlp.init)(jax.random.key(0), x)
    layers = networks.mlp_layers(params)
    assert [kernel.shape for kernel, _ in layers] == [(4, 16), (16, 8), (8, 3)]
    y = np.asarray(x)
    for kernel, bias in layers[:-1]:
        y = np.tanh(y @ kernel + bias)
    np.testing.assert_allclose(
        np.asarray(mlp.apply(params, x)), y @ layers[-1][0] + layers[-1][1], rtol=1e-5, atol=1e-6
    )


def test_init_mlp_draws_from_the_same_distribution_as_flax():
    mlp = networks.MLP((400, 300), "elu", output_scale=0.1)
    ours = networks.init_mlp(mlp, jax.random.key(0), 200)
    flax = jax.jit(mlp.init)(jax.random.key(0), jnp.zeros(200))
    chex.assert_trees_all_equal_shapes_and_dtypes(ours, flax)
    for x, y in zip(jax.tree.leaves(ours), jax.tree.leaves(flax), strict=True):
        np.testing.assert_allclose(np.std(x), np.std(y), rtol=0.01)
        np.testing.assert_allclose(np.max(x), np.max(y), rtol=0.01)
    again, other = (networks.init_mlp(mlp, jax.random.key(s), 200) for s in (0, 1))
    chex.assert_trees_all_equal(ours, again)
    kernels = [np.asarray(x["params"]["Dense_0"]["kernel"]) for x in (ours, other)]
    assert not np.array_equal(kernels[0], kernels[1])


def test_layers_keep_their_order_beyond_ten():
    params = {
        f"Dense_{i}": {"kernel": np.ones((i, i + 1)), "bias": np.ones(i + 1)} for i in range(12)
    }
    layers = networks.mlp_layers({"params": dict(sorted(params.items()))})
    assert [bias.size for _, bias in layers] == [*range(1, 13)]


def test_a_small_output_scale_starts_the_policy_near_zero():
    x = jax.random.normal(jax.random.key(1), (256, 30))
    mlp = networks.MLP((128, 128, 7), "elu", output_scale=0.01)
    out = np.asarray(mlp.apply(jax.jit(mlp.init)(jax.random.key(0), x), x))
    assert 0 < np.abs(out).max() < 0.05


def test_gaussian_is_normal_in_each_dimension():
    mean, log_std = jnp.array([[0.3, -1.0]]), jnp.array([-0.5, 0.2])
    x = jnp.array([[0.1, 0.4]])
    z = (np.asarray(x) - np.asarray(mean)) / np.exp(np.asarray(log_std))
    expected = np.sum(-0.5 * z**2 - np.asarray(log_std) - 0.5 * np.log(2 * np.pi), -1)
    np.testing.assert_allclose(gaussian(mean, log_std).log_prob(x), expected, rtol=1e-5)


def test_tanh_log_det_is_that_of_the_derivative_and_finite_where_tanh_saturates():
    raw = np.array([[-2.0, 0.0, 1.5], [0.3, 4.0, -1.0]])
    expected = np.sum(np.log(1.0 - np.tanh(raw) ** 2), axis=-1)
    found = tanh_log_det(jnp.asarray(raw, jnp.float32))
    chex.assert_shape(found, (2,))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert np.isfinite(tanh_log_det(jnp.array([50.0, -50.0])))
