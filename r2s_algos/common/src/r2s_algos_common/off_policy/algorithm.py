"""The loop of off-policy learning, around an actor-critic that defines acting and learning."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Generic

import jax
import jax.numpy as jnp
import numpy as np

from r2s_algos_common.checks import check_networks, finite_metrics
from r2s_algos_common.collect_and_learn import CollectAndLearn, own_buffers
from r2s_algos_common.demonstrations.clone import (
    check_observed,
    demonstrations_for,
    first_statistics,
    labelled,
    memory_note,
)
from r2s_algos_common.metrics import where
from r2s_algos_common.noise import exploration_noise, first_noise
from r2s_algos_common.off_policy.actor_critic import ActorCritic, N
from r2s_algos_common.off_policy.config import OffPolicyConfig, Sizes, sizes
from r2s_algos_common.off_policy.demonstrated import (
    Demonstrated,
    check_transitions,
    demonstrated,
    demonstrated_bytes,
    first_returns,
)
from r2s_algos_common.off_policy.learn import Agent, Learning
from r2s_algos_common.off_policy.reading import Reading
from r2s_algos_common.off_policy.replay import Replay, check_memory, init_replay, replay_bytes
from r2s_core.errors import ConfigError
from r2s_core.policy.network import scale_action
from r2s_core.types import Array, Demonstrations, Environment, EnvSpec, Named, pytree


@pytree
class Learner:
    """Everything needed to continue."""

    agent: Agent
    replay: Replay
    env_state: Any
    obs: Named  # leaves [W, ...]
    demonstrations: Demonstrated | None = None


class OffPolicy(CollectAndLearn[Learner, OffPolicyConfig], Generic[N]):
    """The loop of every off-policy algorithm. One update: a few control steps of every world into
    the replay buffer and, on what the buffer held before, the gradient steps that
    `update_to_data_ratio` sets. Acting and learning overlap: the acting policy lags by one update.
    """

    def __init__(
        self,
        env: Environment[Any],
        config: OffPolicyConfig,
        actor_critic: ActorCritic[N],
        name: str,
        critic_groups: Sequence[str],
    ) -> None:
        """name: as in the YAML, for messages. critic_groups: what the critics read, from
        `checks.critic_groups`.

        Raises `ConfigError` where the options do not fit the environment, each other, or the
        memory.
        """
        self.sizes = sizes(config, env.spec.num_worlds, name)
        reading = actor_critic.reading
        super().__init__(env, config, self.sizes.num_steps, "tanh", reading.policy)
        self.actor_critic, self.name, self.critic_groups = actor_critic, name, critic_groups
        self._groups = tuple(sorted({*self.reader.groups, *critic_groups}))
        self._numbers = tuple(sorted({*self.reader.numbers, *reading.critic.numbers}))
        _check_rows(self.sizes, config, bool(self.reader.images), name)
        needed = replay_bytes(env.spec, self._groups, self.sizes.rows)
        transitions = self.sizes.rows * env.spec.num_worlds
        self.notes: tuple[str, ...] = (check_memory(needed, transitions, name),)
        self.learns_from: tuple[str, ...] = ("rewards",)
        self._recorded = demonstrations_for(env, config, config.total_timesteps, name)
        if self._recorded is not None:
            self.learns_from = ("rewards", "demonstrations")
            self.notes += (self._check_demonstrations(self._recorded),)
        _check_networks(env.spec, config, reading, name)
        self._low = jnp.asarray(env.spec.action_low, jnp.float32)
        self._high = jnp.asarray(env.spec.action_high, jnp.float32)
        self.learning = Learning(config, self.sizes, self.steps_per_update, actor_critic)
        self._explore = self._piece(self._draw_noise)
        self._learn = self._piece(self.learning.learn)
        self._take_in = self._piece(self.learning.take_in, donate=(0, 1))

    def init(self, key: Array) -> Learner:
        agent_key, network_key, noise_key, env_key = jax.random.split(key, 4)
        spec, recorded, shown = self.env.spec, self._recorded, None
        if recorded is not None:
            shown = own_buffers(demonstrated(spec, recorded, self.config, self._groups))
        transitions = shown.transitions if shown else None
        agent = Agent(
            networks=self.actor_critic.init(network_key),
            statistics=first_statistics(spec, self._numbers, recorded),
            returns=first_returns(spec.num_worlds, transitions, self.config.discount),
            noise=first_noise(noise_key, spec),
            updates=jnp.int32(0),
            key=agent_key,
        )
        replay = init_replay(spec, self._groups, self.sizes.rows)
        if recorded is not None:
            agent = self._cloned(agent, recorded)
        return Learner(own_buffers(agent), replay, *self._reset(env_key), shown)

    def _cloned(self, agent: Agent, recorded: Demonstrations) -> Agent:
        """The agent whose policy imitates the demonstrations, where the options say so."""
        if not self.config.cloning_steps:
            return agent
        key, clone_key = jax.random.split(agent.key)
        policy = self.learning.cloning.cloned(
            self.actor_critic.policy_of(agent.networks),
            agent.statistics,
            labelled(self.env.spec, self.reader.groups, recorded),
            clone_key,
        )
        networks = self.actor_critic.with_policy(agent.networks, policy)
        return dataclasses.replace(agent, networks=networks, key=key)

    def _check_demonstrations(self, recorded: Demonstrations) -> str:
        """A line on their memory; raises `ConfigError` where they lack something."""
        check_observed(recorded, self.reader.groups, self.name)
        if self.config.demonstration_share:
            check_transitions(recorded, self._groups, self.name)
        needed = demonstrated_bytes(self.env.spec, recorded, self.config, self._groups)
        return memory_note(needed, len(recorded.action))

    # See `r2s_core.types.SavesPart`.

    def saved(self, learner: Learner) -> Any:
        """The part of the learner that goes into a checkpoint: not the demonstrations, which are
        recorded or read again."""
        learner = dataclasses.replace(learner, demonstrations=None)
        if self.config.checkpoint_buffer:
            return learner
        return dataclasses.replace(learner, replay=None)

    @property
    def omits(self) -> str | None:
        """What a resumed run lacks."""
        return None if self.config.checkpoint_buffer else "the replay buffer, which starts empty"

    def restored(self, saved: Any, fresh: Learner) -> Learner:
        """The restored learner; a buffer that was not saved starts empty."""
        saved = dataclasses.replace(saved, demonstrations=fresh.demonstrations)
        if saved.replay is not None:
            return saved
        return dataclasses.replace(saved, replay=fresh.replay)

    # Acting.

    def _acting(self, agent: Agent) -> Any:
        networks = self.actor_critic.acting(agent.networks, self.learning.progress(agent))
        random_updates = -(-self.config.random_steps // self.steps_per_update)
        return {
            "networks": networks,
            "statistics": {name: agent.statistics[name] for name in self.reader.numbers},
            "random": agent.updates < random_updates,
        }

    def _act(self, acting: Any, obs: Named, noise: Array) -> tuple[Array, Named]:
        observation = self.learning.normalize(acting["statistics"], obs)
        action = self.actor_critic.act(acting["networks"], observation, noise)
        if self.config.random_steps:
            # The normal CDF maps standard normal noise to uniform noise.
            action = jnp.where(acting["random"], 2.0 * jax.scipy.special.ndtr(noise) - 1.0, action)
        return scale_action(action, self._low, self._high), {"action": action}

    def _act_deterministically(self, acting: Any, obs: Named, key: Array) -> Array:
        observation = self.learning.normalize(acting["statistics"], obs)
        action = self.actor_critic.mean(acting["networks"], observation)
        return scale_action(action, self._low, self._high)

    def _layers(self, agent: Agent) -> tuple[tuple[Any, Any], ...]:
        return self.actor_critic.layers(agent.networks)

    def _encoders(self, agent: Agent) -> Mapping[str, Any]:
        return self.actor_critic.policy_of(agent.networks).get("encoders", {})

    def _draw_noise(self, agent: Agent) -> tuple[Agent, Array, Array, Any]:
        """The noise of a rollout, float32[T, W, A], a key for learning, and the acting part."""
        key, noise_key, learn_key = jax.random.split(agent.key, 3)
        noise = exploration_noise(
            noise_key, agent.noise, self.sizes.num_steps, self.config.noise_correlation
        )
        agent = dataclasses.replace(agent, key=key, noise=noise[-1])
        return agent, noise, learn_key, self._acting(agent)

    # Learning.

    def _collect_and_learn(self, learner: Learner) -> tuple[Learner, Any]:
        agent, noise, learn_key, acting = self._explore(learner.agent)
        # JAX computes in the background: learning goes on while worlds are stepped on the host.
        networks, learned = self._learn(agent, learner.replay, learn_key, learner.demonstrations)
        env_state, obs, trajectory = self._collect(learner, acting, noise)
        agent = dataclasses.replace(agent, networks=networks)
        agent, replay, collected = self._take_in(agent, learner.replay, trajectory)
        learner = Learner(agent, replay, env_state, obs, learner.demonstrations)
        return learner, {"learning": learned, **collected}

    def _checked(self, metrics: Any) -> Named:
        """The metrics; those of learning are NaN where there was not enough to learn from."""
        collected = dict(metrics)
        learned = dict(collected.pop("learning"))
        happened = np.asarray(learned.pop("happened")) > 0
        measured: dict[str, Any] = {
            n: x if n == "finite" else where(happened, x) for n, x in learned.items()
        }
        return finite_metrics({**measured, **collected}, f"algorithms.{self.name}.learning_rate")


def _check_rows(sizes: Sizes, config: OffPolicyConfig, images: bool, name: str) -> None:
    """With images what follows a step is read from the next row, so there must be one more."""
    if images and sizes.rows <= config.n_step:
        raise ConfigError(
            f"algorithms.{name}: a buffer of {sizes.rows} control steps is too small for n_step "
            f"({config.n_step}) with images; raise buffer_size"
        )


def _check_networks(spec: EnvSpec, config: OffPolicyConfig, reading: Reading, name: str) -> None:
    policy = reading.policy.size, config.hidden_sizes, spec.action_size
    inputs = reading.critic.size + spec.action_size
    hidden = config.critic_hidden_sizes or config.hidden_sizes
    critic = inputs, hidden, config.num_atoms or 1
    check_networks(name, policy, critic, critic)
