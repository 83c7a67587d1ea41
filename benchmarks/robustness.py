"""Policies trained with and without randomization, under the same perturbations.

    python benchmarks/robustness.py RUN_DIR... [--against RUN_DIR...]

Prints a table of the results of `r2s eval RUN --robustness` in the folders: a column for each group
of runs, means over seeds with 95 % bootstrap intervals, and the gain of the first over the second.
`robustness.md` says how its runs were made.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from r2s_core.evaluation.intervals import bootstrap_interval, difference_interval


def read(folders: list[Path]) -> list[dict[str, Any]]:
    files = [folder / "robustness.json" for folder in folders]
    for folder, file in zip(folders, files, strict=True):
        if not file.is_file():
            raise SystemExit(f"{file} is missing; `r2s eval {folder} --robustness` writes it")
    return [json.loads(file.read_text()) for file in files]


def cell(values: np.ndarray) -> str:
    """Mean and interval over seeds, in percent."""
    interval = bootstrap_interval((values,), lambda x: x.mean(-1))
    text = f"{100 * values.mean():.1f}"
    return text + (f" ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})" if interval else "")


def gain(columns: list[np.ndarray]) -> list[str]:
    """How much higher the first column's mean is than the second's, in points."""
    if len(columns) < 2:
        return []
    a, b = columns
    text = f"{100 * (a.mean() - b.mean()):+.1f}"
    interval = difference_interval(a, b)
    return [text + (f" ({100 * interval[0]:+.1f} to {100 * interval[1]:+.1f})" if interval else "")]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--against", nargs="+", type=Path, default=[])
    arguments = parser.parse_args()
    groups = [read(folders) for folders in (arguments.runs, arguments.against) if folders]
    names = [", ".join(sorted({run["name"] for run in group})) for group in groups]
    names += ["gain"] * (len(groups) == 2)
    print(f"| perturbation | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    for index, row in enumerate(groups[0][0]["cases"]):
        rates = [np.array([run["cases"][index].get("success_rate") for run in g]) for g in groups]
        if all(None not in column for column in rates):
            label = f"{row['perturbation']} {row['label']}".strip()
            columns = [column.astype(float) for column in rates]
            print(f"| {label} | {' | '.join([*map(cell, columns), *gain(columns)])} |")
    means = [np.array([run["mean_success"] for run in group]) for group in groups]
    cells = [f"**{x}**" for x in (*map(cell, means), *gain(means))]
    print(f"| **mean over all but the first** | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
