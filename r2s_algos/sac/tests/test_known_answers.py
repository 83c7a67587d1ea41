"""SAC finds the known answers of the tiny environments, whatever its options."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r2s_algos_common.off_policy import known_answers
from r2s_algos_common.off_policy.batch import Batch
from r2s_algos_sac.config import SACConfig
from r2s_algos_sac.policy import SquashedGaussian, log_density
from r2s_algos_sac.train import make
from r2s_core.testing.environments import bandit

SMALL = {
    "hidden_sizes": (32, 32),
    "num_steps": 4,
    "batch_size": 128,
    "update_to_data_ratio": 8,
    "learning_starts": 256,
    "buffer_size": 8192,
    "target_update_rate": 0.05,
    "learning_rate": 3e-3,
    "learn_temperature": False,
    "initial_temperature": 0.02,
}
ONE_STEP = {"n_step": 1, "policy_delay": 1}
CATEGORICAL = {"num_atoms": 21, "layer_norm": False}


def _make(env, **options):
    return make(env, SACConfig(**{**SMALL, **options}))


@pytest.fixture(params=[{}, CATEGORICAL], ids=["scalar", "categorical"])
def variant(request):
    return functools.partial(_make, **request.param)


@pytest.mark.parametrize("temperature", [0.001, 0.1])
def test_the_value_of_a_constant_reward(temperature):
    """And of the entropy at every step to come, which is part of a soft value (v2, eq. 3)."""

    def worth(metrics):
        """Where the last of the training stood, in units of the reward."""
        nats = metrics["entropy"] * metrics["temperature"] * metrics["reward_scale"]
        return float(np.mean(nats[-20:]))

    make = functools.partial(_make, **ONE_STEP, initial_temperature=temperature)
    known_answers.check_constant_reward(make, worth)


@pytest.mark.parametrize(("options", "ends_by"), [(CATEGORICAL, "termination"), ({}, "truncation")])
def test_truncation_is_not_termination(options, ends_by):
    known_answers.check_truncation(functools.partial(_make, **options), ends_by)


def test_the_bandit_s_best_action_is_the_observation(variant):
    known_answers.check_bandit(variant)


def test_credit_reaches_back_over_two_steps():
    known_answers.check_two_step_credit(_make)


def test_it_learns_to_hold_a_point_mass_exploring_with_correlated_noise():
    known_answers.check_point_mass(functools.partial(_make, noise_correlation=0.7))


def test_an_asymmetric_critic_reads_what_the_policy_cannot():
    known_answers.check_privileged_critic(_make)


@pytest.mark.parametrize("mean", [0.0, 1.2])
@pytest.mark.parametrize("log_std", [-1.5, 0.0, 1.0])
def test_the_density_of_the_squashed_gaussian_integrates_to_one(mean, log_std):
    """Over what the actions can be, (-1, 1): the tanh's correction is exact."""
    edge = np.tanh(np.linspace(-12, 12, 200_001))
    action = (edge[1:] + edge[:-1]) / 2
    inside = np.abs(action) < 1
    raw = np.arctanh(action[inside], dtype=np.float64)
    density = log_density(
        jnp.full((raw.size, 1), mean), jnp.float32(log_std), jnp.asarray(raw, jnp.float32)[:, None]
    )
    integral = np.sum(np.exp(np.asarray(density, np.float64)) * np.diff(edge)[inside])
    assert integral == pytest.approx(1.0, abs=2e-3)


@pytest.mark.parametrize("target", [-1.0, -0.3])
def test_the_temperature_brings_the_entropy_to_its_target(target):
    """In the bandit, at the temperature that is known to lead there.

    The best policy at temperature a is exp(-(action - observation)^2 / a), a Gaussian of variance
    a / 2, whose entropy is log(pi e a) / 2.
    """
    sac = _make(
        bandit(64),
        learn_temperature=True,
        temperature_learning_rate=1e-2,
        initial_temperature=0.1,
        target_entropy=target,
    )
    _, metrics = sac.update_many(sac.init(jax.random.key(0)), 200)
    entropy = np.mean(metrics["entropy"][-40:])
    temperature = np.mean(metrics["temperature"][-40:] * metrics["reward_scale"][-40:])
    assert entropy == pytest.approx(target, abs=0.1)
    assert temperature == pytest.approx(np.exp(2 * target) / (np.pi * np.e), rel=0.25)


@pytest.mark.parametrize("learned", [False, True])
def test_a_temperature_stays_unless_it_is_learned(learned):
    sac = _make(bandit(64), initial_temperature=0.02, learn_temperature=learned).actor_critic
    networks, one = sac.init(jax.random.key(0)), jnp.ones((8, 1))
    weight = one[:, 0]
    batch = Batch(one, one, one, weight, weight, one, one, weight)
    rate, key = jnp.float32(1e-3), jax.random.key(1)
    learned_from, _ = jax.jit(sac.learn_policy)(networks, batch, rate, key)
    assert bool(learned_from.log_temperature == networks.log_temperature) is not learned


def test_the_deviation_starts_where_it_is_told_and_has_bounds():
    policy = SquashedGaussian(bandit(4).spec, SACConfig(initial_log_std=-1.2))
    params = policy.init(jax.random.key(0))
    _, log_std = policy.distribution(params, jnp.linspace(-1, 1, 9)[:, None])
    np.testing.assert_allclose(log_std, -1.2, atol=0.1)
    far = jax.tree.map(lambda x: 1e3 * x, params)
    _, log_std = policy.distribution(far, jnp.linspace(-9, 9, 9)[:, None])
    assert np.all(log_std >= -5.0)
    assert np.all(log_std <= 1.0)
    with pytest.raises(ValueError, match="between min_log_std"):
        SACConfig(initial_log_std=3.0)
