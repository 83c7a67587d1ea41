"""DDPG and TD3 find the known answers of the tiny environments."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from r2s_algos_common.off_policy import known_answers
from r2s_algos_ddpg.config import DDPGConfig
from r2s_algos_ddpg.train import make
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
    "num_atoms": 21,
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


@pytest.fixture(params=[{}, AS_PUBLISHED], ids=["td3", "ddpg"])
def variant(request):
    return functools.partial(_make, **request.param)


@pytest.mark.parametrize(
    ("options", "ends_by"), [({}, "termination"), (AS_PUBLISHED, "truncation")]
)
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


def test_each_world_explores_at_a_scale_of_its_own_that_shrinks_on_schedule():
    ddpg = _make(bandit(3), exploration_noise=(0.1, 0.5), final_noise_scale=0.5, batch_size=8)
    networks = ddpg.actor_critic.init(jax.random.key(0))
    obs, noise = jnp.zeros((3, 1)), jnp.ones((3, 1))
    for progress, scale in ((0.0, 1.0), (1.0, 0.5)):
        acting = ddpg.actor_critic.acting(networks, jnp.float32(progress))
        action = ddpg.actor_critic.act(acting, obs, noise)
        mean = ddpg.actor_critic.mean(acting, obs)
        scales = np.sort((action - mean)[:, 0])  # spread over the worlds in another order
        np.testing.assert_allclose(scales, scale * np.array([0.1, 0.3, 0.5]), 1e-5)


def test_the_first_actions_are_drawn_uniformly_then_the_policy_acts():
    options = {"exploration_noise": (0.0, 0.0), "learning_starts": 4096}
    ddpg = _make(bandit(64), random_steps=512, **options)  # two updates
    learner, _ = ddpg.update_many(ddpg.init(jax.random.key(0)), 3)
    drawn, acted = np.split(np.asarray(learner.replay.action)[:12], [8])
    assert scipy.stats.kstest(drawn.ravel(), "uniform", (-1.0, 2.0)).pvalue > 0.01
    assert np.abs(acted).max() < 0.1  # a policy that has not learned, without noise


def test_adam_s_epsilon_reaches_all_that_learns():
    ddpg = _make(bandit(64), adam_epsilon=1e9, learning_starts=1)
    fresh = ddpg.init(jax.random.key(0))
    before = jax.tree.map(np.array, (fresh.agent.networks.policy, fresh.agent.networks.critics))
    networks = ddpg.update_many(fresh, 3)[0].agent.networks
    close = functools.partial(chex.assert_trees_all_close, rtol=1e-6, atol=1e-9)
    close(before[0], networks.policy)
    close(before[1].online, networks.critics.online)


def test_the_noise_must_rise_from_zero_or_more():
    with pytest.raises(ValueError, match="exploration_noise"):
        DDPGConfig(exploration_noise=(0.5, 0.1))
