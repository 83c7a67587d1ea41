"""`template_name` keeps the contract, and rewards what it says."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from r2s_core.testing import check_reward
from r2s_core.testing.reward_kit import sample_transitions
from r2s_core.testing.tasks import CartTask
from r2s_template_module.plugin import TemplateNameConfig


@pytest.fixture
def reward(registry):
    return registry.build("reward", "template_name", TemplateNameConfig(max_step=0.1))


def test_it_keeps_the_contract(reward):
    check_reward(reward)


def test_it_costs_the_mean_square_of_the_change_in_units_of_max_step(reward):
    step = jax.tree.map(lambda leaf: leaf[0], sample_transitions(CartTask()))
    for change, expected in ((0.0, 0.0), (0.1, -1.0), (-0.2, -4.0)):
        view = dataclasses.replace(step.view, qpos=step.prev_view.qpos + change)
        assert jnp.isclose(reward(dataclasses.replace(step, view=view)), expected, atol=1e-4)
