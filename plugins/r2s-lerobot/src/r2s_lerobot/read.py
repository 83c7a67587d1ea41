"""The reader of LeRobot data sets; see `r2s_core.demonstrations.dataset`."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa

from r2s_core.demonstrations.episode import DataSet, Episode
from r2s_core.errors import ConfigError
from r2s_core.suggest import did_you_mean
from r2s_core.system import files
from r2s_lerobot import layout
from r2s_lerobot.metadata import EpisodeRow, Feature, Metadata, episode_rows, load
from r2s_lerobot.tables import integers, is_true, numbers, read_table

#: Bytes of numbers that are read at most.
_LIMIT = 1024 * files.MIB
#: What is not an observation group, and the features' names unless the configuration names others.
_DEFAULTS = {
    "action": layout.ACTION,
    "executed_action": layout.EXECUTED,
    "reward": layout.REWARD,
    "success": layout.SUCCESS,
}

#: What is read: a group, or a name of `_DEFAULTS` -> the features that are joined for it.
Wanted = Mapping[str, tuple[Feature, ...]]


def read(
    path: Path, features: Mapping[str, str | tuple[str, ...]], episodes: int | None
) -> DataSet:
    """The data set in the folder `path`; see `r2s_core.demonstrations.dataset`.

    features: also names "success". An episode succeeded where this is true in its last frame.
    episodes: read the first so many only.

    Raises `ConfigError` where it is damaged, of another version, or lacks what is asked for.
    """
    metadata = load(path)
    wanted = _wanted(metadata, features)
    rows = episode_rows(metadata, episodes)
    width = sum(feature.shape[0] for of in wanted.values() for feature in of)
    if sum(row.length for row in rows) * width * 4 > _LIMIT:
        raise ConfigError(
            f"{path}: its {len(rows):,} episodes take more than {_LIMIT // files.MIB} MiB; read "
            "fewer, as in `demonstrations.episodes: 100`, with `successful_only: false`"
        )
    read: list[Episode] = []
    for file, of_file in groupby(rows, key=lambda row: row.file):
        read += _episodes(file, list(of_file), wanted, metadata.rate_hz)
    names = {
        name: tuple(number for feature in of for number in feature.names)
        if all(feature.names for feature in of)
        else ()
        for name, of in wanted.items()
    }
    return DataSet(tuple(read), names, metadata.rate_hz)


def _wanted(metadata: Metadata, features: Mapping[str, str | tuple[str, ...]]) -> Wanted:
    """The features of each group and of what else there is.

    Of other people's data sets the policy's group only, unless the configuration names more: what
    they call observation.environment_state is not what r2s calls the critic's observations.
    """
    recorded = (metadata.recording or {}).get("groups")
    groups = ["policy", *(map(str, recorded) if isinstance(recorded, list) else ())]
    defaults = {group: layout.feature_of(group) for group in groups} | _DEFAULTS
    found: dict[str, tuple[Feature, ...]] = {}
    for name in dict.fromkeys([*defaults, *features]):
        chosen = features.get(name)
        names = (chosen,) if isinstance(chosen, str) else chosen or (defaults[name],)
        is_needed = chosen is not None or name in ("policy", "action")
        if not is_needed and not set(names) <= set(metadata.features):
            continue
        found[name] = tuple(_feature(metadata, name, feature, chosen is None) for feature in names)
    for name in ("reward", "success"):
        if name in found and [feature.shape for feature in found[name]] != [(1,)]:
            raise ConfigError(f"{metadata.folder}: its {name} is not one number a frame")
    return found


def _feature(metadata: Metadata, name: str, feature: str, by_default: bool) -> Feature:
    found = metadata.features.get(feature)
    where = f"{metadata.folder}: its"
    if found is None:
        there = [other for other in metadata.features if other not in layout.INDICES]
        asked = "the default" if by_default else "named in demonstrations.features"
        raise ConfigError(
            f"{metadata.folder}: it has no feature {feature}, {asked} for {name}"
            f"{did_you_mean(feature, there)}; it has {', '.join(there)}"
            + (f"; say which, as in `demonstrations.features.{name}`" if by_default else "")
        )
    if found.is_picture:
        raise ConfigError(
            f"{where} feature {feature} is of a camera, and r2s learns from numbers only; map "
            f"{name} to features that are numbers"
        )
    if len(found.shape) != 1:
        raise ConfigError(
            f"{where} feature {feature} has shape {list(found.shape)}; only lists of numbers are "
            "read"
        )
    return found


def _episodes(path: Path, rows: list[EpisodeRow], wanted: Wanted, rate_hz: float) -> list[Episode]:
    """The episodes of one file."""
    features = {feature.name: feature for of in wanted.values() for feature in of}
    indices = ("episode_index", "frame_index")
    table = read_table(path, [*indices, *features], ["timestamp"])
    episode, frame = (integers(table, name, path) for name in indices)
    if (np.diff(episode) < 0).any():
        raise ConfigError(f"{path}: damaged: its episodes are not in order")
    values = {
        name: numbers(table[name], feature.shape[0], f"{path}: {name}")
        for name, feature in features.items()
    }
    found = []
    for row in rows:
        begin, end = np.searchsorted(episode, [row.index, row.index + 1])
        where = f"{path}: damaged: episode {row.index}"
        if end - begin != row.length or not row.length:
            raise ConfigError(
                f"{where} has {end - begin} frames, and {row.length} in meta/episodes"
            )
        if not np.array_equal(frame[begin:end], np.arange(row.length)):
            raise ConfigError(f"{where}: its frames are not numbered from 0 up")
        _check_rate(table, slice(begin, end), rate_hz, f"{path}: episode {row.index}")
        joined = {
            name: np.concatenate([values[feature.name][begin:end] for feature in of], axis=1)
            for name, of in wanted.items()
        }
        found.append(_episode(row, joined, wanted))
    return found


def _check_rate(table: pa.Table, rows: slice, rate_hz: float, where: str) -> None:
    """Raises `ConfigError` where the frames are not 1 / fps apart."""
    if "timestamp" not in table.column_names or rows.stop - rows.start < 2:
        return
    part = table["timestamp"].slice(rows.start, rows.stop - rows.start)
    apart = float(np.median(np.diff(numbers(part, 1, f"{where}: timestamp")[:, 0])))
    if not np.isclose(apart, 1.0 / rate_hz, rtol=0.02):
        raise ConfigError(
            f"{where}: its frames are {apart:.4g} s apart, and by {layout.INFO} they are "
            f"{rate_hz:g} a second; one of them is wrong"
        )


def _episode(row: EpisodeRow, joined: Mapping[str, np.ndarray], wanted: Wanted) -> Episode:
    obs = {name: x for name, x in joined.items() if name not in _DEFAULTS}
    final = {
        name: np.concatenate([row.final[feature.name] for feature in wanted[name]])
        for name in obs
        if all(feature.name in row.final for feature in wanted[name])
    }
    for name, last in final.items():
        if last.shape != obs[name].shape[1:]:
            raise ConfigError(
                f"{row.file}: damaged: episode {row.index} has {obs[name].shape[1]} numbers of "
                f"{name} a frame, and {len(last)} after its last step in meta/episodes"
            )
    return Episode(
        obs=obs,
        label=joined["action"],
        action=joined.get("executed_action", joined["action"]),
        terminated=row.terminated,
        reward=joined["reward"][:, 0] if "reward" in joined else None,
        success=bool(is_true(joined["success"][-1, 0])) if "success" in joined else None,
        final_obs=final if final.keys() == obs.keys() else None,
        start=row.start,
    )
