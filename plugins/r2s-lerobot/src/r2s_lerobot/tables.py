"""Parquet files of unknown origin, read within limits."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from r2s_core.errors import ConfigError
from r2s_core.system import files

#: Numbers that are read of one file at most.
_NUMBERS = 2**29
_LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)


def read_table(path: Path, columns: Collection[str], optional: Collection[str] = ()) -> pa.Table:
    """The columns of a parquet file, with those of `optional` that it has.

    Raises `ConfigError` where it is damaged, lacks a column or is larger than can be meant.
    """
    with files.open_regular(path, what="a data set's file", error=ConfigError) as file, _told(path):
        opened = pq.ParquetFile(file, page_checksum_verification=True)  # where it has some
        present = set(opened.schema_arrow.names)
        if missing := [name for name in columns if name not in present]:
            raise ConfigError(f"{path}: damaged: it has no column {', '.join(missing)}")
        asked = [*columns, *(name for name in optional if name in present)]
        names = list(dict.fromkeys(asked))  # a feature may be mapped to an index, read anyway
        _check_size(opened.metadata, set(names), path)
        return opened.read(columns=names).select(names)


def column_names(path: Path) -> list[str]:
    """Of a parquet file; raises `ConfigError` where it is damaged."""
    with files.open_regular(path, what="a data set's file", error=ConfigError) as file, _told(path):
        return list(pq.ParquetFile(file).schema_arrow.names)


def numbers(column: pa.ChunkedArray, size: int, where: str) -> np.ndarray:
    """float32[N, size], from a column of numbers (where size is 1) or of lists of them.

    Raises `ConfigError`, beginning with `where`, for anything else and for what is not finite.
    """
    kind = column.type
    if any(check(kind) for check in _LISTS):
        lengths = pc.call_function("list_value_length", [column])
        if column.null_count or (len(column) and lengths.unique().to_pylist() != [size]):
            raise ConfigError(f"{where} does not hold {size} numbers in every frame")
        column = pc.call_function("list_flatten", [column])
    elif size != 1:
        raise ConfigError(f"{where} holds {kind}, not {size} numbers a frame")
    flat = column.type
    if not (pa.types.is_floating(flat) or pa.types.is_integer(flat) or pa.types.is_boolean(flat)):
        raise ConfigError(f"{where} holds {flat}, not numbers")
    if column.null_count:
        raise ConfigError(f"{where} lacks numbers in some frames")
    with np.errstate(over="ignore"):
        values = column.to_numpy().astype(np.float32).reshape(-1, size)
    if not np.isfinite(values).all():
        raise ConfigError(f"{where} holds numbers that are not finite in float32")
    return values


def arrays(column: pa.ChunkedArray, shape: Sequence[int], dtype: str, where: str) -> np.ndarray:
    """[N, *shape] of `dtype`, "uint8" or "uint16", from a column of nested lists.

    Raises `ConfigError`, beginning with `where`, for anything else.
    """
    for size in shape:
        kind = column.type
        is_list = any(check(kind) for check in _LISTS)
        lengths = pc.call_function("list_value_length", [column]) if is_list else None
        if column.null_count or lengths is None or lengths.unique().to_pylist() not in ([size], []):
            raise ConfigError(f"{where} does not hold arrays of shape {list(shape)} in every frame")
        column = pc.call_function("list_flatten", [column])
    if str(column.type) != dtype or column.null_count:
        raise ConfigError(f"{where} holds {column.type}, and meta/info.json says {dtype}")
    return column.to_numpy().reshape(-1, *shape)


def is_true(values: np.ndarray) -> np.ndarray:
    """bool, of numbers that say whether something is so: those above a half."""
    return values > 0.5


def integers(table: pa.Table, name: str, path: Path) -> np.ndarray:
    """int64[N]; raises `ConfigError` where the column holds something else."""
    column = table[name]
    if not pa.types.is_integer(column.type) or column.null_count:
        raise ConfigError(f"{path}: damaged: its column {name} does not hold whole numbers")
    return column.to_numpy().astype(np.int64)


def _check_size(metadata: pq.FileMetaData, names: set[str], path: Path) -> None:
    total = 0
    for group in range(metadata.num_row_groups):
        of_group = metadata.row_group(group)
        for i in range(of_group.num_columns):
            column = of_group.column(i)
            path_of = column.path_in_schema  # such as observation.state.list.element
            if any(path_of == name or path_of.startswith(f"{name}.") for name in names):
                total += column.num_values
    if total > _NUMBERS:
        raise ConfigError(
            f"{path}: it holds {total:,} numbers, more than the {_NUMBERS:,} that are read of one "
            "file; split the data set into smaller files"
        )


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, KeyError, MemoryError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"{path}: not a parquet file that can be read: {reason[:200]}; it may be damaged, so "
            "copy it again from where it came from"
        ) from error
