"""Behaviour cloning as an `Algorithm`: who acts, schedules, repeatability, refusals, exports."""

import dataclasses
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r2s_algos_bc.config import BCConfig
from r2s_algos_bc.learn import expert_share, learning_rate
from r2s_algos_bc.model import Model
from r2s_algos_bc.train import BC
from r2s_algos_common.cloning import Aggregate
from r2s_algos_common.schedules import progress
from r2s_core.errors import ConfigError, R2SError
from r2s_core.policy import graph
from r2s_core.testing.environments import (
    HostDriven,
    Seen,
    WithExpert,
    bandit,
    point_mass,
    push_to_the_middle,
)
from r2s_core.types import ArraySpec

SMALL = BCConfig(
    num_steps=8,
    batch_size=32,
    num_batches=4,
    hidden_sizes=(16,),
    buffer_size=512,
    total_timesteps=8 * 16 * 10,
)


def _point(worlds=16):
    return WithExpert(point_mass(worlds), push_to_the_middle)


def _half(observation):
    return 0.5 * observation


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
    """On a traceable point mass, compiled once for all."""
    return BC(_point(), SMALL)


@pytest.fixture(scope="module")
def driven():
    """The same on a host-driven one."""
    return BC(HostDriven(_point()), SMALL)


@pytest.mark.parametrize("which", ["traced", "driven"])
def test_the_same_learner_gives_the_same_update_bit_for_bit(which, request):
    bc = request.getfixturevalue(which)
    learner, _ = bc.update(bc.init(jax.random.key(3)))
    first, first_metrics = bc.update(_copy(learner))
    second, second_metrics = bc.update(_copy(learner))
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
        np.testing.assert_allclose(rows["loss/continuous"][i], row["loss/continuous"], rtol=1e-2)
    assert rows["agreement/error"].shape == host_rows["agreement/error"].shape == (3,)
    np.testing.assert_allclose(rows["reward/reward"], host_rows["reward/reward"], rtol=1e-3)
    # Not bit for bit: XLA fuses, and so rounds, the three differently.
    for other in (many, host):
        np.testing.assert_allclose(one.aggregate.label, other.aggregate.label, atol=1e-4)
        for x, y in zip(_bits(one.agent.params), _bits(other.agent.params), strict=True):
            np.testing.assert_allclose(x, y, rtol=0.02, atol=2e-3)


@pytest.fixture(scope="module")
def rollout():
    """The first rollout, half of it the expert's: who acted bool[W], and the trajectory; and the
    aggregate after one update. Of noise so small that no action reaches its bounds."""
    options = {"expert_share": 0.5, "noise_std": 0.05, "noisy_share": 0.25, "num_steps": 256}
    env = WithExpert(bandit(64), _half)
    bc = BC(env, dataclasses.replace(SMALL, **options))

    @jax.jit
    def collect(learner):
        _, acting, noise = bc._draw(learner.agent)
        _, _, trajectory = bc._collect(learner, acting, noise)
        return acting["expert_acts"], trajectory, bc._collect_and_learn(learner)[0].aggregate

    return jax.device_get(collect(bc.init(jax.random.key(1))))


def test_in_each_world_the_expert_or_the_policy_acts_with_noise_in_a_share_of_them(rollout):
    expert_acts, trajectory, _ = rollout
    own = trajectory.extras["own"]
    meant = np.where(expert_acts[:, None], 0.5 * trajectory.obs["policy"], own)
    deviation = np.std(trajectory.action - meant, axis=(0, 2))
    assert 16 < expert_acts.sum() < 48
    noisy = deviation > 1e-6
    assert noisy.sum() == 16
    np.testing.assert_allclose(deviation[noisy].mean(), 0.05, rtol=0.03)
    assert 0 < (noisy & expert_acts).sum() < 16  # on whatever acts


@pytest.mark.parametrize(("share", "told"), [(0.25, 48), (1.0, 64)])
def test_what_is_told_of_episodes_is_told_of_worlds_without_noise(rollout, share, told):
    """If there are any: noise makes episodes fail that the policy alone would solve."""
    _, trajectory, _ = rollout
    model = Model(bandit(64).spec, dataclasses.replace(SMALL, noisy_share=share), None)
    ended = jax.tree.map(np.ones_like, trajectory.step)
    counted = model.unperturbed(ended).done
    assert np.array_equal(counted.sum(axis=1), [told] * len(counted))


def test_every_label_is_the_expert_s_whoever_acts(rollout):
    _, trajectory, aggregate = rollout
    np.testing.assert_allclose(aggregate.label, 0.5 * aggregate.obs["policy"], atol=1e-6)
    visited = np.sort(trajectory.obs["policy"], axis=None)
    np.testing.assert_allclose(np.sort(aggregate.obs["policy"], axis=None), visited)


@pytest.mark.parametrize(("expert", "worlds"), [(1.0, 16), (0.0, 0)])
def test_the_whole_share_is_every_world_and_none_is_none(expert, worlds, traced):
    agent = traced.init(jax.random.key(0)).agent
    _, acting, _ = traced.model.explore(agent, jnp.float32(expert))
    assert acting["expert_acts"].sum() == worlds


def test_the_expert_s_share_changes_linearly_and_then_stays():
    config = dataclasses.replace(
        SMALL, expert_share=0.9, final_expert_share=0.1, expert_until=0.5, total_timesteps=1000
    )
    shares = [float(expert_share(config, jnp.float32(x))) for x in (0.0, 0.25, 0.5, 1.0)]
    np.testing.assert_allclose(shares, [0.9, 0.5, 0.1, 0.1], rtol=1e-6)
    at_once = dataclasses.replace(config, expert_until=0.0)
    assert float(expert_share(at_once, jnp.float32(0.0))) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [1e-3, 1e-3, 1e-3, 1e-3]),
        ("linear", [1e-3, 1e-3, 5e-4, 0.0]),
        ("cosine", [1e-3, 1e-3, 5e-4, 0.0]),
    ],
)
def test_the_learning_rate_falls_after_a_share_of_the_training(schedule, expected):
    config = dataclasses.replace(
        SMALL, learning_rate=1e-3, learning_rate_schedule=schedule, learning_rate_decay_from=0.6
    )
    rates = [learning_rate(config, jnp.float32(x)) for x in (0.0, 0.6, 0.8, 1.0)]
    np.testing.assert_allclose(rates, expected, rtol=1e-4, atol=1e-9)


def test_training_ends_at_the_total_timesteps():
    for updates, done in ((0, 0.0), (4, 0.4), (11, 1.0)):
        at = progress(jnp.int32(updates), 8 * 16, SMALL.total_timesteps)
        assert float(at) == pytest.approx(done)


def test_where_no_action_is_decisive_the_agreement_of_signs_is_not_a_number(traced):
    _, metrics = traced.update(traced.init(jax.random.key(0)))
    assert metrics["decisive_actions"] == 0
    assert np.isnan(metrics["agreement/sign"])
    assert metrics["agreement/error"] > 0


def test_decisive_actions_are_those_that_are_named(traced):
    def decisive(chosen, at_bound):
        env = WithExpert(bandit(4), _half)
        env.spec = dataclasses.replace(env.spec, action_names=("gripper",))
        model = BC(env, dataclasses.replace(SMALL, decisive_actions=chosen)).model
        zero = jnp.zeros((1, 1))
        seen = Aggregate({}, zero, None, jnp.array([at_bound]), jnp.int32(0), jnp.int32(1))
        return bool(model.decisive(seen)[0])

    assert [decisive(("gripper",), x) for x in (False, True)] == [True, True]
    assert [decisive("none", x) for x in (False, True)] == [False, False]
    assert [decisive("auto", x) for x in (False, True)] == [False, True]


def test_the_aggregate_holds_whole_updates():
    sizes = {(200, None): 256, (None, 1000): 1024, (None, None): 2**20, (1, None): 128}
    for (buffer_size, total), size in sizes.items():
        options = {"buffer_size": buffer_size, "total_timesteps": total}
        config = dataclasses.replace(SMALL, learning_rate_schedule="constant", expert_share=0.0)
        bc = BC(_point(), dataclasses.replace(config, **options))
        assert bc._size == size
        assert bc.notes[0].startswith(f"aggregate: {size:,} labelled samples")


class _NoNumbers:
    """An expert that is not a number."""

    def __call__(self, observation):
        return jnp.full_like(observation, jnp.nan)


def test_a_label_that_is_not_a_number_is_a_named_error():
    bc = BC(WithExpert(bandit(16), _NoNumbers()), SMALL)
    with pytest.raises(R2SError, match="the expert's action in some state is not a finite number"):
        bc.update(bc.init(jax.random.key(0)))


@pytest.mark.parametrize("squash", ["clip", "tanh"])
@pytest.mark.parametrize("normalize_observations", [True, False])
def test_the_export_acts_as_the_policy(squash, normalize_observations):
    config = dataclasses.replace(
        SMALL, squash=squash, normalize_observations=normalize_observations, activation="tanh"
    )
    bc = BC(_point(), config)
    learner = bc.init(jax.random.key(0))
    statistics = dataclasses.replace(
        learner.agent.statistics["policy"], mean=np.ones(2), variance=np.array([9.0, 4.0])
    )
    # As large as after training: fresh weights hardly move the action.
    agent = dataclasses.replace(
        learner.agent,
        statistics={"policy": statistics},
        params=jax.tree.map(lambda x: 30.0 * x, learner.agent.params),
    )
    learner = dataclasses.replace(learner, agent=agent)
    export = bc.export(learner)
    obs = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    tensors = graph.tensors_of(export.layers)
    y = graph.evaluate(export.layers, tensors, {"policy": obs}, np)
    seen = {"policy": jnp.asarray(obs)}
    action = bc.policy(learner, deterministic=True)(seen, jax.random.key(0))
    assert np.std(y) > 0.1
    np.testing.assert_allclose(action, y, atol=1e-5)


def test_the_stochastic_policy_has_the_learned_deviation_or_that_of_the_noise():
    obs = {"policy": jnp.zeros((20_000, 2))}
    for loss, spread in (("squared", 0.2), ("likelihood", np.exp(-1.0))):
        squash = "tanh" if loss == "likelihood" else "clip"
        bc = BC(_point(), dataclasses.replace(SMALL, loss=loss, squash=squash, noise_std=0.2))
        action = bc.policy(bc.init(jax.random.key(0)), False)(obs, jax.random.key(1))
        raw = np.arctanh(action) if loss == "likelihood" else action
        assert np.std(raw) == pytest.approx(spread, rel=0.03)


def _without_observations():
    env = _point()
    env.spec = dataclasses.replace(env.spec, observations={"expert": ArraySpec((1,))})
    return env


@pytest.mark.parametrize(
    ("env", "options", "message"),
    [
        (point_mass(16), {}, r"algorithms\.bc: there is no expert to learn from; write"),
        (_without_observations(), {}, "observes neither numbers, in the group 'policy', nor an im"),
        (
            Seen(_point()),
            {"auxiliary": ("number_0", "numbr_1")},
            r"auxiliary: .*'critic' has no number 'numbr_1'; did you mean number_1\?; it has numb",
        ),
        (_point(), {"auxiliary": ("x",)}, "'critic' has no number 'x'; the environment has none"),
        (_point(), {"decisive_actions": ("action0",)}, "'action0'; did you mean action_0.*there"),
        (_point(), {"total_timesteps": None}, "learning_rate_schedule linear needs total_timest"),
        (
            _point(),
            {"total_timesteps": None, "learning_rate_schedule": "constant"},
            "expert_until needs total_timesteps",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(env, options, message):
    with pytest.raises(ConfigError, match=message):
        BC(env, dataclasses.replace(SMALL, **options))


def test_options_that_contradict_each_other_are_refused():
    with pytest.raises(ValueError, match="hidden_sizes"):
        BCConfig(hidden_sizes=(0,))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_steps": 10_000}, "num_steps: 10,000 steps of 16 worlds takes"),
        ({"buffer_size": 10**6}, "buffer_size: an aggregate of 1,000,064 labelled samples takes"),
        ({"hidden_sizes": (2**14,) * 4}, "hidden_sizes: learning networks of these sizes takes"),
    ],
)
def test_what_cannot_fit_into_memory_is_refused_before_it_is_allocated(options, words, monkeypatch):
    monkeypatch.setattr("r2s_core.device.available_memory", lambda: 10**6)
    with pytest.raises(ConfigError, match=words) as caught:
        BC(_point(), dataclasses.replace(SMALL, **options))
    assert "only 1 MB of memory is free; lower" in str(caught.value)


def test_the_manifest_is_light():
    code = "import sys, r2s_algos_bc.plugin as _; print({'jax', 'numpy', 'flax'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("whole", [True, False])
def test_labelled_samples_are_saved_by_choice(whole):
    bc = BC(_point(), dataclasses.replace(SMALL, checkpoint_buffer=whole))
    learner, _ = bc.update(bc.init(jax.random.key(0)))
    again = bc.restored(bc.saved(learner), bc.init(jax.random.key(1)))
    assert _same(again.agent, learner.agent)
    assert int(again.aggregate.filled) == (128 if whole else 0)
    assert (bc.omits is None) is whole
    again, metrics = bc.update(again)
    assert np.isfinite(metrics["loss/continuous"])
    assert int(again.aggregate.filled) == (256 if whole else 128)
