"""The loop of off-policy learning, around an actor-critic that says how to act and to learn."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Generic, Protocol, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from r2s_core.checks import finite_metrics
from r2s_core.metrics import rollout_metrics
from r2s_core.networks import scale_action
from r2s_core.normalize import (
    ReturnScale,
    RunningStatistics,
    init_return_scale,
    init_statistics,
    normalize,
    reward_scale,
    standard_deviation,
    update_return_scale,
    update_statistics,
)
from r2s_core.off_policy.config import OffPolicyConfig, sizes
from r2s_core.off_policy.replay import (
    Replay,
    check_memory,
    init_replay,
    insert,
    replay_bytes,
    sample,
)
from r2s_core.rollout import Trajectory, rollout
from r2s_core.types import Array, Environment, Named, Policy, PolicyExport, pytree

#: Normalised observations are clipped to +- this.
OBSERVATION_CLIP = 10.0

N = TypeVar("N")  # the networks, optimizers and counters of an actor-critic, a pytree


@pytree
class Batch:
    """Samples to learn from, as the networks read them; leaves [B, ...]."""

    observation: Array  # float32[B, n]
    critic_observation: Array  # float32[B, m]
    action: Array  # float32[B, A], in [-1, 1]
    reward: Array  # float32[B], the discounted sum of up to n rewards, scaled
    discount: Array  # float32[B], what the value of what follows counts
    next_observation: Array  # float32[B, n]
    next_critic_observation: Array  # float32[B, m]
    weight: Array  # float32[B], 0 for samples to leave out, else 1


class ActorCritic(Protocol[N]):
    """What tells one off-policy algorithm from another: pure functions of its networks `N`.

    Observations are normalised and actions lie in [-1, 1]; `progress`, float32[], is the share of
    the training that is done.
    """

    def init(self, key: Array) -> N:
        """Networks that have seen nothing. On the host."""
        ...

    def acting(self, networks: N, progress: Array) -> Any:
        """The part of the networks that acting takes."""
        ...

    def act(self, acting: Any, observation: Array, noise: Array) -> Array:
        """The action [W, A] to explore with, under standard normal noise [W, A]."""
        ...

    def mean(self, acting: Any, observation: Array) -> Array:
        """The deterministic action [W, A]."""
        ...

    def learn_critics(self, networks: N, batch: Batch, rate: Array, key: Array) -> tuple[N, Named]:
        """One gradient step of the critics and their targets at this learning rate; metrics
        float32[]."""
        ...

    def learn_policy(self, networks: N, batch: Batch, rate: Array, key: Array) -> tuple[N, Named]:
        """One gradient step of the policy and what belongs to it; metrics float32[]."""
        ...

    def layers(self, networks: N) -> tuple[tuple[Any, Any], ...]:
        """`PolicyExport.layers` of the deterministic policy, whose output passes through tanh."""
        ...


@pytree
class Agent:
    """What learning changes."""

    networks: Any
    statistics: Mapping[str, RunningStatistics]  # of the observation groups that are read
    returns: ReturnScale
    noise: Array  # float32[W, A], the last exploration noise
    updates: Array  # int32[], how many were made
    key: Array


@pytree
class Learner:
    """Everything needed to go on."""

    agent: Agent
    replay: Replay
    env_state: Any
    obs: Named  # leaves [W, ...]


class OffPolicy(Generic[N]):
    """See `r2s_core.types.Algorithm`. One update: a few control steps of every world into the
    replay buffer, then as many gradient steps as `update_to_data_ratio` says.

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
        self._low = jnp.asarray(env.spec.action_low, jnp.float32)
        self._high = jnp.asarray(env.spec.action_high, jnp.float32)
        self._act = jax.jit(self._act_worlds)
        self._explore = jax.jit(self._draw_noise)
        self._learn = jax.jit(self._learn_from, donate_argnums=(0, 1))
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
        networks = self.actor_critic.acting(agent.networks, self._progress(agent))
        return {"networks": networks, "statistics": {"policy": agent.statistics["policy"]}}

    def _act_worlds(self, acting: Any, obs: Named, noise: Array) -> tuple[Array, Named]:
        observation = self._normalize(acting["statistics"], "policy", obs["policy"])
        action = self.actor_critic.act(acting["networks"], observation, noise)
        return scale_action(action, self._low, self._high), {"action": action}

    def _act_deterministically(self, acting: Any, obs: Named, key: Array) -> Array:
        observation = self._normalize(acting["statistics"], "policy", obs["policy"])
        action = self.actor_critic.mean(acting["networks"], observation)
        return scale_action(action, self._low, self._high)

    def _act_stochastically(self, acting: Any, obs: Named, key: Array) -> Array:
        shape = (*obs["policy"].shape[:-1], self.env.spec.action_size)
        return self._act_worlds(acting, obs, jax.random.normal(key, shape))[0]

    def _draw_noise(self, agent: Agent) -> tuple[Agent, Array, Any]:
        """The noise of a rollout, float32[T, W, A], standard normal at each step, and who acts.

        With `noise_correlation` it is an AR(1) process in each world.
        """
        key, noise_key = jax.random.split(agent.key)
        noise = jax.random.normal(noise_key, (self.sizes.num_steps, *agent.noise.shape))
        correlation = self.config.noise_correlation
        if correlation > 0:

            def one(last: Array, fresh: Array) -> tuple[Array, Array]:
                last = correlation * last + math.sqrt(1 - correlation**2) * fresh
                return last, last

            _, noise = jax.lax.scan(one, agent.noise, noise)
        agent = dataclasses.replace(agent, key=key, noise=noise[-1])
        return agent, noise, self._acting(agent)

    # Learning.

    def _collect_and_learn(self, learner: Learner) -> tuple[Learner, Named]:
        agent, noise, acting = self._draw_noise(learner.agent)
        env_state, obs, trajectory = rollout(
            self.env,
            self._act_worlds,
            acting,
            learner.env_state,
            learner.obs,
            noise,
            self.sizes.num_steps,
        )
        agent, replay, metrics = self._learn_from(agent, learner.replay, trajectory)
        return Learner(agent, replay, env_state, obs), metrics

    def _scan_updates(self, learner: Learner, count: int) -> tuple[Learner, Named]:
        def one(learner: Learner, _: None) -> tuple[Learner, Named]:
            return self._collect_and_learn(learner)

        return jax.lax.scan(one, learner, length=count)

    def _drive(self, learner: Learner) -> tuple[Learner, Named]:
        """`_collect_and_learn` with the environment stepped from the host."""
        agent, noise, acting = self._explore(learner.agent)
        env_state, obs, trajectory = rollout(
            self.env,
            self._act,
            acting,
            learner.env_state,
            learner.obs,
            np.asarray(noise),  # a row of NumPy is a view; a row of JAX costs a dispatch a step
            self.sizes.num_steps,
        )
        agent, replay, metrics = self._learn(agent, learner.replay, trajectory)
        return Learner(agent, replay, env_state, obs), metrics

    def _learn_from(
        self, agent: Agent, replay: Replay, trajectory: Trajectory
    ) -> tuple[Agent, Replay, Named]:
        """Take the trajectory in, then learn, once there is enough to learn from."""
        step, config = trajectory.step, self.config
        reward = jnp.where(step.diverged, 0.0, step.reward)
        agent = dataclasses.replace(
            agent,
            statistics={
                group: update_statistics(x, trajectory.obs[group])
                for group, x in agent.statistics.items()
            },
            returns=update_return_scale(agent.returns, reward, step.done, config.discount),
            updates=agent.updates + 1,
        )
        replay = insert(replay, trajectory, trajectory.extras["action"])
        enough = jnp.maximum(-(-self.sizes.learning_starts // step.reward.shape[1]), config.n_step)
        key, learn_key = jax.random.split(agent.key)
        rate = self._learning_rate(agent)

        def learn(networks: N) -> tuple[N, Named]:
            return self._gradient_steps(agent, networks, replay, rate, learn_key)

        def wait(networks: N) -> tuple[N, Named]:
            metrics = jax.eval_shape(learn, networks)[1]
            return networks, {n: jnp.float32(1 if n == "finite" else jnp.nan) for n in metrics}

        networks, metrics = jax.lax.cond(replay.filled >= enough, learn, wait, agent.networks)
        metrics = {
            **metrics,
            "learning_rate": rate,
            "reward_scale": self._reward_scale(agent),
            "replay/transitions": (replay.filled * step.reward.shape[1]).astype(jnp.float32),
            **rollout_metrics(step),
        }
        return dataclasses.replace(agent, networks=networks, key=key), replay, metrics

    def _gradient_steps(
        self, agent: Agent, networks: N, replay: Replay, rate: Array, key: Array
    ) -> tuple[N, Named]:
        """`policy_delay` steps of the critics, then one of the policy, again and again."""
        learns, delay = self.actor_critic, self.config.policy_delay

        def critics(networks: N, key: Array) -> tuple[N, tuple[Batch, Named]]:
            sample_key, learn_key = jax.random.split(key)
            batch = self._batch(agent, replay, sample_key)
            networks, metrics = learns.learn_critics(networks, batch, rate, learn_key)
            return networks, (batch, metrics)

        def one(networks: N, key: Array) -> tuple[N, Named]:
            *first, last, policy_key = jax.random.split(key, delay + 1)
            for early in first:
                networks, _ = critics(networks, early)
            networks, (batch, metrics) = critics(networks, last)
            networks, more = learns.learn_policy(networks, batch, rate, policy_key)
            metrics = {**metrics, **more}
            finite = jnp.all(jnp.stack([jnp.isfinite(x) for x in metrics.values()]))
            return networks, {**metrics, "finite": finite.astype(jnp.float32)}

        keys = jax.random.split(key, self.sizes.gradient_steps // delay)
        networks, metrics = jax.lax.scan(one, networks, keys)
        return networks, {
            n: jnp.min(x) if n == "finite" else jnp.mean(x) for n, x in metrics.items()
        }

    def _batch(self, agent: Agent, replay: Replay, key: Array) -> Batch:
        config, group = self.config, self.critic_group
        samples = sample(replay, key, self.sizes.batch_size, config.n_step, config.discount)
        read = lambda group, obs: self._normalize(agent.statistics, group, obs[group])  # noqa: E731
        return Batch(
            observation=read("policy", samples.obs),
            critic_observation=read(group, samples.obs),
            action=samples.action,
            reward=samples.reward / self._reward_scale(agent),
            discount=samples.discount,
            next_observation=read("policy", samples.next_obs),
            next_critic_observation=read(group, samples.next_obs),
            weight=samples.weight,
        )

    def _normalize(
        self, statistics: Mapping[str, RunningStatistics], group: str, x: Array
    ) -> Array:
        if not self.config.normalize_observations:
            return jnp.clip(x, -OBSERVATION_CLIP, OBSERVATION_CLIP)
        return normalize(statistics[group], x, OBSERVATION_CLIP)

    def _reward_scale(self, agent: Agent) -> Array:
        return reward_scale(agent.returns) if self.config.normalize_rewards else jnp.float32(1.0)

    def _progress(self, agent: Agent) -> Array:
        total = self.config.total_timesteps or math.inf
        return jnp.minimum(agent.updates * (self.steps_per_update / total), 1.0)

    def _learning_rate(self, agent: Agent) -> Array:
        first, last = self.config.learning_rate, self.config.final_learning_rate
        if last is None:
            return jnp.float32(first)
        return first + self._progress(agent) * (last - first)

    def _checked(self, metrics: Named) -> Named:
        return finite_metrics(metrics, f"algorithms.{self.name}.learning_rate")


def _copy(tree: Any) -> Any:
    return jax.tree.map(jnp.copy, tree)
