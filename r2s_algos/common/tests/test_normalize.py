"""Running statistics against NumPy over the whole stream."""

import jax
import jax.numpy as jnp
import numpy as np

from r2s_algos_common import normalize


def test_statistics_of_a_stream_are_those_of_the_whole():
    rng = np.random.default_rng(0)
    # Uneven batches, an offset large against the spread, and a drift: what naive sums get wrong.
    batches = [
        rng.normal(1000.0 + i, 0.5 + i, (size, 4, 3)).astype(np.float32)
        for i, size in enumerate([1, 7, 300, 20])
    ]
    stats = normalize.init_statistics((3,))
    for batch in batches:
        stats = jax.jit(normalize.update_statistics)(stats, batch)
    whole = np.concatenate([batch.reshape(-1, 3) for batch in batches]).astype(np.float64)
    assert float(stats.count) == len(whole)
    np.testing.assert_allclose(stats.mean, whole.mean(0), rtol=1e-6)
    np.testing.assert_allclose(stats.variance, whole.var(0), rtol=1e-3)


def test_normalized_observations_have_zero_mean_and_unit_variance():
    x = jax.random.normal(jax.random.key(0), (4096, 2)) * jnp.array([3.0, 0.5]) + 7.0
    stats = normalize.update_statistics(normalize.init_statistics((2,)), x)
    y = normalize.normalize(stats, x)
    np.testing.assert_allclose(y.mean(0), 0.0, atol=1e-3)
    np.testing.assert_allclose(y.std(0), 1.0, atol=1e-3)


def test_nothing_seen_leaves_observations_nearly_as_they_are():
    x = jnp.array([-1.0, 2.0])
    np.testing.assert_allclose(
        normalize.normalize(normalize.init_statistics((2,)), x), x, rtol=1e-3
    )


def test_a_quantity_that_never_moved_does_not_explode_when_it_does():
    stats = normalize.update_statistics(normalize.init_statistics((1,)), jnp.full((100, 1), 0.4))
    assert abs(float(normalize.normalize(stats, jnp.array([0.41]))[0])) < 1.01
    assert float(normalize.normalize(stats, jnp.array([9.0]))[0]) == 10.0  # clipped


def test_the_return_scale_is_the_root_mean_square_of_the_discounted_return():
    rng = np.random.default_rng(0)
    reward = rng.normal(2.0, 1.0, (30, 5)).astype(np.float32)
    done = rng.random((30, 5)) < 0.1
    running, returns = np.zeros(5), []
    for r, d in zip(reward, done, strict=True):
        running = 0.9 * running + r
        returns.append(running)
        running = np.where(d, 0.0, running)
    scale = normalize.init_return_scale(5)
    for part in (slice(0, 10), slice(10, 30)):  # episodes run on from one part to the next
        scale = normalize.update_return_scale(
            scale, jnp.asarray(reward[part]), jnp.asarray(done[part]), 0.9
        )
    expected = np.sqrt(np.mean(np.square(returns)))
    np.testing.assert_allclose(normalize.reward_scale(scale), expected, rtol=1e-5)


def test_a_constant_reward_is_scaled_to_size_one_returns():
    scale = normalize.init_return_scale(4)
    for _ in range(20):
        scale = normalize.update_return_scale(
            scale, jnp.ones((32, 4)), jnp.zeros((32, 4), bool), 0.9
        )
    assert abs(10.0 / float(normalize.reward_scale(scale)) - 1.0) < 0.02
