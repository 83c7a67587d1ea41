"""Data sets: what is written comes back exactly, and what cannot be read is told in a sentence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from r2s_core.config import DemonstrationsConfig
from r2s_core.demonstrations import dataset
from r2s_core.demonstrations.episode import Episode, Start
from r2s_core.errors import ConfigError
from r2s_lerobot import layout
from r2s_lerobot.features import Description
from r2s_lerobot.read import read
from r2s_lerobot.statistics import Running, statistics
from r2s_lerobot.write import Writer

NAMES = {"policy": ("x", "y", "z"), "critic": ("mass",)}
ACTIONS = ("push", "turn")
RNG = np.random.default_rng(0)


def an_episode(length: int, *, world: int = 0, noise: bool = False, **changes: Any) -> Episode:
    def drawn(*shape: int) -> np.ndarray:
        return RNG.normal(size=shape).astype(np.float32)

    label = drawn(length, 2)
    values: dict[str, Any] = {
        "obs": {name: drawn(length, len(of)) for name, of in NAMES.items()},
        "label": label,
        "action": label + drawn(length, 2) if noise else label,
        "terminated": bool(world % 2),
        "reward": drawn(length),
        "success": world % 3 > 0,
        "final_obs": {name: drawn(len(of)) for name, of in NAMES.items()},
        "start": Start(seed=7, round=world // 4, world=world % 4, worlds=4),
    }
    return Episode(**values | changes)


def a_writer(folder: Path, *, noise: bool = False) -> Writer:
    return Writer(folder, Description(NAMES, ACTIONS, 20.0, noise, "reach", "panda"))


def written(
    folder: Path, episodes: list[Episode], *, noise: bool = False, flushes: int = 1
) -> Path:
    writer = a_writer(folder, noise=noise)
    for some in np.array_split(np.arange(len(episodes)), flushes):
        for i in some:
            writer.add(episodes[i])
        writer.flush({"groups": list(NAMES)})
    return folder


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, Mapping):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    return type(a) is type(b) and a == b


@pytest.mark.parametrize("noise", [False, True])
@pytest.mark.parametrize("flushes", [1, 3])
def test_what_is_written_comes_back_exactly(tmp_path, noise, flushes):
    episodes = [an_episode(2 + i, world=i, noise=noise) for i in range(7)]
    data = read(written(tmp_path / "set", episodes, noise=noise, flushes=flushes), {}, None)
    assert len(data.episodes) == len(episodes)
    for ours, theirs in zip(episodes, data.episodes, strict=True):
        assert [k for k in vars(ours) if not equal(vars(ours)[k], vars(theirs)[k])] == []
    assert data.control_rate_hz == 20.0
    assert {name: data.names[name] for name in NAMES} == NAMES
    assert data.names["action"] == ACTIONS
    assert len(list((tmp_path / "set/data/chunk-000").iterdir())) == flushes


def test_a_changed_byte_is_noticed(tmp_path):
    folder = written(tmp_path / "set", [an_episode(50, world=i) for i in range(3)])
    path = folder / layout.DATA.format(chunk_index=0, file_index=0)
    data = bytearray(path.read_bytes())
    data[600] ^= 1  # amid the numbers of the first column
    path.write_bytes(data)
    with pytest.raises(ConfigError, match="CRC checksum verification failed"):
        read(folder, {}, None)


def test_only_the_first_episodes_are_read_where_few_are_asked_for(tmp_path):
    folder = written(tmp_path / "set", [an_episode(3, world=i) for i in range(6)], flushes=3)
    (folder / layout.DATA.format(chunk_index=0, file_index=2)).unlink()
    assert len(read(folder, {}, 3).episodes) == 3
    with pytest.raises(ConfigError, match=r"file-002.parquet: no such file"):
        read(folder, {}, None)


def test_what_lerobot_merges_with_another_set_is_read(tmp_path):
    """Its tools keep r2s's columns, with nulls for the other set's episodes, or drop them."""
    folder = written(tmp_path / "set", [an_episode(3, world=i) for i in range(4)])
    path = folder / layout.EPISODES.format(chunk_index=0, file_index=0)
    table = pq.read_table(path)
    columns = {name: table[name].to_pylist() for name in table.column_names}
    for name, values in columns.items():
        if name.startswith("r2s/"):
            columns[name] = [float(x) if type(x) is int else x for x in values[:2]] + [None] * 2
    pq.write_table(pa.table(columns), path)
    mine, theirs = read(folder, {}, None).episodes[1:3]
    assert mine.start == Start(seed=7, round=0, world=1, worlds=4)
    assert mine.terminated
    assert mine.final_obs is not None
    assert (theirs.start, theirs.terminated, theirs.final_obs) == (None, False, None)
    kept = {name: values for name, values in columns.items() if not name.startswith("r2s/")}
    pq.write_table(pa.table(kept), path)
    assert [episode.start for episode in read(folder, {}, None).episodes] == [None] * 4


def test_a_last_observation_that_is_no_list_of_numbers_is_damage(tmp_path):
    folder = written(tmp_path / "set", [an_episode(3, world=i) for i in range(2)])
    path = folder / layout.EPISODES.format(chunk_index=0, file_index=0)
    table = pq.read_table(path)
    at = table.schema.get_field_index(layout.FINAL + layout.STATE)
    for damage in (["a", "b"], [[1.0, float("nan"), 2.0]] * 2):
        pq.write_table(table.set_column(at, table.column_names[at], pa.array(damage)), path)
        with pytest.raises(ConfigError, match="damaged"):
            read(folder, {}, None)
    pq.write_table(table.set_column(at, table.column_names[at], pa.array([[1.0, 2.0]] * 2)), path)
    with pytest.raises(ConfigError, match=r"3 numbers of policy a frame, and 2 after its last"):
        read(folder, {}, None)


def test_the_statistics_are_those_of_all_rows():
    rows = RNG.normal(size=(100_000, 2)) * [1.0, 5.0] + [0.0, 3.0]
    running = Running()
    for part in np.array_split(rows, 333):
        running.add(part, statistics(part))
    expected = statistics(rows)
    for name, value in running.result().items():
        tolerance = 0.2 if name.startswith("q") else 1e-9
        np.testing.assert_allclose(value, expected[name], atol=tolerance, err_msg=name)
    few = Running()
    for part in np.array_split(rows[:5000], 7):
        few.add(part, statistics(part))
    np.testing.assert_allclose(few.result()["q90"], statistics(rows[:5000])["q90"], atol=1e-6)


# Data sets of others: made from nothing but the format.


def a_foreign_set(
    folder: Path,
    columns: Mapping[str, list[pa.Array]],
    features: Mapping[str, dict[str, Any]],
    lengths: list[list[int]],
    **info: Any,
) -> Path:
    """columns: name -> one array per file. lengths: of each file's episodes."""
    number = start = 0
    for i, in_file in enumerate(lengths):
        index = np.arange(sum(in_file))
        frame = np.concatenate([np.arange(length) for length in in_file])
        table = {name: of[i] for name, of in columns.items()} | {
            "timestamp": pa.array(frame / info.get("fps", 10), pa.float32()),
            "frame_index": pa.array(frame),
            "episode_index": pa.array(np.repeat(number + np.arange(len(in_file)), in_file)),
            "index": pa.array(start + index),
            "task_index": pa.array(0 * index),
        }
        rows = {
            "episode_index": number + np.arange(len(in_file)),
            "length": in_file,
            "data/chunk_index": [0] * len(in_file),
            "data/file_index": [i] * len(in_file),
        }
        for name, made in ((layout.DATA, table), (layout.EPISODES, rows)):
            path = folder / name.format(chunk_index=0, file_index=i)
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.table(made), path)
        number, start = number + len(in_file), start + sum(in_file)
    described = {
        "codebase_version": "v3.0",
        "total_episodes": number,
        "total_frames": start,
        "fps": 10,
        "data_path": layout.DATA,
        "features": features,
    }
    (folder / layout.INFO).write_text(json.dumps(described | info))
    return folder


def vectors(rows: np.ndarray, kind: str = "list", dtype: Any = None) -> pa.Array:
    values = pa.array(rows.ravel(), dtype)
    if kind == "fixed":
        return pa.FixedSizeListArray.from_arrays(values, rows.shape[1])
    of = pa.LargeListArray if kind == "large" else pa.ListArray
    return of.from_arrays(np.arange(len(rows) + 1) * rows.shape[1], values)


def the_foreign_set(folder: Path, **info: Any) -> tuple[Path, dict[str, np.ndarray]]:
    joints, tool = RNG.normal(size=(9, 2)), RNG.integers(-5, 5, size=(9, 1))
    action = RNG.uniform(-1, 1, size=(9, 2))
    cut = [slice(0, 5), slice(5, 9)]
    columns = {
        "observation.joints": [vectors(joints[c], "fixed", pa.float64()) for c in cut],
        "observation.tool": [pa.array(tool[c, 0]) for c in cut],
        "action": [vectors(action[cut[0]]), vectors(action[cut[1]], "large", pa.float32())],
        "observation.images.top": [pa.array([b"png"] * (c.stop - c.start)) for c in cut],
        "observation.environment_state": [vectors(joints[c]) for c in cut],
        "done_well": [pa.array(np.arange(9)[c] > 6) for c in cut],
    }
    features = {
        "observation.joints": {"dtype": "float64", "shape": [2], "names": {"motors": ["a", "b"]}},
        "observation.tool": {"dtype": "int64", "shape": [1], "names": ["tool"]},
        "action": {"dtype": "float32", "shape": [2], "names": None},
        "observation.images.top": {"dtype": "video", "shape": [4, 4, 3], "names": None},
        "observation.environment_state": {"dtype": "float32", "shape": [2], "names": ["p", "q"]},
        "done_well": {"dtype": "bool", "shape": [1], "names": None},
    }
    a_foreign_set(folder, columns, features, [[2, 3], [4]], **info)
    return folder, {"joints": joints, "tool": tool, "action": action}


MAPPING = {"policy": ("observation.tool", "observation.joints")}


def test_a_foreign_set_is_read_by_a_mapping_of_its_names(tmp_path):
    folder, values = the_foreign_set(tmp_path / "set")
    data = read(folder, {**MAPPING, "success": "done_well"}, None)
    assert [len(episode) for episode in data.episodes] == [2, 3, 4]
    joined = np.concatenate([episode.obs["policy"] for episode in data.episodes])
    expected = np.concatenate([values["tool"], values["joints"]], axis=1).astype(np.float32)
    np.testing.assert_array_equal(joined, expected)
    labels = np.concatenate([episode.label for episode in data.episodes])
    np.testing.assert_array_equal(labels, values["action"].astype(np.float32))
    assert data.names["policy"] == ("tool", "a", "b")
    assert data.names["action"] == ()
    for episode in data.episodes:
        # What others call an environment's state is nobody's critic, and their ends are unknown.
        assert list(episode.obs) == ["policy"]
        assert episode.action is episode.label
        assert (episode.reward, episode.final_obs, episode.start) == (None, None, None)
        assert not episode.terminated
    assert [episode.success for episode in data.episodes] == [False, False, True]
    critic = read(folder, {**MAPPING, "critic": "observation.environment_state"}, 1)
    assert critic.names["critic"] == ("p", "q")


def changed_info(**values: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        info = json.loads((folder / layout.INFO).read_text())
        (folder / layout.INFO).write_text(json.dumps(info | values))

    return change


def changed_column(name: str, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    def rewrite(folder: Path) -> None:
        path = folder / layout.DATA.format(chunk_index=0, file_index=0)
        table = pq.read_table(path)
        columns = {n: table[n] for n in table.column_names}
        columns[name] = change(columns.get(name))
        pq.write_table(pa.table({n: c for n, c in columns.items() if c is not None}), path)

    return rewrite


def cut_short(folder: Path) -> None:
    path = folder / layout.DATA.format(chunk_index=0, file_index=0)
    path.write_bytes(path.read_bytes()[:-40])


def without_episodes(folder: Path) -> None:
    shutil.rmtree(folder / "meta/episodes")


def with_nan(column: pa.ChunkedArray) -> pa.Array:
    rows = np.array(column.to_pylist())
    rows[3, 1] = np.nan
    return vectors(rows)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (shutil.rmtree, "there is no such folder"),
        (lambda folder: (folder / layout.INFO).unlink(), "it has no meta/info.json"),
        (lambda folder: (folder / layout.INFO).write_text("{"), "not a data set's description"),
        (changed_info(codebase_version="v2.1"), r"version v2.1, .*convert_dataset_v21_to_v30"),
        (changed_info(codebase_version="v4.0"), "of version v4.0, and only v3 is read"),
        (changed_info(fps=0), "fps is 0"),
        (changed_info(fps=30), "its frames are 0.1 s apart, and by meta/info.json they are 30"),
        (changed_info(features=None), "damaged"),
        (changed_info(total_episodes=4), "counts 4 episodes, and not all of them are here"),
        (changed_info(total_episodes=10**30), "counts 10+ episodes, and not all of them are here"),
        (changed_info(fps=10**400), "damaged"),
        (changed_info(data_path="{chunk_index.__class__}"), "data_path is"),
        (changed_info(data_path="../../{chunk_index}{file_index}"), "not within"),
        (cut_short, "not a parquet file that can be read"),
        (without_episodes, "not all of them are here"),
        (changed_column("action", lambda column: None), "it has no column action"),
        (changed_column("action", with_nan), "action holds numbers that are not finite"),
        (changed_column("action", lambda c: pa.array(["a"] * len(c))), "holds string, not 2"),
        (
            changed_column("observation.tool", lambda c: pa.array([None, 1, 1, 1, 1])),
            "lacks numbers",
        ),
        (changed_column("frame_index", lambda c: pa.array([0, 1, 0, 2, 1])), "not numbered from 0"),
        (
            changed_column("episode_index", lambda c: pa.array([0, 0, 0, 1, 1])),
            "episode 0 has 3 fra",
        ),
        (changed_column("episode_index", lambda c: pa.array([1, 0, 0, 1, 1])), "not in order"),
        (changed_column("action", lambda c: vectors(np.zeros((5, 3)))), "does not hold 2 numbers"),
    ],
)
def test_damage_is_told_in_one_sentence(tmp_path, damage, said):
    folder, _ = the_foreign_set(tmp_path / "set")
    damage(folder)
    with pytest.raises(ConfigError, match=said) as told:
        read(folder, MAPPING, None)
    assert "\n" not in str(told.value)
    assert str(tmp_path) in str(told.value)


def test_indices_may_be_features_and_a_success_is_above_a_half(tmp_path):
    folder, _ = the_foreign_set(tmp_path / "set")
    info = json.loads((folder / layout.INFO).read_text())
    one = {"dtype": "float32", "shape": [1], "names": None}
    names = ("timestamp", "frame_index", "episode_index")
    changed_info(features=info["features"] | dict.fromkeys(names, one))(folder)
    changed_column("done_well", lambda c: pa.array([0.0, 0.3, 0.0, 0.0, 0.7]))(folder)
    mapping = {"reward": "timestamp", "success": "done_well", "critic": names[1:]}
    first, second = read(folder, MAPPING | mapping, 2).episodes
    assert second.reward is not None
    np.testing.assert_allclose(second.reward, [0.0, 0.1, 0.2])
    np.testing.assert_array_equal(second.obs["critic"], [[0, 1], [1, 1], [2, 1]])
    assert (first.success, second.success) == (False, True)


def test_a_copy_of_a_file_of_episodes_does_not_count(tmp_path):
    folder = written(tmp_path / "set", [an_episode(3, world=i) for i in range(2)])
    path = folder / layout.EPISODES.format(chunk_index=0, file_index=0)
    shutil.copy(path, path.with_name("file-000 (copy).parquet"))
    shutil.copytree(path.parent, path.parent.with_name("chunk-000 (copy)"))
    assert len(read(folder, {}, None).episodes) == 2


@pytest.mark.parametrize(
    ("features", "said"),
    [
        ({}, "no feature observation.state, the default for policy.*it has observation.joints"),
        ({"policy": "observation.joint"}, "named in demonstrations.features.*observation.joints"),
        (
            {"policy": ("observation.tool", "observation.images.top")},
            "top is of a camera, and cannot",
        ),
        ({**MAPPING, "reward": "action"}, "its reward is not one number a frame"),
        ({**MAPPING, "success": "well"}, "no feature well"),
    ],
)
def test_a_mapping_that_does_not_fit_is_told(tmp_path, features, said):
    folder, _ = the_foreign_set(tmp_path / "set")
    with pytest.raises(ConfigError, match=said):
        read(folder, features, None)


def test_the_core_finds_the_reader_by_the_marker(tmp_path):
    folder = written(tmp_path / "set", [an_episode(3, world=i) for i in range(6)])
    data = dataset.read(DemonstrationsConfig(source=folder, episodes=3))
    assert [episode.success for episode in data.episodes] == [True] * 3
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"lerobot, which would have meta/info.json"):
        dataset.read(DemonstrationsConfig(source=tmp_path / "empty"))
