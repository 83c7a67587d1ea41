"""`speed_limit` keeps the contract, and charges as it says."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from r2s_core.testing import check_reward
from r2s_core.testing.reward_kit import sample_transitions
from r2s_core.testing.tasks import CartTask
from r2s_rewards_example.plugin import SpeedLimitConfig


@pytest.fixture
def reward(registry):
    """The term as a user would get it, by its name."""
    return registry.build("reward", "speed_limit", SpeedLimitConfig(limit=0.5))


def test_it_keeps_the_contract(reward):
    check_reward(reward)


@pytest.mark.parametrize(("speed", "value"), [(0.0, 0.0), (0.5, 0.0), (1.0, -1.0), (-1.5, -4.0)])
def test_only_speed_above_the_limit_costs(reward, speed, value):
    step = jax.tree.map(lambda leaf: leaf[-1], sample_transitions(CartTask(), steps=2))
    view = dataclasses.replace(step.view, qvel=jnp.full_like(step.view.qvel, speed))
    assert jnp.isclose(reward(dataclasses.replace(step, view=view)), value)
