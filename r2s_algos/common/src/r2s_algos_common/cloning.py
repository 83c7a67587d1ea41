"""Learning from an expert: the aggregate of labelled observations, and the losses of cloning."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from r2s_algos_common.metrics import weighted_mean
from r2s_core.errors import ConfigError
from r2s_core.types import EXPERT_GROUP, Array, EnvSpec, Named, pytree

#: A component of a label lies at a bound if it is as near as this to -1 or 1.
_AT_BOUND = 1e-4
#: Actions beyond this count as at a bound, in the likelihood; tanh reaches 1 only at infinity.
_CENSORED = {"clip": 1.0 - _AT_BOUND, "tanh": 0.97}
#: The raw action beyond which the hinge loss is 0: clipped it is 1, and its tanh is 0.96.
_MARGIN = {"clip": 1.0, "tanh": 2.0}


def check_expert(spec: EnvSpec, name: str) -> None:
    """Raises `ConfigError` where the environment has no expert; `name` is the algorithm's."""
    group = spec.observations.get(EXPERT_GROUP)
    if group is None:
        raise ConfigError(
            f"algorithms.{name}: there is no expert to learn from; write "
            "`demonstrations: {source: script}`"
        )
    if group.shape != (spec.action_size,):
        raise ConfigError(
            f"algorithms.{name}: observation group '{EXPERT_GROUP}' has shape {group.shape}; it "
            f"must be the expert's action, {spec.action_size} numbers"
        )


def expert_label(spec: EnvSpec, obs: Named) -> Array:
    """What the expert does in the observed state, in [-1, 1] units, float32[..., A]."""
    return to_unit(spec, obs[EXPERT_GROUP])


def to_unit(spec: EnvSpec, action: Array) -> Array:
    """Actions float32[..., A] within the environment's bounds, in [-1, 1] units."""
    low, high = jnp.asarray(spec.action_low), jnp.asarray(spec.action_high)
    return jnp.clip(2.0 * (action - low) / (high - low) - 1.0, -1.0, 1.0)


@pytree
class Aggregate:
    """N labelled observations, the newest overwriting the oldest, as DAgger aggregates them."""

    obs: Named  # what the policy reads, [N, ...] by group, not normalised
    label: Array  # float32[N, A], the expert's action, in [-1, 1]
    target: Array | None  # float32[N, k], numbers to predict beside the action; None: none
    at_bound: Array  # bool[A], whether all labels so far were at a bound
    position: Array  # int32[], the row to be written next
    filled: Array  # int32[], rows in use


class Samples(NamedTuple):
    """Rows of an `Aggregate`, [B, ...]."""

    obs: Named
    label: Array
    target: Array | None


def init_aggregate(
    spec: EnvSpec, groups: Sequence[str], size: int, target_size: int = 0
) -> Aggregate:
    """An empty one for `size` samples of these observation groups, and so many targets each."""
    specs = {name: spec.observations[name] for name in groups}
    return Aggregate(
        obs={name: jnp.zeros((size, *x.shape), x.dtype) for name, x in specs.items()},
        label=jnp.zeros((size, spec.action_size), jnp.float32),
        target=jnp.zeros((size, target_size), jnp.float32) if target_size else None,
        at_bound=jnp.ones(spec.action_size, bool),
        position=jnp.int32(0),
        filled=jnp.int32(0),
    )


def aggregate_bytes(spec: EnvSpec, groups: Sequence[str], size: int, target_size: int = 0) -> int:
    """Bytes that the samples of `init_aggregate` take."""
    observed = sum(spec.observations[name].nbytes for name in groups)
    return size * (observed + 4 * (spec.action_size + target_size))


def add(aggregate: Aggregate, obs: Named, label: Array, target: Array | None = None) -> Aggregate:
    """With samples [..., *shape], whose number must divide the aggregate's size.

    obs: may have groups that the aggregate lacks. Under `jit` with the aggregate donated nothing
    is copied.
    """
    kept = {name: obs[name] for name in aggregate.obs}
    rings = aggregate.obs, aggregate.label, aggregate.target
    size, count = len(aggregate.label), math.prod(label.shape[:-1])
    assert size % count == 0, (size, count)

    def write(ring: Array, x: Array) -> Array:
        x = x.reshape(-1, *ring.shape[1:])
        return jax.lax.dynamic_update_slice_in_dim(ring, x, aggregate.position, axis=0)

    observed, labels, targets = jax.tree.map(write, rings, (kept, label, target))
    bound = jnp.all(jnp.abs(label.reshape(count, -1)) > 1.0 - _AT_BOUND, axis=0)
    return Aggregate(
        obs=observed,
        label=labels,
        target=targets,
        at_bound=aggregate.at_bound & bound,
        position=(aggregate.position + count) % size,
        filled=jnp.minimum(aggregate.filled + count, size),
    )


def sample(aggregate: Aggregate, key: Array, size: int) -> Samples:
    """`size` samples, drawn uniformly."""
    rows = jax.random.randint(key, (size,), 0, aggregate.filled, jnp.int32)
    kept = aggregate.obs, aggregate.label, aggregate.target
    return Samples(*jax.tree.map(lambda x: x[rows], kept))


def cloning_loss(
    raw: Array,
    label: Array,
    decisive: Array,
    decisive_weight: float | Array,
    output: Literal["clip", "tanh"],
    log_std: Array | None = None,
) -> tuple[Array, Named]:
    """How far a policy is from the expert: a mean over samples, a sum over components.

    The error of decisive components is a hinge loss, margin * max(0, margin - raw * sign(label)),
    which stops pulling once the sign is safe: where the expert's switch is not yet known exactly, a
    squared error would average the two bounds and command something between them. The margin is 1;
    under tanh, where raw actions are about twice as large, 2.

    Args:
      raw: float32[B, A], the policy's mean actions before `squash`.
      label: float32[B, A], the expert's actions, in [-1, 1].
      decisive: bool[A], components of which only the sign counts.
      output: what `squash` does to raw actions.
      log_std: float32[A]. The error of the other components is their `squashed_gaussian_nll`,
        weighted by twice the variance as a constant (Seitzer et al. 2022, beta 1), so that raw
        actions have the gradient of a squared error and no component gains weight as its deviation
        falls. None: the squared error, of the raw action where it is clipped, which gives it a
        gradient beyond the bounds too.

    Returns:
      The loss, float32[], and its two parts, unweighted, by metric name.
    """
    margin = _MARGIN[output]
    hinge = margin * jax.nn.relu(margin - raw * jnp.sign(label))
    error, weight = jnp.square((raw if output == "clip" else jnp.tanh(raw)) - label), 1.0
    if log_std is not None:
        error = squashed_gaussian_nll(raw, log_std, label, output)
        weight = 2.0 * jnp.exp(2.0 * jax.lax.stop_gradient(log_std))
    error = jnp.mean(jnp.where(decisive, 0.0, error), axis=0)
    sign = jnp.mean(jnp.sum(jnp.where(decisive, hinge, 0.0), axis=-1))
    parts = {"loss/continuous": jnp.sum(error), "loss/decisive": sign}
    return jnp.sum(weight * error) + decisive_weight * sign, parts


def squashed_gaussian_nll(
    mean: Array, log_std: Array, action: Array, output: Literal["clip", "tanh"]
) -> Array:
    """-log p(action) of each component where action = squash(N(mean, std)); float32[B, A].

    action: in [-1, 1]. At a bound, for tanh beyond 0.97, it is censored, as in Tobin (1958): all
      that counts is the probability of being there. Otherwise an expert that is often at a bound
      would pull the raw action far out of tanh's range, at the cost of what lies between.
    """
    censored = _CENSORED[output]
    raw = jnp.clip(action, -censored, censored)
    log_det, limit = jnp.zeros_like(raw), 1.0
    if output == "tanh":
        raw, log_det, limit = jnp.arctanh(raw), jnp.log1p(-jnp.square(raw)), math.atanh(censored)
    z = (raw - mean) * jnp.exp(-log_std)
    density = 0.5 * jnp.square(z) + log_std + 0.5 * math.log(2.0 * math.pi) + log_det
    beyond = (jnp.sign(action) * mean - limit) * jnp.exp(-log_std)
    return jnp.where(jnp.abs(action) > censored, -jax.scipy.special.log_ndtr(beyond), density)


def agreement(action: Array, label: Array, decisive: Array) -> Named:
    """How far actions float32[..., A], in [-1, 1], are from the expert's; float32[] each.

    "agreement/error": the mean absolute difference of the components that are not decisive;
    "agreement/sign": the share of decisive ones with the expert's sign. 0 where there are none.
    """
    axes = tuple(range(action.ndim - 1))
    difference = jnp.mean(jnp.abs(action - label), axes)
    same = jnp.mean((jnp.sign(action) == jnp.sign(label)).astype(jnp.float32), axes)
    of_decisive = decisive.astype(jnp.float32)
    return {
        "agreement/error": weighted_mean(difference, 1.0 - of_decisive),
        "agreement/sign": weighted_mean(same, of_decisive),
    }
