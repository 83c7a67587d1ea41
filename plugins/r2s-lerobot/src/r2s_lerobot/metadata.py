"""The metadata of a LeRobotDataset v3: meta/info.json, meta/episodes, and r2s's own additions."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

import numpy as np

from r2s_core.demonstrations.episode import Start
from r2s_core.errors import ConfigError
from r2s_core.system import files
from r2s_lerobot import layout
from r2s_lerobot.tables import column_names, integers, read_table

_LIMIT = 16 * files.MIB
_CONVERTER = "lerobot.datasets.v30.convert_dataset_v21_to_v30"
_FIELD = re.compile(r"\{(?:video_key|(?:chunk_index|file_index)(?::0?[1-9]?d)?)\}")
_EPISODES = re.compile(r"chunk-([0-9]{3,})/file-([0-9]{3,})\.parquet")
#: What is read of each episode.
_NUMBERED = ("episode_index", "length", "data/chunk_index", "data/file_index")
_FILMED = ("chunk_index", "file_index", "from_timestamp", "to_timestamp")
_LONGEST_S = 1e7  # of a video file


@dataclasses.dataclass(frozen=True)
class Feature:
    """A feature of every frame.

    names: of its numbers; empty where the file has none. info: what is said of a video.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    names: tuple[str, ...] = ()
    info: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def is_video(self) -> bool:
        """Whether its frames are in video files."""
        return self.dtype == "video"

    @property
    def is_image(self) -> bool:
        """Whether it is [H, W, C] of whole numbers."""
        return len(self.shape) == 3

    @property
    def nbytes(self) -> int:
        """Of a frame, once it is read."""
        each = {"video": 1, "uint8": 1, "uint16": 2}.get(self.dtype, 4) if self.is_image else 4
        return math.prod(self.shape) * each


@dataclasses.dataclass(frozen=True)
class Metadata:
    """What meta/info.json says. recording: what r2s says of a recording of its own, else None."""

    folder: Path
    version: str
    rate_hz: float
    features: Mapping[str, Feature]
    total_episodes: int
    total_frames: int
    robot: str | None
    data_path: str
    video_path: str
    recording: Mapping[str, Any] | None

    @property
    def videos(self) -> tuple[str, ...]:
        """The features whose frames are in video files."""
        return tuple(name for name, of in self.features.items() if of.is_video)

    def file_of(self, chunk: int, file: int) -> Path:
        """The file of frames, within the folder."""
        name = self.data_path.format(chunk_index=chunk, file_index=file)
        return self._within(name, "data_path")

    def video_of(self, feature: str, chunk: int, file: int) -> Path:
        """The file of a video, within the folder."""
        name = self.video_path.format(video_key=feature, chunk_index=chunk, file_index=file)
        return self._within(name, "video_path")

    def _within(self, name: str, key: str) -> Path:
        what = f"{self.folder / layout.INFO}: {key}"
        return files.confined(self.folder, name, what=what, error=ConfigError)


@dataclasses.dataclass(frozen=True)
class Film:
    """Where the frames of an episode are in a video: [start, stop), s.

    has_final: whether the frame after them is what was seen after the last step.
    """

    file: Path
    start: float
    stop: float
    has_final: bool


@dataclasses.dataclass(frozen=True)
class EpisodeRow:
    """What meta/episodes says of an episode.

    terminated, start: only in r2s's recordings. final: feature -> its numbers after the last step.
    films: by feature that is a video.
    """

    index: int
    length: int
    file: Path
    terminated: bool = False
    start: Start | None = None
    final: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    films: Mapping[str, Film] = dataclasses.field(default_factory=dict)


def load(folder: Path) -> Metadata:
    """The metadata of a data set; raises `ConfigError` where there is none that can be read."""
    path = folder / layout.INFO
    if not folder.is_dir():
        raise ConfigError(f"{folder}: there is no such folder")
    if not path.exists():
        begun = (folder / layout.OURS).exists()
        raise ConfigError(
            f"{folder}: not a LeRobot data set: it has no {layout.INFO}"
            + (
                "; a recording there has not written its first episodes yet, so wait for it, or "
                "remove the folder if it was killed"
            )
            * begun
        )
    info = files.read_json(path, limit=_LIMIT, what="a data set's description", error=ConfigError)
    if not isinstance(info, dict):
        raise ConfigError(f"{path}: damaged: not a mapping")
    version = str(info.get("codebase_version", "none"))
    if not version.startswith("v3."):
        raise ConfigError(_other_version(folder, version))
    recording = folder / layout.RECORDING
    facts = None
    if recording.exists():
        facts = files.read_json(
            recording, limit=_LIMIT, what="the record of a recording", error=ConfigError
        )
    try:
        rate = float(info["fps"])
        if not (math.isfinite(rate) and rate > 0):
            raise ValueError(f"fps is {info['fps']}")
        return Metadata(
            folder=folder,
            version=version,
            rate_hz=rate,
            features={str(k): _feature(str(k), of) for k, of in info["features"].items()},
            total_episodes=_natural(info, "total_episodes"),
            total_frames=_natural(info, "total_frames"),
            robot=None if info.get("robot_type") is None else str(info["robot_type"]),
            data_path=_template("data_path", str(info["data_path"])),
            video_path=_template("video_path", str(info.get("video_path") or layout.VIDEO)),
            recording=facts if isinstance(facts, dict) else None,
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        what = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise ConfigError(f"{path}: damaged: {what}") from error


def episode_rows(metadata: Metadata, most: int | None = None) -> list[EpisodeRow]:
    """The first `most` episodes that meta/info.json counts, in order.

    What a recording that was killed wrote beyond them does not count. Raises `ConfigError` where
    some are missing.
    """
    wanted = min(metadata.total_episodes, most or metadata.total_episodes)
    folder, rows = metadata.folder / "meta/episodes", []
    for path in _files_of_episodes(folder):
        rows += _rows_of(path, metadata)
        if len(rows) >= wanted:
            break
    rows = sorted(rows, key=lambda row: row.index)[:wanted]
    # The number is the file's, and may be any: it is compared before anything is made of it.
    if len(rows) != wanted or any(row.index != i for i, row in enumerate(rows)):
        raise ConfigError(
            f"{folder}: damaged: {layout.INFO} counts {metadata.total_episodes} episodes, and not "
            "all of them are here"
        )
    return rows


def _files_of_episodes(folder: Path) -> list[Path]:
    """In order; what else is there, such as a file manager's copy of one, does not count."""
    found = {
        (int(named[1]), int(named[2])): path
        for path in folder.glob("chunk-*/file-*.parquet")
        if (named := _EPISODES.fullmatch(path.relative_to(folder).as_posix()))
    }
    return [found[place] for place in sorted(found)]


def _rows_of(path: Path, metadata: Metadata) -> list[EpisodeRow]:
    finals = [name for name in column_names(path) if name.startswith(layout.FINAL)]
    optional = [layout.TERMINATED, *layout.START.values(), *finals]
    optional += [f"videos/{video}/{of}" for video in metadata.videos for of in _FILMED]
    table = read_table(path, _NUMBERED, optional)
    index, length, chunk, file = (integers(table, name, path) for name in _NUMBERED)
    files_of = {(c, f): metadata.file_of(c, f) for c, f in set(zip(chunk, file, strict=True))}
    ours = {name: table[name].to_pylist() for name in table.column_names if name not in _NUMBERED}
    rows = [{name: of[i] for name, of in ours.items()} for i in range(table.num_rows)]
    try:
        return [
            EpisodeRow(
                index=int(index[i]),
                length=int(length[i]),
                file=files_of[chunk[i], file[i]],
                films=_films(row, metadata),
                **_ours(row, metadata.features.keys() - set(metadata.videos)),
            )
            for i, row in enumerate(rows)
        ]
    except (TypeError, ValueError, OverflowError) as error:
        raise ConfigError(f"{path}: damaged: {error}") from error


def _films(row: Mapping[str, Any], metadata: Metadata) -> dict[str, Film]:
    """Where the episode's videos are, as far as that is said."""
    found = {}
    for video in metadata.videos:
        said = [value for of in _FILMED if (value := row.get(f"videos/{video}/{of}")) is not None]
        if len(said) < len(_FILMED):
            continue
        file = metadata.video_of(video, int(said[0]), int(said[1]))
        start, stop = float(said[2]), float(said[3])
        if not 0 <= start <= stop < _LONGEST_S:
            raise ValueError(f"an episode is from {start} to {stop} s of {video}")
        found[video] = Film(file, start, stop, row.get(layout.FINAL + video) in (True, 1.0))
    return found


def _ours(row: Mapping[str, Any], lists: Set[str]) -> dict[str, Any]:
    """What r2s says of an episode, beside where its videos are. lists: the features that are none.

    Nulls are where a tool of LeRobot's has merged a recording with another data set; whole numbers
    may then have become floats.
    """
    known = {name: value for name, value in row.items() if value is not None and value == value}
    start = None
    if set(layout.START.values()) <= known.keys():
        start = Start(**{name: int(known[of]) for name, of in layout.START.items()})
    final = {
        name.removeprefix(layout.FINAL): np.asarray(value, np.float32)
        for name, value in known.items()
        if name.startswith(layout.FINAL) and name.removeprefix(layout.FINAL) in lists
    }
    if not all(value.ndim == 1 and np.isfinite(value).all() for value in final.values()):
        raise ValueError("a last observation is no list of finite numbers")
    return {"terminated": bool(known.get(layout.TERMINATED)), "start": start, "final": final}


def _template(key: str, path: str) -> str:
    """The template of files; `str.format` would run more than numbers' formats."""
    if set("{}") & set(_FIELD.sub("", path)) or (key == "data_path" and "{video_key}" in path):
        raise ValueError(f"{key} is {path[:100]}")
    return path


def _feature(name: str, of: Mapping[str, Any]) -> Feature:
    shape = tuple(of["shape"])
    if not all(isinstance(size, int) and 0 < size < 2**24 for size in shape):
        raise ValueError(f"the shape of {name} is {of['shape']}")
    names = tuple(_names(of.get("names")))
    fits, info = shape == (len(names),), of.get("info")
    info = info if isinstance(info, Mapping) else {}
    return Feature(name, str(of["dtype"]), shape, names if fits else (), info)


def _names(names: Any) -> list[str]:
    """From a list, or a mapping of lists such as {"motors": [...]}; none from anything else."""
    if isinstance(names, Mapping):
        return [name for part in names.values() for name in _names(part)]
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        return names
    return []


def _natural(info: Mapping[str, Any], name: str) -> int:
    value = info[name]
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{name} is {value}")
    return value


def _other_version(folder: Path, version: str) -> str:
    if re.fullmatch(r"v2\.[01]", version):
        return (
            f"{folder}: a LeRobot data set of version {version}, and only v3 is read; convert a "
            f"copy with LeRobot's own `python -m {_CONVERTER} --repo-id=NAME --root=DIR`"
        )
    return (
        f"{folder}: a LeRobot data set of version {version[:40]}, and only v3 is read; convert it "
        "with LeRobot's own tools"
    )
