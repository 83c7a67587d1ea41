"""Answers that an algorithm with an action-value critic must find in the tiny environments.

`environments` says why each answer is what it is. Each check trains for a few seconds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from r2s_algos_common.normalize import reward_scale
from r2s_algos_common.off_policy.algorithm import Learner, OffPolicy
from r2s_core.testing import environments
from r2s_core.testing.requirements import require
from r2s_core.types import Array, ArraySpec, Environment, Named, Step

#: (environment, options as in the YAML) -> the algorithm.
Make = Callable[..., OffPolicy[Any]]


def check_constant_reward(make: Make, bonus: Callable[[Named], float] = lambda _: 0.0) -> None:
    """A constant reward of 1 has the value 1 / (1 - discount), whatever the actions.

    bonus: from the metrics, what the critic adds to the reward at every step but the first, in
      units of the reward; a soft critic's entropy bonus.
    """
    env, discount = environments.constant_reward(16, max_episode_steps=8), 0.8
    algorithm, learner, metrics = _train(make, env, 12_000, discount=discount)
    actions = jnp.array([[-0.9], [0.0], [0.9]])
    expected = (1.0 + discount * bonus(metrics)) / (1.0 - discount)
    _close(action_values(algorithm, learner, jnp.zeros((3, 1)), actions), expected, 0.1)


def check_truncation(make: Make, ends_by: Literal["termination", "truncation"]) -> None:
    """A truncated episode bootstraps; a terminated one does not."""
    env = environments.corridor(32, ends_by)
    algorithm, learner, _ = _train(make, env, 24_000, discount=0.9)
    places = jnp.eye(6)[:5]
    values = action_values(algorithm, learner, places, jnp.zeros((5, 1)))
    _close(values, environments.corridor_values(0.9, ends_by), 0.4)


def check_bandit(make: Make) -> None:
    """The best action is the observation; an action's value is minus its squared distance."""
    algorithm, learner, _ = _train(make, environments.bandit(64), 12_000)
    target = jnp.linspace(-0.7, 0.7, 15)[:, None]
    action = algorithm.policy(learner, True)({"policy": target}, jax.random.key(0))
    _close(action[:, 0], np.asarray(target[:, 0]), 0.1)
    # Close to the policy's actions, where there are samples.
    near = target + 0.2
    _close(action_values(algorithm, learner, target, near), np.full(15, -0.04), 0.03)


def check_two_step_credit(make: Make) -> None:
    """The first action is credited with the reward of the second step."""
    algorithm, learner, _ = _train(make, environments.two_step_credit(64), 12_000, discount=0.9)
    start = jnp.zeros((3, 2))
    action = algorithm.policy(learner, True)({"policy": start}, jax.random.key(0))
    first = float(action[0, 0])
    require(first > 0.9, f"the first action is {first:.2f}; it must be above 0.9 (1 is optimal)")
    actions = jnp.array([[0.5], [0.75], [1.0]])
    _close(action_values(algorithm, learner, start, actions), 0.9 * np.asarray(actions[:, 0]), 0.15)


def check_point_mass(make: Make) -> None:
    """A point is pushed to 0 and held there: above 0.85 per step, where random play earns 0.4."""
    env = environments.point_mass(64)
    algorithm, learner, _ = _train(make, env, 30_000, discount=0.95)
    reward = reward_per_step(algorithm, learner, env)
    require(reward > 0.85, f"it earns {reward:.2f} per step; it must earn more than 0.85")


def check_privileged_critic(make: Make) -> None:
    """The reward is a coin that only the group "critic" shows."""
    algorithm, learner, _ = _train(make, _Coin(32), 6000)
    require(algorithm.critic_group == "critic", "the critic does not read the group 'critic'")
    sides = jnp.array([[0.0], [1.0]])
    _close(action_values(algorithm, learner, sides, jnp.zeros((2, 1))), np.array([0.0, 1.0]), 0.1)


def reward_per_step(algorithm: Any, learner: Any, env: Environment[Any]) -> float:
    """The deterministic policy's mean reward, over one episode in every world from its start."""
    policy = algorithm.policy(learner, True)

    def one(carry: tuple[Any, Named], _: None) -> tuple[tuple[Any, Named], Array]:
        state, obs = carry
        state, step = env.step(state, policy(obs, jax.random.key(0)))
        return (state, step.obs), step.reward

    start = env.reset(jax.random.key(7))
    _, reward = jax.lax.scan(one, start, length=env.spec.max_episode_steps)
    return float(reward.mean())


def action_values(
    algorithm: OffPolicy[Any], learner: Learner, observations: Array, actions: Array
) -> np.ndarray:
    """The first critic's values of actions float32[B, A], in units of the reward."""
    agent = learner.agent
    x = algorithm.learning.normalize(agent.statistics, algorithm.critic_group, observations)
    values = algorithm.actor_critic.critic.values(agent.networks.critics.online, x, actions)[0]
    scale = reward_scale(agent.returns) if algorithm.config.normalize_rewards else 1.0
    return np.asarray(values * scale)


def _train(
    make: Make, env: Environment[Any], steps: int, **options: Any
) -> tuple[OffPolicy[Any], Learner, Named]:
    """Train to the end of a falling learning rate, so that little noise is left."""
    algorithm = make(env, total_timesteps=steps, final_learning_rate=1e-4, **options)
    updates = -(-steps // algorithm.steps_per_update)
    learner, metrics = algorithm.update_many(algorithm.init(jax.random.key(0)), updates)
    return algorithm, learner, metrics


def _close(found: Any, expected: Any, tolerance: float) -> None:
    worst = float(np.max(np.abs(np.asarray(found) - expected)))
    message = (
        f"found {np.asarray(found)}, expected {expected}: off by {worst:.3f}, more than "
        f"{tolerance:g}"
    )
    require(worst <= tolerance, message)


class _Coin:
    """One step; the reward, 0 or 1, is the observation "critic", whatever the action."""

    def __init__(self, num_worlds: int) -> None:
        rules = dataclasses.replace(
            environments.bandit(1).rules,
            init=lambda key: jax.random.bernoulli(key, 0.5, (1,)).astype(jnp.float32),
            step=lambda memory, action: (memory, memory[0], jnp.bool_(True)),
        )
        self.inner: Environment[Any] = environments.TinyEnvironment(rules, num_worlds)
        groups = {name: ArraySpec((1,)) for name in ("policy", "critic")}
        self.spec = dataclasses.replace(self.inner.spec, observations=groups)

    def reset(self, key: Array) -> tuple[Any, Named]:
        state, obs = self.inner.reset(key)
        return state, self._split(obs)

    def step(self, state: Any, action: Array) -> tuple[Any, Step]:
        state, step = self.inner.step(state, action)
        return state, dataclasses.replace(
            step, obs=self._split(step.obs), final_obs=self._split(step.final_obs)
        )

    @staticmethod
    def _split(obs: Named) -> Named:
        return {"policy": 0.0 * obs["policy"], "critic": obs["policy"]}
