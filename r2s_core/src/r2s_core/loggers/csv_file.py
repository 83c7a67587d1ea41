"""Metrics as a CSV file: one row per step, one column per metric."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path

from r2s_core.hooks import hookimpl
from r2s_core.loggers.plugin import CsvConfig


def make(config: CsvConfig, run_dir: Path) -> CsvLogger:
    """Build the hook."""
    return CsvLogger(run_dir / config.file)


class CsvLogger:
    """Appends rows, so that a killed run keeps what it wrote.

    A resumed run drops the rows that lie after the step it resumes from: they will be written
    again. A metric that appears later gets a column of its own, empty in the rows before.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.columns = ["step"]

    @hookimpl
    def r2s_run_start(self, step: int) -> None:
        """Start an empty file, or keep the rows up to the step that the run resumes from."""
        rows = self._read(up_to=step) if step else []
        self._rewrite(rows)

    @hookimpl
    def r2s_metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Append one row."""
        row = {"step": str(step), **{name: f"{value:.8g}" for name, value in metrics.items()}}
        new = [name for name in row if name not in self.columns]
        if new:
            rows = self._read(up_to=step)
            self.columns += new
            self._rewrite(rows)
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self.columns, lineterminator="\n").writerow(row)

    def _read(self, up_to: int) -> list[dict[str, str]]:
        """The whole rows up to a step; a row cut short by a kill is none."""
        if not self.path.exists():
            return []
        with self.path.open(newline="", encoding="utf-8") as file:
            lines = list(csv.reader(file))
        if not lines:
            return []
        self.columns = lines[0]
        rows = [
            dict(zip(lines[0], line, strict=True)) for line in lines[1:] if _whole(line, lines[0])
        ]
        return [row for row in rows if int(row["step"]) <= up_to]

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        """Replace the file in one move."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".tmp")
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        os.replace(temporary, self.path)


def _whole(line: list[str], columns: list[str]) -> bool:
    return len(line) == len(columns) and line[0].isdigit()
