"""Behaviour cloning and DAgger (Ross, Gordon and Bagnell 2011), as `r2s_core.types.Algorithm`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from r2s_algos_bc.config import BCConfig
from r2s_algos_bc.learn import expert_share, learn
from r2s_algos_bc.model import Agent, Model
from r2s_algos_common.checks import check_networks, finite_metrics, policy_groups
from r2s_algos_common.cloning import Aggregate, aggregate_bytes, check_expert, init_aggregate
from r2s_algos_common.collect_and_learn import CollectAndLearn, own_buffers
from r2s_algos_common.demonstrations.clone import check_observed, labelled
from r2s_algos_common.metrics import where
from r2s_algos_common.networks import mlp_layers
from r2s_algos_common.schedules import progress
from r2s_core.device import check_memory, size_text
from r2s_core.errors import ConfigError, R2SError
from r2s_core.policy.saved import action_names
from r2s_core.rollout import rollout_bytes
from r2s_core.suggest import did_you_mean
from r2s_core.types import (
    Array,
    Environment,
    EnvSpec,
    Named,
    demonstrations_of,
    pytree,
)

#: The largest aggregate that null options give, in samples.
_LARGEST = 2**20


@pytree
class Learner:
    """Everything needed to continue."""

    agent: Agent
    aggregate: Aggregate
    env_state: Any
    obs: Named  # leaves [W, ...]


def make(env: Environment[Any], config: BCConfig) -> BC:
    """The plugin's builder."""
    return BC(env, config)


class BC(CollectAndLearn[Learner, BCConfig]):
    """One update: `num_steps` control steps of every world, in which the expert or the policy acts
    and which the expert labels, then `num_batches` gradient steps on all labels so far.

    With the expert acting throughout it is behaviour cloning, with noise on its actions DART
    (Laskey et al. 2017), and with the policy taking over DAgger.

    Where the environment has recorded demonstrations, it learns from these alone: then the control
    steps only tell how good the policy is.
    """

    learns_from = ("expert", "demonstrations")

    def __init__(self, env: Environment[Any], config: BCConfig) -> None:
        """Raises `ConfigError` where the options do not fit the environment or the memory."""
        groups = policy_groups(env.spec, "bc")
        recorded = demonstrations_of(env)
        if recorded is None:
            check_expert(env.spec, "bc")
        else:
            check_observed(recorded, groups + ("critic",) * bool(config.auxiliary), "bc")
        _check_schedules(config, asks=recorded is None)
        self._size = len(recorded.label) if recorded else _aggregate_size(env.spec, config)
        auxiliary = _auxiliary(env.spec, config)
        self.model = Model(env.spec, config, _decisive(env.spec, config), recorded, auxiliary)
        self.notes = (self._check_memory(env.spec, config),)
        super().__init__(env, config, config.num_steps, config.squash, self.model.reader)
        self._explore = self._piece(self._draw)
        self._learn = self._piece(partial(learn, self.model, config), donate=(1,))

    def init(self, key: Array) -> Learner:
        agent_key, env_key = jax.random.split(key)
        agent, model = own_buffers(self.model.init(agent_key)), self.model
        groups, recorded = model.reader.groups, model.recorded
        if recorded is None:
            size = len(model.auxiliary)
            aggregate = init_aggregate(self.env.spec, groups, self._size, size)
        else:
            target = model.target(recorded.obs)
            aggregate = labelled(self.env.spec, groups, recorded, target)
        return Learner(agent, aggregate, *self._reset(env_key))

    # See `r2s_core.types.SavesPart`.

    def saved(self, learner: Learner) -> Any:
        """Recorded demonstrations are read again, so they are not saved."""
        if self.config.checkpoint_buffer and self.model.recorded is None:
            return learner
        return dataclasses.replace(learner, aggregate=None)

    @property
    def omits(self) -> str | None:
        """What a resumed run lacks."""
        if self.config.checkpoint_buffer or self.model.recorded is not None:
            return None
        return "the labelled samples, which are collected anew"

    def restored(self, saved: Any, fresh: Learner) -> Learner:
        """The restored learner; samples that were not saved start empty."""
        if saved.aggregate is not None:
            return saved
        return dataclasses.replace(saved, aggregate=fresh.aggregate)

    # How to act.

    def _acting(self, agent: Agent) -> Any:
        return self.model.acting(agent)

    def _act(self, acting: Any, obs: Named, noise: Array) -> tuple[Array, Named]:
        return self.model.act(acting, obs, noise)

    def _act_deterministically(self, acting: Any, obs: Named, key: Array) -> Array:
        return self.model.deterministic(acting, obs)

    def _act_stochastically(self, acting: Any, obs: Named, key: Array) -> Array:
        shape = (*self.reader.leading(obs), self.env.spec.action_size)
        return self.model.stochastic(acting, obs, jax.random.normal(key, shape, jnp.float32))

    def _layers(self, agent: Agent) -> tuple[tuple[Any, Any], ...]:
        return mlp_layers(agent.params["policy"])

    def _encoders(self, agent: Agent) -> Mapping[str, Any]:
        return agent.params.get("encoders", {})

    def _draw(self, agent: Agent) -> tuple[Agent, Any, Array]:
        done = progress(agent.updates, self.steps_per_update, self.config.total_timesteps)
        return self.model.explore(agent, expert_share(self.config, done))

    def _collect_and_learn(self, learner: Learner) -> tuple[Learner, Named]:
        agent, acting, noise = self._explore(learner.agent)
        env_state, obs, trajectory = self._collect(learner, acting, noise)
        agent, aggregate, metrics = self._learn(agent, learner.aggregate, trajectory)
        return Learner(agent, aggregate, env_state, obs), metrics

    def _check_memory(self, spec: EnvSpec, config: BCConfig) -> str:
        """A line on the aggregate's memory; raises `ConfigError` where something does not fit."""
        check_memory(
            rollout_bytes(spec, config.num_steps),
            f"algorithms.bc.num_steps: {config.num_steps:,} steps of {spec.num_worlds:,} worlds",
            "lower num_steps or environment.num_parallel_envs",
        )
        reader, size = self.model.reader, self._size
        needed = aggregate_bytes(spec, reader.groups, size, len(self.model.auxiliary))
        what = f"{size:,} labelled samples"
        check_memory(needed, f"algorithms.bc.buffer_size: an aggregate of {what}", "lower it")
        check_networks("bc", (reader.size, config.hidden_sizes, spec.action_size))
        return f"aggregate: {what}, {size_text(needed)}"

    def _checked(self, metrics: Named) -> Named:
        """The metrics; an agreement over no action is NaN."""
        metrics = dict(metrics)
        if not np.all(np.asarray(metrics.pop("finite_labels", 1.0)) == 1.0):
            raise R2SError(
                "demonstrations: the expert's action in some state is not a finite number; correct "
                "its method `expert`"
            )
        checked = dict(finite_metrics(metrics, "algorithms.bc.learning_rate"))
        decisive = np.asarray(checked["decisive_actions"])
        if not self.model.asks:
            return checked
        of = {"error": decisive < self.env.spec.action_size, "sign": decisive > 0}
        for name, measured in of.items():
            checked[f"agreement/{name}"] = where(measured, checked[f"agreement/{name}"])
        return checked


def _check_schedules(config: BCConfig, asks: bool) -> None:
    scheduled = None
    if config.learning_rate_schedule != "constant":
        scheduled = f"learning_rate_schedule {config.learning_rate_schedule}"
    elif asks and config.expert_share != config.final_expert_share and config.expert_until > 0:
        scheduled = "expert_until"
    if scheduled and config.total_timesteps is None:
        raise ConfigError(
            f"algorithms.bc: {scheduled} needs total_timesteps, where the schedule ends"
        )


def _decisive(spec: EnvSpec, config: BCConfig) -> Array | None:
    """bool[A] of the actions that are named; None: found from the labels."""
    names, chosen = action_names(spec), config.decisive_actions
    if chosen == "auto":
        return None
    chosen = () if chosen == "none" else chosen
    for name in chosen:
        if name not in names:
            hint = did_you_mean(name, ["auto", "none", *names])
            raise ConfigError(
                f"algorithms.bc.decisive_actions: there is no action '{name}'{hint}; there are "
                f"{', '.join(names)}"
            )
    return jnp.asarray([name in chosen for name in names])


def _auxiliary(spec: EnvSpec, config: BCConfig) -> tuple[int, ...]:
    """Which numbers of the group "critic" the options name."""
    group = spec.observations.get("critic")
    names = group.names if group else ()
    for name in config.auxiliary:
        if name not in names:
            there = f"it has {', '.join(names)}" if names else "the environment has none by name"
            raise ConfigError(
                f"algorithms.bc.auxiliary: the observation group 'critic' has no number '{name}'"
                f"{did_you_mean(name, names)}; {there}"
            )
    return tuple(names.index(name) for name in config.auxiliary)


def _aggregate_size(spec: EnvSpec, config: BCConfig) -> int:
    """Samples that the aggregate holds: a multiple of those of an update."""
    per_update = config.num_steps * spec.num_worlds
    size = config.buffer_size or min(config.total_timesteps or _LARGEST, _LARGEST)
    return -(-size // per_update) * per_update
