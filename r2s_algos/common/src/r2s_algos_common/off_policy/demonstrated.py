"""What off-policy learning reads of demonstrations: labels to imitate, and transitions."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from r2s_algos_common.cloning import Aggregate, to_unit
from r2s_algos_common.demonstrations.clone import labelled, labelled_bytes
from r2s_algos_common.normalize import ReturnScale, init_return_scale, update_return_scale
from r2s_algos_common.off_policy.config import OffPolicyConfig
from r2s_algos_common.off_policy.replay import Last, Replay, init_replay, replay_bytes
from r2s_core.errors import ConfigError
from r2s_core.types import Array, Demonstrations, EnvSpec, pytree


@pytree
class Demonstrated:
    """What learning reads of the demonstrations; None: the options do not need it."""

    labelled: Aggregate | None
    transitions: Replay | None  # of one world, which was in all episodes in turn


def demonstrated(
    spec: EnvSpec, recorded: Demonstrations, config: OffPolicyConfig, groups: tuple[str, ...]
) -> Demonstrated:
    """All that was recorded, as the options need it. On the host."""
    return Demonstrated(
        labelled=labelled(spec, spec.policy_groups, recorded)
        if config.cloning_coefficient
        else None,
        transitions=_transitions(spec, recorded, config, groups)
        if config.demonstration_share
        else None,
    )


def demonstrated_bytes(
    spec: EnvSpec, recorded: Demonstrations, config: OffPolicyConfig, groups: tuple[str, ...]
) -> int:
    """Bytes that `demonstrated` takes, and `labelled` for a cloned start."""
    labels = transitions = 0
    if config.cloning_coefficient or config.cloning_steps:
        labels = labelled_bytes(spec, spec.policy_groups, recorded)
    if config.demonstration_share:
        transitions = replay_bytes(
            _of_one_world(spec),
            groups,
            _rows(spec, groups, recorded, config),
            len(_truncated(recorded)),
        )
    return labels + transitions


def check_transitions(recorded: Demonstrations, groups: tuple[str, ...], name: str) -> None:
    """Raises `ConfigError` where the critics cannot learn from what was recorded; `name` is the
    algorithm's."""
    where = f"algorithms.{name}.demonstration_share"
    if recorded.reward is None:
        raise ConfigError(
            f"{where}: the demonstrations have no rewards, which the critics learn from; name them "
            "in demonstrations.features.reward, or set demonstration_share to 0"
        )
    for group in groups:
        if group not in recorded.obs:
            raise ConfigError(
                f"{where}: the demonstrations lack the observation group '{group}', which the "
                f"critics read; they have {', '.join(recorded.obs)}; set critic_observations to "
                "policy, or demonstration_share to 0"
            )


def first_returns(num_worlds: int, transitions: Replay | None, discount: float) -> ReturnScale:
    """The scale of returns to start with: that of the demonstrations which are learned from.

    Otherwise, where rewards are sparse, the scale of nothing but zeros would divide theirs.
    """
    scale = init_return_scale(num_worlds)
    if transitions is None:
        return scale
    shown = update_return_scale(
        init_return_scale(1), transitions.reward, transitions.done, discount
    )
    return dataclasses.replace(scale, count=shown.count, mean_square=shown.mean_square)


def _transitions(
    spec: EnvSpec, recorded: Demonstrations, config: OffPolicyConfig, groups: tuple[str, ...]
) -> Replay:
    """The executed actions, not the labels: rewards follow from what was done."""
    steps, rows = len(recorded.action), _rows(spec, groups, recorded, config)
    truncated = _truncated(recorded)

    def stored(empty: Array, x: Array) -> Array:
        return empty.at[:steps, 0].set(jnp.asarray(x, empty.dtype))

    replay = init_replay(_of_one_world(spec), groups, rows, len(truncated))
    new = {
        "obs": {group: recorded.obs[group] for group in groups},
        "final_obs": {group: recorded.next_obs[group] for group in replay.final_obs},
        "action": to_unit(spec, jnp.asarray(recorded.action)),
        "reward": recorded.reward,
        "terminated": recorded.terminated,
        "done": _ended(recorded),
        "valid": np.ones(steps, bool),
    }
    written = {k: jax.tree.map(stored, getattr(replay, k), x) for k, x in new.items()}
    last = replay.last
    if last is not None:
        images = {n: jnp.asarray(recorded.next_obs[n])[truncated][:, None] for n in last.images}
        number = np.searchsorted(truncated, np.arange(rows)).astype(np.int32)[:, None]
        count = jnp.full(1, len(truncated), jnp.int32)
        last = Last(images=images, number=jnp.asarray(number), count=count)
    return dataclasses.replace(replay, **written, last=last, filled=jnp.int32(rows))


def _ended(recorded: Demonstrations) -> np.ndarray:
    """Where episodes end, bool[N]: also where one's last step was left out, and at the last step,
    beyond which rows only make every step one from which n steps are stored."""
    ends = np.append(np.diff(np.asarray(recorded.episode)) != 0, True)
    return ends | np.asarray(recorded.terminated) | np.asarray(recorded.truncated)


def _truncated(recorded: Demonstrations) -> np.ndarray:
    """The steps with which an episode ends without a termination, int[]; at least one."""
    found = np.flatnonzero(_ended(recorded) & ~np.asarray(recorded.terminated))
    return found if len(found) else np.arange(1)


def _rows(
    spec: EnvSpec, groups: tuple[str, ...], recorded: Demonstrations, config: OffPolicyConfig
) -> int:
    held = any(spec.observations[group].is_image for group in groups)
    return len(recorded.action) + config.n_step - 1 + held


def _of_one_world(spec: EnvSpec) -> EnvSpec:
    return dataclasses.replace(spec, num_worlds=1)
