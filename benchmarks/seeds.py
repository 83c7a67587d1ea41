"""Repeats a run over several seeds, one after another, and tables what each reached.

    python benchmarks/seeds.py configs/quickstart.yaml [--seeds 5] [--output DIR] [key=value ...]

Each run is `r2s run` in a process of its own, as a user starts it; the numbers are what it leaves
in result.json. Leave the machine alone meanwhile: the time is part of the result.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

_COLUMNS = (
    "seed",
    "success, % (95 % interval)",
    "within 2.5 cm, %",
    "steps",
    "training, s",
    "steps/s",
)


def run(config: str, seed: int, overrides: list[str], output: Path) -> dict[str, Any]:
    r2s = Path(sys.executable).with_name("r2s")
    command = [r2s, "run", config, f"seed={seed}", *overrides, "--output", output]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return json.loads((output / "result.json").read_text())


def row(result: dict[str, Any]) -> str:
    low, high = (100 * x for x in result["success_ci95"])
    cells = (
        f"{result['seed']}",
        f"{100 * result['success_rate']:.1f} ({low:.1f} to {high:.1f})",
        f"{100 * result['success_rate_2p5cm']:.1f}",
        f"{result['env_steps'] / 1e6:.2f}M",
        f"{result['wall_clock_s']:.0f}",
        f"{result['train_steps_per_second']:,.0f}",
    )
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("config")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--output", type=Path, help="keep the runs here, seed_0, seed_1, ...")
    args = parser.parse_args()
    print(f"| {' | '.join(_COLUMNS)} |\n{'|---' * len(_COLUMNS)}|", flush=True)
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.output or Path(scratch)
        for seed in range(args.seeds):
            results.append(run(args.config, seed, args.overrides, folder / f"seed_{seed}"))
            print(row(results[-1]), flush=True)
    success = [100 * result["success_rate"] for result in results]
    seconds = [result["wall_clock_s"] for result in results]
    print(
        f"\nMedian {statistics.median(success):.1f} %, worst {min(success):.1f} %; training took "
        f"{statistics.median(seconds):.0f} s in the median, {max(seconds):.0f} s at most."
    )


if __name__ == "__main__":
    main()
