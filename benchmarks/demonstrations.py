"""Success over the number of demonstrations, on the quickstart's task.

    python benchmarks/demonstrations.py [METHOD ...] [--episodes 10 100] [--seeds 3]

METHOD: of `METHODS` below. Each row is trained with `--seeds` seeds and evaluated over 1,024 fresh
episodes each. DAgger has no episodes: it is given as many labelled control steps, 80 for each.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from r2s_core.config import load_config
from r2s_core.evaluation.intervals import wilson_interval
from r2s_core.training.run import run

_STEPS = 80  # of an episode
_GRADIENT_STEPS = 1280  # of cloning, as in the quickstart
_PPO_STEPS = 802_816


def _cloning(noise_std: float) -> Callable[[int], list[str]]:
    def overrides(episodes: int) -> list[str]:
        return [f"demonstrations.episodes={episodes}", f"demonstrations.noise_std={noise_std}"]

    return overrides


def _dagger(episodes: int) -> list[str]:
    """Worlds and updates such that samples and gradient steps are those of the cloned ones."""
    worlds = min(256, episodes)
    updates = max(round(episodes * _STEPS / (16 * worlds)), 1)
    return [
        f"environment.num_parallel_envs={worlds}",
        f"training.total_timesteps={updates * 16 * worlds}",
        f"algorithms.bc.num_batches={round(_GRADIENT_STEPS / updates)}",
    ]


def _ppo(episodes: int) -> list[str]:
    """Reinforcement learning from the clone, by sparse rewards: half of `r2s run sparse`."""
    return [f"demonstrations.episodes={episodes}", f"training.total_timesteps={_PPO_STEPS}"]


METHODS: dict[str, tuple[str, Callable[[int], list[str]]]] = {
    "cloning": ("quickstart", _cloning(0.0)),
    "cloning with noise (DART)": ("quickstart", _cloning(0.1)),
    "DAgger": ("quickstart", _dagger),
    "PPO from the clone": ("sparse", _ppo),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="success over the number of demonstrations")
    parser.add_argument("methods", nargs="*", metavar="METHOD", help=", ".join(METHODS))
    parser.add_argument("--episodes", type=int, nargs="+", default=[10, 30, 100, 300, 1000])
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    print("| method | demonstrations | success, % (95 % interval) | by seed | training, s |")
    print("|---|---|---|---|---|")
    for method in args.methods or METHODS:
        for episodes in args.episodes:
            print(_row(method, episodes, args.seeds), flush=True)


def _row(method: str, episodes: int, seeds: int) -> str:
    sample, overrides = METHODS[method]
    results = []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            changes = [*overrides(episodes), f"seed={seed}", "evaluation.video=false"]
            results.append(run(load_config(sample, changes), Path(folder) / "run"))
    rates = [result["success_rate"] for result in results]
    total = sum(result["episodes"] for result in results)
    low, high = wilson_interval(round(np.mean(rates) * total), total)
    seconds = np.median([result["wall_clock_s"] for result in results])
    return (
        f"| {method} | {episodes:,} | {100 * np.mean(rates):.1f} ({100 * low:.1f} to "
        f"{100 * high:.1f}) | {', '.join(f'{100 * rate:.1f}' for rate in rates)} | {seconds:.0f} |"
    )


if __name__ == "__main__":
    main()
