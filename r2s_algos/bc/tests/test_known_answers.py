"""Behaviour cloning and DAgger find the known answers of tiny environments."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r2s_algos_bc.config import BCConfig
from r2s_algos_bc.train import BC
from r2s_core.testing.environments import (
    Rules,
    TinyEnvironment,
    WithDemonstrations,
    WithExpert,
    recorded,
)

SMALL = BCConfig(
    num_steps=8,
    batch_size=256,
    num_batches=20,
    learning_rate=1e-2,
    hidden_sizes=(32,),
    buffer_size=16_384,
)


def _two_numbers(num_worlds):
    """Observations float32[2], drawn anew at every step, whatever the two actions."""
    draw = lambda key: jax.random.uniform(key, (2,), minval=-1.0, maxval=1.0)  # noqa: E731
    rules = Rules(
        observation_size=2,
        action_size=2,
        max_episode_steps=2,
        init=draw,
        step=lambda memory, action: (memory, jnp.float32(0.0), jnp.bool_(True)),
        observe=lambda memory: memory,
    )
    return TinyEnvironment(rules, num_worlds)


def _linear_and_decisive(observation):
    linear = 0.1 + observation @ jnp.array([0.5, -0.3])
    return jnp.stack([linear, jnp.sign(observation[:, 0] + observation[:, 1])], -1)


def test_a_linear_expert_is_cloned_exactly_and_a_decisive_one_by_its_sign():
    config = dataclasses.replace(SMALL, hidden_sizes=(), total_timesteps=64 * 8 * 40)
    bc = BC(WithExpert(_two_numbers(64), _linear_and_decisive), config)
    learner, metrics = bc.update_many(bc.init(jax.random.key(0)), 40)
    obs = {"policy": jax.random.uniform(jax.random.key(1), (500, 2), minval=-1.0)}
    action = np.asarray(bc.policy(learner, deterministic=True)(obs, jax.random.key(0)))
    expected = np.asarray(_linear_and_decisive(obs["policy"]))
    np.testing.assert_allclose(action[:, 0], expected[:, 0], atol=1e-3)
    clear = np.abs(obs["policy"].sum(-1)) > 0.2
    np.testing.assert_array_equal(np.sign(action[clear, 1]), expected[clear, 1])
    np.testing.assert_array_equal(metrics["decisive_actions"], 1.0)
    assert metrics["agreement/error"][-1] < 1e-3
    assert metrics["agreement/sign"][-1] > 0.95
    assert metrics["agreement/error"][0] > 0.1


def test_recorded_episodes_are_cloned_without_asking_anyone():
    """What the policy meets itself is not learned from: it would have no labels."""
    env = _two_numbers(16)
    demonstrations = recorded(env, _linear_and_decisive, 100, jax.random.key(2))
    config = dataclasses.replace(SMALL, hidden_sizes=(), total_timesteps=16 * 8 * 40)
    bc = BC(WithDemonstrations(env, demonstrations), config)
    start = bc.init(jax.random.key(0))
    kept = jax.tree.map(np.asarray, (start.aggregate, start.agent.statistics))
    learner, metrics = bc.update_many(start, 40)
    obs = {"policy": jax.random.uniform(jax.random.key(1), (500, 2), minval=-1.0)}
    action = np.asarray(bc.policy(learner, deterministic=True)(obs, jax.random.key(0)))
    expected = np.asarray(_linear_and_decisive(obs["policy"]))
    np.testing.assert_allclose(action[:, 0], expected[:, 0], atol=1e-3)
    clear = np.abs(obs["policy"].sum(-1)) > 0.2
    np.testing.assert_array_equal(np.sign(action[clear, 1]), expected[clear, 1])
    np.testing.assert_array_equal(metrics["aggregate/samples"], 1600.0)
    assert not {"agreement/error", "agreement/sign", "expert_share"} & set(metrics)
    jax.tree.map(np.testing.assert_array_equal, kept, (learner.aggregate, learner.agent.statistics))
    np.testing.assert_allclose(
        kept[1]["policy"].mean, np.mean(demonstrations.obs["policy"], axis=0), atol=1e-5
    )


def _balance(num_worlds):
    """x becomes 2 x + action / 2 + 0.2 and must stay within 1; the episode starts at 0.

    The expert, `_keep_balance`, brings it to 0 at once and so is nowhere else. An error doubles
    with every step: from 1e-3 it takes 10 steps to fall.
    """

    def step(memory, action):
        x = 2.0 * memory + 0.5 * action + 0.2
        return x, jnp.float32(1.0), jnp.abs(x[0]) > 1.0

    rules = Rules(
        observation_size=1,
        action_size=1,
        max_episode_steps=40,
        init=lambda key: jnp.zeros(1),
        step=step,
        observe=lambda memory: memory,
    )
    return TinyEnvironment(rules, num_worlds)


def _keep_balance(observation):
    return jnp.clip(-4.0 * observation - 0.4, -1.0, 1.0)


@pytest.fixture(scope="module")
def balance():
    """(the final share of the expert, the deviation of the noise) -> how an episode of the cloned
    policy goes that starts at 1e-3: x float32[T]; and the policy's error at 0. Compiled once."""
    # Not normalised: where x hardly varies that would magnify it a hundredfold.
    total = {"total_timesteps": 64 * 8 * 40, "normalize_observations": False}
    env = WithExpert(_balance(64), _keep_balance)
    options = dataclasses.replace(SMALL, noisy_share=1.0, decisive_actions="none", **total)

    @jax.jit
    def play(learner, final_expert_share, noise_std):
        changes = {"final_expert_share": final_expert_share, "noise_std": noise_std}
        bc = BC(env, dataclasses.replace(options, **changes))
        learner, _ = bc._scan_updates(learner, 40)
        policy = bc.policy(learner, deterministic=True)

        def one(x, _):
            action = policy({"policy": x[:, None]}, jax.random.key(0))[:, 0]
            x = jnp.clip(2.0 * x + 0.5 * action + 0.2, -2.0, 2.0)
            return x, x[0]

        error = policy({"policy": jnp.zeros((1, 1))}, jax.random.key(0))[0, 0] + 0.4
        return jax.lax.scan(one, jnp.full(1, 1e-3), length=40)[1], error

    learner = BC(env, options).init(jax.random.key(0))
    return lambda *options: play(learner, *map(jnp.float32, options))


def test_a_clone_of_the_expert_s_own_states_falls_by_an_error_that_grows(balance):
    x, error = balance(1.0, 0.0)
    assert abs(float(error)) < 1e-2  # it knows what to do where the expert has been
    assert np.abs(x).max() > 1.0


@pytest.mark.parametrize(
    ("final_expert_share", "noise_std"), [(0.0, 0.0), (1.0, 0.3)], ids=["dagger", "dart"]
)
def test_labels_where_the_policy_or_noise_has_led_teach_it_to_recover(
    final_expert_share, noise_std, balance
):
    x, _ = balance(final_expert_share, noise_std)
    assert np.abs(x).max() < 0.1
