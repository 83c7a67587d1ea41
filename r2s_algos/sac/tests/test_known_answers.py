"""SAC finds the known answers of the tiny environments, whatever its options."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r2s_algos_common.encoders.config import ImageEncoder
from r2s_algos_common.off_policy.batch import Batch
from r2s_algos_common.off_policy.known_answers import KnownAnswers, check_images
from r2s_algos_sac.config import SACConfig
from r2s_algos_sac.policy import SquashedGaussian, log_density
from r2s_algos_sac.train import make
from r2s_core.testing.environments import bandit

SMALL = {
    "hidden_sizes": (32,),
    "activation": "relu",
    "num_steps": 4,
    "batch_size": 64,
    "update_to_data_ratio": 4,
    "learning_starts": 256,
    "buffer_size": 8192,
    "target_update_rate": 0.05,
    "learning_rate": 1e-2,
    "learn_temperature": False,
    "initial_temperature": 0.02,
}
CATEGORICAL = {"num_atoms": 11, "layer_norm": False}
ONE_STEP = {"n_step": 1, "policy_delay": 1, "layer_norm": False, "target_update_rate": 0.1}


def _make(env, **options):
    return make(env, SACConfig(**{**SMALL, **options}))


@pytest.fixture(scope="module")
def scalar():
    """Exploring with correlated noise."""
    return KnownAnswers(functools.partial(_make, noise_correlation=0.7), asymmetric=True)


@pytest.fixture(scope="module")
def categorical():
    return KnownAnswers(functools.partial(_make, **CATEGORICAL))


@pytest.fixture(scope="module")
def one_step():
    return KnownAnswers(functools.partial(_make, **ONE_STEP), discount=0.8)


@pytest.mark.parametrize("temperature", [0.001, 0.1])
def test_the_value_of_a_constant_reward(one_step, temperature):
    """And of the entropy at every step to come, which is part of a soft value (v2, eq. 3)."""

    def worth(metrics):
        """Where the last of the training stood, in units of the reward."""
        assert metrics["temperature"][-1] == pytest.approx(temperature)
        nats = metrics["entropy"] * metrics["temperature"] * metrics["reward_scale"]
        return float(np.mean(nats[-20:]))

    one_step.check_constant_reward(worth, initial_temperature=temperature)


@pytest.mark.parametrize("ends_by", ["termination", "truncation"])
def test_truncation_is_not_termination(scalar, ends_by):
    scalar.check_truncation(ends_by)


def test_truncation_is_not_termination_with_a_categorical_critic(categorical):
    categorical.check_truncation("termination")


@pytest.mark.parametrize("variant", ["scalar", "categorical"])
def test_the_bandit_s_best_action_is_the_observation(variant, request):
    request.getfixturevalue(variant).check_bandit()


def test_credit_reaches_back_over_two_steps(scalar):
    scalar.check_two_step_credit()


def test_it_learns_to_hold_a_point_mass_exploring_with_correlated_noise(scalar):
    scalar.check_point_mass()


def test_an_asymmetric_critic_reads_what_the_policy_cannot(scalar):
    scalar.check_privileged_critic()


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


@pytest.fixture(scope="module")
def at_target():
    """Metrics of learning the bandit at a target entropy, which is traced: compiled once."""

    def options(target):
        return {
            "learn_temperature": True,
            "temperature_learning_rate": 3e-2,
            "learning_rate": 3e-3,
            "initial_temperature": 0.1,
            "target_entropy": target,
        }

    def learn(learner, target):
        return _make(bandit(64), **options(target))._scan_updates(learner, 120)[1]

    learner = _make(bandit(64), **options(0.0)).init(jax.random.key(0))
    return functools.partial(jax.jit(learn), learner)


@pytest.mark.parametrize("target", [-1.0, -0.3])
def test_the_temperature_brings_the_entropy_to_its_target(at_target, target):
    """In the bandit, at the temperature that is known to lead there.

    The best policy at temperature a is exp(-(action - observation)^2 / a), a Gaussian of variance
    a / 2, whose entropy is log(pi e a) / 2.
    """
    metrics = at_target(target)
    learned = metrics["learning"]
    entropy = np.mean(learned["entropy"][-40:])
    temperature = np.mean(learned["temperature"][-40:] * metrics["reward_scale"][-40:])
    assert entropy == pytest.approx(target, abs=0.1)
    assert temperature == pytest.approx(np.exp(2 * target) / (np.pi * np.e), rel=0.25)


@pytest.mark.parametrize("learned", [False, True])
def test_a_temperature_stays_unless_it_is_learned(learned):
    sac = _make(bandit(64), initial_temperature=0.02, learn_temperature=learned).actor_critic
    networks, one = sac.init(jax.random.key(0)), jnp.ones((8, 1))
    weight = one[:, 0]
    batch = Batch({"policy": one}, one, weight, weight, {"policy": one}, weight)
    rate, key = jnp.float32(1e-3), jax.random.key(1)
    learned_from, _ = jax.jit(sac.learn_policy)(networks, batch, rate, key)
    assert bool(learned_from.log_temperature == networks.log_temperature) is not learned


def test_the_deviation_starts_where_it_is_told_and_has_bounds():
    policy = SquashedGaussian(1, 1, SACConfig(initial_log_std=-1.2))
    params = policy.init(jax.random.key(0))
    _, log_std = policy.distribution(params, jnp.linspace(-1, 1, 9)[:, None])
    np.testing.assert_allclose(log_std, -1.2, atol=0.1)
    far = jax.tree.map(lambda x: 1e3 * x, params)
    _, log_std = policy.distribution(far, jnp.linspace(-9, 9, 9)[:, None])
    assert np.all(log_std >= -5.0)
    assert np.all(log_std <= 1.0)
    with pytest.raises(ValueError, match="between min_log_std"):
        SACConfig(initial_log_std=3.0)


def test_what_is_seen_is_learned_by_the_critics_encoders():
    encoder = ImageEncoder(channels=(8, 16), features=16)
    options = {"image_encoder": encoder, "n_step": 1, "num_atoms": None, "learning_rate": 5e-3}
    check_images(functools.partial(_make, **options), critics_see=True)
