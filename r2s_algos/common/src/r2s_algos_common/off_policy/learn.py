"""From collected steps to better networks: pure functions, compiled by their callers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Generic

import jax
import jax.numpy as jnp

from r2s_algos_common.demonstrations.clone import Cloning, observed, warming_up
from r2s_algos_common.encoders.augment import augmented
from r2s_algos_common.encoders.reader import normalized
from r2s_algos_common.metrics import rollout_metrics
from r2s_algos_common.normalize import (
    ReturnScale,
    RunningStatistics,
    reward_scale,
    update_return_scale,
)
from r2s_algos_common.off_policy.actor_critic import ActorCritic, N
from r2s_algos_common.off_policy.batch import Batch
from r2s_algos_common.off_policy.config import OffPolicyConfig, Sizes
from r2s_algos_common.off_policy.demonstrated import Demonstrated
from r2s_algos_common.off_policy.replay import Replay, insert, sample
from r2s_algos_common.schedules import progress
from r2s_core.rollout import Trajectory
from r2s_core.types import Array, Named, pytree


@pytree
class Agent:
    """The state that learning changes."""

    networks: Any
    statistics: Mapping[str, RunningStatistics]  # of the observation groups that are read
    returns: ReturnScale
    noise: Array  # float32[W, A], the last exploration noise
    updates: Array  # int32[], number of updates so far
    key: Array


class Learning(Generic[N]):
    """Learning from collected steps. Holds no state."""

    def __init__(
        self,
        config: OffPolicyConfig,
        sizes: Sizes,
        steps_per_update: int,
        actor_critic: ActorCritic[N],
    ) -> None:
        self.config, self._sizes, self._steps_per_update = config, sizes, steps_per_update
        self._actor_critic = actor_critic
        self.cloning = Cloning(config, self._raw, "tanh")

    def learn(
        self, agent: Agent, replay: Replay, key: Array, demonstrations: Demonstrated | None = None
    ) -> tuple[Any, Named]:
        """The networks after an update's gradient steps; unchanged before `learning_starts`.

        The metric "happened" is 1 if there were any; otherwise the other metrics mean nothing.
        """
        enough = -(-self._sizes.learning_starts // replay.reward.shape[1])
        enough = max(enough, self.config.n_step + replay.held)
        rate = self._learning_rate(agent)

        # Jitted only to be traced once for the two branches: tracing takes a second.
        steps = jax.jit(self._gradient_steps)

        def learn(networks: N) -> tuple[N, Named]:
            networks, metrics = steps(agent, networks, replay, rate, key, demonstrations)
            return networks, {**metrics, "happened": jnp.float32(1.0)}

        def wait(networks: N) -> tuple[N, Named]:
            arguments = agent, networks, replay, rate, key, demonstrations
            metrics = jax.eval_shape(steps, *arguments)[1]
            metrics = {n: jnp.float32(n == "finite") for n in metrics}
            return networks, {**metrics, "happened": jnp.float32(0.0)}

        return jax.lax.cond(replay.filled >= enough, learn, wait, agent.networks)

    def take_in(
        self, agent: Agent, replay: Replay, trajectory: Trajectory
    ) -> tuple[Agent, Replay, Named]:
        """Statistics and buffer after adding a trajectory."""
        step = trajectory.step
        reward = jnp.where(step.diverged, 0.0, step.reward)
        discount, rate = self.config.discount, self._learning_rate(agent)
        agent = dataclasses.replace(
            agent,
            statistics=observed(agent.statistics, trajectory.obs, self.config),
            returns=update_return_scale(agent.returns, reward, step.done, discount),
            updates=agent.updates + 1,
        )
        replay = insert(replay, trajectory, trajectory.extras["action"])
        metrics = {
            "learning_rate": rate,
            "reward_scale": self._reward_scale(agent),
            "replay/transitions": (replay.filled * step.reward.shape[1]).astype(jnp.float32),
            **rollout_metrics(step),
        }
        return agent, replay, metrics

    def _gradient_steps(
        self,
        agent: Agent,
        networks: N,
        replay: Replay,
        rate: Array,
        key: Array,
        demonstrations: Demonstrated | None,
    ) -> tuple[N, Named]:
        """`policy_delay` steps of the critics, then one of the policy, repeatedly."""
        actor_critic, delay = self._actor_critic, self.config.policy_delay

        def critics(networks: N, x: tuple[Batch, Array]) -> tuple[N, Named]:
            return actor_critic.learn_critics(networks, x[0], rate, x[1])

        def one(networks: N, key: Array) -> tuple[N, Named]:
            sample_key, policy_key, *critic_keys = jax.random.split(key, 2 + delay)
            batches = self._batches(agent, replay, sample_key, demonstrations)
            # A scan, since every copy of the step in the program costs seconds to compile.
            networks, metrics = jax.lax.scan(critics, networks, (batches, jnp.stack(critic_keys)))
            # The policy learns on the critics' last batch, as published: with a batch of its own
            # TD3 learned more slowly (benchmarks/off_policy_standard.md).
            latest = jax.tree.map(lambda x: x[-1], batches)
            networks, more = self._learn_policy(
                agent, networks, latest, rate, policy_key, demonstrations
            )
            metrics = {**jax.tree.map(jnp.mean, metrics), **more}
            finite = jnp.all(jnp.stack([jnp.isfinite(x) for x in metrics.values()]))
            return networks, {**metrics, "finite": finite.astype(jnp.float32)}

        keys = jax.random.split(key, self._sizes.gradient_steps // delay)
        networks, metrics = jax.lax.scan(one, networks, keys)
        return networks, {
            n: jnp.min(x) if n == "finite" else jnp.mean(x) for n, x in metrics.items()
        }

    def _learn_policy(
        self,
        agent: Agent,
        networks: N,
        batch: Batch,
        rate: Array,
        key: Array,
        demonstrations: Demonstrated | None,
    ) -> tuple[N, Named]:
        """With the cloning term; a policy whose critics warm up stays as it is."""
        done = self.progress(agent)
        labelled = demonstrations.labelled if demonstrations else None
        term = self.cloning.term(
            agent.statistics, labelled, done, jax.random.fold_in(key, 0), self._sizes.batch_size
        )
        learned, metrics = self._actor_critic.learn_policy(networks, batch, rate, key, term)
        if not self.config.critic_warmup:
            return learned, metrics
        held = warming_up(self.config, done)
        kept = jax.tree.map(lambda old, new: jnp.where(held, old, new), networks, learned)
        return kept, metrics

    def _batches(
        self, agent: Agent, replay: Replay, key: Array, demonstrations: Demonstrated | None
    ) -> Batch:
        """`policy_delay` batches, leaves [policy_delay, B, ...], each with its share of
        demonstrations (Ball et al. 2023, "symmetric sampling")."""
        size, demonstrated = self._sizes.batch_size, self._sizes.demonstrated
        own = self._drawn(agent, replay, key, size - demonstrated)
        if demonstrations is None or demonstrations.transitions is None:
            return own
        key = jax.random.fold_in(key, 0)
        shown = self._drawn(agent, demonstrations.transitions, key, demonstrated)
        return jax.tree.map(lambda *x: jnp.concatenate(x, axis=1), own, shown)

    def _drawn(self, agent: Agent, replay: Replay, key: Array, size: int) -> Batch:
        """`policy_delay` batches of `size` samples."""
        config, shape = self.config, (self.config.policy_delay, size)
        samples = sample(replay, key, math.prod(shape), config.n_step, config.discount)
        read = [
            self.normalize(agent.statistics, self._augmented(obs, jax.random.fold_in(key, number)))
            for number, obs in enumerate((samples.obs, samples.next_obs), 1)
        ]
        batch = Batch(
            observation=read[0],
            action=samples.action,
            reward=samples.reward / self._reward_scale(agent),
            discount=samples.discount,
            next_observation=read[1],
            weight=samples.weight,
        )
        return jax.tree.map(lambda x: x.reshape(*shape, *x.shape[1:]), batch)

    def normalize(self, statistics: Mapping[str, RunningStatistics], obs: Named) -> Named:
        """Observation groups as the actor-critic takes them."""
        return normalized(statistics, obs, self.config.normalize_observations)

    def _augmented(self, obs: Named, key: Array) -> Named:
        images = sorted(name for name, x in obs.items() if x.ndim == 4)
        return augmented(self.config.image_encoder.augment, obs, images, key)

    def _raw(self, policy: Any, statistics: Mapping[str, RunningStatistics], obs: Named) -> Array:
        return self._actor_critic.raw(policy, self.normalize(statistics, obs))

    def _reward_scale(self, agent: Agent) -> Array:
        return reward_scale(agent.returns) if self.config.normalize_rewards else jnp.float32(1.0)

    def progress(self, agent: Agent) -> Array:
        return progress(agent.updates, self._steps_per_update, self.config.total_timesteps)

    def _learning_rate(self, agent: Agent) -> Array:
        first, last = self.config.learning_rate, self.config.final_learning_rate
        if last is None:
            return jnp.float32(first)
        return first + self.progress(agent) * (last - first)
