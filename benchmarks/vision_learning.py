"""What cameras are worth: the task of vision.yaml with other images, one seed each.

    python benchmarks/vision_learning.py [NAME ...] [--seed 0] [--episodes 1024]

NAME: of `VARIANTS` below; default: all. Each is a whole run with its own compilation; the curve is
that of the deterministic policy on 256 fresh episodes, whose time does not count as training.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from pathlib import Path

from r2s_core.config import load_config
from r2s_core.evaluation.intervals import wilson_interval
from r2s_core.training.run import run

_POINTS = 4  # of the curve


def _size(pixels: int) -> str:
    return f"environment.camera_resolution=[{pixels}, {pixels}]"


def _cameras(*names: str, channels: str = "rgb") -> str:
    own = ", ".join(f"{name}: {{use: task, channels: [{channels}]}}" for name in names)
    return f"environment.cameras={{{own}}}"


VARIANTS: dict[str, tuple[str, list[str]]] = {
    "vision.yaml: front and wrist, 32 x 32": ("vision", []),
    "16 x 16": ("vision", [_size(16)]),
    "64 x 64": ("vision", [_size(64)]),
    "front alone": ("vision", [_cameras("front")]),
    "wrist alone": ("vision", [_cameras("wrist")]),
    "colour and depth": ("vision", [_cameras("front", "wrist", channels="rgb, depth")]),
    "depth alone": ("vision", [_cameras("front", "wrist", channels="depth")]),
    "without the auxiliary head": ("vision", ["algorithms.bc.auxiliary=[]"]),
    "an encoder for each camera": ("vision", ["algorithms.bc.image_encoder.cameras=separate"]),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="what cameras are worth")
    parser.add_argument("names", nargs="*", metavar="NAME", help="; ".join(VARIANTS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--episodes", type=int, default=1024)
    args = parser.parse_args()
    print("| images | success, % (95 % interval) | object seen within, mm | training, s | curve |")
    print("|---|---|---|---|---|")
    for name in args.names or VARIANTS:
        print(_row(name, args.seed, args.episodes), flush=True)


def _row(name: str, seed: int, episodes: int) -> str:
    sample, overrides = VARIANTS[name]
    changes = [
        *overrides,
        f"seed={seed}",
        f"evaluation.episodes={episodes}",
        f"evaluation.curve_points={_POINTS}",
        "evaluation.video=false",
    ]
    with tempfile.TemporaryDirectory() as folder:
        result = run(load_config(sample, changes), Path(folder) / "run")
        with (Path(folder) / "run" / "metrics.csv").open() as file:
            rows = list(csv.DictReader(file))
    rate = result["success_rate"]
    low, high = wilson_interval(round(rate * result["episodes"]), result["episodes"])
    seen = [float(row["auxiliary/error"]) for row in rows if row.get("auxiliary/error")]
    curve = [
        f"{100 * float(row['eval/success']):.0f} at {int(float(row['step'])):,}"
        for row in rows
        if row.get("eval/success") not in (None, "", "nan")
    ]
    return (
        f"| {name} | {100 * rate:.1f} ({100 * low:.1f} to {100 * high:.1f}) | "
        f"{f'{1000 * seen[-1]:.0f}' if seen else ''} | {result['wall_clock_s']:.0f} | "
        f"{', '.join(curve)} |"
    )


if __name__ == "__main__":
    main()
