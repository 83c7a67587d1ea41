"""Soft actor-critic's networks and its gradient steps, an `ActorCritic`."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from r2s_algos_common.demonstrations.clone import Term, with_term
from r2s_algos_common.off_policy.batch import Batch
from r2s_algos_common.off_policy.critic import Critic, Critics
from r2s_algos_common.optimizer import Adam
from r2s_algos_sac.config import SACConfig
from r2s_algos_sac.policy import SquashedGaussian
from r2s_core.types import Array, EnvSpec, Named, pytree


@pytree
class Networks:
    """Parameters and optimizers."""

    policy: Any
    critics: Critics
    log_temperature: Array  # float32[]
    policy_optimizer: Any
    temperature_optimizer: Any


class SAC:
    """Soft actor-critic with two critics and a learned temperature (Haarnoja et al. 2018, v2).

    See `r2s_algos_common.off_policy.actor_critic.ActorCritic`. With n_step > 1 the entropies of
    the steps between are left out of the return, as is usual.
    """

    def __init__(self, spec: EnvSpec, config: SACConfig, critic_group: str) -> None:
        self.config, self.policy = config, SquashedGaussian(spec, config)
        (inputs,) = spec.observations[critic_group].shape
        self.critic = Critic(config, inputs + spec.action_size, count=2)
        target = config.target_entropy
        self.target_entropy = -float(spec.action_size) if target is None else target
        self._adam = Adam(config.max_grad_norm, config.adam_epsilon)

    def init(self, key: Array) -> Networks:
        policy_key, critic_key = jax.random.split(key)
        policy, critics = self.policy.init(policy_key), self.critic.init(critic_key)
        log_temperature = jnp.float32(np.log(self.config.initial_temperature))
        return Networks(
            policy=policy,
            critics=critics,
            log_temperature=log_temperature,
            policy_optimizer=self._adam.init(policy),
            temperature_optimizer=self._adam.init(log_temperature),
        )

    # Acting needs only the policy's parameters.

    def acting(self, networks: Networks, progress: Array) -> Any:
        return networks.policy

    def act(self, acting: Any, observation: Array, noise: Array) -> Array:
        return self.policy.act(acting, observation, noise)

    def mean(self, acting: Any, observation: Array) -> Array:
        return self.policy.mean(acting, observation)

    def layers(self, networks: Networks) -> tuple[tuple[Any, Any], ...]:
        return self.policy.layers(networks.policy)

    # Learning.

    def learn_critics(
        self, networks: Networks, batch: Batch, rate: Array, key: Array
    ) -> tuple[Networks, Named]:
        next_action, log_density = self.policy.sample(networks.policy, batch.next_observation, key)
        bonus = -jnp.exp(networks.log_temperature) * log_density
        target = self.critic.target(networks.critics, batch, next_action, bonus)
        critics, metrics = self.critic.learn(networks.critics, batch, target, rate)
        return dataclasses.replace(networks, critics=critics), metrics

    def learn_policy(
        self,
        networks: Networks,
        batch: Batch,
        rate: Array,
        key: Array,
        term: Term | None = None,
    ) -> tuple[Networks, Named]:
        temperature = jnp.exp(networks.log_temperature)

        def loss(policy: Any) -> tuple[Array, Named]:
            action, log_density = self.policy.sample(policy, batch.observation, key)
            values = self.critic.values(networks.critics.online, batch.critic_observation, action)
            size = jnp.mean(temperature * log_density - jnp.min(values, axis=0))
            metrics = {"loss/policy": size, "entropy": -jnp.mean(log_density)}
            return with_term(term, policy, size, metrics)

        (_, metrics), gradient = jax.value_and_grad(loss, has_aux=True)(networks.policy)
        policy, optimizer = self._adam.step(
            networks.policy, networks.policy_optimizer, gradient, rate
        )
        networks = dataclasses.replace(networks, policy=policy, policy_optimizer=optimizer)
        networks = self._learn_temperature(networks, metrics["entropy"])
        return networks, {**metrics, "temperature": temperature}

    def raw(self, policy: Any, observation: Array) -> Array:
        return self.policy.raw(policy, observation)

    def policy_of(self, networks: Networks) -> Any:
        return networks.policy

    def with_policy(self, networks: Networks, policy: Any) -> Networks:
        return dataclasses.replace(networks, policy=policy)

    def _learn_temperature(self, networks: Networks, entropy: Array) -> Networks:
        """Raise it where the entropy is below its target, else lower it (eq. 18, on the log)."""
        if not self.config.learn_temperature:
            return networks
        log_temperature, optimizer = self._adam.step(
            networks.log_temperature,
            networks.temperature_optimizer,
            entropy - self.target_entropy,
            jnp.float32(self.config.temperature_learning_rate),
        )
        return dataclasses.replace(
            networks, log_temperature=log_temperature, temperature_optimizer=optimizer
        )
