"""The loop of off-policy learning, around an actor-critic that says how to act and to learn."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Generic

import jax
import jax.numpy as jnp
import numpy as np

from r2s_algos_common.checks import finite_metrics
from r2s_algos_common.metrics import where
from r2s_algos_common.networks import learning_bytes
from r2s_algos_common.noise import exploration_noise
from r2s_algos_common.normalize import init_return_scale, init_statistics, standard_deviation
from r2s_algos_common.off_policy.actor_critic import ActorCritic, N
from r2s_algos_common.off_policy.config import OffPolicyConfig, sizes
from r2s_algos_common.off_policy.learn import OBSERVATION_CLIP, Agent, Learning
from r2s_algos_common.off_policy.replay import Replay, check_memory, init_replay, replay_bytes
from r2s_core import device
from r2s_core.policy.network import scale_action
from r2s_core.rollout import rollout
from r2s_core.types import Array, Environment, EnvSpec, Named, Policy, PolicyExport, pytree


@pytree
class Learner:
    """Everything needed to go on."""

    agent: Agent
    replay: Replay
    env_state: Any
    obs: Named  # leaves [W, ...]


class OffPolicy(Generic[N]):
    """See `r2s_core.types.Algorithm`. One update: a few control steps of every world into the
    replay buffer and, from what the buffer held before, as many gradient steps as
    `update_to_data_ratio` says. Neither waits for the other: who acts is one update old.

    On a traceable environment all of it is one compiled function; on a host-driven one acting
    and learning are compiled. The learner given to `update` is used up: its buffers become the
    new one's.
    """

    def __init__(
        self,
        env: Environment[Any],
        config: OffPolicyConfig,
        actor_critic: ActorCritic[N],
        name: str,
        critic_group: str,
    ) -> None:
        """name: as in the YAML, for messages. critic_group: what the critics read, as
        `network_groups` says.

        Raises `ConfigError` where the options do not fit the environment, each other, or the
        memory.
        """
        self.env, self.config, self.actor_critic, self.name = env, config, actor_critic, name
        self.sizes = sizes(config, env.spec.num_worlds, name)
        self.steps_per_update = self.sizes.num_steps * env.spec.num_worlds
        self.critic_group = critic_group
        self._groups = tuple(sorted({"policy", critic_group}))
        needed = replay_bytes(env.spec, self._groups, self.sizes.rows)
        transitions = self.sizes.rows * env.spec.num_worlds
        self.notes = (check_memory(needed, transitions, name),)
        _check_networks(env.spec, config, critic_group, name)
        self._low = jnp.asarray(env.spec.action_low, jnp.float32)
        self._high = jnp.asarray(env.spec.action_high, jnp.float32)
        self.learning = Learning(
            config, self.sizes, self.steps_per_update, actor_critic, critic_group
        )
        self._act = jax.jit(self._act_worlds)
        self._explore = jax.jit(self._draw_noise)
        self._learn = jax.jit(self.learning.learn)
        self._take_in = jax.jit(self.learning.take_in, donate_argnums=(0, 1))
        self._update = jax.jit(self._collect_and_learn, donate_argnums=0)
        self._update_many = jax.jit(self._scan_updates, donate_argnums=0, static_argnums=1)
        self._deterministic = jax.jit(self._act_deterministically)
        self._stochastic = jax.jit(self._act_stochastically)

    def init(self, key: Array) -> Learner:
        agent_key, network_key, noise_key, env_key = jax.random.split(key, 4)
        spec = self.env.spec
        # On the host: every generator that JAX compiles costs a tenth of a second.
        noise_rng = np.random.default_rng(np.asarray(jax.random.key_data(noise_key)))
        noise = noise_rng.standard_normal((spec.num_worlds, spec.action_size), np.float32)
        agent = Agent(
            networks=self.actor_critic.init(network_key),
            statistics={g: init_statistics(spec.observation_shapes[g]) for g in self._groups},
            returns=init_return_scale(spec.num_worlds),
            noise=jax.device_put(noise),
            updates=jnp.int32(0),
            key=agent_key,
        )
        replay = init_replay(spec, self._groups, self.sizes.rows)
        env_state, obs = self.env.reset(env_key)
        # Donation wants every leaf to be a buffer of its own; some are shared.
        agent = jax.jit(_copy)(agent)
        if spec.traceable:
            env_state, obs = jax.jit(_copy)((env_state, obs))
        return Learner(agent, replay, env_state, obs)

    def update(self, learner: Learner) -> tuple[Learner, Named]:
        """Collect `steps_per_update` samples and learn from the buffer.

        Raises `TrainingDiverged` where a loss or gradient is not finite.
        """
        if self.env.spec.traceable:
            learner, metrics = self._update(learner)
        else:
            learner, metrics = self._drive(learner)
        return learner, self._checked(metrics)

    def update_many(self, learner: Learner, count: int) -> tuple[Learner, Named]:
        """`count` updates, compiled into one where the environment is traceable.

        As `update`; the metrics are float32[count], a row per update.
        """
        if self.env.spec.traceable:
            learner, metrics = self._update_many(learner, count)
            return learner, self._checked(metrics)
        rows = []
        for _ in range(count):
            learner, row = self.update(learner)
            rows.append(row)
        return learner, jax.tree.map(lambda *x: np.stack(x), *rows)

    def policy(self, learner: Learner, deterministic: bool) -> Policy:
        """A pytree of weights that can be called: it passes through `jax.jit` as an argument."""
        function = self._deterministic if deterministic else self._stochastic
        return jax.tree_util.Partial(function, self._acting(learner.agent))

    def export(self, learner: Learner) -> PolicyExport:
        """The deterministic policy as host arrays."""
        statistics = learner.agent.statistics["policy"]
        mean, std = np.asarray(statistics.mean), np.asarray(standard_deviation(statistics))
        if not self.config.normalize_observations:
            mean, std = np.zeros_like(mean), np.ones_like(std)
        return PolicyExport(
            layers=self.actor_critic.layers(learner.agent.networks),
            activation=self.config.activation,
            observation_mean=mean,
            observation_std=std,
            observation_clip=OBSERVATION_CLIP,
            output="tanh",
        )

    # See `r2s_core.types.SavesPart`.

    def saved(self, learner: Learner) -> Any:
        """What of the learner goes into a checkpoint."""
        if self.config.checkpoint_buffer:
            return learner
        return dataclasses.replace(learner, replay=None)

    def restored(self, saved: Any, fresh: Learner) -> Learner:
        """The learner again; a buffer that was not saved starts empty."""
        if saved.replay is not None:
            return saved
        return dataclasses.replace(saved, replay=fresh.replay)

    # Acting.

    def _acting(self, agent: Agent) -> Any:
        networks = self.actor_critic.acting(agent.networks, self.learning.progress(agent))
        random_updates = -(-self.config.random_steps // self.steps_per_update)
        return {
            "networks": networks,
            "statistics": {"policy": agent.statistics["policy"]},
            "random": agent.updates < random_updates,
        }

    def _act_worlds(self, acting: Any, obs: Named, noise: Array) -> tuple[Array, Named]:
        observation = self.learning.normalize(acting["statistics"], "policy", obs["policy"])
        action = self.actor_critic.act(acting["networks"], observation, noise)
        if self.config.random_steps:
            # What is standard normal is uniform by its own distribution function.
            action = jnp.where(acting["random"], 2.0 * jax.scipy.special.ndtr(noise) - 1.0, action)
        return scale_action(action, self._low, self._high), {"action": action}

    def _act_deterministically(self, acting: Any, obs: Named, key: Array) -> Array:
        observation = self.learning.normalize(acting["statistics"], "policy", obs["policy"])
        action = self.actor_critic.mean(acting["networks"], observation)
        return scale_action(action, self._low, self._high)

    def _act_stochastically(self, acting: Any, obs: Named, key: Array) -> Array:
        shape = (*obs["policy"].shape[:-1], self.env.spec.action_size)
        return self._act_worlds(acting, obs, jax.random.normal(key, shape, jnp.float32))[0]

    def _draw_noise(self, agent: Agent) -> tuple[Agent, Array, Array, Any]:
        """The noise of a rollout, float32[T, W, A], a key to learn with, and who acts."""
        key, noise_key, learn_key = jax.random.split(agent.key, 3)
        noise = exploration_noise(
            noise_key, agent.noise, self.sizes.num_steps, self.config.noise_correlation
        )
        agent = dataclasses.replace(agent, key=key, noise=noise[-1])
        return agent, noise, learn_key, self._acting(agent)

    # Updates.

    def _collect_and_learn(self, learner: Learner) -> tuple[Learner, Any]:
        agent, noise, learn_key, acting = self._draw_noise(learner.agent)
        networks, learned = self.learning.learn(agent, learner.replay, learn_key)
        env_state, obs, trajectory = rollout(
            self.env,
            self._act_worlds,
            acting,
            learner.env_state,
            learner.obs,
            noise,
            self.sizes.num_steps,
        )
        agent = dataclasses.replace(agent, networks=networks)
        agent, replay, collected = self.learning.take_in(agent, learner.replay, trajectory)
        return Learner(agent, replay, env_state, obs), {"learning": learned, **collected}

    def _scan_updates(self, learner: Learner, count: int) -> tuple[Learner, Any]:
        def one(learner: Learner, _: None) -> tuple[Learner, Any]:
            return self._collect_and_learn(learner)

        return jax.lax.scan(one, learner, length=count)

    def _drive(self, learner: Learner) -> tuple[Learner, Any]:
        """`_collect_and_learn` with the environment stepped from the host.

        JAX computes in the background, so that learning goes on while the worlds are stepped.
        """
        agent, noise, learn_key, acting = self._explore(learner.agent)
        networks, learned = self._learn(agent, learner.replay, learn_key)
        env_state, obs, trajectory = rollout(
            self.env,
            self._act,
            acting,
            learner.env_state,
            learner.obs,
            np.asarray(noise),  # a row of NumPy is a view; a row of JAX costs a dispatch a step
            self.sizes.num_steps,
        )
        agent = dataclasses.replace(agent, networks=networks)
        agent, replay, collected = self._take_in(agent, learner.replay, trajectory)
        return Learner(agent, replay, env_state, obs), {"learning": learned, **collected}

    def _checked(self, metrics: Any) -> Named:
        """The metrics; those of learning are NaN where there was not enough to learn from."""
        collected = dict(metrics)
        learned = dict(collected.pop("learning"))
        happened = np.asarray(learned.pop("happened")) > 0
        told: dict[str, Any] = {
            n: x if n == "finite" else where(happened, x) for n, x in learned.items()
        }
        return finite_metrics({**told, **collected}, f"algorithms.{self.name}.learning_rate")


def _check_networks(spec: EnvSpec, config: OffPolicyConfig, critic_group: str, name: str) -> None:
    policy = math.prod(spec.observation_shapes["policy"]), config.hidden_sizes, spec.action_size
    inputs = math.prod(spec.observation_shapes[critic_group]) + spec.action_size
    critic = config.critic_hidden_sizes or config.hidden_sizes
    device.check_memory(
        learning_bytes(*policy) + 2 * learning_bytes(inputs, critic, config.num_atoms or 1),
        f"algorithms.{name}.hidden_sizes: learning networks of these sizes",
        "lower them",
    )


def _copy(tree: Any) -> Any:
    return jax.tree.map(jnp.copy, tree)
