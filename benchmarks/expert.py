"""How often the scripted expert succeeds, and how it fails, on the samples or on scans of your own.

    python benchmarks/expert.py [OBJECT ...] [--episodes 256] [key=value ...]

OBJECT: a sample such as sample:duck, or a file; default: the nine samples. key=value: options of
the environment, such as action_space=ee_delta goal=place robot=ur5e_2f85. Fresh episodes from the
task's own distribution, each of the task's own length.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

import jax
import numpy as np
import yaml

from r2s_core.config import load_mapping
from r2s_core.env.build import make_environment
from r2s_core.errors import R2SError
from r2s_core.evaluation.intervals import wilson_interval
from r2s_core.types import EXPERT_GROUP

_SAMPLES = ("bottle", "can", "carton", "cheese", "duck", "dumbbell", "mallet", "pear", "soap")


def main() -> None:
    parser = argparse.ArgumentParser(description="how often the scripted expert succeeds")
    parser.add_argument("arguments", nargs="*", metavar="OBJECT or key=value")
    parser.add_argument("--episodes", type=int, default=256)
    args = parser.parse_args()
    options = dict(text.split("=", 1) for text in args.arguments if "=" in text)
    objects = [text for text in args.arguments if "=" not in text]
    print(
        "| object | success, % (95 % interval) | never grasped | not lifted | dropped | off goal |"
    )
    print("|---|---|---|---|---|---|")
    for name in objects or [f"sample:{sample}" for sample in _SAMPLES]:
        settings = {key: yaml.safe_load(value) for key, value in options.items()}
        try:
            print(_row(name, args.episodes, settings), flush=True)
        except R2SError as error:
            print(
                f"| {Path(name).name} | refused: {str(error).split(';')[0]} | | | | |", flush=True
            )


def _row(name: str, episodes: int, settings: dict[str, Any]) -> str:
    made = {"objects": [name], "num_parallel_envs": episodes, "start_state_share": 0.0, **settings}
    config = load_mapping({"environment": made, "demonstrations": {"source": "script"}})
    env = make_environment(config, training=True)
    step = jax.jit(env.step) if env.spec.traceable else env.step
    state, obs = env.reset(jax.random.key(0))
    ended = Counter[str]()
    # The clocks of the first episodes start at random, so they are not counted.
    counted = np.zeros(episodes, int) - 1
    while (counted < 1).any():
        state, result = step(state, obs[EXPERT_GROUP])
        obs = result.obs
        for world in np.flatnonzero(result.done):
            if counted[world] == 0:
                ended[_outcome(result, int(world))] += 1
            counted[world] += 1
    low, high = wilson_interval(ended["success"], episodes)
    rate = f"{100 * ended['success'] / episodes:.1f} ({100 * low:.1f} to {100 * high:.1f})"
    failures = (ended[kind] for kind in ("never grasped", "not lifted", "dropped", "off goal"))
    return f"| {Path(name).name} | {rate} | {' | '.join(map(str, failures))} |"


def _outcome(result: Any, world: int) -> str:
    if result.success[world]:
        return "success"
    if not result.metrics["grasped"][world]:
        return "never grasped"
    if not result.metrics["lifted"][world]:
        return "not lifted"
    return "off goal" if result.metrics["held"][world] else "dropped"


if __name__ == "__main__":
    main()
