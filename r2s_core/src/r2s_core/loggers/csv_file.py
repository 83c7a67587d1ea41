"""Metrics as a CSV file: one row per step, one column per metric."""

from __future__ import annotations

import csv
import io
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from r2s_core.errors import ConfigError, R2SError
from r2s_core.hooks import hookimpl
from r2s_core.loggers.plugin import CsvConfig
from r2s_core.system.files import MIB, confined, read_bytes, write_text

_STEP = "step"
_LIMIT = 1024 * MIB


def make(config: CsvConfig, run_dir: Path) -> CsvLogger:
    """Build the hook; raises `ConfigError` where its file is not within the run's folder."""
    return CsvLogger(confined(run_dir, config.file, what="hooks.csv.file", error=ConfigError))


class CsvLogger:
    """Appends rows, so that a killed run keeps what it wrote.

    A resumed run drops the rows after the step that it resumes from: they will be written again. A
    metric that appears later gets its own column, empty in earlier rows. Truncated or otherwise
    damaged rows are dropped; a file without a valid header is kept next to the new one, as
    `metrics-damaged.csv`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.columns = [_STEP]

    @hookimpl
    def r2s_run_start(self, step: int) -> None:
        """Start an empty file, or keep the rows up to the step that the run resumes from."""
        self._rewrite(self._read(up_to=step) if step else [])

    @hookimpl
    def r2s_metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Append one row."""
        # The step comes last: a metric of that name must not override it.
        row = {**{name: f"{value:.8g}" for name, value in metrics.items()}, _STEP: str(step)}
        new = [name for name in row if name not in self.columns]
        if new:
            rows = self._read(up_to=step)
            self.columns += new
            self._rewrite(rows)
        with open(self.path, "a", newline="", encoding="utf-8", opener=_no_link) as file:
            self._writer(file).writerow(row)

    def _read(self, up_to: int) -> list[dict[str, str]]:
        """The complete rows up to a step."""
        if not self.path.exists():
            return []
        data = read_bytes(self.path, limit=_LIMIT, what="metrics", error=R2SError)
        header, lines = _parse(data.decode("utf-8", "replace"))
        if header[:1] != [_STEP] or len(set(header)) < len(header):
            aside = self.path.with_name(f"{self.path.stem}-damaged.csv")
            self.path.replace(aside)
            print(f"{self.path} is damaged; it is now {aside.name}", file=sys.stderr)
            return []
        self.columns = header
        rows = [dict(zip(header, line, strict=True)) for line in lines if _whole(line, header)]
        return [row for row in rows if int(row[_STEP]) <= up_to]

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        """Replace the file in one move."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = io.StringIO(newline="")
        writer = self._writer(text)
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.path, text.getvalue())

    def _writer(self, file: io.TextIOBase) -> csv.DictWriter:
        return csv.DictWriter(file, self.columns, lineterminator="\n")


def _parse(text: str) -> tuple[list[str], list[list[str]]]:
    """The header, and the fields of every complete line after it."""
    stream = io.StringIO(text, newline="")
    try:
        header = next(csv.reader(stream), [])
    except csv.Error:
        header = []
    return header, [line.split(",") for line in stream.read().split("\n")[:-1]]


def _whole(line: Sequence[str], header: Sequence[str]) -> bool:
    return len(line) == len(header) and re.fullmatch(r"[0-9]{1,18}", line[0]) is not None


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)
