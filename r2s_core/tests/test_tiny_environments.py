"""The environments with known answers keep the contract and give the answers they promise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r2s_core.testing import check_environment, environments
from r2s_core.testing.one_of import OneOf
from r2s_core.types import EXPERT_GROUP


def _play(environment, policy, steps, seed=0):
    """Steps with leaves [T, W, ...] under policy(obs [W, n]) -> action [W, A]."""

    def body(carry, _):
        state, obs = carry
        state, step = environment.step(state, policy(obs))
        return (state, step.obs["policy"]), step

    @jax.jit
    def play(key):
        state, obs = environment.reset(key)
        return jax.lax.scan(body, (state, obs["policy"]), length=steps)[1]

    return play(jax.random.key(seed))


def _idle(obs):
    return jnp.zeros((obs.shape[0], 1))


def test_constant_reward_is_truncated_and_never_terminated():
    steps = _play(environments.constant_reward(3, max_episode_steps=4), _idle, 12)
    assert not steps.terminated.any()
    assert np.flatnonzero(steps.truncated[:, 0]).tolist() == [3, 7, 11]
    np.testing.assert_array_equal(steps.episode_return[3], 4.0)
    np.testing.assert_array_equal(steps.episode_length[:5, 0], [1, 2, 3, 4, 1])


def test_bandit_pays_best_where_the_action_is_the_observation():
    environment = environments.bandit(64)
    best = _play(environment, lambda obs: obs, 5)
    assert best.terminated.all()
    np.testing.assert_array_equal(best.reward, 0.0)
    assert (_play(environment, lambda obs: -obs, 5).reward < 0).all()


def test_two_step_credit_pays_the_first_action_at_the_second_step():
    steps = _play(environments.two_step_credit(1), lambda obs: 1.0 - 2.0 * obs[:, :1], 4)
    np.testing.assert_array_equal(steps.reward[:, 0], [0.0, 1.0, 0.0, 1.0])
    np.testing.assert_array_equal(steps.terminated[:, 0], [False, True, False, True])


def test_the_combination_opens_the_lock_and_a_wrong_sign_leads_back():
    lock = environments.combination_lock(2)
    steps = _play(lock, environments.open_the_lock, 32)
    assert np.flatnonzero(steps.reward[:, 0]).tolist() == [15, 31]
    np.testing.assert_array_equal(steps.terminated, steps.reward == 1.0)
    stuck = _play(lock, lambda obs: jnp.ones((2, 1)), 32)
    np.testing.assert_array_equal(stuck.final_obs["policy"][:3, 0].argmax(-1), [1, 0, 1])
    assert not stuck.reward.any()


@pytest.mark.parametrize("ends_by", ["termination", "truncation"])
def test_corridor_values_solve_the_bellman_equation_of_what_is_played(ends_by):
    discount, length = 0.9, 5
    steps = _play(environments.corridor(1, ends_by, length), _idle, length)
    ended = steps.terminated if ends_by == "termination" else steps.truncated
    np.testing.assert_array_equal(ended[:, 0], [False] * (length - 1) + [True])
    values = environments.corridor_values(discount, ends_by, length)
    places = steps.final_obs["policy"][:, 0].argmax(-1)
    for place in range(length):
        bootstrap = 0.0 if steps.terminated[place, 0] else values[int(places[place])]
        assert values[place] == pytest.approx(1.0 + discount * bootstrap)


def test_final_obs_is_of_the_old_episode_and_obs_of_the_new():
    steps = _play(environments.corridor(2, "termination", 3), _idle, 3)
    np.testing.assert_array_equal(steps.final_obs["policy"][2].argmax(-1), 3)
    np.testing.assert_array_equal(steps.obs["policy"][2].argmax(-1), 0)


def test_point_mass_rewards_as_its_docstring_says():
    environment = environments.point_mass(256)
    good = _play(environment, lambda obs: -4.0 * obs[:, :1] - 3.0 * obs[:, 1:], 40)
    keys = iter(jax.random.split(jax.random.key(1), 100))

    def random(obs):
        return jax.random.uniform(next(keys), (obs.shape[0], 1), minval=-1.0)

    assert good.reward.mean() > 0.75
    state, obs = environment.reset(jax.random.key(0))
    rewards, one_step = [], jax.jit(environment.step)
    for _ in range(40):
        state, step = one_step(state, random(obs["policy"]))
        obs = step.obs
        rewards.append(step.reward.mean())
    assert 0.2 < np.mean(rewards) < 0.5


def test_only_the_critic_sees_the_coin():
    steps = _play(environments.coin(64), _idle, 3)
    assert steps.terminated.all()
    np.testing.assert_array_equal(steps.reward, steps.final_obs["critic"][..., 0])
    assert 0.3 < steps.reward.mean() < 0.7
    assert not steps.final_obs["policy"].any()


def test_one_of_several_is_played_as_it_is_alone():
    each = {
        "corridor": environments.corridor(4, "termination", 3),
        "coin": environments.coin(4),
    }
    several = OneOf(each)
    check_environment(several)
    for name, environment in each.items():
        alone, among = (
            _play(env, _idle, 5, seed=1) for env in (environment, several.playing(name))
        )
        for field in ("reward", "terminated", "truncated", "episode_length"):
            np.testing.assert_array_equal(getattr(alone, field), getattr(among, field))
        for group, shown in among.final_obs.items():
            own = alone.final_obs.get(group, alone.final_obs["policy"])
            np.testing.assert_array_equal(shown[..., : own.shape[-1]], own)
            assert not shown[..., own.shape[-1] :].any()


def test_a_host_driven_environment_refuses_to_be_traced():
    environment = environments.HostDriven(environments.bandit(2))
    state, _ = environment.reset(jax.random.key(0))
    environment.step(state, jnp.zeros((2, 1)))
    with pytest.raises(TypeError, match="host-driven"):
        jax.jit(environment.step)(state, jnp.zeros((2, 1)))


def test_an_expert_labels_what_is_observed_and_what_a_step_led_to():
    environment = environments.WithExpert(
        environments.point_mass(64), environments.push_to_the_middle
    )
    assert environment.spec.observations[EXPERT_GROUP].shape == (1,)
    state, obs = environment.reset(jax.random.key(0))
    _, step = environment.step(state, obs[EXPERT_GROUP])
    for seen in (obs, step.obs, step.final_obs):
        expected = environments.push_to_the_middle(seen["policy"])
        np.testing.assert_allclose(seen[EXPERT_GROUP], expected)


def test_the_expert_of_the_point_mass_is_a_good_policy():
    steps = _play(environments.point_mass(64), environments.push_to_the_middle, 40)
    assert float(steps.reward.mean()) > 0.85
