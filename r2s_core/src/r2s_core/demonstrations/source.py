"""From a run's configuration to the recorded demonstrations that it learns from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from r2s_core.config import RunConfig
from r2s_core.config.schema import SCRIPT
from r2s_core.demonstrations import dataset
from r2s_core.demonstrations.episode import DataSet, Episode, stacked
from r2s_core.demonstrations.recording import record
from r2s_core.device import check_memory, size_text
from r2s_core.env import VectorEnv
from r2s_core.errors import ConfigError
from r2s_core.policy import packed
from r2s_core.policy.saved import action_names
from r2s_core.rollout import rollout_bytes
from r2s_core.suggest import did_you_mean
from r2s_core.types import EXPERT_GROUP, ArraySpec, Environment, EnvSpec, demonstrations_of

_ACTION = "action"
#: Actions may be this far out of bounds, by rounding, and this share of them by more.
_SLACK, _MOST_BEYOND = 1e-3, 0.01
#: Statistics of larger numbers would not be finite, or hide all others.
_LARGEST = 1e9
#: How often a data set is in memory while learning from it begins.
_COPIES = 5


def is_expert(config: RunConfig) -> bool:
    """Whether the source can be asked in every state: a script or a run."""
    source = config.demonstrations.source
    return source == SCRIPT or (isinstance(source, Path) and packed.is_policy(source))


def with_demonstrations(
    env: Environment[Any],
    config: RunConfig,
    say: Callable[[str], None],
    read: bytes | None = None,
) -> Environment[Any]:
    """The training environment with the recorded demonstrations that are configured, if any.

    say: told what they are. read: of a data set, what `keep` has read of it.

    Raises `ConfigError` where they cannot be read or recorded, or are not of this environment.
    """
    wanted = config.demonstrations
    if wanted.source is None or (is_expert(config) and wanted.episodes is None):
        return env
    if not isinstance(env, VectorEnv):
        raise ConfigError(
            f"demonstrations: the environment {config.environment.use} is not a task in r2s's "
            "engine, so it takes none; drop them"
        )
    if is_expert(config):
        episodes = _recorded(env, config, say)
    else:
        episodes = _read(env.from_the_start().spec, config, say, read)
    steps = sum(map(len, episodes))
    say(f"demonstrations: {len(episodes):,} episodes, {steps:,} control steps")
    return env.with_demonstrations(stacked(episodes, env.spec.action_chunk))


def described(config: RunConfig, source: Any, env: Environment[Any]) -> str | None:
    """Whom a run learns from, in a few words; None: from nobody.

    source: as the user named it. env: the training environment, with demonstrations.
    """
    wanted, recorded = config.demonstrations, demonstrations_of(env)
    if wanted.source is None:
        return None
    whom = "the scripted expert" if source == SCRIPT else Path(str(source)).name
    if recorded is None:
        return f"{whom}, asked in every state"
    episodes = f"{int(recorded.episode[-1]) + 1:,} recorded episodes"
    return f"{episodes} ({len(recorded.label):,} control steps) of {whom}"


def keep(config: RunConfig, kept: Callable[[str, bytes], Path]) -> RunConfig:
    """The configuration with the file that a run keeps of its source.

    kept: of a name and a content, the future path.
    """
    source = config.demonstrations.source
    if not isinstance(source, Path):
        return config
    if packed.is_policy(source):
        path = kept(f"expert{packed.SUFFIX}", packed.pack(packed.load(source)))
    else:
        read = dataset.read(config.demonstrations)
        _check_size(read, f"demonstrations.source: {source}: its episodes")
        path = kept(f"demonstrations{packed.SUFFIX}", dataset.pack(read))
    changed = dataclasses.replace(config.demonstrations, source=path)
    return dataclasses.replace(config, demonstrations=changed)


def _check_size(data: DataSet, what: str) -> None:
    """Raises `ConfigError` where episodes are too large to be kept, or to be learned from."""
    size = sum(x.nbytes for episode in data.episodes for x in episode.arrays())
    if size > dataset.LIMIT:
        raise ConfigError(
            f"{what} take {size_text(size)}, and a run keeps at most {size_text(dataset.LIMIT)}; "
            "set `demonstrations.episodes` to use fewer"
        )
    # The file, observations with those after each step, and what an algorithm makes of them.
    check_memory(_COPIES * size, f"{what}: learning from {size_text(size)}", "use fewer")


def _recorded(env: VectorEnv, config: RunConfig, say: Callable[[str], None]) -> list[Episode]:
    wanted = config.demonstrations
    assert wanted.episodes is not None
    what = f"recording {wanted.episodes:,} episodes of the expert"
    steps = wanted.episodes * env.spec.max_episode_steps
    step = rollout_bytes(dataclasses.replace(env.spec, num_worlds=1), 1)
    # They are there twice, as episodes and as the arrays that are learned from.
    check_memory(2 * steps * step, f"demonstrations.episodes: {what}", "lower it")
    say(f"{what} ...")
    return list(
        record(
            env,
            config.seed,
            wanted.episodes,
            successful_only=wanted.successful_only,
            noise_std=wanted.noise_std,
        )
    )


def _read(
    spec: EnvSpec, config: RunConfig, say: Callable[[str], None], content: bytes | None
) -> list[Episode]:
    """The data set's episodes with their numbers in the environment's order."""
    _check_mapping(spec, config.demonstrations.features)
    if config.demonstrations.noise_std:
        raise ConfigError(
            "demonstrations.noise_std: a data set is as it was recorded; noise is for a script or "
            "a run that is recorded now"
        )
    data = dataset.read(config.demonstrations, content)
    where = f"demonstrations.source: {config.demonstrations.source}"
    rate = 1.0 / spec.control_dt
    if not np.isclose(data.control_rate_hz, rate, rtol=1e-3):
        raise ConfigError(
            f"{where}: it has {data.control_rate_hz:g} steps a second, and this environment "
            f"{rate:g}; record it at that rate, or change the environment's"
        )
    groups = {name: of for name, of in spec.observations.items() if name != EXPERT_GROUP}
    groups[_ACTION] = ArraySpec((spec.action_size,))
    names = {name: spec.observations[name].names for name in groups if name != _ACTION}
    names[_ACTION] = tuple(action_names(spec))
    orders = {name: _order(data.names.get(name, ()), ours) for name, ours in names.items()}
    for name, order in orders.items():
        theirs = data.names.get(name, ())
        if order is None and theirs and theirs != names[name]:
            say(
                f"{where}: its '{name}' does not name "
                f"{', '.join(sorted(set(names[name]) - set(theirs))[:3]) or 'each number once'}, "
                "as the environment does, so all its numbers are taken in the order that they have"
            )
    _check_groups(spec, data, where)
    fitted = [_fitted(episode, groups, orders, where) for episode in data.episodes]
    return _within_bounds(spec, fitted, where)


def _check_mapping(spec: EnvSpec, features: Mapping[str, Any]) -> None:
    """Raises `ConfigError` for what is neither an observation group nor part of a data set."""
    known = [*(name for name in spec.observations if name != EXPERT_GROUP), *dataset.PARTS]
    for name in features:
        if name not in known:
            raise ConfigError(
                f"demonstrations.features.{name}: there is no such observation group"
                f"{did_you_mean(name, known)}; there are {', '.join(known)}"
            )


def _check_groups(spec: EnvSpec, data: DataSet, where: str) -> None:
    """Raises `ConfigError` where something that a policy reads is missing."""
    for name in spec.policy_groups:
        if any(name not in episode.obs for episode in data.episodes):
            of = "camera's images" if spec.observations[name].is_image else "observation group"
            raise ConfigError(
                f"{where}: it has nothing for the {of} '{name}'; say which of its features they "
                f"are, as in `demonstrations.features.{name}`"
            )


def _fitted(
    episode: Episode,
    groups: Mapping[str, ArraySpec],
    orders: Mapping[str, np.ndarray | None],
    where: str,
) -> Episode:
    """With each group and the actions in the order of `orders`, all as `groups` says."""

    def ordered(name: str, x: np.ndarray, leading: int) -> np.ndarray:
        order, ours = orders[name], groups[name]
        x = x if order is None else x[..., order]
        if x.shape[leading:] != ours.shape:
            advice = "; images are not resized: change the camera's size" * ours.is_image
            raise ConfigError(
                f"{where}: its {name} has shape {list(x.shape[leading:])}, and this environment's "
                f"{list(ours.shape)}{advice}"
            )
        if ours.is_image and x.dtype != ours.dtype:
            raise ConfigError(
                f"{where}: its {name} is {x.dtype}, and this environment's {ours.dtype}"
            )
        _check_numbers(x, name, where)
        return x

    def observed(obs: Mapping[str, np.ndarray], leading: int) -> dict[str, np.ndarray]:
        return {name: ordered(name, x, leading) for name, x in obs.items() if name in groups}

    if episode.reward is not None:
        _check_numbers(episode.reward, "reward", where)
    final = episode.final_obs
    return dataclasses.replace(
        episode,
        obs=observed(episode.obs, 1),
        final_obs=None if final is None else observed(final, 0),
        label=ordered(_ACTION, episode.label, 1),
        action=ordered(_ACTION, episode.action, 1),
    )


def _check_numbers(x: np.ndarray, name: str, where: str) -> None:
    if not np.isfinite(x).all():
        raise ConfigError(f"{where}: its {name} holds numbers that are not finite")
    if np.abs(x).max(initial=0.0) > _LARGEST:
        raise ConfigError(
            f"{where}: its {name} holds {np.abs(x).max():.3g}, a number beyond {_LARGEST:g}, which "
            "no environment observes or rewards; it may be damaged"
        )


def _order(theirs: tuple[str, ...], ours: tuple[str, ...]) -> np.ndarray | None:
    """The indices of our numbers among theirs; None where names do not tell."""
    if theirs == ours or not ours or not set(ours) <= set(theirs) or len(set(theirs)) < len(theirs):
        return None
    return np.asarray([theirs.index(name) for name in ours])


def _within_bounds(spec: EnvSpec, episodes: list[Episode], where: str) -> list[Episode]:
    """With actions clipped; raises `ConfigError` where too many are beyond for equal units."""
    low, high = np.asarray(spec.action_low), np.asarray(spec.action_high)
    labels = np.concatenate([episode.label for episode in episodes])
    beyond = np.mean((labels < low - _SLACK) | (labels > high + _SLACK), axis=0)
    worst = int(np.argmax(beyond))
    if beyond[worst] > _MOST_BEYOND:
        raise ConfigError(
            f"{where}: {beyond[worst]:.0%} of its actions {action_names(spec)[worst]} are not "
            f"within [{low[worst]:g}, {high[worst]:g}], as in this environment; are they in other "
            "units?"
        )
    return [
        dataclasses.replace(
            episode,
            label=np.clip(episode.label, low, high),
            action=np.clip(episode.action, low, high),
        )
        for episode in episodes
    ]
