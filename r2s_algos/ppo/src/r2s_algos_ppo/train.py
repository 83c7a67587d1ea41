"""Proximal policy optimisation (Schulman et al. 2017), as `r2s_core.types.Algorithm`."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from r2s_algos_common.checks import finite_metrics, network_groups
from r2s_algos_common.networks import learning_bytes, mlp_layers
from r2s_algos_common.normalize import standard_deviation
from r2s_algos_ppo.config import PPOConfig
from r2s_algos_ppo.learn import learn
from r2s_algos_ppo.model import OBSERVATION_CLIP, Agent, Model
from r2s_core.device import check_memory
from r2s_core.errors import ConfigError
from r2s_core.rollout import rollout, rollout_bytes
from r2s_core.types import Array, Environment, EnvSpec, Named, Policy, PolicyExport, pytree


@pytree
class Learner:
    """Everything needed to go on."""

    agent: Agent
    env_state: Any
    obs: Named  # leaves [W, ...]


def make(env: Environment[Any], config: PPOConfig) -> PPO:
    """The plugin's builder."""
    return PPO(env, config)


class PPO:
    """See `r2s_core.types.Algorithm`.

    On a traceable environment collecting and learning are one compiled function, and
    `update_many` compiles several updates into one. On a host-driven one only acting and
    learning are compiled.
    """

    def __init__(self, env: Environment[Any], config: PPOConfig) -> None:
        """Raises `ConfigError` where the options do not fit the environment or each other."""
        self.env, self.config = env, config
        self.steps_per_update = config.num_steps * env.spec.num_worlds
        self.model = Model(env.spec, config, _check(env, config))
        self._act = jax.jit(self.model.act)
        self._explore = jax.jit(self.model.explore)
        self._learn = jax.jit(self._learn_from)
        self._update = jax.jit(self._collect_and_learn, donate_argnums=0)
        self._update_many = jax.jit(self._scan_updates, donate_argnums=0, static_argnums=1)
        self._deterministic = jax.jit(self.model.deterministic)
        self._stochastic = jax.jit(self.model.stochastic)

    def init(self, key: Array) -> Learner:
        agent_key, env_key = jax.random.split(key)
        agent = self.model.init(agent_key)
        env_state, obs = self.env.reset(env_key)
        learner = Learner(agent, env_state, obs)
        # Donation wants every leaf to be a buffer of its own; an environment may share some.
        return jax.jit(_copy)(learner) if self.env.spec.traceable else learner

    def update(self, learner: Learner) -> tuple[Learner, Named]:
        """Collect `steps_per_update` samples and learn from them.

        On a traceable environment the learner given is used up: its buffers become the new one's.
        Raises `TrainingDiverged` where a loss or gradient is not finite.
        """
        if self.env.spec.traceable:
            learner, metrics = self._update(learner)
        else:
            learner, metrics = self._drive(learner)
        return learner, _checked(metrics)

    def update_many(self, learner: Learner, count: int) -> tuple[Learner, Named]:
        """`count` updates, compiled into one where the environment is traceable.

        As `update`; the metrics are float32[count], a row per update.
        """
        if self.env.spec.traceable:
            learner, metrics = self._update_many(learner, count)
            return learner, _checked(metrics)
        rows = []
        for _ in range(count):
            learner, row = self.update(learner)
            rows.append(row)
        return learner, jax.tree.map(lambda *x: np.stack(x), *rows)

    def policy(self, learner: Learner, deterministic: bool) -> Policy:
        """A pytree of weights that can be called: it passes through `jax.jit` as an argument."""
        function = self._deterministic if deterministic else self._stochastic
        return jax.tree_util.Partial(function, self.model.acting(learner.agent))

    def export(self, learner: Learner) -> PolicyExport:
        """The deterministic policy as host arrays."""
        statistics = learner.agent.statistics["policy"]
        mean, std = np.asarray(statistics.mean), np.asarray(standard_deviation(statistics))
        if not self.config.normalize_observations:
            mean, std = np.zeros_like(mean), np.ones_like(std)
        return PolicyExport(
            layers=mlp_layers(learner.agent.params["policy"]),
            activation=self.config.activation,
            observation_mean=mean,
            observation_std=std,
            observation_clip=OBSERVATION_CLIP,
            output=self.config.squash,
        )

    def _learn_from(self, agent: Agent, trajectory: Any) -> tuple[Agent, Named]:
        return learn(self.model, self.config, agent, trajectory)

    def _collect_and_learn(self, learner: Learner) -> tuple[Learner, Named]:
        agent, noise = self.model.explore(learner.agent)
        env_state, obs, trajectory = rollout(
            self.env,
            self.model.act,
            self.model.acting(agent),
            learner.env_state,
            learner.obs,
            noise,
            self.config.num_steps,
        )
        agent, metrics = self._learn_from(agent, trajectory)
        return Learner(agent, env_state, obs), metrics

    def _scan_updates(self, learner: Learner, count: int) -> tuple[Learner, Named]:
        def one(learner: Learner, _: None) -> tuple[Learner, Named]:
            return self._collect_and_learn(learner)

        return jax.lax.scan(one, learner, length=count)

    def _drive(self, learner: Learner) -> tuple[Learner, Named]:
        """`_collect_and_learn` with the environment stepped from the host."""
        agent, noise = self._explore(learner.agent)
        env_state, obs, trajectory = rollout(
            self.env,
            self._act,
            self.model.acting(agent),
            learner.env_state,
            learner.obs,
            np.asarray(noise),  # a row of NumPy is a view; a row of JAX costs a dispatch a step
            self.config.num_steps,
        )
        agent, metrics = self._learn(agent, trajectory)
        return Learner(agent, env_state, obs), metrics


def _copy(tree: Any) -> Any:
    return jax.tree.map(jnp.copy, tree)


def _checked(metrics: Named) -> Named:
    return finite_metrics(metrics, "algorithms.ppo.learning_rate or max_learning_rate")


def _check(env: Environment[Any], config: PPOConfig) -> str:
    """Refuse options that do not fit; returns the observation group that the critic reads."""
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
    policy = math.prod(spec.observation_shapes["policy"]), config.hidden_sizes, spec.action_size
    critic = config.critic_hidden_sizes or config.hidden_sizes
    check_memory(
        learning_bytes(*policy)
        + learning_bytes(math.prod(spec.observation_shapes[critic_group]), critic, 1),
        "algorithms.ppo.hidden_sizes: learning networks of these sizes",
        "lower them",
    )
