"""PPO's policy and critic over normalised observations, and the agent that learning changes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from r2s_algos_common.cloning import Aggregate
from r2s_algos_common.demonstrations.clone import Cloning, first_statistics, observed
from r2s_algos_common.encoders.reader import Reader, normalized
from r2s_algos_common.networks import MLP, init_mlp
from r2s_algos_common.noise import exploration_noise, first_noise
from r2s_algos_common.normalize import (
    ReturnScale,
    RunningStatistics,
    init_return_scale,
)
from r2s_algos_common.optimizer import Adam
from r2s_algos_ppo.config import PPOConfig
from r2s_core.policy.network import scale_action, squash
from r2s_core.types import Array, Demonstrations, EnvSpec, Named, pytree


@pytree
class Agent:
    """The state that learning changes."""

    params: Any  # {"policy", "critic", "log_std"}; the first two with "encoders" of images
    optimizer: Any
    statistics: Mapping[str, RunningStatistics]  # of the observation groups that are read
    returns: ReturnScale
    noise: Array  # float32[W, A], the last exploration noise
    learning_rate: Array  # float32[]
    updates: Array  # int32[], number of updates so far
    key: Array


class Model:
    """The networks, with their input and output processing; holds no weights."""

    def __init__(self, spec: EnvSpec, config: PPOConfig, critic_groups: Sequence[str]) -> None:
        """critic_groups: the observation groups that the critic reads."""
        self.spec, self.config = spec, config
        read = {"policy": spec.policy_groups, "critic": critic_groups}
        self.readers = {
            name: Reader(spec, groups, config.image_encoder, config.normalize_observations)
            for name, groups in read.items()
        }
        self._low = jnp.asarray(spec.action_low, jnp.float32)
        self._high = jnp.asarray(spec.action_high, jnp.float32)
        self.optimizer = Adam(config.max_grad_norm)
        critic_sizes = config.critic_hidden_sizes or config.hidden_sizes
        self._networks = {
            "policy": MLP((*config.hidden_sizes, spec.action_size), config.activation, 0.01),
            "critic": MLP((*critic_sizes, 1), config.activation),
        }
        self.cloning = Cloning(config, self._raw, config.squash)

    def init(self, key: Array, recorded: Demonstrations | None = None) -> Agent:
        """An untrained agent, whose statistics begin with what was `recorded`. On the host."""
        key, policy_key, critic_key, noise_key = jax.random.split(key, 4)
        numbers = {group for reader in self.readers.values() for group in reader.numbers}
        log_std = np.full(self.spec.action_size, self.config.initial_log_std, np.float32)
        params = {
            "policy": self._init("policy", policy_key),
            "critic": self._init("critic", critic_key),
            "log_std": jax.device_put(log_std),
        }
        return Agent(
            params=params,
            optimizer=self.optimizer.init(params),
            statistics=first_statistics(self.spec, numbers, recorded),
            returns=init_return_scale(self.spec.num_worlds),
            noise=first_noise(noise_key, self.spec),
            learning_rate=jnp.float32(self.config.learning_rate),
            updates=jnp.int32(0),
            key=key,
        )

    def cloned(self, agent: Agent, demonstrations: Aggregate) -> Agent:
        """The agent whose policy imitates the demonstrations. On the host."""
        key, clone_key = jax.random.split(agent.key)
        policy = self.cloning.cloned(
            agent.params["policy"], agent.statistics, demonstrations, clone_key
        )
        return dataclasses.replace(agent, params={**agent.params, "policy": policy}, key=key)

    def apply(self, network: str, params: Any, observed: Named) -> Array:
        """ "policy": the mean raw action [..., A]; "critic": the value [..., 1]. observed: from
        `observed`."""
        x = self.readers[network].encode(params.get("encoders", {}), observed)
        mlp = {"params": params["params"]}
        return self._networks[network].apply(mlp, x)  # type: ignore[return-value]

    def observed(
        self, network: str, statistics: Mapping[str, RunningStatistics], obs: Named
    ) -> Named:
        """The observation groups that a network reads, numbers normalised, [..., *shape]."""
        read = {group: obs[group] for group in self.readers[network].groups}
        return normalized(statistics, read, self.config.normalize_observations)

    def _init(self, network: str, key: Array) -> dict[str, Any]:
        reader = self.readers[network]
        params = init_mlp(self._networks[network], key, reader.size)
        encoders = reader.init(jax.random.fold_in(key, 0)) if reader.images else None
        return params if encoders is None else {**params, "encoders": encoders}

    def observe(
        self, statistics: Mapping[str, RunningStatistics], obs: Named
    ) -> Mapping[str, RunningStatistics]:
        """The statistics with one more batch of observations."""
        return observed(statistics, obs, self.config)

    # Acting. `acting` is the part of an agent that acting needs.

    def acting(self, agent: Agent) -> Any:
        return {
            "policy": agent.params["policy"],
            "log_std": agent.params["log_std"],
            "statistics": {n: agent.statistics[n] for n in self.readers["policy"].numbers},
        }

    def act(self, acting: Any, obs: Named, noise: Array) -> tuple[Array, Named]:
        """The action [W, A] under standard normal noise [W, A], and extras for learning."""
        mean = self.mean(acting, obs)
        raw = mean + jnp.exp(acting["log_std"]) * noise
        return self._to_action(raw), {"mean": mean, "raw_action": raw}

    def deterministic(self, acting: Any, obs: Named) -> Array:
        return self._to_action(self.mean(acting, obs))

    def mean(self, acting: Any, obs: Named) -> Array:
        """The mean raw action [W, A]."""
        return self._raw(acting["policy"], acting["statistics"], obs)

    def explore(self, agent: Agent) -> tuple[Agent, Array]:
        """The noise of a whole rollout, float32[T, W, A], standard normal at each step.

        With `noise_correlation` it is an AR(1) process in each world. The probability ratio still
        treats each action as an independent sample, which is right for each step alone; PPO gains
        from such noise all the same (Hollenstein et al. 2024).
        """
        key, noise_key = jax.random.split(agent.key)
        noise = exploration_noise(
            noise_key, agent.noise, self.config.num_steps, self.config.noise_correlation
        )
        return dataclasses.replace(agent, key=key, noise=noise[-1]), noise

    def _raw(self, policy: Any, statistics: Mapping[str, RunningStatistics], obs: Named) -> Array:
        return self.apply("policy", policy, self.observed("policy", statistics, obs))

    def _to_action(self, raw: Array) -> Array:
        return scale_action(squash(raw, self.config.squash), self._low, self._high)
