"""Writes recorded episodes as a LeRobotDataset v3, which is valid after every `flush`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from r2s_core.demonstrations.episode import Episode
from r2s_core.errors import R2SError
from r2s_core.system import files
from r2s_lerobot import layout
from r2s_lerobot.statistics import Running, statistics


@dataclasses.dataclass(frozen=True)
class Description:
    """What all episodes of a recording share.

    groups: the names of the numbers of each observation group. actions: the actions' names.
    rate_hz: control steps per second. executed: whether noise was put on what was executed, so
    that it is kept beside the labels. task: what is done, in words.
    """

    groups: Mapping[str, tuple[str, ...]]
    actions: tuple[str, ...]
    rate_hz: float
    executed: bool
    task: str
    robot: str | None = None

    def features(self) -> dict[str, dict[str, Any]]:
        """As in meta/info.json."""

        def feature(dtype: str, names: tuple[str, ...] | None = None) -> dict[str, Any]:
            size = 1 if names is None else len(names)
            return {"dtype": dtype, "shape": [size], "names": names and list(names)}

        observed = {layout.feature_of(group): names for group, names in self.groups.items()}
        if len(observed) < len(self.groups):
            raise R2SError(
                f"the observation groups {', '.join(self.groups)} would be one feature of a "
                "LeRobot data set; name them differently"
            )
        found = {name: feature("float32", names) for name, names in observed.items()}
        found[layout.ACTION] = feature("float32", self.actions)
        if self.executed:
            found[layout.EXECUTED] = feature("float32", self.actions)
        found[layout.REWARD] = feature("float32")
        found |= {name: feature("bool") for name in (layout.DONE, layout.SUCCESS)}
        return found | {name: feature(dtype) for name, dtype in layout.INDICES.items()}


class Writer:
    """Collects episodes and writes them.

    Each flush writes new files of frames and of episodes, and then replaces meta/info.json: what
    that does not count yet does not belong to the data set, so that it is whole whenever the
    process ends.
    """

    def __init__(self, folder: Path, description: Description) -> None:
        """folder: must not exist, or be empty, before the first flush."""
        self.folder, self.description = folder, description
        self.features = description.features()
        self.episodes = self.frames = 0  # all that were added
        self.written = 0  # the episodes that are in the data set
        self._files = 0
        self._frames: list[dict[str, np.ndarray]] = []
        self._rows: list[dict[str, Any]] = []
        self._running = {name: Running() for name in self.features}

    @property
    def buffered_bytes(self) -> int:
        """Of the episodes that are not written yet."""
        return sum(column.nbytes for frames in self._frames for column in frames.values())

    def add(self, episode: Episode) -> None:
        """Keep an episode, which knows its reward, its start and whether it succeeded."""
        frames = self._columns(episode)
        found = {name: statistics(column) for name, column in frames.items()}
        for name, column in frames.items():
            self._running[name].add(column, found[name])
        length = len(episode)
        assert episode.start is not None
        assert episode.final_obs is not None
        row: dict[str, Any] = {
            "episode_index": self.episodes,
            "tasks": [self.description.task],
            "length": length,
            "dataset_from_index": self.frames,
            "dataset_to_index": self.frames + length,
            layout.TERMINATED: episode.terminated,
        }
        for name, column in layout.START.items():
            row[column] = getattr(episode.start, name)
        for group, last in episode.final_obs.items():
            row[layout.FINAL + layout.feature_of(group)] = np.asarray(last, np.float32)
        for name, of in found.items():
            row |= {f"stats/{name}/{statistic}": value for statistic, value in of.items()}
        self._frames.append(frames)
        self._rows.append(row)
        self.episodes, self.frames = self.episodes + 1, self.frames + length

    def _columns(self, episode: Episode) -> dict[str, np.ndarray]:
        """[T, n] each, by feature."""
        length, assigned = len(episode), np.arange(len(episode))
        last = assigned == length - 1
        assert episode.reward is not None
        values: dict[str, Any] = {layout.feature_of(n): x for n, x in episode.obs.items()}
        values |= {layout.ACTION: episode.label, layout.REWARD: episode.reward}
        if self.description.executed:
            values[layout.EXECUTED] = episode.action
        elif not np.array_equal(episode.action, episode.label):
            raise R2SError("an episode's executed actions differ from its labels")
        values |= {
            layout.DONE: last,
            layout.SUCCESS: last & bool(episode.success),
            "timestamp": assigned / self.description.rate_hz,
            "frame_index": assigned,
            "episode_index": np.full(length, self.episodes),
            "index": self.frames + assigned,
            "task_index": np.zeros(length),
        }
        return {
            name: np.asarray(values[name], feature["dtype"]).reshape(length, feature["shape"][0])
            for name, feature in self.features.items()
        }

    def flush(self, facts: Mapping[str, Any]) -> None:
        """Write what was added, and meta/r2s/recording.json with `facts`.

        Raises `OSError`, with the file's name, where the disk is full or not writable.
        """
        if self._frames:
            self._write_frames()
        files.write_json(self._made(layout.STATS), self._statistics())
        files.write_json(self._made(layout.RECORDING), facts)
        files.write_json(self._made(layout.INFO), self._info())
        self.written = self.episodes

    def _write_frames(self) -> None:
        at = layout.place(self._files)
        columns = {
            name: _column([frames[name] for frames in self._frames]) for name in self.features
        }
        self._write_table(layout.DATA.format(**at), pa.table(columns))
        placed = {"data/": at, "meta/episodes/": at}
        for row in self._rows:
            row |= {
                f"{of}{key}": number
                for of, where in placed.items()
                for key, number in where.items()
            }
        rows = {name: pa.array([row[name] for row in self._rows]) for name in self._rows[0]}
        self._write_table(layout.EPISODES.format(**at), pa.table(rows))
        if self._files == 0:
            self._write_table(layout.TASKS, _tasks(self.description.task))
        self._files += 1
        self._frames, self._rows = [], []

    def _statistics(self) -> dict[str, Any]:
        if not self.episodes:
            return {}
        return {
            name: {key: value.tolist() for key, value in running.result().items()}
            for name, running in self._running.items()
        }

    def _info(self) -> dict[str, Any]:
        rate = self.description.rate_hz
        return {
            "codebase_version": layout.VERSION,
            "robot_type": self.description.robot,
            "total_episodes": self.episodes,
            "total_frames": self.frames,
            "total_tasks": 1,
            "chunks_size": layout.CHUNK,
            "data_files_size_in_mb": 100,
            "video_files_size_in_mb": 200,
            "fps": round(rate) if np.isclose(rate, round(rate), rtol=1e-6) else rate,
            "splits": {"train": f"0:{self.episodes}"},
            "data_path": layout.DATA,
            "video_path": None,
            "features": self.features,
        }

    def _write_table(self, name: str, table: pa.Table) -> None:
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="snappy", write_page_checksum=True)
        files.write_bytes(self._made(name), sink.getvalue().to_pybytes())

    def _made(self, name: str) -> Path:
        """The path, in a folder that exists."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def _column(parts: list[np.ndarray]) -> pa.Array:
    """[N, n] as n numbers a row, or as plain numbers where n is 1, as LeRobot keeps them."""
    values = np.concatenate(parts)
    flat = pa.array(values.ravel())
    return (
        flat if values.shape[1] == 1 else pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
    )


def _tasks(task: str) -> pa.Table:
    """As pandas writes a frame with the column task_index and the tasks as its index."""
    index = "__index_level_0__"
    table = pa.table({"task_index": pa.array([0], pa.int64()), index: pa.array([task])})

    def column(name: str | None, field: str | None, kind: str, numpy_type: str) -> dict[str, Any]:
        described = {"pandas_type": kind, "numpy_type": numpy_type, "metadata": None}
        return {"name": name, "field_name": field, **described}

    described = {
        "index_columns": [index],
        "column_indexes": [column(None, None, "unicode", "object")],
        "columns": [
            column("task_index", "task_index", "int64", "int64"),
            column(None, index, "unicode", "object"),
        ],
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.0.0",
    }
    return table.replace_schema_metadata({"pandas": json.dumps(described)})
