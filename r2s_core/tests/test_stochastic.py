"""The policy as it explores, beside the deterministic one."""

import dataclasses
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest

from r2s_core.config import load_mapping
from r2s_core.evaluation.episodes import run_episodes
from r2s_core.evaluation.evaluate import episodes_key
from r2s_core.evaluation.stochastic import beside, play_stochastic
from r2s_core.system.progress import result_rows
from r2s_core.testing.environments import bandit

WORLDS = 128
CONFIG: Any = SimpleNamespace(
    seed=3, evaluation=SimpleNamespace(seed_offset=10, stochastic_episodes=200)
)


class Near:
    """A one-step task: act the observation; within 0.1 is a success."""

    def __init__(self) -> None:
        self.inner: Any = bandit(WORLDS)
        self.spec = self.inner.spec

    def reset(self, key):
        return self.inner.reset(key)

    def step(self, state, action):
        state, step = self.inner.step(state, action)
        return state, dataclasses.replace(step, success=step.reward > -0.01)


def learner(noise: float) -> Any:
    """An algorithm whose policy is right but for noise."""

    def policy(learner, deterministic):
        size = 0.0 if deterministic else noise
        return lambda obs, key: obs["policy"] + size * jax.random.normal(key, (WORLDS, 1))

    return SimpleNamespace(policy=policy)


def test_noise_costs_what_it_costs():
    env: Any = Near()
    explored = play_stochastic(CONFIG, learner(0.1), None, env)
    assert explored is not None
    exact = run_episodes(env, learner(0.1).policy(None, True), episodes_key(CONFIG), 1)
    told = beside(explored, exact)
    assert told["episodes"] == 2 * WORLDS  # two whole rounds
    assert told["success_rate"] == pytest.approx(0.683, abs=0.1)  # within one sigma
    assert told["difference"] == pytest.approx(told["success_rate"] - 1.0)
    low, high = told["difference_ci95"]
    assert low < told["difference"] < high < -0.2
    assert told["success_ci95"][0] < told["success_rate"] < told["success_ci95"][1]
    rows = dict(
        result_rows(
            {
                "episodes": 1,
                "success_rate": 1.0,
                "success_ci95": [0, 1],
                "stochastic": told,
                "task": {},
            }
        )
    )
    assert rows["success, stochastic"].startswith(f"{100 * told['success_rate']:.1f} %  (-")


def test_a_policy_without_noise_has_no_stochastic_mode():
    env: Any = Near()
    assert play_stochastic(CONFIG, learner(0.0), None, env) is None


def test_it_starts_where_the_deterministic_policy_does():
    env: Any = Near()
    seen = []

    def spying(obs, key):
        seen.append(np.asarray(obs["policy"]))
        return obs["policy"] + 0.1 * jax.random.normal(key, (WORLDS, 1))

    eager: Any = SimpleNamespace(policy=lambda learner, deterministic: spying)
    env.spec = dataclasses.replace(env.spec, traceable=False)
    play_stochastic(CONFIG, eager, None, env)
    first = seen[2]  # after the two looks whether it has noise
    seen.clear()
    run_episodes(env, spying, episodes_key(CONFIG), 1)
    np.testing.assert_array_equal(first, seen[0])


def test_it_is_off_unless_configured():
    assert load_mapping({}).evaluation.stochastic_episodes == 0
