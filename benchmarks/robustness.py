"""Policies trained with and without randomization, under the same perturbations.

    python benchmarks/robustness.py RUN_DIR... [--against RUN_DIR...]

Prints a table of what `r2s eval RUN --robustness` left in the folders, one column for each group of
runs: means over seeds with 95 % bootstrap intervals. To make them, seeds 0 to 2 of each:

    r2s compare configs/quickstart.yaml configs/randomized.yaml --seeds 3 --output runs/robust
    for run in runs/robust/*/seed_*; do r2s eval $run --robustness; done
    python benchmarks/robustness.py runs/robust/quickstart/* --against runs/robust/randomized/*
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from r2s_core.statistics import bootstrap_interval


def read(folders: list[Path]) -> list[dict[str, Any]]:
    return [json.loads((folder / "robustness.json").read_text()) for folder in folders]


def cell(values: np.ndarray) -> str:
    """Mean and interval over seeds, in percent."""
    interval = bootstrap_interval((values,), lambda x: x.mean(-1))
    text = f"{100 * values.mean():.1f}"
    return text + (f" ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})" if interval else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--against", nargs="+", type=Path, default=[])
    arguments = parser.parse_args()
    groups = [read(folders) for folders in (arguments.runs, arguments.against) if folders]
    names = [", ".join(sorted({run["name"] for run in group})) for group in groups]
    print(f"| perturbation | {' | '.join(names)} |\n|---|{'---|' * len(groups)}")
    for index, row in enumerate(groups[0][0]["cases"]):
        rates = [np.array([run["cases"][index].get("success_rate") for run in g]) for g in groups]
        if all(None not in column for column in rates):
            label = f"{row['perturbation']} {row['label']}".strip()
            print(f"| {label} | {' | '.join(cell(c.astype(float)) for c in rates)} |")
    means = [np.array([run["mean_success"] for run in group]) for group in groups]
    print(f"| **mean over all but the first** | {' | '.join(f'**{cell(m)}**' for m in means)} |")


if __name__ == "__main__":
    main()
