"""`template_name` keeps the contract, and learns."""

import jax
import jax.numpy as jnp
import pytest
from r2s_core.errors import ConfigError
from r2s_core.testing import check_algorithm, environments
from r2s_template_module.plugin import TemplateNameConfig


@pytest.fixture
def make(registry):
    """Builds the algorithm for an environment, as a user would get it."""
    return lambda env: registry.build("algorithm", "template_name", env, TemplateNameConfig())


def test_it_keeps_the_contract(make):
    check_algorithm(make)


def test_it_learns_to_hold_a_point_mass(make):
    env = environments.point_mass(64)
    algorithm = make(env)
    learner, first = algorithm.update(algorithm.init(jax.random.key(0)))
    for _ in range(150):
        learner, last = algorithm.update(learner)
    assert last["reward"] > first["reward"] + 0.2


def test_an_odd_number_of_worlds_is_refused(make):
    with pytest.raises(ConfigError, match="make it even"):
        make(environments.bandit(3))


def test_actions_stay_finite_for_wild_observations(make):
    algorithm = make(environments.bandit(4))
    policy = algorithm.policy(algorithm.init(jax.random.key(0)), True)
    action = policy({"policy": jnp.array([[1e30], [-1e30]])}, jax.random.key(0))
    assert jnp.isfinite(action).all()
