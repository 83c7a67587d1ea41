"""Proximal policy optimisation (Schulman et al. 2017), as `r2s_core.types.Algorithm`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax

from r2s_algos_common.checks import check_networks, critic_groups, finite_metrics
from r2s_algos_common.cloning import Aggregate
from r2s_algos_common.collect_and_learn import CollectAndLearn, own_buffers
from r2s_algos_common.demonstrations.clone import (
    check_observed,
    demonstrations_for,
    labelled,
    labelled_bytes,
    memory_note,
)
from r2s_algos_common.networks import mlp_layers
from r2s_algos_ppo.config import PPOConfig
from r2s_algos_ppo.learn import learn
from r2s_algos_ppo.model import Agent, Model
from r2s_core.device import check_memory
from r2s_core.errors import ConfigError
from r2s_core.rollout import rollout_bytes
from r2s_core.types import Array, Environment, EnvSpec, Named, pytree


@pytree
class Learner:
    """Everything needed to continue."""

    agent: Agent
    env_state: Any
    obs: Named  # leaves [W, ...]
    demonstrations: Aggregate | None = None  # what the cloning term imitates


def make(env: Environment[Any], config: PPOConfig) -> PPO:
    """The plugin's builder."""
    return PPO(env, config)


class PPO(CollectAndLearn[Learner, PPOConfig]):
    """One update: `num_steps` control steps of every world, then `num_epochs` passes over them."""

    def __init__(self, env: Environment[Any], config: PPOConfig) -> None:
        """Raises `ConfigError` where the options do not fit the environment or each other."""
        self.model = Model(env.spec, config, _check(env, config))
        _check_memory(env.spec, config, self.model)
        self._recorded = demonstrations_for(env, config, config.total_timesteps, "ppo")
        self.learns_from: tuple[str, ...] = ("rewards",)
        self.notes: tuple[str, ...] = ()
        if self._recorded is not None:
            check_observed(self._recorded, env.spec.policy_groups, "ppo")
            needed = labelled_bytes(env.spec, env.spec.policy_groups, self._recorded)
            self.learns_from = ("rewards", "demonstrations")
            self.notes = (memory_note(needed, len(self._recorded.label)),)
        super().__init__(env, config, config.num_steps, config.squash, self.model.readers["policy"])
        self._explore = self._piece(self.model.explore)
        self._learn = self._piece(partial(learn, self.model, config))

    def init(self, key: Array) -> Learner:
        agent_key, env_key = jax.random.split(key)
        agent, demonstrations = self.model.init(agent_key, self._recorded), None
        if self._recorded is not None:
            demonstrations = labelled(self.env.spec, self.reader.groups, self._recorded)
            agent = self.model.cloned(agent, demonstrations)
        if not self.config.cloning_coefficient:
            demonstrations = None
        return Learner(own_buffers(agent), *self._reset(env_key), demonstrations)

    # See `r2s_core.types.SavesPart`.

    def saved(self, learner: Learner) -> Learner:
        """The learner without the demonstrations, which are recorded or read again."""
        return dataclasses.replace(learner, demonstrations=None)

    def restored(self, saved: Learner, fresh: Learner) -> Learner:
        """The learner as it was, with the demonstrations of a fresh one."""
        return dataclasses.replace(saved, demonstrations=fresh.demonstrations)

    def _acting(self, agent: Agent) -> Any:
        return self.model.acting(agent)

    def _act(self, acting: Any, obs: Named, noise: Array) -> tuple[Array, Named]:
        return self.model.act(acting, obs, noise)

    def _act_deterministically(self, acting: Any, obs: Named, key: Array) -> Array:
        return self.model.deterministic(acting, obs)

    def _layers(self, agent: Agent) -> tuple[tuple[Any, Any], ...]:
        return mlp_layers(agent.params["policy"])

    def _encoders(self, agent: Agent) -> Mapping[str, Any]:
        return agent.params["policy"].get("encoders", {})

    def _collect_and_learn(self, learner: Learner) -> tuple[Learner, Named]:
        agent, noise = self._explore(learner.agent)
        env_state, obs, trajectory = self._collect(learner, self._acting(agent), noise)
        agent, metrics = self._learn(agent, trajectory, learner.demonstrations)
        return Learner(agent, env_state, obs, learner.demonstrations), metrics

    def _checked(self, metrics: Named) -> Named:
        return finite_metrics(metrics, "algorithms.ppo.learning_rate or max_learning_rate")


def _check(env: Environment[Any], config: PPOConfig) -> tuple[str, ...]:
    """Check the options; returns the observation groups that the critic reads."""
    spec = env.spec
    steps = config.num_steps * spec.num_worlds
    if steps % config.num_minibatches:
        raise ConfigError(
            f"algorithms.ppo.num_minibatches: {config.num_minibatches} does not divide the "
            f"{config.num_steps} steps x {spec.num_worlds} worlds = {steps} samples of an update"
        )
    finals = ("final_desired_kl", "final_entropy_coefficient", "final_discount")
    scheduled = next((name for name in finals if getattr(config, name) is not None), None)
    if config.learning_rate_schedule in ("linear", "cosine"):
        scheduled = f"learning_rate_schedule {config.learning_rate_schedule}"
    if scheduled and config.total_timesteps is None:
        raise ConfigError(
            f"algorithms.ppo: {scheduled} needs total_timesteps, where the schedule ends"
        )
    return critic_groups(spec, config.critic_observations, "ppo")


def _check_memory(spec: EnvSpec, config: PPOConfig, model: Model) -> None:
    check_memory(
        rollout_bytes(spec, config.num_steps),
        f"algorithms.ppo.num_steps: {config.num_steps:,} steps of {spec.num_worlds:,} worlds",
        "lower num_steps or environment.num_parallel_envs",
    )
    sizes = {name: reader.size for name, reader in model.readers.items()}
    critic = config.critic_hidden_sizes or config.hidden_sizes
    policy = sizes["policy"], config.hidden_sizes, spec.action_size
    check_networks("ppo", policy, (sizes["critic"], critic, 1))
