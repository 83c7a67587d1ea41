"""The log of a robot in an episode of a LeRobot data set, v2 or v3; needs the extra `lerobot`.

Only numbers are read: what is in `observation.state` and `observation.environment_state` has the
names that `meta/info.json` gives it, what is in other features the feature's before them, as in
`action.joint1.pos`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from r2s_deploy import documents
from r2s_deploy.errors import BundleError, DeployError
from r2s_deploy.log import Array, Log, of_columns
from r2s_deploy.naming import ACTION, Naming, target

try:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
except ImportError:
    raise DeployError(
        "reading LeRobot data sets needs pyarrow: install r2s-deploy with the extra `lerobot`"
    ) from None

INFO, OURS = "meta/info.json", "meta/r2s"
_PLAIN = ("observation.state", "observation.environment_state")
_FIELD = re.compile(r"\{(?:episode_chunk|episode_index|chunk_index|file_index)(?::0?[1-9]?d)?\}")
_WIDEST = 4096  # numbers of a feature
_MOST = 2**28  # numbers that are read of a file
_LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)


def read_lerobot(folder: Path, naming: Naming, episode: int | None = None) -> Log:
    """Read an episode; None: the only one.

    Raises `DeployError` where there are several, where a joint is not among the names, which it
    lists, and where the data set is damaged.
    """
    info = _info(folder)
    rate, features = info["fps"], info["features"]
    number = _which(folder, info, episode)
    path = _file_of(folder, info, number)
    table = _table(path, ["episode_index", "frame_index", "timestamp", *features])
    every = _numbers(table["episode_index"], 1, f"{path}: episode_index")[:, 0]
    table = table.filter(pa.array(every == number))
    frame = _numbers(table["frame_index"], 1, f"{path}: frame_index")[:, 0]
    if not len(frame) or not np.array_equal(frame, np.arange(len(frame))):
        raise DeployError(f"{path} is damaged: the frames of episode {number} are not 0, 1, 2, ...")
    _check_rate(_numbers(table["timestamp"], 1, f"{path}: timestamp")[:, 0], rate, path)
    columns: dict[str, Array] = {}
    for feature, names in features.items():
        values = _numbers(table[feature], len(names), f"{path}: {feature}")
        for name, column in zip(names, values.T, strict=True):
            columns.setdefault(name, column)
    columns["time"] = frame / rate
    where = f"{folder}, episode {number},"
    return of_columns(columns | _commanded(folder, columns, naming, where), naming, where)


def _info(folder: Path) -> dict[str, Any]:
    """Of meta/info.json: the rate, names by feature, and where files are."""
    where = folder / INFO
    try:
        info = documents.Fields(documents.read(where), str(where))
        version = info.text("codebase_version")
        if not re.fullmatch(r"v[23]\.\d+", version):
            raise DeployError(f"{where}: its version is {version[:40]}; v2 and v3 are read")
        features = info["features"]
        if not isinstance(features, Mapping):
            raise DeployError(f"{where}: features is not a mapping")
        return {
            "version": version,
            "fps": info.number("fps", above=0.0, most=1e5),
            "episodes": info.whole("total_episodes"),
            "chunk": info.whole("chunks_size", least=1),
            "data_path": info.text("data_path"),
            "features": dict(_named(features)),
        }
    except BundleError as error:
        raise DeployError(str(error)) from error


def _named(features: Mapping[Any, Any]) -> Iterator[tuple[str, list[str]]]:
    """Features that are rows of numbers, those of the state first, and what their numbers are
    called."""
    order = sorted(features, key=lambda name: (name not in _PLAIN, str(name)))
    for name in map(str, order):
        facts = features[name]
        if not (name.startswith("observation.") or f"{name}." == ACTION):
            continue
        shape = facts.get("shape") if isinstance(facts, Mapping) else None
        if facts.get("dtype") in ("video", "image", "string") or not isinstance(shape, list):
            continue
        if len(shape) != 1 or type(shape[0]) is not int or not 1 <= shape[0] <= _WIDEST:
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


def _which(folder: Path, info: Mapping[str, Any], episode: int | None) -> int:
    count = info["episodes"]
    if episode is None and count == 1:
        return 0
    if episode is None or not 0 <= episode < count:
        wrong = "which episode?" if episode is None else f"there is no episode {episode}:"
        raise DeployError(f"{folder}: {wrong} it has {count:,}; say --episode 0 to {count - 1}")
    return episode


def _file_of(folder: Path, info: Mapping[str, Any], episode: int) -> Path:
    """The file with the frames of an episode."""
    fields = {"episode_chunk": episode // info["chunk"], "episode_index": episode}
    if info["version"].startswith("v3."):
        fields |= _place(folder, episode)
    template = info["data_path"]
    # `str.format` would take more than numbers' formats.
    if set("{}") & set(_FIELD.sub("", template)):
        raise DeployError(f"{folder / INFO}: data_path is {template[:100]}")
    try:
        name = PurePosixPath(template.format(**fields))
    except KeyError as error:
        raise DeployError(f"{folder / INFO}: data_path has {error}") from error
    if name.is_absolute() or ".." in name.parts:
        raise DeployError(f"{folder / INFO}: data_path leads out of the data set")
    return folder / name


def _place(folder: Path, episode: int) -> dict[str, int]:
    """Where version 3 says that an episode is."""
    wanted = ["episode_index", "data/chunk_index", "data/file_index"]
    for path in sorted(folder.glob("meta/episodes/chunk-*/file-*.parquet")):
        table = _table(path, wanted)
        index, chunk, file = (_numbers(table[name], 1, f"{path}: {name}")[:, 0] for name in wanted)
        if len(at := np.flatnonzero(index == episode)):
            return {"chunk_index": int(chunk[at[0]]), "file_index": int(file[at[0]])}
    raise DeployError(f"{folder / 'meta/episodes'} is damaged: episode {episode} is not in it")


def _commanded(
    folder: Path, columns: Mapping[str, Array], naming: Naming, where: str
) -> dict[str, Array]:
    """Targets of the joints, where actions have the joints' names, as LeRobot's robots record them.
    r2s's own actions are not angles."""
    called = naming.find(columns, where)
    actions = [f"{ACTION}{called[joint]}" for joint in naming.joints]
    if (folder / OURS).exists() or not all(name in columns for name in actions):
        return {}
    return {
        target(joint): columns[name] for joint, name in zip(naming.joints, actions, strict=True)
    }


def _check_rate(timestamps: Array, rate: float, path: Path) -> None:
    if len(timestamps) < 2:
        return
    apart = float(np.median(np.diff(timestamps)))
    if not math.isclose(apart, 1.0 / rate, rel_tol=0.02):
        raise DeployError(
            f"{path}: its frames are {apart:.4g} s apart, and by {INFO} they are {rate:g} a "
            "second; one of them is wrong"
        )


def _table(path: Path, columns: list[str]) -> pa.Table:
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
        return opened.read(columns=columns)


def _numbers(column: pa.ChunkedArray, size: int, where: str) -> Array:
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
