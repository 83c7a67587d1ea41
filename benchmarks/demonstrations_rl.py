"""What each use of demonstrations brings to PPO, SAC and DDPG, on sparse rewards.

    python benchmarks/demonstrations_rl.py [ROW ...] [--seed 0] [--output DIR] [key=value ...]

ROW: ppo, sac or ddpg for their rows, or a row's number; default: all. Each row is `r2s run`
in its own process, on the quickstart's task with `reward: sparse`, no start states and 100 recorded
episodes; "clone alone" is the cloned policy before any reinforcement learning. Seconds are from the
start of training, compilation included and the curve's evaluations not: run nothing else meanwhile.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

_TASK = {
    "environment.reward": "sparse",
    "environment.start_state_share": "0",
    "environment.start_state_until": "null",
    "evaluation.curve_points": "8",
    "evaluation.video": "false",
    "evaluation.episodes": "1024",
}
_RECORDED = {"demonstrations": "{source: script, episodes: 100}"}
_NO_TRAINING = {"training.total_timesteps": "0"}
_GOAL = 0.9

_PPO = {
    "training.total_timesteps": "800000",
    "algorithms.ppo.num_steps": "32",
    "algorithms.ppo.discount": "0.95",
    "algorithms.ppo.final_discount": "0.98",
    "algorithms.ppo.entropy_coefficient": "0",
    "algorithms.ppo.final_entropy_coefficient": "null",
    "algorithms.ppo.learning_rate": "3e-4",
}
_PPO_CLONE = _RECORDED | {
    "algorithms.ppo.cloning_steps": "2000",
    "algorithms.ppo.initial_log_std": "-2.5",
}
_PPO_WARM = _PPO_CLONE | {"algorithms.ppo.critic_warmup": "0.05"}
_PPO_TERM = {"algorithms.ppo.cloning_coefficient": "0.3", "algorithms.ppo.cloning_until": "1"}
_OFF_POLICY = {"training.total_timesteps": "200000"}


def _rlpd(name: str) -> dict[str, str]:
    return _RECORDED | {f"algorithms.{name}.demonstration_share": "0.5"}


def _clone_alone(name: str) -> dict[str, str]:
    return _RECORDED | {f"algorithms.{name}.cloning_steps": "2000", **_NO_TRAINING}


def _cloned(name: str, **quiet: str) -> dict[str, str]:
    """With half batches, a cloned start whose critics warm up, and a term that stays.

    quiet: options that keep the exploration near the clone.
    """
    options = {
        "cloning_steps": "2000",
        "critic_warmup": "0.1",
        "cloning_coefficient": "5",
        "cloning_until": "null",
        "learning_rate": "3e-4",
        **quiet,
    }
    return _rlpd(name) | {f"algorithms.{name}.{key}": value for key, value in options.items()}


#: (algorithm, what it has, overrides)
ROWS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("ppo", "clone alone", _PPO | _PPO_CLONE | _NO_TRAINING),
    ("ppo", "from rewards alone", _PPO),
    ("ppo", "cloned start", _PPO | _PPO_CLONE),
    ("ppo", "and the critic warmed up", _PPO | _PPO_WARM),
    ("ppo", "and the cloning term (DAPG)", _PPO | _PPO_WARM | _PPO_TERM),
    ("sac", "clone alone", _clone_alone("sac")),
    ("sac", "from rewards alone", _OFF_POLICY),
    ("sac", "half batches (RLPD)", _OFF_POLICY | _rlpd("sac")),
    (
        "sac",
        "and a cloned start, warm-up, lasting term",
        _OFF_POLICY
        | _cloned(
            "sac", initial_log_std="-2", learn_temperature="false", initial_temperature="1e-4"
        ),
    ),
    ("ddpg", "clone alone", _clone_alone("ddpg")),
    ("ddpg", "from rewards alone", _OFF_POLICY),
    ("ddpg", "half batches (RLPD)", _OFF_POLICY | _rlpd("ddpg")),
    (
        "ddpg",
        "and a cloned start, warm-up, lasting term",
        _OFF_POLICY | _cloned("ddpg", exploration_noise="[0.02, 0.2]"),
    ),
)


def run(algorithm: str, overrides: dict[str, str], seed: int, output: Path) -> float:
    """Train; the processor seconds that it took."""
    settings = _TASK | {"algorithm": algorithm, "seed": str(seed)} | overrides
    words = [f"{key}={value}" for key, value in settings.items()]
    command = [sys.executable, "-m", "r2s_core", "run", "quickstart_rl", *words]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*command, "--output", output], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def row(algorithm: str, what: str, folder: Path, processor_s: float) -> str:
    """From the curve, at which step and second of training the goal was reached and the best; and
    the final success."""
    result = json.loads((folder / "result.json").read_text())
    path, curve = folder / "metrics.csv", []
    if path.exists():
        with path.open(newline="") as file:
            for line in csv.DictReader(file):
                success = float(line.get("eval/success") or "nan")
                if not math.isnan(success):
                    curve.append((float(line["step"]), float(line["wall_s"]), success))
    reached = next((point for point in curve if point[2] >= _GOAL), None)
    low, high = (100 * x for x in result["success_ci95"])
    cells = (
        algorithm,
        what,
        f"{reached[0] / 1e3:.0f}k" if reached else "",
        f"{reached[1]:.0f}" if reached else "",
        f"{100 * max(point[2] for point in curve):.0f}" if curve else "",
        f"{100 * result['success_rate']:.1f} ({low:.1f} to {high:.1f})",
        f"{result['env_steps'] / 1e3:.0f}k",
        f"{result['wall_clock_s']:.0f}",
        f"{processor_s:.0f}",
    )
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("arguments", nargs="*", metavar="ROW or key=value")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="keep the runs here, row_0, row_1, ...")
    args = parser.parse_args()
    more = dict(text.split("=", 1) for text in args.arguments if "=" in text)
    chosen = {text for text in args.arguments if "=" not in text}
    print(
        "| algorithm | what it has | steps to 90 % | seconds to 90 % | best of the curve, % | "
        "final success, % (95 % interval) | steps | training, s | processor, s |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        for number, (algorithm, what, overrides) in enumerate(ROWS):
            if chosen and not chosen & {algorithm, str(number)}:
                continue
            folder = (args.output or Path(scratch)) / f"row_{number}"
            spent = run(algorithm, overrides | more, args.seed, folder)
            print(row(algorithm, what, folder, spent), flush=True)


if __name__ == "__main__":
    main()
