"""The losses against plain Python."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r2s_algos_ppo.config import PPOConfig
from r2s_algos_ppo.losses import Batch, compute_gae, ppo_loss, standardize


def _reference_gae(reward, value, next_value, terminated, done, valid, discount, gae_lambda):
    """One world at a time, from the definition: a sum of discounted temporal differences."""
    T, W = reward.shape
    advantage = np.zeros((T, W))
    for w in range(W):
        for t in range(T):
            factor = 1.0
            for k in range(t, T):
                if not valid[k, w]:
                    break
                bootstrap = 0.0 if terminated[k, w] else next_value[k, w]
                delta = reward[k, w] + discount * bootstrap - value[k, w]
                advantage[t, w] += factor * delta
                if done[k, w]:
                    break
                factor *= discount * gae_lambda
    return advantage


def test_gae_is_the_definition_with_termination_truncation_and_divergence():
    rng = np.random.default_rng(0)
    T, W = 20, 16
    reward, value, next_value = rng.normal(size=(3, T, W))
    terminated = rng.random((T, W)) < 0.1
    diverged = (rng.random((T, W)) < 0.1) & ~terminated
    done = terminated | diverged | (rng.random((T, W)) < 0.1)
    advantage, target = jax.jit(compute_gae)(
        jnp.asarray(reward),
        jnp.asarray(value),
        # What a diverged world leaves behind must not matter, whatever it is.
        jnp.where(diverged, jnp.nan, next_value),
        jnp.asarray(terminated),
        jnp.asarray(done),
        jnp.asarray(~diverged),
        0.97,
        0.8,
    )
    expected = _reference_gae(reward, value, next_value, terminated, done, ~diverged, 0.97, 0.8)
    np.testing.assert_allclose(advantage, expected, atol=1e-5)
    np.testing.assert_allclose(target, expected + value, atol=1e-5)


def test_truncation_bootstraps_and_termination_does_not():
    def target(terminated):
        ones = jnp.ones((1, 1))
        return compute_gae(
            ones, 0 * ones, 5 * ones, ones * terminated > 0, ones > 0, ones > 0, 0.9, 0.95
        )[1]

    assert float(target(0)[0, 0]) == pytest.approx(1 + 0.9 * 5)
    assert float(target(1)[0, 0]) == pytest.approx(1)


@functools.partial(jax.jit, static_argnums=3)
def _loss(params, old_log_std, batch, config):
    return ppo_loss(params, old_log_std, batch, _linear, config, config.entropy_coefficient)


def _linear(network, params, observation):
    return observation @ params


def _batch(size, **changes):
    rng = np.random.default_rng(1)
    normal = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)  # noqa: E731
    values = {
        "observation": normal(size, 3),
        "critic_observation": normal(size, 3),
        "raw_action": normal(size, 2),
        "mean": normal(size, 2) * 0.1,
        "value": normal(size),
        "advantage": normal(size),
        "target": normal(size),
        "weight": jnp.ones(size),
    }
    return Batch(**(values | changes))


def _params():
    rng = np.random.default_rng(2)
    return {
        "policy": jnp.asarray(rng.normal(size=(3, 2)), jnp.float32),
        "critic": jnp.asarray(rng.normal(size=(3, 1)), jnp.float32),
        "log_std": jnp.array([-0.2, 0.1]),
    }


def test_the_loss_is_the_published_one():
    config = PPOConfig(entropy_coefficient=0.01, clip_range=0.2, value_clip_range=0.3)
    params, batch, old_log_std = _params(), _batch(50), jnp.array([-0.4, 0.3])
    loss, parts = _loss(params, old_log_std, batch, config)

    b, params, old_log_std = jax.tree.map(np.asarray, (batch, params, old_log_std))
    mean, std, old_std = (
        b.observation @ params["policy"],
        np.exp(params["log_std"]),
        np.exp(old_log_std),
    )

    def log_prob(mean, std):
        z = (b.raw_action - mean) / std
        return np.sum(-0.5 * z**2 - np.log(std) - 0.5 * np.log(2 * np.pi), -1)

    ratio = np.exp(log_prob(mean, std) - log_prob(b.mean, old_std))
    policy = -np.mean(np.minimum(ratio * b.advantage, np.clip(ratio, 0.8, 1.2) * b.advantage))
    value = (b.critic_observation @ params["critic"])[:, 0]
    near = np.clip(value, b.value - 0.3, b.value + 0.3)
    value_loss = np.mean(np.maximum((value - b.target) ** 2, (near - b.target) ** 2))
    entropy = np.sum(0.5 * np.log(2 * np.pi * np.e) + np.log(std))
    kl = np.mean(
        np.sum(np.log(std / old_std) + (old_std**2 + (b.mean - mean) ** 2) / (2 * std**2) - 0.5, -1)
    )
    assert float(parts["loss/policy"]) == pytest.approx(policy, rel=1e-4)
    assert float(parts["loss/value"]) == pytest.approx(value_loss, rel=1e-4)
    assert float(parts["entropy"]) == pytest.approx(entropy, rel=1e-4)
    assert float(parts["kl"]) == pytest.approx(kl, rel=1e-3)
    assert float(parts["clip_fraction"]) == pytest.approx(np.mean(np.abs(ratio - 1) > 0.2))
    assert float(loss) == pytest.approx(policy + 0.5 * value_loss - 0.01 * entropy, rel=1e-4)


def test_samples_without_weight_change_neither_loss_nor_gradient():
    config, log_std = PPOConfig(), jnp.zeros(2)
    batch = _batch(40, weight=(jnp.arange(40) < 25).astype(jnp.float32))
    kept = jax.tree.map(lambda x: x[:25], batch)
    loss = lambda p, b: ppo_loss(p, log_std, b, _linear, config, 0.1)[0]  # noqa: E731
    grad = jax.jit(jax.value_and_grad(loss))
    for some, few in zip(
        jax.tree.leaves(grad(_params(), batch)), jax.tree.leaves(grad(_params(), kept)), strict=True
    ):
        np.testing.assert_allclose(some, few, rtol=1e-4, atol=1e-6)


def test_standardize_ignores_samples_without_weight():
    x = jnp.array([1.0, 3.0, 1e6])
    np.testing.assert_allclose(standardize(x, jnp.array([1.0, 1.0, 0.0]))[:2], [-1.0, 1.0])


def test_tanh_entropy_is_that_of_the_squashed_distribution():
    config, size = PPOConfig(squash="tanh"), 100_000
    noise = jax.random.normal(jax.random.key(0), (size, 2))
    params = _params() | {"policy": jnp.zeros((3, 2))}
    old_mean = jnp.full((size, 2), 0.7)
    batch = Batch(
        observation=jnp.zeros((size, 3)),
        critic_observation=jnp.zeros((size, 3)),
        raw_action=old_mean + 0.5 * noise,
        mean=old_mean,
        **{n: jnp.zeros(size) for n in ("value", "advantage", "target")},
        weight=jnp.ones(size),
    )
    parts = _loss(params, jnp.log(jnp.full(2, 0.5)), batch, config)[1]
    # The entropy of tanh(N(0, std)) by numerical integration, a dimension at a time.
    y = np.linspace(-1 + 1e-7, 1 - 1e-7, 400_001)
    expected = 0.0
    for std in np.exp(np.asarray(params["log_std"], np.float64)):
        density = np.exp(-0.5 * (np.arctanh(y) / std) ** 2) / (
            std * np.sqrt(2 * np.pi) * (1 - y**2)
        )
        expected -= np.trapezoid(density * np.log(np.maximum(density, 1e-300)), y)
    assert float(parts["entropy"]) == pytest.approx(expected, abs=0.03)
