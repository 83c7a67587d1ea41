"""DDPG and TD3 find the known answers of the tiny environments."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from r2s_algos_common.encoders.config import ImageEncoder
from r2s_algos_common.off_policy.batch import Batch
from r2s_algos_common.off_policy.known_answers import KnownAnswers, check_images
from r2s_algos_ddpg.config import DDPGConfig
from r2s_algos_ddpg.train import make
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
    "num_atoms": 11,
}
AS_PUBLISHED = {
    "num_atoms": None,
    "twin_critics": False,
    "target_noise": 0.0,
    "policy_delay": 1,
    "n_step": 1,
}


def _make(env, **options):
    return make(env, DDPGConfig(**{**SMALL, **options}))


@pytest.fixture(scope="module")
def td3():
    """Exploring with correlated noise."""
    return KnownAnswers(functools.partial(_make, noise_correlation=0.7), asymmetric=True)


@pytest.fixture(scope="module")
def ddpg():
    return KnownAnswers(functools.partial(_make, **AS_PUBLISHED))


@pytest.mark.parametrize(
    ("variant", "ends_by"),
    [("td3", "termination"), ("td3", "truncation"), ("ddpg", "truncation")],
)
def test_truncation_is_not_termination(variant, ends_by, request):
    request.getfixturevalue(variant).check_truncation(ends_by)


@pytest.mark.parametrize("variant", ["td3", "ddpg"])
def test_the_bandit_s_best_action_is_the_observation(variant, request):
    request.getfixturevalue(variant).check_bandit()


def test_credit_reaches_back_over_two_steps(td3):
    td3.check_two_step_credit()


def test_it_learns_to_hold_a_point_mass_exploring_with_correlated_noise(td3):
    td3.check_point_mass()


def test_an_asymmetric_critic_reads_what_the_policy_cannot(td3):
    td3.check_privileged_critic()


def test_each_world_explores_at_a_scale_of_its_own_that_shrinks_on_schedule():
    ddpg = _make(bandit(3), exploration_noise=(0.1, 0.5), final_noise_scale=0.5, batch_size=8)
    networks = ddpg.actor_critic.init(jax.random.key(0))
    obs, noise = {"policy": jnp.zeros((3, 1))}, jnp.ones((3, 1))
    for progress, scale in ((0.0, 1.0), (1.0, 0.5)):
        acting = ddpg.actor_critic.acting(networks, jnp.float32(progress))
        action = ddpg.actor_critic.act(acting, obs, noise)
        mean = ddpg.actor_critic.mean(acting, obs)
        scales = np.sort((action - mean)[:, 0])  # spread over the worlds in another order
        np.testing.assert_allclose(scales, scale * np.array([0.1, 0.3, 0.5]), 1e-5)


def test_the_first_actions_are_drawn_uniformly_then_the_policy_acts(monkeypatch):
    options = {"exploration_noise": (0.0, 0.0), "learning_starts": 4096}
    ddpg = _make(bandit(64), random_steps=512, **options)  # two updates
    # Before learning_starts there are no gradient steps, which would take seconds to compile.
    none = lambda agent, networks, *_: (networks, {"finite": jnp.float32(1.0)})  # noqa: E731
    monkeypatch.setattr(ddpg.learning, "_gradient_steps", none)
    learner, _ = ddpg.update_many(ddpg.init(jax.random.key(0)), 3)
    drawn, acted = np.split(np.asarray(learner.replay.action)[:12], [8])
    assert scipy.stats.kstest(drawn.ravel(), "uniform", (-1.0, 2.0)).pvalue > 0.01
    assert np.abs(acted).max() < 0.1  # a policy that has not learned, without noise


def test_adam_s_epsilon_reaches_all_that_learns():
    """So large that a gradient step leaves all as it was; without it, all moves."""
    one = jnp.ones((8, 1))
    weight = one[:, 0]
    batch = Batch({"policy": one}, one, weight, weight, {"policy": one}, weight)
    arguments = batch, jnp.float32(1e-3), jax.random.key(1)
    close = functools.partial(chex.assert_trees_all_close, rtol=1e-6, atol=1e-9)
    for epsilon in (1e9, 1e-5):
        ddpg = _make(bandit(64), adam_epsilon=epsilon).actor_critic
        fresh = ddpg.init(jax.random.key(0))

        @jax.jit
        def learn(networks, ddpg=ddpg):
            return ddpg.learn_policy(ddpg.learn_critics(networks, *arguments)[0], *arguments)[0]

        moved = learn(fresh)
        for before, after in (
            (fresh.policy, moved.policy),
            (fresh.critics.online, moved.critics.online),
        ):
            if epsilon > 1:
                close(before, after)
            else:
                with pytest.raises(AssertionError):
                    close(before, after)


def test_the_noise_must_rise_from_zero_or_more():
    with pytest.raises(ValueError, match="exploration_noise"):
        DDPGConfig(exploration_noise=(0.5, 0.1))


def test_what_is_seen_is_learned_by_the_policy_s_own_encoders():
    encoder = ImageEncoder(channels=(8, 16), features=16)
    options = {"image_encoder": encoder, "n_step": 1, "num_atoms": None, "learning_rate": 5e-3}
    check_images(functools.partial(_make, **options), critics_see=False)
