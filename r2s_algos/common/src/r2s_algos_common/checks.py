"""Checks that algorithms share, with the same messages."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from r2s_algos_common.metrics import where
from r2s_algos_common.networks import learning_bytes
from r2s_core.device import check_memory
from r2s_core.errors import ConfigError, TrainingDiverged
from r2s_core.types import EnvSpec, Named


def critic_groups(spec: EnvSpec, critic_observations: str, name: str) -> tuple[str, ...]:
    """The observation groups that a critic reads.

    Args:
      critic_observations: a group of numbers; "images": what the policy reads; or "auto": "critic"
        where the environment has it, else what the policy reads.
      name: the algorithm's, for messages.

    Raises:
      ConfigError: the group is missing or an image, or `policy_groups` does.
    """
    read, groups = policy_groups(spec, name), spec.observations
    critic = critic_observations
    if critic == "auto":
        critic = "critic" if "critic" in groups else "images"
    if critic == "images":
        return read
    if critic not in groups:
        raise ConfigError(
            f"algorithms.{name}: the environment has no observation group '{critic}'; "
            f"it has {', '.join(groups)}"
        )
    if groups[critic].is_image:
        raise ConfigError(
            f"algorithms.{name}: observation group '{critic}' is an image, but {name}'s critic "
            "reads numbers, or with `critic_observations: images` what the policy reads"
        )
    return (critic,)


def policy_groups(spec: EnvSpec, name: str) -> tuple[str, ...]:
    """The observation groups that a policy reads, `EnvSpec.policy_groups`.

    Raises `ConfigError` where there are none, or the action bounds are not a finite range; `name`
    is the algorithm's.
    """
    check_actions(spec, name)
    if not spec.policy_groups:
        raise ConfigError(
            f"algorithms.{name}: the environment observes neither numbers, in the group 'policy', "
            f"nor an image; it has {', '.join(spec.observations)}"
        )
    return spec.policy_groups


def check_actions(spec: EnvSpec, name: str) -> None:
    """Raises `ConfigError` where the action bounds are not a finite range; `name` is the
    algorithm's."""
    low, high = np.asarray(spec.action_low), np.asarray(spec.action_high)
    if not np.all(np.isfinite(low) & np.isfinite(high) & (low < high)):
        raise ConfigError(
            f"algorithms.{name}: the action bounds must be finite, with low below high"
        )


def check_networks(name: str, *networks: tuple[int, Sequence[int], int]) -> None:
    """Raises `ConfigError` where these networks are too large for the device's memory.

    name: the algorithm's. networks: (inputs, hidden sizes, outputs) of each.
    """
    check_memory(
        sum(learning_bytes(*sizes) for sizes in networks),
        f"algorithms.{name}.hidden_sizes: learning networks of these sizes",
        "lower them",
    )


def finite_metrics(metrics: Named, lower: str) -> Named:
    """The metrics on the host, without "finite"; those of episodes are NaN where none ended.

    Raises `TrainingDiverged`, with the advice to lower the option `lower`, where "finite" is not 1:
    a loss or gradient was not finite.
    """
    if np.all(np.asarray(metrics["finite"]) == 1.0):
        ended = np.asarray(metrics["episode/count"]) > 0
        return {
            name: where(ended, x) if name.startswith("episode/") and name != "episode/count" else x
            for name, x in metrics.items()
            if name != "finite"
        }
    bad = [
        name
        for name, x in metrics.items()
        if name.startswith("reward/") and not np.all(np.isfinite(np.asarray(x)))
    ]
    cause = f" ({', '.join(bad)} is not finite: fix that term)" if bad else ""
    raise TrainingDiverged(
        f"training diverged: the algorithm's loss or its gradient is not finite{cause}; check the "
        f"observations and rewards, then lower {lower}"
    )
