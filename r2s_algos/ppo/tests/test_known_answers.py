"""PPO finds the known answers of the tiny environments."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r2s_algos_ppo.config import PPOConfig
from r2s_algos_ppo.train import PPO
from r2s_core.testing.environments import (
    TinyEnvironment,
    bandit,
    constant_reward,
    corridor,
    corridor_values,
    point_mass,
    two_step_credit,
)
from r2s_core.types import ArraySpec

SMALL = PPOConfig(num_steps=16, hidden_sizes=(32, 32), num_minibatches=2)


def _train(env, updates, seed=0, **options):
    ppo = PPO(env, dataclasses.replace(SMALL, **options))
    learner, metrics = ppo.update_many(ppo.init(jax.random.key(seed)), updates)
    return ppo, learner, metrics


def _values(ppo, learner, observations):
    """What the critic says, in units of the reward."""
    agent, model = learner.agent, ppo.model
    x = model.normalize(agent.statistics, model.critic_group, jnp.asarray(observations))
    scale = np.sqrt(learner.agent.returns.mean_square) if ppo.config.normalize_rewards else 1.0
    return np.asarray(model.apply("critic", agent.params["critic"], x)[..., 0]) * scale


def test_the_value_of_a_constant_reward():
    env = constant_reward(16, max_episode_steps=8)
    options = {"normalize_rewards": False, "value_clip_range": None}
    ppo, learner, _ = _train(env, 100, discount=0.8, **options)
    assert _values(ppo, learner, [[0.0]])[0] == pytest.approx(1 / (1 - 0.8), rel=0.02)


@pytest.mark.parametrize("ends_by", ["termination", "truncation"])
def test_truncation_is_not_termination(ends_by):
    env = corridor(32, ends_by)
    ppo, learner, _ = _train(env, 150, discount=0.9, gae_lambda=0.8)
    values = _values(ppo, learner, np.eye(6)[:5])
    np.testing.assert_allclose(values, corridor_values(0.9, ends_by), rtol=0.05)


def test_the_bandit_s_best_action_is_the_observation():
    ppo, learner, _ = _train(bandit(64), 80, squash="tanh")
    obs = {"policy": jnp.linspace(-0.7, 0.7, 15)[:, None]}
    action = ppo.policy(learner, deterministic=True)(obs, jax.random.key(0))
    np.testing.assert_allclose(action, obs["policy"], atol=0.1)


def test_credit_reaches_back_over_two_steps():
    ppo, learner, metrics = _train(two_step_credit(64), 100)
    action = ppo.policy(learner, deterministic=True)(
        {"policy": jnp.zeros((1, 2))}, jax.random.key(0)
    )
    assert float(action[0, 0]) > 0.9
    assert float(metrics["episode/return"][0]) < 0.2
    assert _values(ppo, learner, [[0.0, 0.0]])[0] == pytest.approx(0.9, abs=0.02)


def test_it_learns_to_hold_a_point_mass_exploring_with_correlated_noise():
    env = point_mass(64)
    ppo, learner, _ = _train(env, 80, discount=0.95, noise_correlation=0.7)
    policy = ppo.policy(learner, deterministic=True)
    state, obs = env.reset(jax.random.key(7))

    def one(carry, _):
        state, obs = carry
        state, step = env.step(state, policy(obs, jax.random.key(0)))
        return (state, step.obs), step.reward

    _, reward = jax.lax.scan(one, (state, obs), length=env.spec.max_episode_steps)
    assert float(reward.mean()) > 0.85  # as the environment's docstring says; random earns 0.4


def test_an_asymmetric_critic_reads_what_the_policy_cannot():
    """The reward is a coin that only the critic's group shows."""
    env = _Coin(32)
    ppo, learner, _ = _train(env, 100, num_steps=8)
    assert ppo.model.critic_group == "critic"
    assert learner.agent.params["policy"]["params"]["Dense_0"]["kernel"].shape[0] == 1
    np.testing.assert_allclose(_values(ppo, learner, [[0.0], [1.0]]), [0.0, 1.0], atol=0.05)


class _Coin:
    """One step; the reward, 0 or 1, is what the group "critic" shows, whatever is done."""

    def __init__(self, num_worlds):
        rules = dataclasses.replace(
            bandit(1).rules,
            init=lambda key: jax.random.bernoulli(key, 0.5, (1,)).astype(jnp.float32),
            step=lambda memory, action: (memory, memory[0], jnp.bool_(True)),
        )
        self.inner = TinyEnvironment(rules, num_worlds)
        groups = {name: ArraySpec((1,)) for name in ("policy", "critic")}
        self.spec = dataclasses.replace(self.inner.spec, observations=groups)

    def reset(self, key):
        state, obs = self.inner.reset(key)
        return state, self._split(obs)

    def step(self, state, action):
        state, step = self.inner.step(state, action)
        return state, dataclasses.replace(
            step, obs=self._split(step.obs), final_obs=self._split(step.final_obs)
        )

    @staticmethod
    def _split(obs):
        return {"policy": 0.0 * obs["policy"], "critic": obs["policy"]}
