"""What reinforcement learning takes from demonstrations, apart from any one algorithm."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r2s_algos_common.demonstrations.clone import (
    Cloning,
    coefficient,
    first_statistics,
    labelled,
    memory_note,
    observed,
    warming_up,
    with_term,
)
from r2s_algos_common.demonstrations.config import DemonstrationOptions
from r2s_algos_common.normalize import init_return_scale
from r2s_algos_common.off_policy.config import OffPolicyConfig, sizes
from r2s_algos_common.off_policy.demonstrated import (
    check_transitions,
    demonstrated,
    demonstrated_bytes,
    first_returns,
)
from r2s_algos_common.off_policy.learn import Agent, Learning
from r2s_algos_common.off_policy.replay import init_replay, sample
from r2s_core.errors import ConfigError
from r2s_core.testing.environments import point_mass
from r2s_core.types import ArraySpec, Demonstrations

SHARE = OffPolicyConfig(demonstration_share=0.5, n_step=3, discount=0.5)


def _two_episodes(**changes: Any) -> Demonstrations:
    """Of three steps and of two, in which everything tells its own step; the first is truncated."""
    step = np.arange(5, dtype=np.float32)
    found: dict[str, Any] = dict(
        obs={"policy": np.stack([step, step], 1)},
        label=-step[:, None] / 10,
        action=step[:, None] / 10,
        next_obs={"policy": np.stack([step + 100, step + 100], 1)},
        reward=step + 1,
        terminated=step == 4,
        truncated=step == 2,
        episode=np.array([0, 0, 0, 1, 1], np.int32),
    )
    return Demonstrations(**{**found, **changes})


SPEC = dataclasses.replace(
    point_mass(8).spec, action_low=np.array([-2.0]), action_high=np.array([2.0])
)


# Options.


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"critic_warmup": 0.1}, "none is cloned; set cloning_steps"),
        (
            {
                "cloning_steps": 1,
                "critic_warmup": 0.5,
                "cloning_coefficient": 1.0,
                "cloning_until": 0.4,
            },
            "cloning_coefficient has no effect; raise cloning_until",
        ),
    ],
)
def test_options_that_would_do_nothing_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        DemonstrationOptions(**options)


def test_the_options_that_read_demonstrations_are_told():
    assert OffPolicyConfig().demonstration_users() == ()
    every = OffPolicyConfig(cloning_steps=1, cloning_coefficient=1.0, demonstration_share=0.5)
    assert every.demonstration_users() == (
        "cloning_steps",
        "cloning_coefficient",
        "demonstration_share",
    )


def test_the_weight_of_the_term_falls_linearly_to_exactly_0_and_the_warm_up_ends():
    options = DemonstrationOptions(
        cloning_steps=1, critic_warmup=0.25, cloning_coefficient=3.0, cloning_until=0.6
    )
    done = jnp.array([0.0, 0.3, 0.6, 0.61, 1.0])
    np.testing.assert_allclose(coefficient(options, done), [3.0, 1.5, 0.0, 0.0, 0.0], rtol=1e-6)
    lasting = dataclasses.replace(options, cloning_until=None)
    assert float(coefficient(lasting, jnp.float32(1.0))) == 3.0
    np.testing.assert_array_equal(warming_up(options, jnp.array([0.0, 0.24, 0.25])), [1, 1, 0])


def test_demonstrations_that_do_not_fit_are_refused(monkeypatch):
    assert memory_note(10**6, 5000) == "demonstrations to learn from: 5,000 control steps, 1 MB"
    monkeypatch.setattr("r2s_core.device.available_memory", lambda: 10**6)
    with pytest.raises(ConfigError, match=r"demonstrations.episodes: .* takes 1 GB.*lower it"):
        memory_note(10**9, 5000)


# Cloning.


def _cloning(**options):
    def linear(policy, statistics, obs):
        return obs["policy"] @ policy["w"] + policy["b"]

    return Cloning(DemonstrationOptions(**options), linear, "clip")


def test_a_linear_demonstrator_is_cloned_exactly():
    key = jax.random.key(0)
    observation = jax.random.uniform(key, (500, 2), minval=-1.0)
    label = 0.1 + observation @ jnp.array([[0.6], [-1.0]])
    zeros = jnp.zeros(500)
    shown = Demonstrations({"policy": observation}, label, label, {}, None, zeros, zeros, zeros)
    policy = {"w": jnp.zeros((2, 1)), "b": jnp.zeros(1)}
    cloning = _cloning(cloning_steps=3000)
    cloned = cloning.cloned(policy, {}, labelled(SPEC, ("policy",), shown), key)
    # In the units of a policy, in which the bounds, here -2 and 2, are -1 and 1.
    np.testing.assert_allclose(cloned["w"], [[0.3], [-0.5]], atol=1e-3)
    np.testing.assert_allclose(cloned["b"], [0.05], atol=1e-3)


def test_the_term_is_added_to_a_loss_and_its_gradient():
    shown = labelled(SPEC, ("policy",), _two_episodes(label=np.full((5, 1), 0.8, np.float32)))
    cloning = _cloning(cloning_coefficient=2.0)
    term = cloning.term({}, shown, jnp.float32(0.25), jax.random.key(0), 16)
    policy = {"w": jnp.zeros((2, 1)), "b": jnp.full(1, 0.1)}

    def loss(policy):
        return with_term(term, policy, 7.0 * policy["b"][0], {"loss/policy": jnp.float32(0.0)})

    (size, metrics), gradient = jax.value_and_grad(loss, has_aux=True)(policy)
    # The label is 0.4 in [-1, 1], the mean action 0.1, and half of the weight has fallen.
    assert float(metrics["loss/cloning"]) == pytest.approx(0.3**2, rel=1e-5)
    assert float(size) == pytest.approx(0.7 + 0.3**2, rel=1e-5)
    assert float(gradient["b"][0]) == pytest.approx(7.0 - 2 * 0.3, rel=1e-5)
    without = _cloning().term({}, shown, jnp.float32(0.0), jax.random.key(0), 16)
    assert without is None
    assert with_term(without, policy, size, {}) == (size, {})


def test_statistics_begin_with_what_was_demonstrated_and_a_cloned_policy_s_stay():
    spec = dataclasses.replace(
        SPEC, observations=dict.fromkeys(("policy", "critic"), ArraySpec((2,)))
    )
    statistics = first_statistics(spec, ("policy", "critic"), _two_episodes())
    assert float(statistics["policy"].count) == 5
    np.testing.assert_allclose(statistics["policy"].mean, 2.0)
    assert float(statistics["critic"].count) == 0  # of which nothing was recorded
    fresh = {group: jnp.ones((3, 2)) for group in statistics}
    for steps, counts in ((0, (8, 3)), (10, (5, 3))):
        after = observed(statistics, fresh, DemonstrationOptions(cloning_steps=steps))
        assert (float(after["policy"].count), float(after["critic"].count)) == counts


# Transitions.


def _shown(config: OffPolicyConfig = SHARE, **changes: Any) -> Any:
    return demonstrated(SPEC, _two_episodes(**changes), config, ("policy",))


def test_every_step_is_a_transition_of_n_steps_within_its_episode():
    shown = _shown()
    assert shown.labelled is None
    drawn = jax.device_get(sample(shown.transitions, jax.random.key(0), 1000, 3, 0.5))
    first = drawn.obs["policy"][:, 0].astype(int)
    assert set(first) == {0, 1, 2, 3, 4}
    # What was executed, in [-1, 1], and not the label.
    np.testing.assert_allclose(drawn.action[:, 0], first / 20, rtol=1e-6)
    reward = np.array([1 + 2 / 2 + 3 / 4, 2 + 3 / 2, 3, 4 + 5 / 2, 5])
    np.testing.assert_allclose(drawn.reward, reward[first])
    # The first episode was truncated, and bootstraps from what followed; the second terminated.
    np.testing.assert_allclose(drawn.discount, np.array([1 / 8, 1 / 4, 1 / 2, 0, 0])[first])
    last = np.array([2, 2, 2, 4, 4])
    np.testing.assert_array_equal(drawn.next_obs["policy"][:, 0], last[first] + 100)
    assert (drawn.weight == 1).all()


def test_recorded_images_are_kept_once_and_so_are_those_after_a_truncation():
    """Here the first episode is truncated after its step 2, the second ends without its last."""
    step = np.arange(5)
    image = np.broadcast_to(step[:, None, None, None], (5, 2, 2, 1)).astype(np.uint8)
    after = np.where(np.isin(step, (2, 4)), step + 100, step + 1)
    after = np.broadcast_to(after[:, None, None, None], image.shape).astype(np.uint8)
    spec = dataclasses.replace(
        SPEC, observations={"policy": ArraySpec((2,)), "eye": ArraySpec((2, 2, 1), "uint8")}
    )
    shown = _two_episodes(terminated=np.zeros(5, bool))
    shown = dataclasses.replace(
        shown, obs={**shown.obs, "eye": image}, next_obs={**shown.next_obs, "eye": after}
    )
    groups = ("eye", "policy")
    found = demonstrated(spec, shown, SHARE, groups)
    assert found.transitions is not None
    drawn = jax.device_get(sample(found.transitions, jax.random.key(0), 500, 3, 0.5))
    first = drawn.obs["policy"][:, 0].astype(int)
    assert set(first) == {0, 1, 2, 3, 4}
    np.testing.assert_array_equal(drawn.obs["eye"][:, 0, 0, 0], first)
    last = np.array([102, 102, 102, 104, 104])
    np.testing.assert_array_equal(drawn.next_obs["eye"][:, 0, 0, 0], last[first])
    assert (drawn.weight == 1).all()
    size = sum(x.nbytes for x in jax.tree.leaves(found.transitions) if x.ndim)
    assert demonstrated_bytes(spec, shown, SHARE, groups) == size


def test_an_episode_whose_last_step_was_left_out_does_not_run_on_into_the_next():
    never = np.zeros(5, bool)
    shown = _shown(truncated=never)
    np.testing.assert_array_equal(shown.transitions.done[:5, 0], [0, 0, 1, 0, 1])


def test_the_scale_of_returns_begins_with_that_of_the_demonstrations():
    shown = _shown()
    scale = first_returns(8, shown.transitions, 0.5)
    returns = np.array([1, 2.5, 4.25, 4, 7])
    assert scale.running.shape == (8,)
    np.testing.assert_allclose(scale.mean_square * scale.count, np.sum(returns**2), rtol=1e-5)
    np.testing.assert_array_equal(first_returns(8, None, 0.5).mean_square, 1.0)


def test_the_memory_is_that_of_the_arrays():
    options = {"cloning_coefficient": 1.0, "cloning_steps": 1}
    config = dataclasses.replace(SHARE, **options)
    shown = _shown(config)
    arrays = (*shown.labelled.obs.values(), shown.labelled.label)
    rows = [x for x in jax.tree.leaves(shown.transitions) if x.ndim]
    size = sum(x.nbytes for x in (*arrays, *rows))
    assert demonstrated_bytes(SPEC, _two_episodes(), config, ("policy",)) == size


@pytest.mark.parametrize(
    ("changes", "groups", "words"),
    [
        ({"reward": None}, ("policy",), "no rewards.*demonstrations.features.reward"),
        ({}, ("critic", "policy"), "lack the observation group 'critic'.*they have policy"),
    ],
)
def test_demonstrations_from_which_critics_cannot_learn_are_refused(changes, groups, words):
    with pytest.raises(ConfigError, match=f"algorithms.sac.demonstration_share: .*{words}"):
        check_transitions(_two_episodes(**changes), groups, "sac")


def test_a_share_that_is_less_than_a_sample_is_refused():
    with pytest.raises(ConfigError, match=r"0.001 of batch_size 256 leaves no sample"):
        sizes(OffPolicyConfig(demonstration_share=0.001), 8, "sac")


class _Counting:
    """An actor-critic that tells which share of each batch is demonstrated."""

    def learn_critics(self, networks, batch, rate, key):
        shown = batch.observation["policy"][:, 0] > 0.5
        metrics = {"first": jnp.mean(shown[: len(shown) * 3 // 4].astype(jnp.float32))}
        return networks, {"share": jnp.mean(shown.astype(jnp.float32)), **metrics}

    def learn_policy(self, networks, batch, rate, key, term):
        return networks, {"of_policy": jnp.mean((batch.observation["policy"][:, 0] > 0.5) * 1.0)}


def test_a_share_of_each_batch_is_from_the_demonstrations():
    env = point_mass(8)
    config = dataclasses.replace(
        SHARE, batch_size=32, num_steps=4, demonstration_share=0.25, normalize_observations=False
    )
    found = sizes(config, 8, "sac")
    replay = init_replay(env.spec, ("policy",), found.rows)
    replay = dataclasses.replace(replay, filled=jnp.int32(found.rows))
    observation = np.ones((5, 2), np.float32)
    shown = demonstrated(env.spec, _two_episodes(obs={"policy": observation}), config, ("policy",))
    agent = Agent({}, {}, init_return_scale(8), jnp.zeros((8, 1)), jnp.int32(0), jax.random.key(1))
    learning = Learning(config, found, 32, _Counting())  # type: ignore[arg-type]
    _, metrics = jax.jit(learning.learn)(agent, replay, jax.random.key(2), shown)
    assert (metrics["share"], metrics["of_policy"]) == (0.25, 0.25)
    assert metrics["first"] == 0.0  # each batch has its own, not one of them all
