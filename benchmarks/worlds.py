"""Every algorithm with its defaults, from 64 to 16,384 worlds: do options derived from them work?

    python benchmarks/worlds.py [--algorithm ddpg] [--worlds 64 16384] [--seeds 3]

The point mass of `r2s_core.testing.environments`: pushed to the middle and held there it earns 0.9
per step, at random 0.4. Training ends after a number of steps per world, but not before
`LEAST_STEPS` in total; PPO, which learns from each step four times and not sixteen, gets more.
Prints the rows of a table in algorithms.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import time

import jax
import numpy as np

from r2s_algos_common.off_policy.known_answers import reward_per_step
from r2s_core import registry
from r2s_core.testing.environments import point_mass

STEPS_PER_WORLD, OF_PPO, LEAST_STEPS = 96, 640, 100_000
WORLDS = (64, 256, 1024, 4096, 16384)
EPISODES = 1024


def train(name: str, worlds: int, seed: int) -> tuple[int, float, float]:
    """Steps taken, seconds, reward per step."""
    steps = max((OF_PPO if name == "ppo" else STEPS_PER_WORLD) * worlds, LEAST_STEPS)
    options = dataclasses.replace(
        registry.get("algorithm", name).plugin.config(), total_timesteps=steps
    )
    began = time.perf_counter()
    algorithm = registry.build("algorithm", name, point_mass(worlds), options)
    learner = algorithm.init(jax.random.key(seed))
    updates = -(-steps // algorithm.steps_per_update)
    learner, _ = algorithm.update_many(learner, updates)
    jax.block_until_ready(learner)
    seconds = time.perf_counter() - began
    reward = reward_per_step(algorithm, learner, point_mass(EPISODES))
    return updates * algorithm.steps_per_update, seconds, reward


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--algorithm", nargs="+", default=["ppo", "sac", "ddpg"])
    parser.add_argument("--worlds", nargs="+", type=int, default=WORLDS)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    print("| algorithm | worlds | steps | reward per step, each seed | seconds, median |")
    print("|---|---|---|---|---|")
    for name in arguments.algorithm:
        for worlds in arguments.worlds:
            runs = [train(name, worlds, seed) for seed in range(arguments.seeds)]
            rewards = ", ".join(f"{reward:.3f}" for _, _, reward in runs)
            seconds = np.median([seconds for _, seconds, _ in runs])
            print(
                f"| {name} | {worlds:,} | {runs[0][0]:,} | {rewards} | {seconds:.0f} |", flush=True
            )


if __name__ == "__main__":
    main()
