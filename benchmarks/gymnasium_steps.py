"""The cost of the interfaces for NumPy, Gymnasium and Stable-Baselines3, side by side in one run.

    python benchmarks/gymnasium_steps.py [--worlds 64 256] [--config quickstart]

In turns, under the same random actions and with the same rewards, an environment is stepped by
r2s's own loop (`state, step = env.step(state, action)`), by `r2s.make`, by `gymnasium.make_vec`
and, if installed, through `SB3VecEnv`. Then each interface alone is timed, by the CPU time of its
thread, over an environment that only replays recorded steps: two episodes of pick-and-place, since
the ends of episodes cost more than other steps. Prints a table.
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
import r2s_gymnasium  # also registers

STEPS, TURNS = 160, 5


class Recorded:
    """An environment that replays the recorded steps of another, at no cost."""

    def __init__(self, env: Any, actions: np.ndarray) -> None:
        self.spec = env.spec
        state, self._obs = env.reset(jax.random.key(0))
        self._steps = []
        for action in actions:
            state, step = env.step(state, action)
            self._steps.append(jax.block_until_ready(step))

    def reset(self, key: Any) -> tuple[int, Any]:
        return 0, self._obs

    def step(self, state: int, action: Any) -> tuple[int, Any]:
        return state + 1, self._steps[state]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--worlds", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--config", default="quickstart")
    options = parser.parse_args()
    for worlds in options.worlds:
        rates, alone = measure(options.config, worlds)
        print(f"\n{worlds} worlds, {options.config}\n")
        print("| stepped by | control steps/s, median | lowest to highest | the interface alone |")
        print("|---|---|---|---|")
        for name, values in rates.items():
            span = f"{min(values):,.0f} to {max(values):,.0f}"
            own = f"{1e6 * alone[name]:,.0f} us" if name in alone else ""
            print(f"| {name} | {statistics.median(values):,.0f} | {span} | {own} |")


def measure(config: str, worlds: int) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Control steps/s of each interface, by turn; its own seconds per step of all worlds."""
    face = r2s.make(config, worlds)
    shape = (STEPS, worlds, face.spec.action_size)
    actions = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    recorded: Any = Recorded(face.env, actions)
    made: dict[str, tuple[Any, Any]] = {"r2s.make": (face, r2s.make(recorded, worlds))}
    made["gymnasium.make_vec"] = (
        gymnasium.make_vec("r2s/PickPlace-v0", worlds, config=config),
        r2s_gymnasium.make_vec(recorded, worlds),
    )
    try:
        from r2s_gymnasium.sb3 import SB3VecEnv
    except ImportError:
        print("stable-baselines3 is not installed; going on without it")
    else:
        made["SB3VecEnv"] = SB3VecEnv(config, worlds), SB3VecEnv(recorded, worlds)
    players = {"r2s's own loop": lambda: own_loop(face.env, actions)}
    players |= {name: lambda env=env: loop(env, actions) for name, (env, _) in made.items()}
    alone = {name: own_seconds(env, actions) for name, (_, env) in made.items()}
    return turns(players, worlds), alone


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


def own_seconds(env: Any, actions: np.ndarray) -> float:
    """Seconds per step, the minimum of several turns, which is the least disturbed."""
    found = []
    for _ in range(10):
        began = time.thread_time()
        loop(env, actions)
        found.append((time.thread_time() - began) / STEPS)
    return min(found)


def own_loop(env: Any, actions: np.ndarray) -> None:
    step: Any = None
    state, _ = env.reset(jax.random.key(0))
    for action in actions:
        state, step = env.step(state, action)
    jax.block_until_ready(step.obs)


def loop(env: Any, actions: np.ndarray) -> None:
    env.reset()
    for action in actions:
        env.step(action)


if __name__ == "__main__":
    main()
