"""What off-policy algorithms share, apart from any one of them."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r2s_algos_common.encoders.config import ImageEncoder
from r2s_algos_common.encoders.reader import Reader
from r2s_algos_common.normalize import init_return_scale
from r2s_algos_common.off_policy.batch import Batch
from r2s_algos_common.off_policy.config import OffPolicyConfig, sizes
from r2s_algos_common.off_policy.critic import Critic, polyak
from r2s_algos_common.off_policy.learn import Agent, Learning
from r2s_algos_common.off_policy.reading import Reading
from r2s_algos_common.off_policy.replay import init_replay
from r2s_algos_common.optimizer import Adam
from r2s_core.errors import ConfigError
from r2s_core.testing.environments import point_mass
from r2s_core.types import ArraySpec

CONFIG = OffPolicyConfig(hidden_sizes=(16,))


@pytest.mark.parametrize("worlds", [64, 256, 1024, 4096, 16384])
def test_the_defaults_fit_any_number_of_worlds(worlds):
    found = sizes(OffPolicyConfig(), worlds, "sac")
    learned = found.gradient_steps * found.batch_size
    collected = found.num_steps * worlds
    assert learned / collected == pytest.approx(OffPolicyConfig().update_to_data_ratio, rel=0.01)
    assert found.gradient_steps % OffPolicyConfig().policy_delay == 0
    assert found.rows % found.num_steps == 0
    assert 2**18 <= found.rows * worlds <= 2**22
    assert found.learning_starts < found.rows * worlds / 4


def test_options_that_do_not_fit_each_other_are_refused():
    with pytest.raises(ConfigError, match=r"too few for 2 gradient steps .* of batch_size 4096"):
        sizes(OffPolicyConfig(num_steps=1, batch_size=4096), 64, "sac")
    with pytest.raises(ConfigError, match="raise buffer_size"):
        sizes(OffPolicyConfig(buffer_size=100, num_steps=1, learning_starts=1000), 64, "sac")
    with pytest.raises(ValueError, match="num_atoms is 1"):
        OffPolicyConfig(num_atoms=1)
    with pytest.raises(ValueError, match="value_range"):
        OffPolicyConfig(value_range=(1.0, 1.0))


def _critic(**options):
    spec = dataclasses.replace(point_mass(1).spec, observations={"policy": ArraySpec((3,))})
    reader = Reader(spec, ("policy",), ImageEncoder())
    critic = Critic(dataclasses.replace(CONFIG, **options), reader, 2, count=2)
    for name in ("values", "target", "loss"):
        setattr(critic, name, jax.jit(getattr(critic, name)))
    critics = critic.init(jax.random.key(0))
    observation = jax.random.normal(jax.random.key(1), (7, 3))
    action = jax.random.uniform(jax.random.key(2), (7, 2), minval=-1.0)
    return critic, critics, observation, action


def _batch(observation, reward, discount):
    """That leads to `observation`; the rest is not read."""
    blank = jnp.zeros(7)
    return Batch({}, blank, reward, discount, {"policy": observation}, jnp.ones(7))


@pytest.mark.parametrize("layer_norm", [False, True])
def test_a_scalar_target_believes_the_lesser_critic(layer_norm):
    critic, critics, observation, action = _critic(layer_norm=layer_norm)
    values = np.asarray(critic.values(critics.target, observation, action))
    chex.assert_shape(values, (2, 7))
    assert not np.allclose(values[0], values[1])
    reward, discount, bonus = jnp.arange(7.0), jnp.full(7, 0.5), jnp.full(7, 0.2)
    target = critic.target(critics, _batch(observation, reward, discount), action, bonus)
    np.testing.assert_allclose(target, reward + 0.5 * (values.min(0) + 0.2), rtol=1e-5)


def test_a_categorical_target_is_the_bellman_target_in_the_mean():
    critic, critics, observation, action = _critic(num_atoms=41, value_range=(-4.0, 4.0))
    values = np.asarray(critic.values(critics.target, observation, action))
    reward, discount = jnp.linspace(-1.0, 1.0, 7), jnp.linspace(0.0, 0.5, 7)
    target = critic.target(critics, _batch(observation, reward, discount), action, bonus=0.3)
    np.testing.assert_allclose(np.sum(target, -1), 1.0, rtol=1e-5)
    expected = np.asarray(reward) + np.asarray(discount) * (values.min(0) + 0.3)
    np.testing.assert_allclose(target @ np.asarray(critic.atoms), expected, atol=1e-4)
    # A termination: all of it at the reward.
    np.testing.assert_allclose(target[0] @ np.asarray(critic.atoms), reward[0], atol=1e-4)


def test_what_lies_outside_the_atoms_is_put_on_the_last():
    critic, critics, observation, action = _critic(num_atoms=5, value_range=(-1.0, 1.0))
    target = critic.target(critics, _batch(observation, jnp.full(7, 9.0), jnp.zeros(7)), action)
    np.testing.assert_allclose(target, np.eye(5)[[4] * 7], atol=1e-6)


@pytest.mark.parametrize("num_atoms", [None, 21])
def test_samples_without_weight_teach_nothing(num_atoms):
    critic, critics, observation, action = _critic(num_atoms=num_atoms)
    zeros = jnp.zeros(7)
    target = critic.target(critics, _batch(observation, jnp.arange(7.0) / 7, zeros), action)
    weight = zeros.at[0].set(1.0)
    all_of_it = critic.loss(critics.online, observation, action, target, weight)[0]
    alone = critic.loss(critics.online, observation[:1], action[:1], target[:1], weight[:1])[0]
    np.testing.assert_allclose(all_of_it, alone, rtol=1e-5)
    assert critic.loss(critics.online, observation, action, target, zeros)[0] == 0.0


def test_policy_and_critics_share_encoders_unless_the_policy_is_cloned_first():
    """A critic that learns would change what a cloned policy does."""
    seen = {"policy": ArraySpec((3,)), "eye": ArraySpec((16, 16, 3), "uint8")}
    spec = dataclasses.replace(point_mass(1).spec, observations=seen)
    for steps, groups, shared in ((0, ("policy", "eye"), True), (1, ("policy", "eye"), False)):
        reading = Reading(spec, dataclasses.replace(CONFIG, cloning_steps=steps), groups)
        own = {"params": {}} if shared else {"params": {}, "encoders": 0}
        assert reading.shared is shared
        assert reading.parts(reading.whole(own, "theirs"), "theirs") == (own, "theirs")
        fresh = reading.with_encoders({"params": {}}, jax.random.key(0))
        assert ("encoders" in fresh) is not shared
    assert not Reading(spec, CONFIG, ("policy",)).shared


def test_polyak_moves_a_share_of_the_way():
    moved = polyak({"x": jnp.array([0.0, 1.0])}, {"x": jnp.array([1.0, 1.0])}, 0.25)
    np.testing.assert_allclose(moved["x"], [0.25, 1.0])


class _Watching:
    """An actor-critic whose networks are the last two batches that the critics learned from."""

    def learn_critics(self, networks, batch, rate, key):
        latest, before = batch.observation["policy"], networks["latest"]
        moved = jnp.any(before != latest).astype(jnp.float32)
        return {"latest": latest, "before": before}, {"moved": moved}

    def learn_policy(self, networks, batch, rate, key, term):
        same = jnp.all(networks["latest"] == batch.observation["policy"]).astype(jnp.float32)
        return networks, {"same": same}


def test_the_policy_learns_from_the_batch_that_the_critics_learned_from_last():
    env = point_mass(8)
    config = dataclasses.replace(
        CONFIG, num_steps=4, batch_size=16, policy_delay=2, normalize_observations=False
    )
    found = sizes(config, 8, "sac")
    assert found.gradient_steps == 32  # policy_delay several times over
    replay = init_replay(env.spec, ("policy",), found.rows)
    obs = jax.random.normal(jax.random.key(0), replay.obs["policy"].shape)
    replay = dataclasses.replace(replay, obs={"policy": obs}, filled=jnp.int32(found.rows))
    agent = Agent({}, {}, init_return_scale(8), jnp.zeros((8, 1)), jnp.int32(0), jax.random.key(1))
    empty = jnp.zeros((16, obs.shape[-1]))
    agent = dataclasses.replace(agent, networks={"latest": empty, "before": empty})
    learning = Learning(config, found, 32, _Watching())  # type: ignore[arg-type]
    networks, metrics = jax.jit(learning.learn)(agent, replay, jax.random.key(2))
    assert metrics["same"] == metrics["moved"] == 1.0
    assert not np.array_equal(networks["latest"], networks["before"])


def test_gradients_far_below_adam_s_epsilon_move_little():
    for epsilon, step in ((1e-8, 0.99), (1e-5, 0.091)):
        adam = Adam(np.inf, epsilon)
        params, gradient = jnp.zeros(1), jnp.full(1, 1e-6)
        moved, _ = adam.step(params, adam.init(params), gradient, jnp.float32(1.0))
        np.testing.assert_allclose(-moved, step, rtol=0.01)
