"""The reader of LeRobot data sets; see `r2s_core.demonstrations.dataset`."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa

from r2s_core.demonstrations import dataset
from r2s_core.demonstrations.episode import DataSet, Episode
from r2s_core.device import check_memory, size_text
from r2s_core.errors import ConfigError
from r2s_core.suggest import did_you_mean
from r2s_core.system import files
from r2s_lerobot import layout, videos
from r2s_lerobot.metadata import EpisodeRow, Feature, Metadata, episode_rows, load
from r2s_lerobot.tables import arrays, integers, is_true, numbers, read_table

_LEVELS = ("uint8", "uint16")
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
    chosen = {feature.name: feature for of in wanted.values() for feature in of}
    _check_size(path, rows, list(chosen.values()))
    films = {name: _filmed(rows, of, metadata) for name, of in chosen.items() if of.is_video}
    read: list[Episode] = []
    for file, of_file in groupby(rows, key=lambda row: row.file):
        read += _episodes(file, list(of_file), wanted, films, metadata.rate_hz)
    names = {
        name: tuple(number for feature in of for number in feature.names)
        if all(feature.names for feature in of)
        else ()
        for name, of in wanted.items()
    }
    return DataSet(tuple(read), names, metadata.rate_hz)


def _check_size(path: Path, rows: list[EpisodeRow], features: list[Feature]) -> None:
    """Raises `ConfigError` where the episodes take more than is read, or than there is memory."""
    frames = sum(row.length for row in rows)
    images = [feature for feature in features if feature.is_image]
    sizes = [f"{of.name} {' x '.join(map(str, of.shape))}" for of in images]
    what = f"{path}: its {len(rows):,} episodes"
    what += f", with images of {', '.join(sizes)}," if images else ""
    advice = "read fewer, as in `demonstrations.episodes: 100`, with `successful_only: false`"
    needed = frames * sum(feature.nbytes for feature in features)
    if needed > dataset.LIMIT:
        raise ConfigError(
            f"{what} take {size_text(needed)}, more than the {dataset.LIMIT // files.MIB} MiB that "
            f"are read; {advice}"
        )
    check_memory(needed, f"demonstrations.source: reading {what}", advice)


def _filmed(rows: list[EpisodeRow], feature: Feature, metadata: Metadata) -> list[np.ndarray]:
    """The images of each episode, uint8[T, H, W, 3], or [T + 1, H, W, 3] where the one after the
    last step is known."""
    found: dict[int, np.ndarray] = {}
    places: dict[Path, list[tuple[int, int, int]]] = {}
    for row in rows:
        film = row.films.get(feature.name)
        if film is None:
            raise ConfigError(
                f"{metadata.folder}: damaged: meta/episodes does not say where episode "
                f"{row.index} is in the videos of {feature.name}"
            )
        start, stop = (round(at * metadata.rate_hz) for at in (film.start, film.stop))
        if stop - start != row.length or not row.length:
            raise ConfigError(
                f"{metadata.folder}: damaged: episode {row.index} has {row.length} frames, and "
                f"{stop - start} in the videos of {feature.name}"
            )
        places.setdefault(film.file, []).append((start, stop + film.has_final, row.index))
    for file, of_file in places.items():
        spans = sorted(of_file)
        if any(a[1] > b[0] for a, b in pairwise(spans)):
            raise ConfigError(f"{file}: damaged: by meta/episodes its episodes overlap")
        images = videos.decode(
            file, feature.shape, metadata.rate_hz, [(start, stop) for start, stop, _ in spans]
        )
        found |= {index: seen for (_, _, index), seen in zip(spans, images, strict=True)}
    return [found[row.index] for row in rows]


def _wanted(metadata: Metadata, features: Mapping[str, str | tuple[str, ...]]) -> Wanted:
    """The features of each group and of what else there is.

    Of other people's data sets the policy's group only, unless the configuration names more: what
    they call observation.environment_state is not what r2s calls the critic's observations.
    """
    recorded = (metadata.recording or {}).get("groups")
    groups = list(map(str, recorded)) if isinstance(recorded, list) else ["policy"]
    filmed = {group for group in groups if layout.IMAGES + group in metadata.features}
    defaults = {g: layout.feature_of(g, is_filmed=g in filmed) for g in groups} | _DEFAULTS
    # Who maps other groups, such as cameras, may do without numbers.
    needed = {"action"} | ({"policy"} if set(features) <= _DEFAULTS.keys() else set())
    found: dict[str, tuple[Feature, ...]] = {}
    for name in dict.fromkeys([*defaults, *features]):
        chosen = features.get(name)
        names = (chosen,) if isinstance(chosen, str) else chosen or (defaults[name],)
        is_needed = chosen is not None or name in needed
        if not is_needed and not set(names) <= set(metadata.features):
            continue
        found[name] = tuple(_feature(metadata, name, feature, chosen is None) for feature in names)
    for name, of in found.items():
        _check_kinds(metadata, name, of)
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
    if found.dtype == "image":
        raise ConfigError(
            f"{where} feature {feature} holds single pictures, and of cameras only videos are "
            "read; convert it with LeRobot's own `lerobot-edit-dataset "
            "--operation.type convert_image_to_video`"
        )
    if found.is_video:
        is_read = found.is_image and found.shape[-1] == 3
    else:
        is_read = len(found.shape) == 1 or (found.is_image and found.dtype in _LEVELS)
    if not is_read:
        raise ConfigError(
            f"{where} feature {feature} is {found.dtype} of shape {list(found.shape)}; what is "
            "read is lists of numbers, videos [H, W, 3] and images [H, W, C] of uint8 or uint16"
        )
    return found


def _check_kinds(metadata: Metadata, name: str, features: tuple[Feature, ...]) -> None:
    """Raises `ConfigError` for what cannot be joined, and for actions that are images."""
    pictures = [feature.name for feature in features if feature.is_image]
    if pictures and len(features) > 1:
        raise ConfigError(
            f"demonstrations.features.{name}: {pictures[0]} is of a camera, and cannot be joined "
            "with other features; give each camera an observation group of its own"
        )
    if pictures and name in _DEFAULTS:
        raise ConfigError(
            f"{metadata.folder}: its feature {pictures[0]} is of a camera, and {name} is numbers"
        )


def _episodes(
    path: Path,
    rows: list[EpisodeRow],
    wanted: Wanted,
    films: Mapping[str, list[np.ndarray]],
    rate_hz: float,
) -> list[Episode]:
    """The episodes of one file. films: of all episodes, by feature that is a video."""
    chosen = {feature.name: feature for of in wanted.values() for feature in of}
    features = {name: feature for name, feature in chosen.items() if name not in films}
    indices = ("episode_index", "frame_index")
    table = read_table(path, [*indices, *features], ["timestamp"])
    episode, frame = (integers(table, name, path) for name in indices)
    if (np.diff(episode) < 0).any():
        raise ConfigError(f"{path}: damaged: its episodes are not in order")
    values = {
        name: arrays(table[name], feature.shape, feature.dtype, f"{path}: {name}")
        if feature.is_image
        else numbers(table[name], feature.shape[0], f"{path}: {name}")
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
            name: films[of[0].name][row.index][: row.length]
            if of[0].is_video
            else np.concatenate([values[feature.name][begin:end] for feature in of], axis=1)
            for name, of in wanted.items()
        }
        lasts = {
            name: seen[row.index][row.length]
            for name, seen in films.items()
            if len(seen[row.index]) > row.length
        }
        found.append(_episode(row, joined, wanted, {**row.final, **lasts}))
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


def _episode(
    row: EpisodeRow,
    joined: Mapping[str, np.ndarray],
    wanted: Wanted,
    lasts: Mapping[str, np.ndarray],
) -> Episode:
    """lasts: what is known of each feature after the last step."""
    obs = {name: x for name, x in joined.items() if name not in _DEFAULTS}
    final = {
        name: np.concatenate([lasts[feature.name] for feature in wanted[name]])
        for name in obs
        if all(feature.name in lasts for feature in wanted[name])
    }
    for name, last in final.items():
        numbers_a_frame = obs[name][0].size
        if last.size != numbers_a_frame:
            raise ConfigError(
                f"{row.file}: damaged: episode {row.index} has {numbers_a_frame} numbers of "
                f"{name} a frame, and {last.size} after its last step in meta/episodes"
            )
        final[name] = last.astype(obs[name].dtype).reshape(obs[name].shape[1:])
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
