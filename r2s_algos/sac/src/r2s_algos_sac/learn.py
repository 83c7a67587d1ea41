"""Soft actor-critic's networks and its gradient steps, an `ActorCritic`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from r2s_algos_common.demonstrations.clone import Term, with_term
from r2s_algos_common.off_policy.batch import Batch
from r2s_algos_common.off_policy.critic import Critic, Critics
from r2s_algos_common.off_policy.reading import Reading
from r2s_algos_common.optimizer import Adam
from r2s_algos_sac.config import SACConfig
from r2s_algos_sac.policy import SquashedGaussian
from r2s_core.types import Array, EnvSpec, Named, pytree


@pytree
class Networks:
    """Parameters and optimizers."""

    policy: Any  # with "encoders" of images where these are its own, see `Reading`
    critics: Critics
    log_temperature: Array  # float32[]
    policy_optimizer: Any
    temperature_optimizer: Any


class SAC:
    """Soft actor-critic with two critics and a learned temperature (Haarnoja et al. 2018, v2).

    See `r2s_algos_common.off_policy.actor_critic.ActorCritic`. With n_step > 1 the entropies of
    the steps between are left out of the return, as is usual.
    """

    def __init__(self, spec: EnvSpec, config: SACConfig, critic_groups: Sequence[str]) -> None:
        self.config, self.reading = config, Reading(spec, config, critic_groups)
        self.policy = SquashedGaussian(self.reading.policy.size, spec.action_size, config)
        self.critic = Critic(config, self.reading.critic, spec.action_size, count=2)
        target = config.target_entropy
        self.target_entropy = -float(spec.action_size) if target is None else target
        self._adam = Adam(config.max_grad_norm, config.adam_epsilon)

    def init(self, key: Array) -> Networks:
        policy_key, critic_key = jax.random.split(key)
        policy = self.reading.with_encoders(self.policy.init(policy_key), policy_key)
        critics = self.critic.init(critic_key)
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
        return self.policy_of(networks)

    def act(self, acting: Any, observation: Named, noise: Array) -> Array:
        return self.policy.act(acting, self.reading.read(acting, observation), noise)

    def mean(self, acting: Any, observation: Named) -> Array:
        return self.policy.mean(acting, self.reading.read(acting, observation))

    def layers(self, networks: Networks) -> tuple[tuple[Any, Any], ...]:
        return self.policy.layers(networks.policy)

    # Learning.

    def learn_critics(
        self, networks: Networks, batch: Batch, rate: Array, key: Array
    ) -> tuple[Networks, Named]:
        policy = self.policy_of(networks)
        read = self.reading.read(policy, batch.next_observation)
        next_action, log_density = self.policy.sample(policy, read, key)
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
        temperature, critics = jnp.exp(networks.log_temperature), networks.critics
        observed = self.critic.read(critics.encoders, batch.observation)

        def loss(policy: Any) -> tuple[Array, Named]:
            policy = self.reading.whole(policy, critics.encoders)
            read = self.reading.read(policy, batch.observation)
            action, log_density = self.policy.sample(policy, read, key)
            values = self.critic.values(critics.online, observed, action)
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

    def raw(self, policy: Any, observation: Named) -> Array:
        return self.policy.raw(policy, self.reading.read(policy, observation))

    def policy_of(self, networks: Networks) -> Any:
        return self.reading.whole(networks.policy, networks.critics.encoders)

    def with_policy(self, networks: Networks, policy: Any) -> Networks:
        policy, encoders = self.reading.parts(policy, networks.critics.encoders)
        critics = dataclasses.replace(networks.critics, encoders=encoders)
        return dataclasses.replace(networks, policy=policy, critics=critics)

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
