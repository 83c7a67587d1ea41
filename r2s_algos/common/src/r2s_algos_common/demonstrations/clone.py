"""A cloned start, and a cloning term in the policy's loss.

The start with a warmed-up critic keeps the first updates, whose advantages an untrained critic
makes up, from ruining what was cloned. The term is that of DAPG (Rajeswaran et al. 2018), which
there falls geometrically; a squared error is the log-likelihood of a Gaussian of constant
deviation, up to scale.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from r2s_algos_common.cloning import (
    Aggregate,
    add,
    aggregate_bytes,
    cloning_loss,
    init_aggregate,
    sample,
    to_unit,
)
from r2s_algos_common.demonstrations.config import DemonstrationOptions
from r2s_algos_common.normalize import RunningStatistics, init_statistics, update_statistics
from r2s_algos_common.optimizer import Adam
from r2s_algos_common.schedules import falling_to_zero
from r2s_core import device
from r2s_core.errors import ConfigError
from r2s_core.types import (
    Array,
    Demonstrations,
    Environment,
    EnvSpec,
    Named,
    demonstrations_of,
)

#: (the policy's parameters, statistics by group, observations [B, ...]) -> the mean action before
#: it is squashed, float32[B, A].
Raw = Callable[[Any, Mapping[str, RunningStatistics], Named], Array]


class Term(NamedTuple):
    """What is added to a policy's loss."""

    weight: Array  # float32[]
    loss: Callable[[Any], Array]  # (the policy's parameters) -> the cloning loss, float32[]


# As behaviour cloning's own (r2s_algos_bc.config): the loss is the same, and so are its scales.
_BATCH_SIZE, _LEARNING_RATE, _MAX_GRAD_NORM = 1024, 1e-3, 1.0
_DECISIVE_WEIGHT = 0.3


def demonstrations_for(
    env: Environment[Any], options: DemonstrationOptions, total_timesteps: int | None, name: str
) -> Demonstrations | None:
    """The recorded demonstrations that the options read; None where they read none.

    name: the algorithm's, for messages. Raises `ConfigError` where there are none, or a schedule
    has no end.
    """
    scheduled = "critic_warmup" if options.critic_warmup else None
    if options.cloning_coefficient and options.cloning_until is not None:
        scheduled = "cloning_until"
    if scheduled and total_timesteps is None:
        raise ConfigError(
            f"algorithms.{name}: {scheduled} needs total_timesteps, of which it is a share"
        )
    users = options.demonstration_users()
    if not users:
        return None
    recorded = demonstrations_of(env)
    if recorded is None:
        raise ConfigError(
            f"algorithms.{name}.{users[0]}: there are no recorded demonstrations to learn from; "
            "write `demonstrations: {source: script, episodes: 200}`"
        )
    return recorded


def check_observed(recorded: Demonstrations, groups: Sequence[str], name: str) -> None:
    """Raises `ConfigError` where demonstrations lack a group that is learned from; `name` is the
    algorithm's."""
    for group in groups:
        if group not in recorded.obs:
            raise ConfigError(
                f"algorithms.{name}: the demonstrations lack the observation group '{group}', "
                f"which is learned from; they have {', '.join(recorded.obs)}"
            )


def labelled(
    spec: EnvSpec,
    groups: Sequence[str],
    recorded: Demonstrations,
    target: Array | None = None,
) -> Aggregate:
    """All that was demonstrated, as observed in these groups, for `Cloning`. On the host.

    target: see `Aggregate`.
    """
    size, targets = len(recorded.label), 0 if target is None else target.shape[-1]
    obs = {name: jnp.asarray(recorded.obs[name], spec.observations[name].dtype) for name in groups}
    label = to_unit(spec, jnp.asarray(recorded.label, jnp.float32))
    return add(init_aggregate(spec, groups, size, targets), obs, label, target)


def memory_note(needed: int, steps: int) -> str:
    """A line on what demonstrations of so many steps take; raises `ConfigError` where they do not
    fit."""
    what = f"{steps:,} control steps"
    device.check_memory(needed, f"demonstrations.episodes: learning from {what}", "lower it")
    return f"demonstrations to learn from: {what}, {device.size_text(needed)}"


def labelled_bytes(spec: EnvSpec, groups: Sequence[str], recorded: Demonstrations) -> int:
    """Bytes that `labelled` takes."""
    return aggregate_bytes(spec, groups, len(recorded.label))


def first_statistics(
    spec: EnvSpec, groups: Iterable[str], recorded: Demonstrations | None
) -> Mapping[str, RunningStatistics]:
    """The statistics of observation groups to start with: those of the demonstrations, where there
    are any. On the host."""
    statistics = {group: init_statistics(spec.observations[group].shape) for group in groups}
    seen = {} if recorded is None else recorded.obs
    return {
        group: update_statistics(x, jnp.asarray(seen[group], jnp.float32)) if group in seen else x
        for group, x in statistics.items()
    }


def observed(
    statistics: Mapping[str, RunningStatistics],
    obs: Mapping[str, Array],
    options: DemonstrationOptions,
) -> Mapping[str, RunningStatistics]:
    """The statistics with one more batch of observations.

    A cloned policy's stay as they are: others would make it another policy, above all at first,
    when a batch outweighs few demonstrations.
    """
    held = {"policy"} if options.cloning_steps else set()
    return {
        group: x if group in held else update_statistics(x, obs[group])
        for group, x in statistics.items()
    }


def warming_up(options: DemonstrationOptions, done: Array) -> Array:
    """Whether only the critic learns at a share `done` of the training, bool[]."""
    return done < options.critic_warmup


def coefficient(options: DemonstrationOptions, done: Array) -> Array:
    """The weight of the cloning term at a share `done` of the training, float32[]."""
    if options.cloning_until is None:
        return jnp.float32(options.cloning_coefficient)
    return options.cloning_coefficient * jnp.maximum(1.0 - done / options.cloning_until, 0.0)


def with_term(term: Term | None, policy: Any, size: Array, metrics: Named) -> tuple[Array, Named]:
    """A policy's loss `size` with the cloning term, and its metrics, float32[] each."""
    if term is None:
        return size, metrics
    loss = term.loss(policy)
    more = {"loss/cloning": loss, "cloning_coefficient": term.weight}
    return size + term.weight * loss, {**metrics, **more}


class Cloning:
    """Imitates demonstrations, the labels of an `Aggregate`. Holds no data."""

    def __init__(
        self, options: DemonstrationOptions, raw: Raw, output: Literal["clip", "tanh"]
    ) -> None:
        """output: what squashes raw actions."""
        self.options, self._raw = options, raw
        self._output: Literal["clip", "tanh"] = output
        self._optimizer = Adam(_MAX_GRAD_NORM)
        self._clone = jax.jit(self._cloned)

    def loss(
        self,
        policy: Any,
        statistics: Mapping[str, RunningStatistics],
        demonstrations: Aggregate,
        key: Array,
        size: int,
    ) -> Array:
        """The `cloning_loss` on `size` demonstrated steps, drawn uniformly, float32[]."""
        obs, label, _ = sample(demonstrations, key, size)
        raw = self._raw(policy, statistics, obs)
        return cloning_loss(raw, label, demonstrations.at_bound, _DECISIVE_WEIGHT, self._output)[0]

    def term(
        self,
        statistics: Mapping[str, RunningStatistics],
        demonstrations: Aggregate | None,
        done: Array,
        key: Array,
        size: int,
    ) -> Term | None:
        """The term of one gradient step at a share `done` of the training, on `size` demonstrated
        steps; None where the options have none."""
        if demonstrations is None or not self.options.cloning_coefficient:
            return None
        loss = partial(
            self.loss, statistics=statistics, demonstrations=demonstrations, key=key, size=size
        )
        return Term(coefficient(self.options, done), loss)

    def cloned(
        self,
        policy: Any,
        statistics: Mapping[str, RunningStatistics],
        demonstrations: Aggregate,
        key: Array,
    ) -> Any:
        """The policy's parameters after `cloning_steps` of behaviour cloning, whose learning rate
        falls to 0 as a cosine. On the host."""
        return self._clone(policy, statistics, demonstrations, key)

    def _cloned(self, policy: Any, statistics: Any, demonstrations: Aggregate, key: Array) -> Any:
        steps = self.options.cloning_steps
        if not steps:
            return policy

        def one(carry: tuple[Any, Any], number: Array) -> tuple[tuple[Any, Any], None]:
            policy, state = carry
            gradient = jax.grad(self.loss)(
                policy, statistics, demonstrations, jax.random.fold_in(key, number), _BATCH_SIZE
            )
            rate = falling_to_zero(_LEARNING_RATE, "cosine", number / steps)
            return self._optimizer.step(policy, state, gradient, rate), None

        start = policy, self._optimizer.init(policy)
        return jax.lax.scan(one, start, jnp.arange(steps))[0][0]
