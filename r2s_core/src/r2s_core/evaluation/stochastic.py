"""The policy as it explores in training, beside the deterministic one: `stochastic_episodes`.

A stochastic policy that does much better than its deterministic one relies on its noise; one that
does much worse was still exploring.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from r2s_core.config import RunConfig
from r2s_core.evaluation.episodes import Episodes, run_episodes
from r2s_core.evaluation.evaluate import episodes_key
from r2s_core.evaluation.intervals import paired_interval, wilson_interval
from r2s_core.types import Algorithm, Environment


def play_stochastic(
    config: RunConfig, algorithm: Algorithm[Any], learner: Any, env: Environment[Any]
) -> Episodes | None:
    """`evaluation.stochastic_episodes` episodes from the start states of the final evaluation; None
    where the algorithm's policy is the same for every random key."""
    policy = algorithm.policy(learner, deterministic=False)
    first, second, reset = jax.random.split(jax.random.key(config.seed), 3)
    _, obs = env.reset(reset)
    one, other = (np.asarray(policy(obs, key)) for key in (first, second))
    if np.array_equal(one, other):
        return None
    per_world = -(-config.evaluation.stochastic_episodes // env.spec.num_worlds)
    return run_episodes(env, policy, episodes_key(config), per_world)


def beside(stochastic: Episodes, deterministic: Episodes) -> dict[str, Any]:
    """What result.json tells of it, as plain values: its success with the 95 % interval, and how
    much higher it is than the deterministic policy's, in pairs of the same worlds."""
    a, b = stochastic.success_by_world(), deterministic.success_by_world()
    each, own = len(stochastic) // len(a), len(deterministic) // len(b)
    successes = int(stochastic.success.sum())
    return {
        "episodes": len(stochastic),
        "success_rate": successes / len(stochastic),
        "success_ci95": list(wilson_interval(successes, len(stochastic))),
        "difference": float(a.mean() - b.mean()),
        "difference_ci95": list(paired_interval(a, b, each, own)),
    }
