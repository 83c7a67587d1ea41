"""PPO finds the known answers of the tiny environments."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r2s_algos_common.collect_and_learn import own_buffers
from r2s_algos_common.encoders.config import Augmentation, ImageEncoder
from r2s_algos_common.off_policy.known_answers import reward_per_step
from r2s_algos_ppo.config import PPOConfig
from r2s_algos_ppo.train import PPO
from r2s_core.policy import graph
from r2s_core.testing.environments import (
    Seen,
    bandit,
    coin,
    constant_reward,
    corridor,
    corridor_values,
    point_mass,
    two_step_credit,
)
from r2s_core.testing.one_of import OneOf, pad

SMALL = PPOConfig(num_steps=16, hidden_sizes=(32,), num_minibatches=2)


def _train(env, updates, **options):
    ppo = PPO(env, dataclasses.replace(SMALL, **options))
    return ppo, *ppo.update_many(ppo.init(jax.random.key(0)), updates)


def _values(ppo, learner, observations):
    """What the critic says, in units of the reward."""
    agent, model = learner.agent, ppo.model
    observations = pad(jnp.asarray(observations), *ppo.env.spec.observations["policy"].shape)
    (group,) = model.readers["critic"].groups
    x = model.observed("critic", agent.statistics, {group: observations})
    scale = np.sqrt(learner.agent.returns.mean_square) if ppo.config.normalize_rewards else 1.0
    return np.asarray(model.apply("critic", agent.params["critic"], x)[..., 0]) * scale


@pytest.fixture(scope="module")
def ppo():
    """Exploring with correlated noise; compiled once for all that it learns."""
    environments = {
        "termination": corridor(64, "termination"),
        "truncation": corridor(64, "truncation"),
        "two_step_credit": two_step_credit(64),
        "point_mass": point_mass(64),
        "coin": coin(64),
    }
    return PPO(OneOf(environments), dataclasses.replace(SMALL, discount=0.9, noise_correlation=0.7))


def _learn(ppo, name):
    """A learner in the environment of that name, and its metrics."""
    learner = ppo.init(jax.random.key(0))
    env_state, obs = own_buffers(ppo.env.playing(name).reset(jax.random.key(1)))
    return ppo.update_many(dataclasses.replace(learner, env_state=env_state, obs=obs), 100)


def test_the_value_of_a_constant_reward():
    env = constant_reward(16, max_episode_steps=8)
    options = {"normalize_rewards": False, "value_clip_range": None}
    ppo, learner, _ = _train(env, 100, discount=0.8, **options)
    assert _values(ppo, learner, [[0.0]])[0] == pytest.approx(1 / (1 - 0.8), rel=0.02)


@pytest.mark.parametrize("ends_by", ["termination", "truncation"])
def test_truncation_is_not_termination(ppo, ends_by):
    learner, _ = _learn(ppo, ends_by)
    values = _values(ppo, learner, np.eye(6)[:5])
    np.testing.assert_allclose(values, corridor_values(0.9, ends_by), rtol=0.05)


def test_the_bandit_s_best_action_is_the_observation():
    ppo, learner, _ = _train(bandit(64), 80, squash="tanh")
    obs = {"policy": jnp.linspace(-0.7, 0.7, 15)[:, None]}
    action = ppo.policy(learner, deterministic=True)(obs, jax.random.key(0))
    np.testing.assert_allclose(action, obs["policy"], atol=0.1)


def test_credit_reaches_back_over_two_steps(ppo):
    learner, metrics = _learn(ppo, "two_step_credit")
    start = np.zeros((1, 6), np.float32)
    action = ppo.policy(learner, deterministic=True)({"policy": start}, jax.random.key(0))
    assert float(action[0, 0]) > 0.9
    assert float(metrics["episode/return"][0]) < 0.2
    assert _values(ppo, learner, start)[0] == pytest.approx(0.9, abs=0.02)


def test_it_learns_to_hold_a_point_mass_exploring_with_correlated_noise(ppo):
    learner, _ = _learn(ppo, "point_mass")
    # As the environment's docstring says; random earns 0.4.
    assert reward_per_step(ppo, learner, ppo.env.playing("point_mass")) > 0.85


def test_an_asymmetric_critic_reads_what_the_policy_cannot(ppo):
    """The reward is a coin that only the critic's group shows."""
    learner, _ = _learn(ppo, "coin")
    assert ppo.model.readers["critic"].groups == ("critic",)
    np.testing.assert_allclose(_values(ppo, learner, [[0.0], [1.0]]), [0.0, 1.0], atol=0.05)


def test_what_is_seen_is_learned_and_saved():
    """A bandit whose number is in an image alone, which the critic reads too."""
    env = Seen(bandit(64))
    encoder = ImageEncoder(channels=(8, 16), features=16)
    options = {"image_encoder": encoder, "critic_observations": "images", "num_steps": 8}
    ppo, learner, _ = _train(env, 20, **options, learning_rate=3e-3)
    numbers, key = jnp.linspace(-0.75, 0.75, 31)[:, None], jax.random.key(0)
    obs = env.seen({"policy": numbers})
    action = np.asarray(ppo.policy(learner, deterministic=True)(obs, key))
    np.testing.assert_allclose(action, numbers, atol=0.25)
    layers = ppo.export(learner).layers
    image = {"camera": np.asarray(obs["camera"])}
    found = graph.evaluate(layers, graph.tensors_of(layers), image, np)
    np.testing.assert_allclose(found, action, atol=1e-5)


def test_images_to_learn_from_are_those_that_the_policy_saw():
    with pytest.raises(ValueError, match="augment: PPO compares the policy with the one that"):
        PPOConfig(image_encoder=ImageEncoder(augment=Augmentation(shift=1)))
