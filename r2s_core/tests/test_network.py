"""A policy's network in JAX: its parts, and what a saved policy is refused for."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r2s_core.policy.network import ACTIVATIONS, as_jax, scale_action, squash
from r2s_core.policy.saved import PolicyError, as_saved
from r2s_core.testing.environments import bandit
from r2s_core.types import ArraySpec, PolicyExport


def test_elu_and_its_gradient_are_jax_s():
    x = jnp.linspace(-6.0, 6.0, 101)  # 0 among them
    elu = ACTIVATIONS["elu"]
    np.testing.assert_allclose(elu(x), jax.nn.elu(x), atol=1e-6)
    expected = jax.vmap(jax.grad(jax.nn.elu))(x)
    np.testing.assert_allclose(jax.vmap(jax.grad(elu))(x), expected, rtol=1e-4)
    assert np.isfinite(jax.grad(elu)(1e4))


@pytest.mark.parametrize("output", ["clip", "tanh"])
def test_actions_fill_their_bounds_and_no_more(output):
    low, high = jnp.array([-2.0, 0.0]), jnp.array([2.0, 0.04])
    raw = jnp.array([[-30.0, 30.0], [0.0, 0.0]])
    actions = scale_action(squash(raw, output), low, high)
    np.testing.assert_allclose(actions, [[-2.0, 0.04], [0.0, 0.02]], rtol=1e-6)


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("observations", {"names": ["square"]}, "observation 0 is square, the environment's dot"),
        ("action", {"names": ["turn"]}, "action 0 is turn, the environment's action_0"),
        (None, {"task": "other"}, "task is other, the environment's touch"),
        (None, {"control_rate_hz": 50.0}, "rate in Hz is 50.0, the environment's 20.0"),
    ],
)
def test_a_policy_for_another_environment_is_refused(part, change, message):
    env, policy = bandit_policy(part, change)
    with pytest.raises(PolicyError, match=message):
        as_jax(policy, env, "touch")


def test_a_policy_with_other_limits_is_refused():
    env, policy = bandit_policy(None, {})
    as_jax(policy, env, "touch")
    env.spec = dataclasses.replace(env.spec, action_high=env.spec.action_high * 2)
    with pytest.raises(PolicyError, match=r"action.high of action_0 is 1.0, the environment's 2.0"):
        as_jax(policy, env, "touch")


def bandit_policy(part, change):
    """An environment and a policy for it, with part of the contract changed."""
    env = bandit(4)
    groups = {"policy": ArraySpec((1,), names=("dot",))}
    env.spec = dataclasses.replace(env.spec, observations=groups, control_dt=0.05)
    layers = ((np.ones((1, 1)), np.zeros(1)),)
    export = PolicyExport.mlp(layers, "elu", np.zeros(1), np.ones(1), 5.0, "clip")
    policy = as_saved(export, env.spec, task="touch")
    contract = dict(policy.contract)
    if part is None:
        contract |= change
    elif part == "observations":
        contract[part] = {"policy": contract[part]["policy"] | change}
    else:
        contract[part] = contract[part] | change
    return env, dataclasses.replace(policy, contract=contract)


@pytest.mark.parametrize("output", ["clip", "tanh"])
def test_a_saved_policy_multiplies_as_precisely_as_in_training(output):
    """JAX multiplies in TF32 on recent GPUs unless told otherwise."""
    env = bandit(3)
    layers = ((np.ones((1, 2)), np.zeros(2)), (np.ones((2, 1)), np.zeros(1)))
    export = PolicyExport.mlp(layers, "elu", np.zeros(1), np.ones(1), 5.0, output)
    policy = as_jax(as_saved(export, env.spec, task="touch"), env, "touch")
    program = str(jax.make_jaxpr(policy)({"policy": jnp.zeros((3, 1))}, None))
    assert program.count("dot_general") == program.count("precision=(Precision.HIGHEST") == 2
