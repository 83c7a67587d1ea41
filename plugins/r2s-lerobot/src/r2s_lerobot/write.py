"""Writes recorded episodes as a LeRobotDataset v3, which is valid after every `flush`."""

from __future__ import annotations

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
from r2s_lerobot import layout, videos
from r2s_lerobot.features import Description
from r2s_lerobot.loss import Loss
from r2s_lerobot.statistics import Levels, Running, statistics


class Writer:
    """Collects episodes and writes them.

    Each flush writes new files of videos, of frames and of episodes, and then replaces
    meta/info.json: what that does not count yet does not belong to the data set, so that it is
    whole whenever the process ends. A video is decoded again before anything names it, so
    `losses` tells how far it is from what was recorded.
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
        self._running = {
            name: Running() for name, of in self.features.items() if len(of["shape"]) == 1
        }
        self._levels = {
            name: Levels(of["dtype"], of["shape"][2])
            for name, of in self.features.items()
            if len(of["shape"]) == 3
        }
        self._videos = [name for name, of in self.features.items() if of["dtype"] == "video"]
        self._finals: list[dict[str, np.ndarray]] = []  # what follows each episode, of videos
        self.losses = {name: Loss() for name in self._videos}

    @property
    def buffered_bytes(self) -> int:
        """Of the episodes that are not written yet."""
        return sum(column.nbytes for frames in self._frames for column in frames.values())

    def add(self, episode: Episode) -> None:
        """Keep an episode, which knows its reward, its start and whether it succeeded."""
        frames = self._columns(episode)
        found = self._measured(frames)
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
        finals: dict[str, np.ndarray] = {}
        for group, last in episode.final_obs.items():
            name = self.description.feature_of(group)
            if name in self._videos:
                finals[name] = np.array(last)[None]
                row[layout.FINAL + name] = True
            else:
                dtype = self.features[name]["dtype"]
                row[layout.FINAL + name] = np.asarray(last, dtype).ravel()
        for name, of in found.items():
            row |= {f"stats/{name}/{statistic}": x.tolist() for statistic, x in of.items()}
        self._frames.append(frames)
        self._finals.append(finals)
        self._rows.append(row)
        self.episodes, self.frames = self.episodes + 1, self.frames + length

    def _measured(self, frames: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
        """The statistics of an episode's columns, which are added to those of all."""
        found = {}
        for name, column in frames.items():
            if name in self._running:
                found[name] = statistics(column)
                self._running[name].add(column, found[name])
            else:
                levels = Levels(self.features[name]["dtype"], column.shape[-1])
                levels.add(column)
                self._levels[name].join(levels)
                found[name] = levels.result()
        return found

    def _columns(self, episode: Episode) -> dict[str, np.ndarray]:
        """[T, n] each, by feature; [T, H, W, C] of images."""
        length, assigned = len(episode), np.arange(len(episode))
        last = assigned == length - 1
        assert episode.reward is not None
        values: dict[str, Any] = {
            self.description.feature_of(name): x for name, x in episode.obs.items()
        }
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

        def column(name: str, dtype: str, shape: list[int]) -> np.ndarray:
            if len(shape) == 1:
                return np.asarray(values[name], dtype).reshape(length, *shape)
            # A copy, as a view would keep all worlds' images until they are written.
            return np.array(values[name], "uint8" if dtype == "video" else dtype)

        return {name: column(name, of["dtype"], of["shape"]) for name, of in self.features.items()}

    def flush(self, facts: Mapping[str, Any]) -> None:
        """Write what was added, and meta/r2s/recording.json with `facts` and `losses`.

        Raises `OSError`, with the file's name, where the disk is full or not writable.
        """
        while self._frames:
            self._write_frames(self._next_part())
        files.write_json(self._made(layout.STATS), self._statistics())
        lost = {
            name: {"largest_difference": loss.largest, "mean_difference": loss.mean}
            for name, loss in self.losses.items()
        }
        files.write_json(self._made(layout.RECORDING), {**facts, "videos": lost})
        files.write_json(self._made(layout.INFO), self._info())
        self.written = self.episodes

    def _next_part(self) -> int:
        """How many of the episodes go into the next files: all, unless their videos would be too
        long for LeRobot."""
        if not self._videos:
            return len(self._frames)
        longest = videos.LONGEST_S * self.description.rate_hz
        ends = np.cumsum([row["length"] + 1 for row in self._rows])
        return max(1, int(np.searchsorted(ends, longest, side="right")))

    def _write_frames(self, count: int) -> None:
        """The first so many episodes."""
        frames, finals, rows = self._frames[:count], self._finals[:count], self._rows[:count]
        at = layout.place(self._files)
        for name in self._videos:
            seen = zip(frames, finals, strict=True)
            self._write_video(name, at, [part[name] for both in seen for part in both])
        columns = {
            name: _column([of[name] for of in frames])
            for name in self.features
            if name not in self._videos
        }
        self._write_table(layout.DATA.format(**at), pa.table(columns))
        placed = {"data/": at, "meta/episodes/": at}
        starts = np.cumsum([0, *(row["length"] + 1 for row in rows)])
        for name in self._videos:
            placed[f"videos/{name}/"] = at
            for row, start in zip(rows, starts, strict=False):
                row[f"videos/{name}/from_timestamp"] = start / self.description.rate_hz
                end = start + row["length"]
                row[f"videos/{name}/to_timestamp"] = end / self.description.rate_hz
        for row in rows:
            row |= {
                f"{of}{key}": number
                for of, where in placed.items()
                for key, number in where.items()
            }
        table = {name: pa.array([row[name] for row in rows]) for name in rows[0]}
        self._write_table(layout.EPISODES.format(**at), pa.table(table))
        if self._files == 0:
            self._write_table(layout.TASKS, _tasks(self.description.task))
        self._files += 1
        del self._frames[:count], self._finals[:count], self._rows[:count]

    def _write_video(self, name: str, at: Mapping[str, int], parts: list[np.ndarray]) -> None:
        """parts: the images of each episode, and behind them the one after its last step."""
        images = np.concatenate(parts)
        rate, codec = self.description.rate_hz, self.description.codec
        path = self._made(layout.VIDEO.format(video_key=name, **at))
        encoded = videos.encode(images, rate, codec)
        files.write_bytes(path, encoded)
        decoded = videos.decode(path, images.shape[1:], rate, [(0, len(images))])[0]
        self.losses[name] = self.losses[name].joined(Loss.between(images, decoded))
        if not codec.crf and self.losses[name].largest:
            raise R2SError(f"{path}: the images of this video are not those that were recorded")

    def _statistics(self) -> dict[str, Any]:
        if not self.episodes:
            return {}
        of = self._running | self._levels
        return {
            name: {key: value.tolist() for key, value in of[name].result().items()}
            for name in self.features
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
            "video_path": layout.VIDEO if self._videos else None,
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
    """[N, n] as n numbers a row, or as plain numbers where n is 1, as LeRobot keeps them; images
    [N, H, W, C] as lists of lists of lists."""
    values = np.concatenate(parts)
    flat = pa.array(values.ravel())
    if values.ndim == 4:
        for size in reversed(values.shape[1:]):
            flat = pa.ListArray.from_arrays(np.arange(0, len(flat) + 1, size, dtype=np.int32), flat)
        return flat
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
