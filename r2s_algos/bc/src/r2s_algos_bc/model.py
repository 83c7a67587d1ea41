"""The cloned policy over normalised observations, and who acts while it learns."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from r2s_algos_bc.config import BCConfig
from r2s_algos_common.cloning import Aggregate, expert_label
from r2s_algos_common.demonstrations.clone import first_statistics
from r2s_algos_common.encoders.reader import Reader
from r2s_algos_common.networks import MLP, init_mlp
from r2s_algos_common.noise import share_of_worlds
from r2s_algos_common.normalize import RunningStatistics
from r2s_algos_common.optimizer import Adam
from r2s_core.policy.network import scale_action, squash
from r2s_core.types import Array, Demonstrations, EnvSpec, Named, Step, pytree

#: The log standard deviation that `loss: likelihood` starts with.
_INITIAL_LOG_STD = -1.0


@pytree
class Agent:
    """The state that learning changes, without the aggregate."""

    params: Any  # {"policy"}; with images also "encoders"; "auxiliary"; "log_std", float32[A]
    optimizer: Any
    statistics: Mapping[str, RunningStatistics]  # of the group "policy", where there is one
    updates: Array  # int32[], number of updates so far
    key: Array


class Model:
    """The network, with its input and output processing; holds no weights."""

    def __init__(
        self,
        spec: EnvSpec,
        config: BCConfig,
        decisive: Array | None,
        recorded: Demonstrations | None = None,
        auxiliary: tuple[int, ...] = (),
    ) -> None:
        """decisive: bool[A], the actions of which only the sign is learned; None: those whose
        labels are all at a bound. recorded: what is learned from, instead of asking an expert.
        auxiliary: which numbers of the group "critic" are predicted."""
        self.recorded, self.asks = recorded, recorded is None
        self.spec, self.config, self._decisive = spec, config, decisive
        self._low = jnp.asarray(spec.action_low, jnp.float32)
        self._high = jnp.asarray(spec.action_high, jnp.float32)
        noisy_share = config.noisy_share if self.asks else 0.0
        self._noisy = jnp.asarray(share_of_worlds(spec.num_worlds, noisy_share))
        self.reader = Reader(
            spec, spec.policy_groups, config.image_encoder, config.normalize_observations
        )
        self._network = MLP((*config.hidden_sizes, spec.action_size), config.activation, 0.01)
        self.auxiliary, self._auxiliary = auxiliary, MLP((len(auxiliary),))
        self.optimizer = Adam(config.max_grad_norm)

    def init(self, key: Array) -> Agent:
        """An untrained agent. On the host."""
        key, policy_key = jax.random.split(key)
        size = self.reader.size
        params: dict[str, Any] = {"policy": init_mlp(self._network, policy_key, size)}
        if self.reader.images:
            params["encoders"] = self.reader.init(jax.random.fold_in(policy_key, 0))
        if self.auxiliary:
            auxiliary_key = jax.random.fold_in(policy_key, 1)
            params["auxiliary"] = init_mlp(self._auxiliary, auxiliary_key, size)
        if self.config.loss == "likelihood":
            params["log_std"] = jnp.full(self.spec.action_size, _INITIAL_LOG_STD, jnp.float32)
        return Agent(
            params=params,
            optimizer=self.optimizer.init(params),
            statistics=first_statistics(self.spec, self.reader.numbers, self.recorded),
            updates=jnp.int32(0),
            key=key,
        )

    def features(
        self, params: Any, statistics: Mapping[str, RunningStatistics], obs: Named
    ) -> Array:
        """What the policy reads as one vector, float32[..., n]."""
        return self.reader.read(params.get("encoders", {}), statistics, obs)

    def head(self, params: Any, features: Array) -> Array:
        """The action before it is squashed, float32[..., A]."""
        return self._network.apply(params["policy"], features)  # type: ignore[return-value]

    def predicted(self, params: Any, features: Array) -> Array:
        """The auxiliary numbers, float32[..., k]."""
        return self._auxiliary.apply(params["auxiliary"], features)  # type: ignore[return-value]

    def target(self, obs: Named) -> Array | None:
        """The true ones, float32[..., k]; None: there are none."""
        return obs["critic"][..., jnp.asarray(self.auxiliary)] if self.auxiliary else None

    def label(self, obs: Named) -> Array:
        """What the expert does, in [-1, 1] units, float32[..., A]."""
        return expert_label(self.spec, obs)

    def decisive(self, aggregate: Aggregate) -> Array:
        """The actions of which only the sign is learned, bool[A]."""
        return aggregate.at_bound if self._decisive is None else self._decisive

    def unperturbed(self, step: Step) -> Step:
        """Steps [T, W] in which only episodes of worlds without noise end, so that what is told of
        episodes is not about the noise; all of them where every world has noise."""
        quiet = ~self._noisy | self._noisy.all()
        return dataclasses.replace(
            step, terminated=step.terminated & quiet, truncated=step.truncated & quiet
        )

    # Acting. `acting` is the part of an agent that acting needs.

    def acting(self, agent: Agent) -> Any:
        return {"params": agent.params, "statistics": agent.statistics}

    def explore(self, agent: Agent, expert_share: Array) -> tuple[Agent, Any, Array]:
        """The agent with another key, and who acts in a rollout.

        expert_share: float32[], the probability of each world that the expert acts in it.

        Returns:
          The agent; its acting part with "expert_acts", bool[W]; and the noise, float32[T, W, A],
          standard normal in noisy worlds and 0 in the others.
        """
        key, expert_key, noise_key = jax.random.split(agent.key, 3)
        worlds = self.spec.num_worlds
        expert_acts = jax.random.uniform(expert_key, (worlds,), jnp.float32) < expert_share
        shape = (self.config.num_steps, worlds, self.spec.action_size)
        noise = jax.random.normal(noise_key, shape, jnp.float32) * self._noisy[:, None]
        acting = {**self.acting(agent), "expert_acts": expert_acts}
        return dataclasses.replace(agent, key=key), acting, noise

    def act(self, acting: Any, obs: Named, noise: Array) -> tuple[Array, Named]:
        """The action [W, A] of the expert or the policy under noise [W, A]; and "own", what the
        policy would do without it, in [-1, 1] units."""
        own = self._action(acting, obs)
        if not self.asks:
            return self._scaled(own), {"own": own}
        action = jnp.where(acting["expert_acts"][:, None], self.label(obs), own)
        return self._scaled(action + self.config.noise_std * noise), {"own": own}

    def deterministic(self, acting: Any, obs: Named) -> Array:
        return self._scaled(self._action(acting, obs))

    def stochastic(self, acting: Any, obs: Named, noise: Array) -> Array:
        """A sample [W, A] of the learned Gaussian, or else with noise of `noise_std`."""
        if self.config.loss == "squared":
            return self._scaled(self._action(acting, obs) + self.config.noise_std * noise)
        raw = self._raw(acting, obs) + jnp.exp(acting["params"]["log_std"]) * noise
        return self._scaled(squash(raw, self.config.squash))

    def _action(self, acting: Any, obs: Named) -> Array:
        return squash(self._raw(acting, obs), self.config.squash)

    def _raw(self, acting: Any, obs: Named) -> Array:
        params = acting["params"]
        return self.head(params, self.features(params, acting["statistics"], obs))

    def _scaled(self, action: Array) -> Array:
        return scale_action(jnp.clip(action, -1.0, 1.0), self._low, self._high)
