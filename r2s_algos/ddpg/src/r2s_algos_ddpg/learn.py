"""DDPG's networks and its gradient steps, an `ActorCritic`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from r2s_algos_common.demonstrations.clone import Term, with_term
from r2s_algos_common.networks import MLP, init_mlp, mlp_layers
from r2s_algos_common.noise import spread
from r2s_algos_common.off_policy.batch import Batch
from r2s_algos_common.off_policy.critic import Critic, Critics, polyak
from r2s_algos_common.off_policy.reading import Reading
from r2s_algos_common.optimizer import Adam
from r2s_algos_ddpg.config import DDPGConfig
from r2s_core.types import Array, EnvSpec, Named, pytree


@pytree
class Networks:
    """Parameters and optimizers."""

    policy: Any  # with "encoders" of images where these are its own, see `Reading`
    target_policy: Any
    critics: Critics
    policy_optimizer: Any


class DDPG:
    """Deep deterministic policy gradients (Lillicrap et al. 2016), with the three fixes of TD3
    (Fujimoto et al. 2018) as options. See `r2s_algos_common.off_policy.actor_critic.ActorCritic`.
    """

    def __init__(self, spec: EnvSpec, config: DDPGConfig, critic_groups: Sequence[str]) -> None:
        self.config, self.reading = config, Reading(spec, config, critic_groups)
        self._policy = MLP((*config.hidden_sizes, spec.action_size), config.activation, 0.01)
        count = 2 if config.twin_critics else 1
        self.critic = Critic(config, self.reading.critic, spec.action_size, count)
        self._adam = Adam(config.max_grad_norm, config.adam_epsilon)

    def init(self, key: Array) -> Networks:
        policy_key, critic_key = jax.random.split(key)
        policy = init_mlp(self._policy, policy_key, self.reading.policy.size)
        policy = self.reading.with_encoders(policy, policy_key)
        critics = self.critic.init(critic_key)
        return Networks(
            policy=policy,
            target_policy=policy,
            critics=critics,
            policy_optimizer=self._adam.init(policy),
        )

    # Acting needs the policy's parameters and the current scale of the noise.

    def acting(self, networks: Networks, progress: Array) -> Any:
        scale = 1.0 + progress * (self.config.final_noise_scale - 1.0)
        return {"policy": self.policy_of(networks), "noise_scale": scale}

    def act(self, acting: Any, observation: Named, noise: Array) -> Array:
        """Each world explores at its own scale, from small to large, as in PQL (Li et al. 2023):
        no single scale suits a whole task."""
        low, high = self.config.exploration_noise
        deviation = low + (high - low) * spread(noise.shape[0])
        deviation = deviation[:, None] * acting["noise_scale"]
        return jnp.clip(self.mean(acting, observation) + deviation * noise, -1.0, 1.0)

    def mean(self, acting: Any, observation: Named) -> Array:
        return jnp.tanh(self.raw(acting["policy"], observation))

    def layers(self, networks: Networks) -> tuple[tuple[Any, Any], ...]:
        return mlp_layers(networks.policy)

    # Learning.

    def learn_critics(
        self, networks: Networks, batch: Batch, rate: Array, key: Array
    ) -> tuple[Networks, Named]:
        config = self.config
        policy = self.reading.whole(networks.target_policy, networks.critics.encoders)
        next_action = jnp.tanh(self.raw(policy, batch.next_observation))
        if config.target_noise > 0:  # target policy smoothing, TD3's eq. 14
            noise = config.target_noise * jax.random.normal(
                key, next_action.shape, next_action.dtype
            )
            noise = jnp.clip(noise, -config.target_noise_clip, config.target_noise_clip)
            next_action = jnp.clip(next_action + noise, -1.0, 1.0)
        target = self.critic.target(networks.critics, batch, next_action)
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
        config, critics = self.config, networks.critics
        observed = self.critic.read(critics.encoders, batch.observation)

        def loss(policy: Any) -> tuple[Array, Named]:
            policy = self.reading.whole(policy, critics.encoders)
            raw = self.raw(policy, batch.observation)
            action = jnp.tanh(raw)
            # The first critic alone, as in TD3 (algorithm 1).
            value = self.critic.values(critics.online[:1], observed, action)[0]
            # As in Andrychowicz et al. (2017), appendix A: where tanh is flat, gradients vanish.
            penalty = config.preactivation_penalty * jnp.mean(jnp.square(raw))
            saturated = jnp.mean((jnp.abs(action) > 0.99).astype(jnp.float32))
            size = penalty - jnp.mean(value)
            return with_term(term, policy, size, {"loss/policy": size, "saturated": saturated})

        (_, metrics), gradient = jax.value_and_grad(loss, has_aux=True)(networks.policy)
        policy, optimizer = self._adam.step(
            networks.policy, networks.policy_optimizer, gradient, rate
        )
        # One move by as much as the critics' targets move in policy_delay steps.
        share = 1.0 - (1.0 - config.target_update_rate) ** config.policy_delay
        networks = dataclasses.replace(
            networks,
            policy=policy,
            policy_optimizer=optimizer,
            target_policy=polyak(networks.target_policy, policy, share),
        )
        return networks, metrics

    def raw(self, policy: Any, observation: Named) -> Array:
        read = self.reading.read(policy, observation)
        return self._policy.apply({"params": policy["params"]}, read)  # type: ignore[return-value]

    def policy_of(self, networks: Networks) -> Any:
        return self.reading.whole(networks.policy, networks.critics.encoders)

    def with_policy(self, networks: Networks, policy: Any) -> Networks:
        policy, encoders = self.reading.parts(policy, networks.critics.encoders)
        critics = dataclasses.replace(networks.critics, encoders=encoders)
        return dataclasses.replace(networks, policy=policy, target_policy=policy, critics=critics)
