"""Manifests of the built-in loggers; imports nothing heavy."""

from __future__ import annotations

import dataclasses

from r2s_core.plugin import Plugin, option


@dataclasses.dataclass(frozen=True)
class CsvConfig:
    """Options of the CSV logger."""

    file: str = option("metrics.csv", "file name in the run's folder")


@dataclasses.dataclass(frozen=True)
class TensorBoardConfig:
    """Options of the TensorBoard logger."""

    folder: str = option("tensorboard", "folder name in the run's folder")


CSV = Plugin(
    name="csv",
    kind="hook",
    summary="Writes the metrics to metrics.csv in the run's folder",
    target="r2s_core.loggers.csv_file:make",
    config=CsvConfig,
)
TENSORBOARD = Plugin(
    name="tensorboard",
    kind="hook",
    summary="Writes the metrics as TensorBoard events; needs r2s-core[tensorboard]",
    target="r2s_core.loggers.tensorboard:make",
    config=TensorBoardConfig,
)
