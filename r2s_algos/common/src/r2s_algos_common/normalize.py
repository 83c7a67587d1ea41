"""Running statistics as pytrees: observations to zero mean and unit variance, rewards to scale."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from r2s_core.types import Array, pytree

#: Normalised observations are clipped to +- this.
OBSERVATION_CLIP = 10.0


@pytree
class RunningStatistics:
    """Mean and variance of everything seen so far."""

    count: Array  # float32[]
    mean: Array  # float32[n]
    variance: Array  # float32[n], of the population


def init_statistics(shape: tuple[int, ...]) -> RunningStatistics:
    """Statistics of no data: `normalize` leaves its input (nearly) unchanged."""
    zero, one = jnp.zeros(shape, jnp.float32), jnp.ones(shape, jnp.float32)
    return RunningStatistics(jnp.float32(0.0), zero, one)


def update_statistics(stats: RunningStatistics, batch: Array) -> RunningStatistics:
    """Merge a batch, float32[..., n], by the parallel formula of Chan, Golub and LeVeque.

    Variances are merged instead of sums of squares, so no quantity grows with the count; single
    precision holds until the count itself stops growing, at 2^24 batches.
    """
    axes = tuple(range(batch.ndim - stats.mean.ndim))
    size = jnp.asarray(batch.size // max(stats.mean.size, 1), jnp.float32)
    batch_mean, batch_variance = jnp.mean(batch, axes), jnp.var(batch, axes)
    total = stats.count + size
    delta = batch_mean - stats.mean
    share = size / total
    # Before the first batch count is 0 and share 1, so the initial variance of one drops out.
    variance = (1 - share) * stats.variance + share * batch_variance
    return RunningStatistics(
        count=total,
        mean=stats.mean + share * delta,
        variance=variance + share * (1 - share) * jnp.square(delta),
    )


def standard_deviation(stats: RunningStatistics, minimum: float = 1e-2) -> Array:
    """sqrt(variance + minimum^2), float32[n].

    In SI units and radians a spread below a centimetre is mostly noise or a quantity that has
    not moved yet; without the floor its first real movement would arrive as hundreds of
    standard deviations.
    """
    return jnp.sqrt(stats.variance + minimum**2)


def normalize(stats: RunningStatistics | None, x: Array) -> Array:
    """(x - mean) / standard deviation, clipped; float32[..., n]. None: only clipped."""
    if stats is not None:
        x = (x - stats.mean) / standard_deviation(stats)
    return jnp.clip(x, -OBSERVATION_CLIP, OBSERVATION_CLIP)


@pytree
class ReturnScale:
    """The divisor of rewards: the root mean square of the discounted return so far.

    Not the standard deviation, which is zero for a constant reward; and a critic should have
    targets of magnitude one, whatever their mean.
    """

    running: Array  # float32[W], each world's discounted sum of rewards up to now
    count: Array  # float32[]
    mean_square: Array  # float32[]


def init_return_scale(num_worlds: int) -> ReturnScale:
    return ReturnScale(jnp.zeros(num_worlds, jnp.float32), jnp.float32(0.0), jnp.float32(1.0))


def update_return_scale(
    scale: ReturnScale, reward: Array, done: Array, discount: float | Array
) -> ReturnScale:
    """Update from T control steps: reward float32[T, W], done bool[T, W] (the episode ended)."""

    def one(running: Array, x: tuple[Array, Array]) -> tuple[Array, Array]:
        reward, done = x
        running = discount * running + reward
        return jnp.where(done, 0.0, running), running

    running, returns = jax.lax.scan(one, scale.running, (reward, done))
    total = scale.count + returns.size
    share = returns.size / total
    mean_square = (1 - share) * scale.mean_square + share * jnp.mean(jnp.square(returns))
    return ReturnScale(running, total, mean_square)


def reward_scale(scale: ReturnScale) -> Array:
    """The positive number to divide rewards by, float32[]."""
    return jnp.sqrt(scale.mean_square + 1e-8)
