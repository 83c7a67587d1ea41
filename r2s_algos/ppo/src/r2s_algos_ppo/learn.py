"""From a trajectory to a better agent: one pure function, compiled once."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax

from r2s_algos_common.cloning import Aggregate
from r2s_algos_common.demonstrations.clone import warming_up, with_term
from r2s_algos_common.metrics import rollout_metrics
from r2s_algos_common.normalize import reward_scale, update_return_scale
from r2s_algos_common.schedules import falling_to_zero, progress
from r2s_algos_ppo.config import PPOConfig
from r2s_algos_ppo.losses import (
    Batch,
    compute_gae,
    explained_variance,
    ppo_loss,
    standardize,
)
from r2s_algos_ppo.model import Agent, Model
from r2s_core.rollout import Trajectory
from r2s_core.types import Array, Named


def learn(
    model: Model,
    config: PPOConfig,
    agent: Agent,
    trajectory: Trajectory,
    demonstrations: Aggregate | None = None,
) -> tuple[Agent, Named]:
    """One update from T control steps of W worlds, leaves [T, W, ...].

    demonstrations: what the cloning term imitates, if the options have one.

    Returns:
      The agent, and the metrics, float32[]. "finite" is 1 where every loss and gradient was.
    """
    size = trajectory.step.reward.size
    done = progress(agent.updates, size, config.total_timesteps)
    acted = agent.statistics
    agent, batch, reward_size = prepare(model, config, agent, trajectory, discount_at(config, done))
    key, shuffle_key = jax.random.split(agent.key)
    old_log_std = agent.params["log_std"]

    def one(
        carry: tuple[Any, Any, Array], x: tuple[Array, Array]
    ) -> tuple[tuple[Any, Any, Array], Named]:
        (params, state, rate), (number, samples) = carry, x
        minibatch = jax.tree.map(lambda x: x[samples], batch)
        clone_key = jax.random.fold_in(shuffle_key, number)
        term = model.cloning.term(acted, demonstrations, done, clone_key, len(samples))

        def size_of(params: Any) -> tuple[Array, Named]:
            found = ppo_loss(
                params, old_log_std, minibatch, model.apply, config, entropy_coefficient
            )
            return with_term(term, params["policy"], *found)

        (loss, metrics), gradient = jax.value_and_grad(size_of, has_aux=True)(params)
        if config.learning_rate_schedule == "adaptive":
            # At the first minibatch the policy is the one that acted: its KL is rounding error.
            adapted = adapt_learning_rate(rate, metrics["kl"], desired, config)
            rate = jnp.where((number > 0) & ~held, adapted, rate)
        before = params
        params, state = model.optimizer.step(params, state, gradient, rate)
        params["log_std"] = jnp.clip(params["log_std"], config.min_log_std, config.max_log_std)
        if config.critic_warmup:
            # Adam goes on measuring the policy's gradients, so that its first steps will be sized.
            kept = {**before, "critic": params["critic"]}
            params = jax.tree.map(lambda old, new: jnp.where(held, old, new), kept, params)
        norm = optax.tree.norm(gradient)
        finite = (jnp.isfinite(loss) & jnp.isfinite(norm)).astype(jnp.float32)
        return (params, state, rate), {**metrics, "grad_norm": norm, "finite": finite}

    held = warming_up(config, done)
    rate = learning_rate(agent, config, done)
    desired = falling(config.desired_kl, config.final_desired_kl, done)
    entropy_coefficient = falling(
        config.entropy_coefficient, config.final_entropy_coefficient, done
    )
    samples = minibatches(shuffle_key, size, config)
    carry = (agent.params, agent.optimizer, rate)
    numbered = (jnp.arange(len(samples)), samples)
    (params, optimizer_state, rate), metrics = jax.lax.scan(one, carry, numbered)
    metrics = {name: jnp.min(x) if name == "finite" else jnp.mean(x) for name, x in metrics.items()}
    metrics |= {
        "learning_rate": rate,
        "action_std": jnp.mean(jnp.exp(params["log_std"])),
        "explained_variance": explained_variance(batch.value, batch.target, batch.weight),
        "reward_scale": reward_size,
        **rollout_metrics(trajectory.step),
    }
    agent = dataclasses.replace(
        agent,
        params=params,
        optimizer=optimizer_state,
        learning_rate=rate,
        updates=agent.updates + 1,
        key=key,
    )
    return agent, metrics


def prepare(
    model: Model, config: PPOConfig, agent: Agent, trajectory: Trajectory, discount: Array
) -> tuple[Agent, Batch, Array]:
    """The samples to learn from, the agent with updated statistics, and the divisor of rewards."""
    step, valid = trajectory.step, ~trajectory.step.diverged
    # The critic's observations are normalised by statistics that include this batch, so that they
    # are normalised even in the first update. The policy's must be normalised as they were when it
    # acted: otherwise it is another policy, and the ratios and the KL do not start at 1 and 0.
    statistics = model.observe(agent.statistics, trajectory.obs)
    reward = jnp.where(valid, step.reward, 0.0)
    returns = update_return_scale(agent.returns, reward, step.done, discount)
    scale = reward_scale(returns) if config.normalize_rewards else jnp.float32(1.0)

    critic_obs = model.observed("critic", statistics, trajectory.obs)
    final_obs = model.observed("critic", statistics, step.final_obs)
    value, next_value = values(model, agent.params["critic"], critic_obs, final_obs)
    advantage, target = compute_gae(
        reward / scale,
        value,
        next_value,
        step.terminated,
        step.done,
        valid,
        discount,
        config.gae_lambda,
    )
    weight = valid.astype(jnp.float32)
    batch = Batch(
        observation=model.observed("policy", agent.statistics, trajectory.obs),
        critic_observation=critic_obs,
        raw_action=trajectory.extras["raw_action"],
        mean=trajectory.extras["mean"],
        value=value,
        advantage=standardize(advantage, weight),
        target=target,
        weight=weight,
    )
    batch = jax.tree.map(lambda x: jnp.reshape(x, (-1, *x.shape[2:])), batch)
    return dataclasses.replace(agent, statistics=statistics, returns=returns), batch, scale


def values(model: Model, critic: Any, obs: Named, final_obs: Named) -> Array:
    """The critic's values of both, float32[2, T, W]."""
    if not model.readers["critic"].images:
        both = jax.tree.map(lambda *x: jnp.stack(x), obs, final_obs)
        return model.apply("critic", critic, both)[..., 0]

    def one(step: tuple[Named, Named]) -> Array:
        return jnp.stack([model.apply("critic", critic, x)[..., 0] for x in step])

    # Step by step: encoding all images at once would take many times their memory.
    return jnp.swapaxes(jax.lax.map(one, (obs, final_obs)), 0, 1)


def minibatches(key: Array, size: int, config: PPOConfig) -> Array:
    """Sample indices int32[epochs * minibatches, minibatch size]; shuffled anew every epoch."""
    # Half the time of jax.random.permutation, which sorts twice to rule out ties: here a pair ties
    # with probability 2^-32, harmlessly.
    order = jnp.argsort(jax.random.bits(key, (config.num_epochs, size), jnp.uint32), axis=-1)
    return order.reshape(config.num_epochs * config.num_minibatches, -1)


def learning_rate(agent: Agent, config: PPOConfig, done: Array) -> Array:
    """The learning rate that an update at a share `done` of the training starts with, float32[]."""
    if config.learning_rate_schedule == "adaptive":
        return agent.learning_rate
    if config.learning_rate_schedule == "constant":
        return jnp.float32(config.learning_rate)
    return falling_to_zero(config.learning_rate, config.learning_rate_schedule, done)


def falling(first: float, final: float | None, done: Array) -> Array:
    """A coefficient at a share `done` of the training, float32[]; final None: constant.

    It falls late, with the cube of the progress: large steps and much noise make learning fast,
    small ones only make the final policy precise.
    """
    return jnp.float32(first) if final is None else first + done**3 * (final - first)


def discount_at(config: PPOConfig, done: Array) -> Array:
    """The discount at a share `done` of the training, float32[].

    A short horizon learns fast but makes the policy hasty: at 0.9, a delay of ten steps costs two
    thirds of all later reward. So the horizon may grow: 1 - discount falls geometrically, as in
    Francois-Lavet, Fonteneau and Ernst (2015).
    """
    first, final = config.discount, config.final_discount
    if final is None:
        return jnp.float32(first)
    return 1.0 - (1.0 - first) * ((1.0 - final) / (1.0 - first)) ** done


def adapt_learning_rate(rate: Array, kl: Array, desired: Array, config: PPOConfig) -> Array:
    """Lower where the policy moves too far from the one that acted, higher where too little.

    The rule of Schulman et al. (2017) for a KL penalty, applied to the learning rate as in rsl_rl.
    """
    factor = jnp.where(kl > 2.0 * desired, 1 / 1.5, 1.0)
    factor = jnp.where(kl < 0.5 * desired, 1.5, factor)
    return jnp.clip(rate * factor, config.min_learning_rate, config.max_learning_rate)
