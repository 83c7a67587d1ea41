"""Repeats a run over several seeds, one after another, and tabulates the results.

    python benchmarks/seeds.py configs/quickstart.yaml [--seeds 5] [--output DIR] [key=value ...]

Each run is `r2s run` in its own process, as a user starts it; the numbers are those of its
result.json. Run nothing else meanwhile: the time is part of the result.
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


_OF_OBJECTS = ("objects not trained on, %", "worst trained on, %")


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
        f"{100 * result['headline_rates']['success_2p5cm']:.1f}",
        f"{result['env_steps'] / 1e6:.2f}M",
        f"{result['wall_clock_s']:.0f}",
        f"{result['train_steps_per_second']:,.0f}",
        *object_cells(result),
    )
    return "| " + " | ".join(cells) + " |"


def object_cells(result: dict[str, Any]) -> tuple[str, ...]:
    """With several objects: success on the held-out ones, and on the worst training object."""
    if "objects" not in result:
        return ()
    unseen = result.get("held_out_success_rate")
    worst = next(row for row in result["objects"] if not row["held_out"])
    return (
        "" if unseen is None else f"{100 * unseen:.1f}",
        f"{worst['name']} {100 * worst['success_rate']:.1f}",
    )


def by_object(results: list[dict[str, Any]]) -> str:
    """Success of each object over all seeds, the worst first."""
    rates: dict[str, list[float]] = {}
    for result in results:
        for entry in result["objects"]:
            name = entry["name"] + (" (not trained on)" if entry["held_out"] else "")
            rates.setdefault(name, []).append(100 * entry["success_rate"])
    lines = [
        f"| {name} | {statistics.mean(seeds):.1f} | {min(seeds):.1f} to {max(seeds):.1f} |"
        for name, seeds in sorted(rates.items(), key=lambda item: statistics.mean(item[1]))
    ]
    return "\n".join(["| object | success, mean % | over the seeds |", "|---|---|---|", *lines])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("config")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--output", type=Path, help="keep the runs here, seed_0, seed_1, ...")
    args = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.output or Path(scratch)
        for seed in range(args.seeds):
            results.append(run(args.config, seed, args.overrides, folder / f"seed_{seed}"))
            if seed == 0:
                columns = _COLUMNS + (_OF_OBJECTS if "objects" in results[0] else ())
                print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|", flush=True)
            print(row(results[-1]), flush=True)
    success = [100 * result["success_rate"] for result in results]
    seconds = [result["wall_clock_s"] for result in results]
    print(
        f"\nMedian {statistics.median(success):.1f} %, worst {min(success):.1f} %; training took "
        f"{statistics.median(seconds):.0f} s in the median, {max(seconds):.0f} s at most."
    )
    if "objects" in results[0]:
        print(f"\n{by_object(results)}")


if __name__ == "__main__":
    main()
