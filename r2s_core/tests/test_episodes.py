"""Evaluation counts complete episodes, the same number from every world, short ones too."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r2s_core.errors import R2SError
from r2s_core.evaluation.episodes import Episodes, failures, run_episodes, summarise
from r2s_core.task_info import TaskInfo
from r2s_core.testing.environments import HostDriven, Rules, TinyEnvironment


class Coin:
    """Heads: the episode fails at its first step. Tails: it succeeds after ten. p(heads) = 0.5."""

    def __init__(self, num_worlds):
        rules = Rules(
            observation_size=1,
            action_size=1,
            max_episode_steps=12,
            init=lambda key: jnp.stack([jnp.float32(jax.random.bernoulli(key)), jnp.float32(0)]),
            step=self._step,
            observe=lambda memory: memory[:1],
        )
        self.inner = TinyEnvironment(rules, num_worlds)
        self.spec = self.inner.spec

    @staticmethod
    def _step(memory, action):
        memory = memory.at[1].add(1.0)
        heads = memory[0] > 0.5
        return memory, jnp.float32(1.0), heads | (memory[1] >= 10)

    def reset(self, key):
        return self.inner.reset(key)

    def step(self, state, action):
        state, step = self.inner.step(state, action)
        tails = step.episode_length > 1
        return state, dataclasses.replace(
            step, success=tails, metrics={"reached": tails.astype(jnp.float32)}
        )


def stay(obs, key):
    return jnp.zeros((obs["policy"].shape[0], 1))


@pytest.mark.parametrize("host_driven", [False, True])
def test_short_episodes_are_not_over_counted(host_driven):
    env: Any = Coin(num_worlds=200)
    env = HostDriven(env) if host_driven else env
    episodes = run_episodes(env, stay, jax.random.key(0), per_world=5)

    assert len(episodes) == 1000
    # Heads end in a tenth of the time: counting the first 1000 to end would find 10 % tails.
    rate = episodes.success.mean()
    assert 0.45 < rate < 0.55
    # Each counted episode is whole: one step for heads, ten for tails.
    assert set(episodes.episode_length[episodes.success]) == {10}
    assert set(episodes.episode_length[~episodes.success]) == {1}
    np.testing.assert_array_equal(episodes.episode_return, episodes.episode_length)
    # Tails are solved from the second step on.
    second = np.where(episodes.success, 2 * env.spec.control_dt, np.nan)
    assert episodes.time_to_success is not None
    np.testing.assert_allclose(episodes.time_to_success, second)


def test_the_same_key_gives_the_same_episodes_and_another_does_not():
    env: Any = Coin(num_worlds=100)
    first, same, other = (
        run_episodes(env, stay, jax.random.key(k), per_world=2).success for k in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()


def test_an_environment_that_never_ends_is_an_error_not_a_hang():
    class Endless(Coin):
        def step(self, state, action):
            state, step = super().step(state, action)
            never = jnp.zeros_like(step.truncated)
            return state, dataclasses.replace(step, terminated=never, truncated=never)

    env: Any = Endless(num_worlds=3)
    with pytest.raises(R2SError, match="3 of 3 worlds did not finish 2 episodes"):
        run_episodes(env, stay, jax.random.key(0), per_world=2)


def episodes(**columns):
    base = {
        "success": [1, 0, 0, 0, 0, 0, 0],
        "terminated": [0, 0, 0, 0, 1, 0, 0],
        "diverged": [0, 1, 0, 0, 0, 0, 0],
    }
    metrics = {
        "reached": [1, 1, 0, 1, 1, 1, 1],
        "grasped": [1, 1, 0, 0, 1, 1, 1],
        "lifted": [1, 1, 0, 0, 1, 1, 1],
        "lost_it": [0, 1, 0, 0, 1, 1, 0],
        "late": [1, 1, 0, 0, 0, 1, 0],
    } | columns
    return Episodes(
        success=np.asarray(base["success"], bool),
        terminated=np.asarray(base["terminated"], bool),
        diverged=np.asarray(base["diverged"], bool),
        episode_return=np.ones(7),
        episode_length=np.full(7, 60),
        metrics={k: np.asarray(v, np.float32) for k, v in metrics.items() if v is not None},
    )


#: Of a task in the manner of pick-and-place.
INFO = TaskInfo(
    stages=("reached", "grasped", "lifted"),
    headline={"precise": "within 1 cm"},
    failures={"lost_it": "it was lifted and lost", "late": "it came late"},
    out_of_time="off goal",
)


def test_every_failure_is_of_one_kind_the_first_that_fits():
    """The engine's own first, then the task's in their order, then by stage."""
    summary = summarise(episodes(precise=[0] * 7), INFO)
    assert summary["failures"] == {
        "diverged": 1,
        "lost it": 2,
        "not reached": 1,
        "reached, not grasped": 1,
        "lifted, off goal": 1,
    }
    assert summary["failures_by_stage"] == {
        "diverged": {"lifted": 1},
        "lost it": {"lifted": 2},
        "not reached": {"start": 1},
        "reached, not grasped": {"reached": 1},
        "lifted, off goal": {"lifted": 1},
    }
    kinds, number = failures(episodes(), INFO)
    assert [kinds[k] if k >= 0 else "" for k in number] == [
        *("", "diverged", "not reached", "reached, not grasped", "lost it", "lost it"),
        "lifted, off goal",
    ]
    assert INFO.facts()["failures"] == {
        "lost it": "it was lifted and lost",
        "late": "it came late",
    }


def test_tasks_without_stages_have_plain_failure_kinds():
    summary = summarise(episodes(), TaskInfo(terminated="fell off"))
    assert summary["failures"] == {"diverged": 1, "fell off": 1, "time ran out": 4}
    assert summary["failures_by_stage"]["time ran out"] == {"start": 4}


def test_the_times_of_successes_are_told_by_their_quantiles():
    times = np.array([2.0, 9.0, 4.0, 3.0, np.nan, np.nan, np.nan])
    timed = dataclasses.replace(episodes(precise=[0] * 7), time_to_success=times)
    solved = dataclasses.replace(timed, success=~np.isnan(times))
    quantiles = summarise(solved, INFO)["time_to_success_s"]
    assert quantiles == {"p10": pytest.approx(2.3), "median": 3.5, "p90": pytest.approx(7.5)}
    none = dataclasses.replace(timed, success=np.zeros(7, bool))
    assert summarise(none, INFO)["time_to_success_s"] is None
    assert summarise(episodes(), TaskInfo())["time_to_success_s"] is None


def test_summary():
    summary = summarise(episodes(precise=[1, 0, 0, 0, 0, 0, 0]), INFO)
    assert summary["success_rate"] == pytest.approx(1 / 7)
    assert summary["success_ci95"][0] < 1 / 7 < summary["success_ci95"][1]
    assert summary["headline_rates"] == {"precise": pytest.approx(1 / 7)}
    assert list(summary["stage_rates"]) == ["reached", "grasped", "lifted"]
    assert summary["stage_rates"]["reached"] == pytest.approx(6 / 7)
    assert summary["diverged_episodes"] == 1
    assert summarise(episodes(), TaskInfo())["headline_rates"] == {}
