"""PPO as an `Algorithm`: schedules, repeatability, refusals, what it reports and exports."""

import dataclasses
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r2s_algos_common.metrics import rollout_metrics
from r2s_algos_common.schedules import progress
from r2s_algos_ppo.config import PPOConfig
from r2s_algos_ppo.learn import (
    adapt_learning_rate,
    discount_at,
    falling,
    learning_rate,
    minibatches,
    prepare,
)
from r2s_algos_ppo.losses import ppo_loss
from r2s_algos_ppo.train import PPO
from r2s_core.errors import ConfigError, TrainingDiverged
from r2s_core.policy import graph
from r2s_core.rollout import rollout
from r2s_core.testing.environments import HostDriven, bandit, constant_reward, point_mass
from r2s_core.types import Step

SMALL = PPOConfig(num_steps=8, num_epochs=2, num_minibatches=2, hidden_sizes=(16,))


def _bits(tree):
    """The leaves as NumPy arrays, keys as their data."""
    keys = jax.dtypes.prng_key
    return [
        np.asarray(jax.random.key_data(x) if jnp.issubdtype(x.dtype, keys) else x)
        for x in jax.tree.leaves(tree)
    ]


def _same(a, b):
    return all(
        np.array_equal(x, y, equal_nan=True) for x, y in zip(_bits(a), _bits(b), strict=True)
    )


def _copy(tree):
    return jax.tree.map(jnp.copy, tree)


@pytest.fixture(scope="module")
def traced():
    """PPO on a traceable point mass, compiled once for all."""
    return PPO(point_mass(16), SMALL)


@pytest.fixture(scope="module")
def driven():
    """The same on a host-driven one."""
    return PPO(HostDriven(point_mass(16)), SMALL)


@pytest.mark.parametrize("which", ["traced", "driven"])
def test_the_same_learner_gives_the_same_update_bit_for_bit(which, request):
    ppo = request.getfixturevalue(which)
    learner, _ = ppo.update(ppo.init(jax.random.key(3)))
    first, first_metrics = ppo.update(_copy(learner))
    second, second_metrics = ppo.update(_copy(learner))
    assert _same(first, second)
    assert _same(first_metrics, second_metrics)
    assert not _same(first.agent.params, learner.agent.params)


def test_traced_and_host_driven_and_many_in_one_learn_the_same(traced, driven):
    start = traced.init(jax.random.key(3))
    many, rows = traced.update_many(_copy(start), 3)
    host, host_rows = driven.update_many(_copy(start), 3)
    one = start
    for i in range(3):
        one, row = traced.update(one)
        np.testing.assert_allclose(rows["loss/value"][i], row["loss/value"], rtol=1e-2)
    assert rows["kl"].shape == host_rows["kl"].shape == (3,)
    np.testing.assert_allclose(rows["reward/reward"], host_rows["reward/reward"], rtol=1e-3)
    # Not bit for bit: XLA fuses, and so rounds, the three differently.
    for other in (many, host):
        for x, y in zip(_bits(one.agent.params), _bits(other.agent.params), strict=True):
            np.testing.assert_allclose(x, y, rtol=0.02, atol=2e-3)


def test_the_learning_rate_follows_the_divergence():
    config = PPOConfig(desired_kl=0.02, min_learning_rate=1e-4, max_learning_rate=1e-2)

    def adapt(rate: float, kl: float) -> float:
        desired = jnp.float32(config.desired_kl)
        return float(adapt_learning_rate(jnp.float32(rate), jnp.float32(kl), desired, config))

    assert adapt(1e-3, 0.05) == pytest.approx(1e-3 / 1.5)
    assert adapt(1e-3, 0.02) == pytest.approx(1e-3)
    assert adapt(1e-3, 0.005) == pytest.approx(1.5e-3)
    assert adapt(1e-3, 0.0) == pytest.approx(1.5e-3)
    assert adapt(1.1e-4, 1.0) == pytest.approx(1e-4)
    assert adapt(9e-3, 1e-4) == pytest.approx(1e-2)


def _shifting(num_worlds=16):
    """A point mass whose observations are far from zero mean and unit variance."""

    def change(step):
        far = lambda obs: {"policy": 5.0 + 0.1 * obs["policy"]}  # noqa: E731
        return dataclasses.replace(step, obs=far(step.obs), final_obs=far(step.final_obs))

    return _Poisoned(change, num_worlds)


def test_before_any_gradient_step_the_policy_is_the_one_that_acted():
    """However much the observations' statistics learn from the batch."""
    ppo = PPO(_shifting(), dataclasses.replace(SMALL, normalize_observations=True))
    learner = ppo.init(jax.random.key(0))
    # Weights as large as after training: fresh ones hardly look at the observation.
    params = jax.tree.map(lambda x: 10.0 * x, learner.agent.params)
    agent = dataclasses.replace(learner.agent, params=params)

    @jax.jit
    def before_learning(agent):
        agent, noise = ppo.model.explore(agent)
        acting, start = ppo.model.acting(agent), (learner.env_state, learner.obs)
        *_, trajectory = rollout(ppo.env, ppo.model.act, acting, *start, noise, 8)
        discount = jnp.float32(SMALL.discount)
        learned_from, batch, _ = prepare(ppo.model, SMALL, agent, trajectory, discount)
        old_log_std = agent.params["log_std"]
        _, parts = ppo_loss(agent.params, old_log_std, batch, ppo.model.apply, SMALL, 0.0)
        return learned_from, batch, parts

    learned_from, batch, parts = before_learning(agent)
    assert float(jnp.abs(batch.mean).max()) > 0.01
    assert not _same(learned_from.statistics, agent.statistics)
    assert float(parts["kl"]) < 1e-6  # rounding
    assert float(parts["clip_fraction"]) == 0.0


def test_the_first_minibatch_of_an_update_does_not_change_the_learning_rate():
    """It has moved nothing yet; of the three that follow here, each says: faster."""
    options = {"desired_kl": 1e6, "learning_rate": 1e-4, "max_learning_rate": 1.0}
    ppo = PPO(_shifting(), dataclasses.replace(SMALL, **options))
    _, metrics = ppo.update_many(ppo.init(jax.random.key(0)), 2)
    np.testing.assert_allclose(metrics["learning_rate"], 1e-4 * 1.5 ** np.asarray([3, 6]), 1e-5)


def test_the_divergence_aimed_at_falls_to_its_final_value():
    config = dataclasses.replace(
        SMALL, desired_kl=0.03, final_desired_kl=0.01, total_timesteps=4 * 128
    )
    aims = []
    for updates in (0, 2, 9):
        done = progress(jnp.int32(updates), 128, config.total_timesteps)
        aims.append(falling(config.desired_kl, config.final_desired_kl, done))
    np.testing.assert_allclose(aims, [0.03, 0.0275, 0.01], rtol=1e-5)
    assert falling(0.005, None, jnp.float32(0.5)) == jnp.float32(0.005)


def test_an_entropy_bonus_that_falls_leaves_less_noise():
    env, start = point_mass(16), {"entropy_coefficient": 0.3, "total_timesteps": 8 * 128}

    @jax.jit  # the final value is traced: compiled once
    def stds_under(learner, final):
        config = dataclasses.replace(SMALL, **start, final_entropy_coefficient=final)
        return PPO(env, config)._scan_updates(learner, 8)[1]["action_std"]

    learner = PPO(env, SMALL).init(jax.random.key(0))
    stds = [np.asarray(stds_under(learner, final)) for final in (0.3, 0.0)]
    np.testing.assert_allclose(stds[0][0], stds[1][0], rtol=1e-3)
    assert stds[1][-1] < stds[0][-1] - 0.005


def test_the_horizon_grows_by_the_same_factor_in_every_update():
    config = dataclasses.replace(SMALL, discount=0.9, final_discount=0.975)
    horizons = [1 / (1 - discount_at(config, jnp.float32(done))) for done in (0.0, 0.5, 1.0)]
    np.testing.assert_allclose(horizons, [10.0, 20.0, 40.0], rtol=1e-4)
    stays = dataclasses.replace(config, final_discount=None)
    assert discount_at(stays, jnp.float32(0.5)) == jnp.float32(0.9)


def test_at_the_end_of_training_it_learns_under_the_final_discount():
    env = point_mass(16)

    @jax.jit  # the discounts are traced: compiled once
    def learn(learner, first, final):
        options = {"discount": first, "final_discount": final, "total_timesteps": 128}
        ppo = PPO(env, dataclasses.replace(SMALL, **options))
        return ppo._collect_and_learn(learner)[0].agent

    learner = PPO(env, SMALL).init(jax.random.key(0))
    over = dataclasses.replace(learner.agent, updates=jnp.int32(1))
    learner = dataclasses.replace(learner, agent=over)
    learned = [learn(learner, *discounts) for discounts in ((0.5, 0.9), (0.9, 0.9), (0.5, 0.5))]
    for path in ("params", "returns"):
        ends, always, never = (getattr(agent, path) for agent in learned)
        jax.tree.map(
            lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-7), ends, always
        )
        assert not _same(ends, never)


@pytest.mark.parametrize("name", ["final_entropy_coefficient", "final_discount"])
def test_a_final_value_needs_the_end_of_training(name):
    with pytest.raises(ConfigError, match=f"{name} needs total_timesteps"):
        PPO(point_mass(16), dataclasses.replace(SMALL, **{name: 0.5}))


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [1e-3, 1e-3, 1e-3, 1e-3, 1e-3]),
        ("linear", [1e-3, 7.5e-4, 5e-4, 2.5e-4, 0.0]),
        ("cosine", [1e-3, 8.5355e-4, 5e-4, 1.46447e-4, 0.0]),
    ],
)
def test_schedules_run_over_the_total_timesteps(schedule, expected):
    config = dataclasses.replace(SMALL, learning_rate_schedule=schedule, total_timesteps=4 * 128)
    agent = PPO(point_mass(16), config).init(jax.random.key(0)).agent
    done = [progress(jnp.int32(i), 128, config.total_timesteps) for i in range(5)]
    rates = [learning_rate(agent, config, x) for x in done]
    np.testing.assert_allclose(rates, expected, rtol=1e-4, atol=1e-9)


def test_the_learning_rate_is_what_moves_the_weights():
    """At a rate of 0, here past the end of a linear schedule, nothing moves."""
    config = dataclasses.replace(SMALL, learning_rate_schedule="linear", total_timesteps=128)
    ppo = PPO(point_mass(16), config)
    learner, _ = ppo.update(ppo.init(jax.random.key(0)))
    moved = _copy(learner.agent.params)
    learner, metrics = ppo.update(learner)
    assert float(metrics["learning_rate"]) == 0.0
    assert _same(learner.agent.params, moved)


def test_every_epoch_sees_every_sample_once_in_a_new_order():
    config = PPOConfig(num_epochs=3, num_minibatches=4)
    order = np.asarray(minibatches(jax.random.key(0), 64, config)).reshape(3, 64)
    for epoch in order:
        np.testing.assert_array_equal(np.sort(epoch), np.arange(64))
    assert not np.array_equal(order[0], order[1])


def test_correlated_noise_is_standard_normal_and_runs_on_from_rollout_to_rollout():
    config = dataclasses.replace(SMALL, noise_correlation=0.8)
    ppo = PPO(point_mass(4096), config)
    agent = ppo.init(jax.random.key(0)).agent
    noises = []
    for _ in range(3):
        agent, noise = ppo.model.explore(agent)
        noises.append(np.asarray(noise)[..., 0])
    noise = np.concatenate(noises)
    np.testing.assert_allclose(noise.std(1), 1.0, atol=0.05)
    neighbours = [np.corrcoef(noise[t], noise[t + 1])[0, 1] for t in range(len(noise) - 1)]
    np.testing.assert_allclose(neighbours, 0.8, atol=0.05)


class _Poisoned:
    """A point mass whose steps are changed on their way out."""

    def __init__(self, change, num_worlds=16):
        self.env, self.change = point_mass(num_worlds, max_episode_steps=4), change
        self.spec = self.env.spec

    def reset(self, key):
        return self.env.reset(key)

    def step(self, state, action):
        state, step = self.env.step(state, action)
        return state, self.change(step)


def test_a_reward_that_is_not_a_number_is_a_named_error():
    def change(step):
        bad = jnp.full_like(step.reward, jnp.nan)
        return dataclasses.replace(step, reward=bad, terms={"reach": bad, "lift": step.reward})

    ppo = PPO(_Poisoned(change), SMALL)
    with pytest.raises(TrainingDiverged, match=r"reward/reach is not finite") as error:
        ppo.update(ppo.init(jax.random.key(0)))
    assert "reward/lift" not in str(error.value)


def test_diverged_worlds_are_counted_and_their_garbage_left_out():
    """World 0's physics fails at every step and leaves NaN behind."""
    broken = jnp.arange(16) == 0

    def change(step):
        nan = lambda x: jnp.where(broken.reshape(-1, *[1] * (x.ndim - 1)), jnp.nan, x)  # noqa: E731
        return dataclasses.replace(
            step,
            reward=nan(step.reward),
            terms={"reach": nan(step.reward)},
            final_obs={"policy": nan(step.final_obs["policy"])},
            episode_return=nan(step.episode_return),
            diverged=broken,
            truncated=step.truncated | broken,
        )

    ppo = PPO(_Poisoned(change), SMALL)
    learner, metrics = ppo.update_many(ppo.init(jax.random.key(0)), 3)
    np.testing.assert_array_equal(metrics["env/diverged"], 8)
    np.testing.assert_array_equal(metrics["episode/count"], 8 + 15 * 2)
    assert all(np.isfinite(x).all() for x in metrics.values())
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(learner.agent.params))


def test_episode_metrics_are_means_over_the_episodes_that_ended():
    """Of 4 steps of 2 worlds, three end an episode, one of them by diverging."""
    flag = lambda *rows: jnp.asarray(rows, bool)  # noqa: E731
    value = lambda *rows: jnp.asarray(rows, jnp.float32)  # noqa: E731
    step = Step(
        obs={},
        final_obs={},
        reward=jnp.zeros((4, 2)),
        terms={"reach": value([1, 1], [1, 1], [1, jnp.nan], [1, 8])},
        terminated=flag([0, 1], [0, 0], [0, 0], [0, 0]),
        truncated=flag([0, 0], [0, 0], [0, 1], [1, 0]),
        success=flag([0, 0], [1, 0], [0, 0], [1, 0]),
        diverged=flag([0, 0], [0, 0], [0, 1], [0, 0]),
        episode_return=value([99, 2], [99, 99], [99, jnp.nan], [4, 99]),
        episode_length=jnp.asarray([[99, 1], [99, 99], [99, 2], [4, 99]]),
        metrics={"lifted": value([9, 0], [9, 9], [9, 9], [1, 9])},
    )
    metrics = {name: float(x) for name, x in rollout_metrics(step).items()}
    assert metrics == {
        "episode/count": 3,
        "episode/success": pytest.approx(1 / 3),  # diverging is failing
        "episode/return": 3,
        "episode/length": 2.5,
        "episode/lifted": 0.5,
        "reward/reach": 2,
        "env/diverged": 1,
    }
    nothing_ended = rollout_metrics(jax.tree.map(lambda x: x[1:2], step))
    assert float(nothing_ended["episode/count"]) == 0
    assert float(nothing_ended["episode/return"]) == 0  # a NaN only on the host: test_checks.py


@pytest.mark.parametrize("squash", ["clip", "tanh"])
@pytest.mark.parametrize("normalize_observations", [True, False])
def test_the_export_acts_as_the_policy(squash, normalize_observations):
    config = dataclasses.replace(
        SMALL, squash=squash, normalize_observations=normalize_observations, activation="tanh"
    )
    env = point_mass(16)
    ppo = PPO(env, config)
    learner = ppo.init(jax.random.key(0))
    seen = jax.random.normal(jax.random.key(1), (100, 2)) * 3.0 + 1.0
    agent = learner.agent
    agent = dataclasses.replace(
        agent,
        statistics=ppo.model.observe(agent.statistics, {"policy": seen}),
        # As large as after training: fresh weights hardly move the action.
        params=jax.tree.map(lambda x: 30.0 * x, agent.params),
    )
    learner = dataclasses.replace(learner, agent=agent)
    export = ppo.export(learner)
    obs = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)

    tensors = graph.tensors_of(export.layers)
    y = graph.evaluate(export.layers, tensors, {"policy": obs}, np)
    action = ppo.policy(learner, deterministic=True)(
        {"policy": jnp.asarray(obs)}, jax.random.key(0)
    )
    assert np.std(y) > 0.1
    np.testing.assert_allclose(action, y, atol=1e-5)


def test_a_policy_passes_through_jit_as_an_argument_without_recompiling():
    ppo = PPO(bandit(4), SMALL)
    traces = []

    @jax.jit
    def play(policy, obs):
        traces.append(1)
        return policy(obs, jax.random.key(0))

    obs = {"policy": jnp.zeros((4, 1))}
    actions = [play(ppo.policy(ppo.init(jax.random.key(s)), False), obs) for s in range(2)]
    assert len(traces) == 1
    assert np.abs(np.asarray(actions[0])).max() > 0


def test_log_std_stays_within_its_bounds():
    config = dataclasses.replace(
        SMALL,
        entropy_coefficient=10.0,
        max_log_std=-0.6,
        learning_rate_schedule="constant",
        learning_rate=0.1,
    )
    ppo = PPO(constant_reward(16), config)
    learner, metrics = ppo.update_many(ppo.init(jax.random.key(0)), 10)
    np.testing.assert_allclose(learner.agent.params["log_std"], -0.6)
    assert float(metrics["action_std"][-1]) == pytest.approx(np.exp(-0.6), rel=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_minibatches": 3}, "num_minibatches: 3 does not divide .* 128"),
        ({"learning_rate_schedule": "linear"}, "needs total_timesteps"),
        ({"critic_observations": "critic"}, "no observation group 'critic'; it has policy"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        PPO(point_mass(16), dataclasses.replace(SMALL, **options))


@pytest.mark.parametrize(
    "options",
    [
        {"initial_log_std": 3.0},
        {"value_clip_range": 0.0},
        {"min_learning_rate": 1.0},
        {"hidden_sizes": (0,)},
        {"final_desired_kl": 0.01, "learning_rate_schedule": "constant"},
        {"num_epochs": 1, "num_minibatches": 1},
    ],
)
def test_options_that_contradict_each_other_are_refused(options):
    with pytest.raises(ValueError, match="|".join(options)):
        PPOConfig(**options)


def test_the_manifest_is_light():
    code = "import sys, r2s_algos_ppo.plugin as _; print({'jax', 'numpy', 'flax'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_steps": 10_000}, "num_steps: 10,000 steps of 8 worlds takes"),
        ({"hidden_sizes": (2**14,) * 4}, "hidden_sizes: learning networks of these sizes takes"),
    ],
)
def test_what_cannot_fit_into_memory_is_refused_before_it_is_allocated(options, words, monkeypatch):
    monkeypatch.setattr("r2s_core.device.available_memory", lambda: 10**6)
    with pytest.raises(ConfigError, match=words) as caught:
        PPO(point_mass(8), PPOConfig(**options))
    assert "only 1 MB of memory is free; lower" in str(caught.value)
