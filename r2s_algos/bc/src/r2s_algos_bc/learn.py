"""From a trajectory to a better agent: one pure function, compiled once."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from r2s_algos_bc.config import BCConfig
from r2s_algos_bc.model import Agent, Model
from r2s_algos_common.cloning import Aggregate, add, agreement, cloning_loss, sample
from r2s_algos_common.metrics import rollout_metrics
from r2s_algos_common.normalize import update_statistics
from r2s_algos_common.schedules import falling_to_zero, progress
from r2s_core.rollout import Trajectory
from r2s_core.types import Array, Named

_MIN_LOG_STD, _MAX_LOG_STD = -5.0, 1.0


def learn(
    model: Model, config: BCConfig, agent: Agent, aggregate: Aggregate, trajectory: Trajectory
) -> tuple[Agent, Aggregate, Named]:
    """One update from T control steps of W worlds, leaves [T, W, ...].

    Every visited state is labelled, whoever acted in it (Ross et al. 2011). From recorded
    demonstrations nothing of the trajectory is learned; it only tells how good the policy is.

    Returns:
      The agent and the aggregate, and the metrics, float32[]. "finite" is 1 where every loss and
      gradient was, "finite_labels" where every label was.
    """
    done = progress(agent.updates, trajectory.step.reward.size, config.total_timesteps)
    rate = learning_rate(config, done)
    label = model.label(trajectory.obs) if model.asks else None
    statistics = agent.statistics
    if label is not None:
        aggregate = add(aggregate, trajectory.obs, label, model.target(trajectory.obs))
        statistics = {n: update_statistics(x, trajectory.obs[n]) for n, x in statistics.items()}
    decisive = model.decisive(aggregate)

    def loss(params: Any, key: Array) -> tuple[Array, Named]:
        obs, label, target = sample(aggregate, key, config.batch_size)
        obs = model.reader.augmented(obs, jax.random.fold_in(key, 0))
        features = model.features(params, statistics, obs)
        weight, log_std = config.decisive_weight, params.get("log_std")
        size, parts = cloning_loss(
            model.head(params, features), label, decisive, weight, config.squash, log_std
        )
        if target is not None:
            miss = jnp.sum(jnp.square(model.predicted(params, features) - target), axis=-1)
            parts = {**parts, "auxiliary/squared": jnp.mean(miss)}
            size += config.auxiliary_weight * parts["auxiliary/squared"]
        return size, parts

    def one(carry: tuple[Any, Any], key: Array) -> tuple[tuple[Any, Any], Named]:
        params, state = carry
        (size, parts), gradient = jax.value_and_grad(loss, has_aux=True)(params, key)
        params, state = model.optimizer.step(params, state, gradient, rate)
        if "log_std" in params:
            params["log_std"] = jnp.clip(params["log_std"], _MIN_LOG_STD, _MAX_LOG_STD)
        norm = optax.tree.norm(gradient)
        finite = (jnp.isfinite(size) & jnp.isfinite(norm)).astype(jnp.float32)
        return (params, state), {**parts, "grad_norm": norm, "finite": finite}

    key, learn_key = jax.random.split(agent.key)
    keys = jax.random.split(learn_key, config.num_batches)
    (params, state), metrics = jax.lax.scan(one, (agent.params, agent.optimizer), keys)
    metrics = {name: jnp.min(x) if name == "finite" else jnp.mean(x) for name, x in metrics.items()}
    if "auxiliary/squared" in metrics:
        metrics["auxiliary/error"] = jnp.sqrt(metrics.pop("auxiliary/squared"))
    if "log_std" in params:
        metrics["action_std"] = jnp.mean(jnp.exp(params["log_std"]))
    metrics |= {
        "learning_rate": rate,
        "decisive_actions": jnp.sum(decisive.astype(jnp.float32)),
        "aggregate/samples": aggregate.filled.astype(jnp.float32),
        **rollout_metrics(model.unperturbed(trajectory.step)),
    }
    if label is not None:
        metrics |= agreement(trajectory.extras["own"], label, decisive)
        metrics["expert_share"] = expert_share(config, done)
        metrics["finite_labels"] = jnp.all(jnp.isfinite(label)).astype(jnp.float32)
    agent = Agent(
        params=params,
        optimizer=state,
        statistics=statistics,
        updates=agent.updates + 1,
        key=key,
    )
    return agent, aggregate, metrics


def expert_share(config: BCConfig, done: Array) -> Array:
    """The share of the worlds in which the expert acts, at a share `done` of the training."""
    if config.expert_until == 0:
        return jnp.float32(config.final_expert_share)
    reached = jnp.minimum(done / config.expert_until, 1.0)
    return config.expert_share + reached * (config.final_expert_share - config.expert_share)


def learning_rate(config: BCConfig, done: Array) -> Array:
    """The learning rate at a share `done` of the training, float32[]."""
    if config.learning_rate_schedule == "constant":
        return jnp.float32(config.learning_rate)
    start = config.learning_rate_decay_from
    fallen = jnp.maximum(done - start, 0.0) / (1.0 - start)
    return falling_to_zero(config.learning_rate, config.learning_rate_schedule, fallen)
