"""Generalised advantage estimation and PPO's loss."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from r2s_algos_common.gaussian import gaussian, tanh_log_det
from r2s_algos_common.metrics import weighted_mean
from r2s_algos_ppo.config import PPOConfig
from r2s_core.types import Array, Named, pytree


@pytree
class Batch:
    """Samples to learn from; leaves [N, ...]."""

    observation: Any  # what the policy reads, [N, ...] by group, numbers normalised
    critic_observation: Any  # what the critic reads
    raw_action: Array  # float32[N, A], before squashing
    mean: Array  # float32[N, A], of the policy that acted
    value: Array  # float32[N], the critic's before this update
    advantage: Array  # float32[N], of zero mean and unit variance
    target: Array  # float32[N], of the value
    weight: Array  # float32[N], 0 for masked samples, else 1


def compute_gae(
    reward: Array,
    value: Array,
    next_value: Array,
    terminated: Array,
    done: Array,
    valid: Array,
    discount: float | Array,
    gae_lambda: float,
) -> tuple[Array, Array]:
    """Advantages and value targets, float32[T, W] each.

    Args:
      reward: float32[T, W].
      value: float32[T, W], of the observation before the step.
      next_value: float32[T, W], of the observation after the step, before any reset.
      terminated: bool[T, W]; not bootstrapped.
      done: bool[T, W]; the episode ended. Truncated (done, not terminated): the return is cut
        here and bootstraps from `next_value`.
      valid: bool[T, W]; False where the physics failed during the step. Such a step counts as a
        truncation just before it: its own advantage is zero and the step before bootstraps from
        its `value`.
    """
    delta = reward + discount * jnp.where(terminated, 0.0, next_value) - value

    def one(following: Array, x: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        delta, done, valid = x
        advantage = delta + discount * gae_lambda * jnp.where(done, 0.0, following)
        advantage = jnp.where(valid, advantage, 0.0)
        return advantage, advantage

    steps = (delta, done, valid)
    _, advantage = jax.lax.scan(one, jnp.zeros_like(value[0]), steps, reverse=True)
    return advantage, advantage + value


def explained_variance(value: Array, target: Array, weight: Array) -> Array:
    """1 where the critic predicts the targets perfectly, 0 where no better than their mean."""
    residual = _variance(target - value, weight)
    return 1.0 - residual / jnp.maximum(_variance(target, weight), 1e-8)


def _variance(x: Array, weight: Array) -> Array:
    return weighted_mean(jnp.square(x - weighted_mean(x, weight)), weight)


def standardize(x: Array, weight: Array) -> Array:
    """x with zero mean and unit variance over the samples with weight."""
    centered = x - weighted_mean(x, weight)
    return centered / (jnp.sqrt(weighted_mean(jnp.square(centered), weight)) + 1e-8)


def ppo_loss(
    params: Any,
    old_log_std: Array,
    batch: Batch,
    apply: Any,
    config: PPOConfig,
    entropy_coefficient: Array | float,
) -> tuple[Array, Named]:
    """PPO's clipped surrogate, clipped value loss and entropy bonus.

    Args:
      params: {"policy", "critic", "log_std"}.
      old_log_std: float32[A], of the policy that acted.
      apply: (name, its parameters, what it reads) -> float32[N, outputs].
      entropy_coefficient: the current one.

    Returns:
      The loss, float32[], and its parts by metric name; "kl" is KL(old || new), exact.
    """
    mean = apply("policy", params["policy"], batch.observation)
    new, old = gaussian(mean, params["log_std"]), gaussian(batch.mean, old_log_std)
    # The squashing is the same function of the same raw action, so it cancels in the ratio.
    log_ratio = new.log_prob(batch.raw_action) - old.log_prob(batch.raw_action)
    ratio = jnp.exp(log_ratio)
    clipped = jnp.clip(ratio, 1.0 - config.clip_range, 1.0 + config.clip_range)
    surrogate = jnp.minimum(ratio * batch.advantage, clipped * batch.advantage)
    policy_loss = -weighted_mean(surrogate, batch.weight)

    value = apply("critic", params["critic"], batch.critic_observation)[..., 0]
    error = jnp.square(value - batch.target)
    if config.value_clip_range is not None:
        reach = config.value_clip_range
        near = batch.value + jnp.clip(value - batch.value, -reach, reach)
        error = jnp.maximum(error, jnp.square(near - batch.target))
    value_loss = weighted_mean(error, batch.weight)

    entropy = new.entropy().astype(mean.dtype)  # distrax has constants of double precision
    if config.squash == "tanh":
        # The old sample's noise, reparameterised by the new policy, is a sample of the new one.
        noise = (batch.raw_action - batch.mean) * jnp.exp(-old_log_std)
        entropy += tanh_log_det(mean + jnp.exp(params["log_std"]) * noise)
    entropy = weighted_mean(entropy, batch.weight)

    loss = policy_loss + config.value_coefficient * value_loss
    loss -= entropy_coefficient * entropy
    outside = (jnp.abs(ratio - 1.0) > config.clip_range).astype(jnp.float32)
    return loss, {
        "loss/policy": policy_loss,
        "loss/value": value_loss,
        "kl": weighted_mean(old.kl_divergence(new), batch.weight),
        "entropy": entropy,
        "clip_fraction": weighted_mean(outside, batch.weight),
    }
