"""PPO with demonstrations: a cloned start, a critic that warms up first, and DAPG's term."""

import dataclasses

import jax
import pytest

from r2s_algos_common.demonstrations import known_answers
from r2s_algos_ppo.config import PPOConfig
from r2s_algos_ppo.train import PPO

SMALL = PPOConfig(num_steps=8, hidden_sizes=(16,), num_minibatches=2)


def _make(env, **options):
    return PPO(env, dataclasses.replace(SMALL, **options))


def test_a_cloned_start_reproduces_the_labels():
    known_answers.check_cloned_start(_make)


def test_the_critic_warms_up_the_term_falls_and_resuming_is_exact():
    known_answers.check_schedules_and_resuming(
        _make, lambda learner: learner.agent.params["critic"]
    )


def test_options_without_what_they_need_are_refused():
    known_answers.check_options_are_refused(_make)


def test_the_term_opens_a_lock_that_random_actions_do_not():
    known_answers.check_lock(_make, 60, cloning_coefficient=0.5, total_timesteps=64 * 8 * 60)


def test_the_adaptive_learning_rate_waits_for_the_policy():
    """It follows how far the policy moves, which while the critic warms up is not at all."""
    options = {"cloning_steps": 1, "critic_warmup": 0.5, "total_timesteps": 1000}
    ppo = _make(known_answers.shown_point_mass(), learning_rate=1e-4, **options)
    _, metrics = ppo.update(ppo.init(jax.random.key(0)))
    assert metrics["learning_rate"] == pytest.approx(1e-4)
