"""Are the true numbers of a simulated arm within the intervals that `r2s identify` states?

    python benchmarks/identify.py                          # 20 draws: 12 minutes on one core
    python benchmarks/identify.py --draws 3 --seconds 8

Each draw hides other numbers in the simulated Panda (delay, payload, what is not compensated of
gravity, and of every joint gains, damping, friction and armature), records a log with noise and
quantisation, fits it, and compares. Prints the table of identify.md.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from r2s_identify.arm import Arm, arm_of
from r2s_identify.excitation import excitation
from r2s_identify.identify import identify, misfits
from r2s_identify.parameters import UNITS
from r2s_identify.record import Noise, drawn, record, write_scene
from r2s_identify.recording import recording_of

_CONFIG = Path(__file__).parents[1] / "configs" / "quickstart.yaml"
_KINDS = ("delay", "stiffness", "servo_damping", "friction", "armature", "payload", "gravity_error")


def draws(arm: Arm, scene: Path, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """What came of each draw."""
    joints = range(arm.size)
    motion = excitation(arm, args.seconds, 0.001, joints)
    for seed in range(args.first, args.first + args.draws):
        hidden = drawn(arm, seed, joints)
        log = record(arm, scene, motion, hidden, Noise(), seed)
        began = time.process_time()
        result = identify(arm, recording_of(log, "the log"), joints)
        took = time.process_time() - began
        expected = result.expected(hidden.values(arm, 0.001))
        yield {
            "seed": seed,
            "seconds": took,
            "untold": [result.unknowns[each.held].name for each in result.untold],
            "warnings": misfits(result),
            "numbers": {
                each.unknown.name: [each.value, each.half, expected[each.unknown.name]]
                for each in result.numbers
            },
        }


def table(found: list[dict[str, Any]]) -> Iterator[str]:
    """Markdown."""
    yield "| | within its 95 % interval | half of the interval, median | in % of the number |"
    yield "|---|---|---|---|"
    everything = []
    for kind in _KINDS:
        rows = np.array(
            [
                numbers
                for draw in found
                for name, numbers in draw["numbers"].items()
                if name.split(".")[0] == kind
            ]
        )
        inside = np.abs(rows[:, 0] - rows[:, 2]) <= rows[:, 1]
        everything.append(inside)
        share = 100 * np.median(rows[:, 1] / np.maximum(np.abs(rows[:, 2]), 1e-9))
        yield (
            f"| {kind} | {inside.sum()} of {len(inside)} | {np.median(rows[:, 1]):.2g} "
            f"{UNITS[kind]} | {share:.2g} |"
        )
    inside = np.concatenate(everything)
    yield f"| all | {inside.sum()} of {len(inside)} ({100 * inside.mean():.1f} %) | | |"
    yield ""
    each = [
        100 * np.mean([abs(value - true) <= half for value, half, true in d["numbers"].values()])
        for d in found
    ]
    low, middle, high = np.quantile(each, [0.0, 0.5, 1.0])
    yield f"Of one draw's numbers: {low:.0f} to {high:.0f} %, median {middle:.0f} %."
    took = [draw["seconds"] for draw in found]
    yield f"A fit took {np.median(took):.0f} s of one core ({min(took):.0f} to {max(took):.0f} s)."


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="seed of the first draw")
    parser.add_argument("--seconds", type=float, default=12.0, help="length of a log")
    parser.add_argument("--config", type=Path, default=_CONFIG)
    parser.add_argument("--keep", type=Path, help="a line of JSON for each draw")
    args = parser.parse_args()
    arm, found = arm_of(args.config), []
    with tempfile.TemporaryDirectory() as folder:
        scene = write_scene(arm, Path(folder) / "scene.xml")
        for draw in draws(arm, scene, args):
            found.append(draw)
            print(f"draw {draw['seed']}: {draw['seconds']:.0f} s", flush=True)
            if args.keep is not None:
                with args.keep.open("a") as file:
                    file.write(json.dumps(draw) + "\n")
    print(*table(found), sep="\n")


if __name__ == "__main__":
    main()
