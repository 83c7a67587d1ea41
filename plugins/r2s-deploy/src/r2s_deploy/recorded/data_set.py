"""The files of a LeRobot data set, v2 or v3, read within limits; needs the extra `lerobot`."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from r2s_deploy import documents
from r2s_deploy.errors import BundleError, DeployError
from r2s_deploy.log import Array
from r2s_deploy.naming import ACTION

try:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
except ImportError:
    raise DeployError(
        "reading LeRobot data sets needs pyarrow: install r2s-deploy with the extra `lerobot`"
    ) from None

INFO = "meta/info.json"
_PLAIN = ("observation.state", "observation.environment_state")
_FIELD = re.compile(
    r"\{(?:video_key|(?:episode_chunk|episode_index|chunk_index|file_index)(?::0?[1-9]?d)?)\}"
)
_WIDEST = 4096  # numbers of a feature
_MOST = 2**28  # numbers that are read of a file
_LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)


@dataclasses.dataclass(frozen=True)
class DataSet:
    """What meta/info.json says. numbers: what the numbers of a feature are called, by its name,
    those of the state first. images: shapes of the features that are images."""

    folder: Path
    version: str
    rate_hz: float
    episodes: int
    numbers: Mapping[str, list[str]]
    images: Mapping[str, tuple[int, ...]]
    _chunk: int
    _data_path: str
    _video_path: str
    _videos: frozenset[str]

    @staticmethod
    def of(folder: Path) -> DataSet:
        """Raises `DeployError` where it is damaged, or of another version."""
        where = folder / INFO
        try:
            info = documents.Fields(documents.read(where), str(where))
            version = info.text("codebase_version")
            if not re.fullmatch(r"v[23]\.\d+", version):
                raise DeployError(f"{where}: its version is {version[:40]}; v2 and v3 are read")
            features = info["features"]
            if not isinstance(features, Mapping):
                raise DeployError(f"{where}: features is not a mapping")
            has_videos = "video_path" in info and info["video_path"] is not None
            return DataSet(
                folder,
                version,
                info.number("fps", above=0.0, most=1e5),
                info.whole("total_episodes"),
                dict(_named(features)),
                dict(_pictured(features)),
                info.whole("chunks_size", least=1),
                info.text("data_path"),
                info.text("video_path") if has_videos else "",
                frozenset(name for name, x in features.items() if _is_video(x)),
            )
        except BundleError as error:
            raise DeployError(str(error)) from error

    def is_video(self, feature: str) -> bool:
        """Whether its images are in files of videos."""
        return feature in self._videos

    def which(self, episode: int | None) -> int:
        """The episode of this number; None: the only one."""
        count = self.episodes
        if episode is None and count == 1:
            return 0
        if episode is None or not 0 <= episode < count:
            wrong = "which episode?" if episode is None else f"there is no episode {episode}:"
            raise DeployError(
                f"{self.folder}: {wrong} it has {count:,}; say --episode 0 to {count - 1}"
            )
        return episode

    def frames(self, episode: int, columns: Sequence[str]) -> tuple[Path, pa.Table]:
        """The file with an episode, and its rows, in order."""
        at = self._place(episode, "data") if self.version.startswith("v3.") else {}
        whole = {name: int(value) for name, value in at.items()}
        path = self._path("data_path", self._data_path, episode, whole)
        found = table(path, ["episode_index", "frame_index", "timestamp", *columns])
        every = numbers(found["episode_index"], 1, f"{path}: episode_index")[:, 0]
        found = found.filter(pa.array(every == episode))
        frame = numbers(found["frame_index"], 1, f"{path}: frame_index")[:, 0]
        if not len(frame) or not np.array_equal(frame, np.arange(len(frame))):
            raise DeployError(
                f"{path} is damaged: the frames of episode {episode} are not 0, 1, 2, ..."
            )
        self._check_rate(numbers(found["timestamp"], 1, f"{path}: timestamp")[:, 0], path)
        return path, found

    def video(self, feature: str, episode: int) -> tuple[Path, float]:
        """The file with the images of an episode, and when they begin in it, s."""
        at: dict[str, float] = {"from_timestamp": 0.0}
        if self.version.startswith("v3."):
            at = self._place(episode, f"videos/{feature}", "from_timestamp")
        start = at.pop("from_timestamp")
        whole = {name: int(value) for name, value in at.items()}
        path = self._path("video_path", self._video_path, episode, {**whole, "video_key": feature})
        return path, start

    def _path(self, key: str, template: str, episode: int, fields: Mapping[str, int | str]) -> Path:
        """A file, by its template; `str.format` would take more than numbers' formats."""
        where = self.folder / INFO
        if set("{}") & set(_FIELD.sub("", template)) or not template:
            raise DeployError(f"{where}: {key} is {template[:100]!r}")
        fields = {
            "episode_chunk": episode // self._chunk,
            "episode_index": episode,
            **fields,
        }
        try:
            name = PurePosixPath(template.format(**fields))
        except KeyError as error:
            raise DeployError(f"{where}: {key} has {error}") from error
        if name.is_absolute() or ".." in name.parts:
            raise DeployError(f"{where}: {key} leads out of the data set")
        return self.folder / name

    def _place(self, episode: int, of: str, *more: str) -> dict[str, float]:
        """Where version 3 says that a part of an episode is."""
        names = ["chunk_index", "file_index", *more]
        wanted = ["episode_index", *(f"{of}/{name}" for name in names)]
        for path in sorted(self.folder.glob("meta/episodes/chunk-*/file-*.parquet")):
            found = table(path, wanted)
            index, *rest = (numbers(found[name], 1, f"{path}: {name}")[:, 0] for name in wanted)
            if len(at := np.flatnonzero(index == episode)):
                return dict(zip(names, (float(each[at[0]]) for each in rest), strict=True))
        raise DeployError(
            f"{self.folder / 'meta/episodes'} is damaged: episode {episode} is not in it"
        )

    def _check_rate(self, timestamps: Array, path: Path) -> None:
        if len(timestamps) < 2:
            return
        apart = float(np.median(np.diff(timestamps)))
        if not math.isclose(apart, 1.0 / self.rate_hz, rel_tol=0.02):
            raise DeployError(
                f"{path}: its frames are {apart:.4g} s apart, and by {INFO} they are "
                f"{self.rate_hz:g} a second; one of them is wrong"
            )


def _named(features: Mapping[Any, Any]) -> Iterator[tuple[str, list[str]]]:
    """Features that are rows of numbers, those of the state first, and what their numbers are
    called."""
    order = sorted(features, key=lambda name: (name not in _PLAIN, str(name)))
    for name in map(str, order):
        facts = features[name]
        if not (name.startswith("observation.") or f"{name}." == ACTION):
            continue
        shape = _shape(facts)
        if len(shape) != 1 or shape[0] > _WIDEST or facts["dtype"] == "string":
            continue
        names = _flat(facts.get("names"))
        if len(names) != shape[0]:
            yield name, [f"{name}.{i}" for i in range(shape[0])]
        else:
            yield name, names if name in _PLAIN else [f"{name}.{each}" for each in names]


def _flat(names: Any) -> list[str]:
    """From a list, or a mapping of lists such as {"motors": [...]}."""
    if isinstance(names, Mapping):
        return [name for part in names.values() for name in _flat(part)]
    return names if isinstance(names, list) and all(isinstance(x, str) for x in names) else []


def _pictured(features: Mapping[Any, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Features that are [H, W, C]."""
    for name, facts in features.items():
        if len(shape := _shape(facts)) == 3:
            yield str(name), shape


def _is_video(facts: Any) -> bool:
    return isinstance(facts, Mapping) and facts.get("dtype") == "video"


def _shape(facts: Any) -> tuple[int, ...]:
    """Of a feature; empty where it says none."""
    shape = facts.get("shape") if isinstance(facts, Mapping) and "dtype" in facts else None
    if not isinstance(shape, list) or not all(type(x) is int and x > 0 for x in shape):
        return ()
    return tuple(shape)


def table(path: Path, columns: Sequence[str]) -> pa.Table:
    """Columns of a parquet file, within limits."""
    with _told(path), path.open("rb") as file:
        opened = pq.ParquetFile(file, page_checksum_verification=True)
        present = set(opened.schema_arrow.names)
        if missing := [name for name in columns if name not in present]:
            raise DeployError(f"{path} is damaged: it has no column {missing[0]}")
        total = 0
        for group in range(opened.metadata.num_row_groups):
            facts = opened.metadata.row_group(group)
            for column in map(facts.column, range(facts.num_columns)):
                if column.path_in_schema.split(".list.")[0] in columns:
                    total += column.num_values
        if total > _MOST:
            raise DeployError(f"{path} holds {total:,} numbers, and {_MOST:,} are read of one file")
        return opened.read(columns=list(columns))


def numbers(column: pa.ChunkedArray, size: int, where: str) -> Array:
    """float64[N, size], of numbers or of lists of them."""
    if any(check(column.type) for check in _LISTS):
        lengths = pc.call_function("list_value_length", [column])
        if column.null_count or lengths.unique().to_pylist() not in ([size], []):
            raise DeployError(f"{where} does not hold {size} numbers in every frame")
        column = pc.call_function("list_flatten", [column])
    elif size != 1:
        raise DeployError(f"{where} holds {column.type}, not {size} numbers a frame")
    kind = column.type
    is_number = pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)
    if not is_number or column.null_count:
        raise DeployError(f"{where} does not hold numbers in every frame")
    values = column.to_numpy().astype(np.float64).reshape(-1, size)
    if not np.isfinite(values).all():
        raise DeployError(f"{where} holds numbers that are not finite")
    return values


def levels(column: pa.ChunkedArray, shape: Sequence[int], dtype: str, where: str) -> Array:
    """[N, *shape] of `dtype`, "uint8" or "uint16", of nested lists."""
    for size in shape:
        is_list = any(check(column.type) for check in _LISTS)
        lengths = pc.call_function("list_value_length", [column]) if is_list else None
        if column.null_count or lengths is None or lengths.unique().to_pylist() != [size]:
            raise DeployError(f"{where} does not hold images of {list(shape)} in every frame")
        column = pc.call_function("list_flatten", [column])
    if str(column.type) != dtype or column.null_count:
        raise DeployError(f"{where} holds {column.type}, not {dtype}")
    return column.to_numpy().reshape(-1, *shape)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except DeployError:
        raise
    except (pa.ArrowException, OSError, ValueError, KeyError, MemoryError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DeployError(
            f"{path} cannot be read as a parquet file: {reason[:200]}; copy it again from where it "
            "came from"
        ) from error
