"""Proximal policy optimisation (Schulman et al. 2017), as `r2s_core.types.Algorithm`."""

from __future__ import annotations

import dataclasses
import math
from functools import partial
from typing import Any

import jax

from r2s_algos_common.checks import check_networks, finite_metrics, network_groups
from r2s_algos_common.cloning import Aggregate
from r2s_algos_common.collect_and_learn import CollectAndLearn, own_buffers
from r2s_algos_common.demonstrations.clone import (
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
        self._recorded = demonstrations_for(env, config, config.total_timesteps, "ppo")
        self.learns_from: tuple[str, ...] = ("rewards",)
        self.notes: tuple[str, ...] = ()
        if self._recorded is not None:
            needed = labelled_bytes(env.spec, ("policy",), self._recorded)
            self.learns_from = ("rewards", "demonstrations")
            self.notes = (memory_note(needed, len(self._recorded.label)),)
        super().__init__(env, config, config.num_steps, config.squash)
        self._explore = self._piece(self.model.explore)
        self._learn = self._piece(partial(learn, self.model, config))

    def init(self, key: Array) -> Learner:
        agent_key, env_key = jax.random.split(key)
        agent, demonstrations = self.model.init(agent_key, self._recorded), None
        if self._recorded is not None:
            demonstrations = labelled(self.env.spec, ("policy",), self._recorded)
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

    def _collect_and_learn(self, learner: Learner) -> tuple[Learner, Named]:
        agent, noise = self._explore(learner.agent)
        env_state, obs, trajectory = self._collect(learner, self._acting(agent), noise)
        agent, metrics = self._learn(agent, trajectory, learner.demonstrations)
        return Learner(agent, env_state, obs, learner.demonstrations), metrics

    def _checked(self, metrics: Named) -> Named:
        return finite_metrics(metrics, "algorithms.ppo.learning_rate or max_learning_rate")


def _check(env: Environment[Any], config: PPOConfig) -> str:
    """Check the options; returns the observation group that the critic reads."""
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
    critic_group = network_groups(spec, config.critic_observations, "ppo")
    _check_memory(spec, config, critic_group)
    return critic_group


def _check_memory(spec: EnvSpec, config: PPOConfig, critic_group: str) -> None:
    check_memory(
        rollout_bytes(spec, config.num_steps),
        f"algorithms.ppo.num_steps: {config.num_steps:,} steps of {spec.num_worlds:,} worlds",
        "lower num_steps or environment.num_parallel_envs",
    )
    policy = math.prod(spec.observations["policy"].shape), config.hidden_sizes, spec.action_size
    critic = config.critic_hidden_sizes or config.hidden_sizes
    check_networks("ppo", policy, (math.prod(spec.observations[critic_group].shape), critic, 1))
