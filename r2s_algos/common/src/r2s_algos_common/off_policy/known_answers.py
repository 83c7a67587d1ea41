"""Answers that an algorithm with an action-value critic must find in the tiny environments.

`environments` says why each answer is what it is. Each check trains for a second or two.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from r2s_algos_common.collect_and_learn import own_buffers
from r2s_algos_common.normalize import reward_scale
from r2s_algos_common.off_policy.algorithm import Learner, OffPolicy
from r2s_core.policy import graph
from r2s_core.testing import environments
from r2s_core.testing.one_of import OneOf, pad
from r2s_core.testing.requirements import require
from r2s_core.types import Array, Environment, Named

#: (environment, options as in the YAML) -> the algorithm.
Make = Callable[..., OffPolicy[Any]]

_WORLDS, _STEPS = 64, 12_000
_ENVIRONMENTS = {
    "constant_reward": environments.constant_reward(_WORLDS),
    "termination": environments.corridor(_WORLDS, "termination"),
    "truncation": environments.corridor(_WORLDS, "truncation"),
    "bandit": environments.bandit(_WORLDS),
    "two_step_credit": environments.two_step_credit(_WORLDS),
    "point_mass": environments.point_mass(_WORLDS),
}
_WITH_COIN = _ENVIRONMENTS | {"coin": environments.coin(_WORLDS)}


class KnownAnswers:
    """Checks of one algorithm under one set of options, which share one compiled update."""

    def __init__(self, make: Make, discount: float = 0.9, asymmetric: bool = False) -> None:
        """asymmetric: whether there is a group "critic", as `check_privileged_critic` needs."""
        self.env = OneOf(_WITH_COIN if asymmetric else _ENVIRONMENTS)
        self._discount = discount
        # To the end of a falling learning rate, so that little noise is left.
        schedule = {"total_timesteps": _STEPS, "final_learning_rate": 1e-4}
        self._make = lambda **options: make(self.env, discount=discount, **schedule, **options)
        self.algorithm = self._make()

    def check_constant_reward(
        self, bonus: Callable[[Named], float] = lambda _: 0.0, **initial: Any
    ) -> None:
        """A constant reward of 1 has the value 1 / (1 - discount), whatever the actions.

        bonus: from the metrics, what the critic adds to the reward at every step but the first, in
          units of the reward; a soft critic's entropy bonus.
        initial: options that `init` alone reads.
        """
        learner, metrics = self._learn("constant_reward", **initial)
        expected = (1.0 + self._discount * bonus(metrics)) / (1.0 - self._discount)
        actions = jnp.array([[-0.9], [0.0], [0.9]])
        _close(self._values(learner, jnp.zeros((3, 1)), actions), expected, 0.1)

    def check_truncation(self, ends_by: Literal["termination", "truncation"]) -> None:
        """A truncated episode bootstraps; a terminated one does not."""
        learner, _ = self._learn(ends_by)
        values = self._values(learner, jnp.eye(6)[:5], jnp.zeros((5, 1)))
        _close(values, environments.corridor_values(self._discount, ends_by), 0.4)

    def check_bandit(self) -> None:
        """The best action is the observation; an action's value is minus its squared distance."""
        learner, _ = self._learn("bandit")
        target = jnp.linspace(-0.7, 0.7, 15)[:, None]
        _close(self._action(learner, target), np.asarray(target), 0.1)
        # Close to the policy's actions, where there are samples.
        near = target + 0.2
        _close(self._values(learner, target, near), np.full(15, -0.04), 0.03)

    def check_two_step_credit(self) -> None:
        """The first action is credited with the reward of the second step."""
        learner, _ = self._learn("two_step_credit")
        start = jnp.zeros((3, 2))
        first = float(self._action(learner, start)[0, 0])
        require(first > 0.9, f"the first action is {first:.2f}; it must be above 0.9 (1 is best)")
        actions = jnp.array([[0.5], [0.75], [1.0]])
        values = self._values(learner, start, actions)
        _close(values, self._discount * np.asarray(actions[:, 0]), 0.15)

    def check_point_mass(self) -> None:
        """A point is pushed to 0 and held: above 0.85 per step, where random play earns 0.4."""
        learner, _ = self._learn("point_mass")
        reward = reward_per_step(self.algorithm, learner, self.env.playing("point_mass"))
        require(reward > 0.85, f"it earns {reward:.2f} per step; it must earn more than 0.85")

    def check_privileged_critic(self) -> None:
        """The reward is a coin that only the group "critic" shows."""
        learner, _ = self._learn("coin")
        groups = self.algorithm.critic_groups
        require(groups == ("critic",), "the critic does not read the group 'critic'")
        sides = jnp.array([[0.0], [1.0]])
        _close(self._values(learner, sides, jnp.zeros((2, 1))), np.array([0.0, 1.0]), 0.1)

    def _learn(self, name: str, **initial: Any) -> tuple[Learner, Named]:
        fresh = (self._make(**initial) if initial else self.algorithm).init(jax.random.key(0))
        env_state, obs = own_buffers(self.env.playing(name).reset(jax.random.key(1)))
        learner = dataclasses.replace(fresh, env_state=env_state, obs=obs)
        updates = -(-_STEPS // self.algorithm.steps_per_update)
        return self.algorithm.update_many(learner, updates)

    def _action(self, learner: Learner, observation: Array) -> np.ndarray:
        """The deterministic policy's action, float32[B, A], at observations float32[B, n]."""
        obs = {"policy": pad(observation, *self.env.spec.observations["policy"].shape)}
        return np.asarray(self.algorithm.policy(learner, True)(obs, jax.random.key(0)))

    def _values(self, learner: Learner, observation: Array, action: Array) -> np.ndarray:
        """`action_values`, of the critic's observations float32[B, n]."""
        (group,) = self.algorithm.critic_groups
        x = pad(observation, *self.env.spec.observations[group].shape)
        return action_values(self.algorithm, learner, x, action)


def check_images(make: Make, critics_see: bool) -> None:
    """A number that is only seen, in a bandit, is what the policy does.

    make: (environment, options) -> the algorithm, its networks small. critics_see: the critics read
      the image too, and by their encoders the policy; otherwise it has its own.
    """
    env, key = environments.Seen(environments.bandit(64)), jax.random.key(0)
    algorithm = make(env, critic_observations="images" if critics_see else "auto")
    learner = algorithm.init(key)
    networks = learner.agent.networks
    seen = learner.replay.obs["camera"]
    require(seen.dtype == np.uint8, "the replay buffer does not keep images as bytes")
    require(bool(networks.critics.encoders) == critics_see, "the critics' encoders are elsewhere")
    require(("encoders" in networks.policy) != critics_see, "the policy's encoders are elsewhere")
    learner, _ = algorithm.update_many(learner, 20)
    numbers = jnp.linspace(-0.75, 0.75, 31)[:, None]
    obs = env.seen({"policy": numbers})
    action = np.asarray(algorithm.policy(learner, True)(obs, key))
    _close(action, numbers, 0.25)
    layers = algorithm.export(learner).layers
    image = {"camera": np.asarray(obs["camera"])}
    _close(graph.evaluate(layers, graph.tensors_of(layers), image, np), action, 1e-5)


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
    """The first critic's values of actions float32[B, A], in units of the reward.

    observations: of the group of numbers that it reads.
    """
    agent, (group,) = learner.agent, algorithm.critic_groups
    x = algorithm.learning.normalize(agent.statistics, {group: observations})[group]
    values = algorithm.actor_critic.critic.values(agent.networks.critics.online, x, actions)[0]
    scale = reward_scale(agent.returns) if algorithm.config.normalize_rewards else 1.0
    return np.asarray(values * scale)


def _close(found: Any, expected: Any, tolerance: float) -> None:
    worst = float(np.max(np.abs(np.asarray(found) - expected)))
    message = (
        f"found {np.asarray(found)}, expected {expected}: off by {worst:.3f}, more than "
        f"{tolerance:g}"
    )
    require(worst <= tolerance, message)
