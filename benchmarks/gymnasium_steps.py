"""What the interfaces for NumPy, Gymnasium and Stable-Baselines3 cost, side by side in one run.

    python benchmarks/gymnasium_steps.py [--worlds 64 256] [--config quickstart]

In turns, under the same random actions and with the same rewards, an environment is stepped by
r2s's own loop (`state, step = env.step(state, action)`), by `r2s.make`, by `gymnasium.make_vec`
and, where it is installed, through `SB3VecEnv`. Prints a table, in control steps/s.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import gymnasium
import jax
import numpy as np

import r2s
import r2s_gymnasium  # noqa: F401  (registers)

STEPS, TURNS = 160, 5  # two episodes of pick-and-place


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--worlds", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--config", default="quickstart")
    options = parser.parse_args()
    for worlds in options.worlds:
        rates = measure(options.config, worlds)
        own = statistics.median(rates["r2s's own loop"])
        print(f"\n{worlds} worlds, {options.config}\n")
        print("| stepped by | control steps/s, median | lowest to highest | of r2s's own |")
        print("|---|---|---|---|")
        for name, values in rates.items():
            middle = statistics.median(values)
            span = f"{min(values):,.0f} to {max(values):,.0f}"
            print(f"| {name} | {middle:,.0f} | {span} | {middle / own:.3f} |")


def measure(config: str, worlds: int) -> dict[str, list[float]]:
    """Control steps/s of each interface, one number for each turn."""
    face = r2s.make(config, worlds)
    shape = (STEPS, worlds, face.spec.action_size)
    actions = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    players: dict[str, Callable[[], None]] = {
        "r2s's own loop": lambda: own_loop(face.env, actions),
        "r2s.make": lambda: numpy_loop(face, actions),
    }
    vector = gymnasium.make_vec("r2s/PickPlace-v0", worlds, config=config)
    players["gymnasium.make_vec"] = lambda: numpy_loop(vector, actions)
    try:
        from r2s_gymnasium.sb3 import SB3VecEnv
    except ImportError:
        print("stable-baselines3 is not installed; going on without it")
    else:
        sb3 = SB3VecEnv(config, worlds)
        players["SB3VecEnv"] = lambda: sb3_loop(sb3, actions)
    return turns(players, worlds)


def turns(players: dict[str, Callable[[], None]], worlds: int) -> dict[str, list[float]]:
    for play in players.values():  # compiles
        play()
    rates: dict[str, list[float]] = {name: [] for name in players}
    for _ in range(TURNS):
        for name, play in players.items():
            began = time.perf_counter()
            play()
            rates[name].append(STEPS * worlds / (time.perf_counter() - began))
    return rates


def own_loop(env: Any, actions: np.ndarray) -> None:
    step: Any = None
    state, _ = env.reset(jax.random.key(0))
    for action in actions:
        state, step = env.step(state, action)
    jax.block_until_ready(step.obs)


def numpy_loop(env: Any, actions: np.ndarray) -> None:
    env.reset(seed=0)
    for action in actions:
        env.step(action)


def sb3_loop(env: Any, actions: np.ndarray) -> None:
    env.seed(0)
    env.reset()
    for action in actions:
        env.step(action)


if __name__ == "__main__":
    main()
