"""The losses of cloning against NumPy, and what the aggregate holds."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r2s_algos_common import cloning
from r2s_core.errors import ConfigError
from r2s_core.testing.environments import Seen, WithExpert, point_mass, push_to_the_middle
from r2s_core.types import ArraySpec

SPEC = WithExpert(point_mass(4), push_to_the_middle).spec
_add = jax.jit(cloning.add)
_loss = jax.jit(cloning.cloning_loss, static_argnums=4)
_sample = jax.jit(cloning.sample, static_argnums=2)
_nll = jax.jit(cloning.squashed_gaussian_nll, static_argnums=3)


def _draw(seed=0, size=50):
    """Raw actions and labels [size, 3], of which the last is always at a bound."""
    rng = np.random.default_rng(seed)
    raw = rng.normal(size=(size, 3))
    label = np.tanh(rng.normal(size=(size, 3)))
    label[:, 2] = np.sign(label[:, 2])
    return raw.astype(np.float32), label.astype(np.float32)


DECISIVE = np.array([False, False, True])


@pytest.mark.parametrize(("output", "margin"), [("clip", 1.0), ("tanh", 2.0)])
def test_decisive_actions_have_a_hinge_loss_and_the_others_a_squared_error(output, margin):
    raw, label = _draw()
    loss, parts = _loss(raw, label, DECISIVE, 0.3, output)
    action = raw if output == "clip" else np.tanh(raw)
    squared = np.mean(np.sum((action[:, :2] - label[:, :2]) ** 2, -1))
    hinge = np.mean(margin * np.maximum(0.0, margin - raw[:, 2] * label[:, 2]))
    assert float(parts["loss/continuous"]) == pytest.approx(squared, rel=1e-5)
    assert float(parts["loss/decisive"]) == pytest.approx(hinge, rel=1e-5)
    assert float(loss) == pytest.approx(squared + 0.3 * hinge, rel=1e-5)


def test_beyond_the_margin_nothing_pulls_on_a_decisive_action():
    raw, label = np.array([[0.0, 0.0, 1.5], [0.0, 0.0, 0.5]], np.float32), np.ones((2, 3))
    gradient = jax.jit(jax.grad(lambda x: _loss(x, label, DECISIVE, 1.0, "clip")[0]))(raw)
    np.testing.assert_allclose(gradient[:, 2], [0.0, -0.5])


OUTPUTS = pytest.mark.parametrize("output", ["clip", "tanh"])


@OUTPUTS
def test_the_likelihood_is_that_of_a_squashed_gaussian(output):
    raw, label = _draw()
    label[:, :2] *= 0.9  # within what is not censored
    log_std = np.array([-0.5, 0.3, 0.0], np.float32)
    loss, parts = _loss(raw, label, DECISIVE, 0.3, output, log_std)
    y, mean, std = label[:, :2].astype(float), raw[:, :2], np.exp(log_std[:2])
    x, jacobian = (np.arctanh(y), 1.0 - y**2) if output == "tanh" else (y, 1.0)
    normal = np.exp(-0.5 * ((x - mean) / std) ** 2) / (std * np.sqrt(2 * np.pi))
    error = -np.mean(np.log(normal / jacobian), axis=0)
    assert float(parts["loss/continuous"]) == pytest.approx(error.sum(), rel=1e-4)
    total = np.sum(2.0 * std**2 * error) + 0.3 * float(parts["loss/decisive"])
    assert float(loss) == pytest.approx(total, rel=1e-4)


@OUTPUTS
def test_the_likelihood_pulls_on_raw_actions_as_a_squared_error_of_them_does(output):
    raw, label = _draw(size=8)
    label *= 0.9
    log_std, none = np.array([-2.0, 0.5, 0.0], np.float32), np.zeros(3, bool)
    slope = jax.jit(jax.grad(lambda x: _loss(x, label, none, 0.3, output, log_std)[0]))(raw)
    target = np.arctanh(label) if output == "tanh" else label
    np.testing.assert_allclose(slope, 2.0 * (raw - target) / 8, rtol=1e-4)


@OUTPUTS
@pytest.mark.parametrize("mean", [0.0, 1.5, -3.0])
def test_with_its_censored_ends_the_likelihood_integrates_to_one(mean, output):
    bound = {"clip": 1.0 - 1e-4, "tanh": 0.97}[output]
    edge = np.linspace(-bound, bound, 20_001)
    action = np.concatenate([(edge[1:] + edge[:-1]) / 2, [-1.0, 1.0]]).astype(np.float32)
    means = jnp.full((action.size, 1), mean)
    nll = _nll(means, jnp.full(1, 0.3), jnp.asarray(action)[:, None], output)
    likelihood = np.exp(-np.asarray(nll, np.float64)[:, 0])
    inside = np.sum(likelihood[:-2] * np.diff(edge))
    assert inside + likelihood[-2:].sum() == pytest.approx(1.0, abs=1e-3)


def test_beyond_a_censored_label_nothing_pulls_on_the_action():
    """And before it the pull is finite, however far away."""
    mean, one = jnp.array([[-30.0], [4.0]]), jnp.ones((2, 1))
    total = lambda mean: _nll(mean, jnp.full(1, -1.0), one, "tanh").sum()  # noqa: E731
    slope = np.asarray(jax.jit(jax.grad(total))(mean))
    assert -1e3 < slope[0, 0] < -1.0
    assert abs(slope[1, 0]) < 1e-3


def test_agreement_is_in_the_distance_and_in_the_sign():
    label = np.array([[0.5, 1.0], [-0.5, -1.0], [0.0, 1.0]], np.float32)
    action = np.array([[0.4, 0.2], [-0.2, 0.1], [0.2, 1.0]], np.float32)
    found = jax.jit(cloning.agreement)(action, label, np.array([False, True]))
    assert float(found["agreement/error"]) == pytest.approx(0.2)
    assert float(found["agreement/sign"]) == pytest.approx(2 / 3)


def test_a_label_is_the_expert_s_action_within_the_bounds():
    low, high = np.array([-2.0], np.float32), np.array([4.0], np.float32)
    spec = dataclasses.replace(SPEC, action_low=low, action_high=high)
    actions = np.array([[-2.0], [1.0], [4.0], [9.0]], np.float32)
    label = jax.jit(lambda x: cloning.expert_label(spec, {"expert": x}))(actions)
    np.testing.assert_allclose(label[:, 0], [-1.0, 0.0, 1.0, 1.0], atol=1e-6)


def _marked(start, count=4):
    """Samples that tell their number, [2, count / 2, ...] as trajectories are."""
    mark = np.arange(start, start + count, dtype=np.float32).reshape(2, -1, 1)
    return {"policy": np.concatenate([mark, mark], -1)}, -mark / 100


def test_the_newest_samples_overwrite_the_oldest():
    aggregate = cloning.init_aggregate(SPEC, ("policy",), 8)
    for start in (0, 4, 8):
        aggregate = _add(aggregate, *_marked(start))
    aggregate = jax.device_get(aggregate)
    assert aggregate.filled == 8
    assert sorted(aggregate.obs["policy"][:, 0].tolist()) == [4, 5, 6, 7, 8, 9, 10, 11]
    np.testing.assert_allclose(aggregate.label[:, 0], -aggregate.obs["policy"][:, 1] / 100)


def test_only_what_is_filled_is_drawn_and_each_sample_as_often_as_any_other():
    aggregate = _add(cloning.init_aggregate(SPEC, ("policy",), 8), *_marked(1))
    obs, label, _ = jax.device_get(_sample(aggregate, jax.random.key(0), 4000))
    observation = obs["policy"]
    np.testing.assert_allclose(label[:, 0], -observation[:, 0] / 100, rtol=1e-6)
    marks, counts = np.unique(observation[:, 0], return_counts=True)
    assert marks.tolist() == [1, 2, 3, 4]
    assert np.sum((counts - 1000) ** 2) / 1000 < 16.3  # chi square of 3 degrees: 99.9 %


def test_an_action_stays_decisive_until_a_label_lies_within_the_bounds():
    aggregate = cloning.init_aggregate(SPEC, ("policy",), 4)
    obs = {"policy": np.zeros((2, 2), np.float32)}
    for labels, decisive in (([1, -1], True), ([1, 0.999], False), ([1, -1], False)):
        aggregate = _add(aggregate, obs, np.array(labels, np.float32)[:, None])
        assert bool(aggregate.at_bound[0]) is decisive


def test_writing_into_a_donated_aggregate_copies_nothing():
    write = jax.jit(cloning.add, donate_argnums=0)
    aggregate = cloning.init_aggregate(SPEC, ("policy",), 8)
    before = aggregate.obs["policy"].unsafe_buffer_pointer()
    after = write(aggregate, *_marked(0))
    assert after.obs["policy"].unsafe_buffer_pointer() == before


def test_it_takes_the_bytes_that_it_says():
    spec = Seen(WithExpert(point_mass(4), push_to_the_middle)).spec
    groups, targets = spec.policy_groups, 2
    aggregate = cloning.init_aggregate(spec, groups, 8, targets)
    assert aggregate.obs["camera"].dtype == np.uint8
    rows = aggregate.obs, aggregate.label, aggregate.target
    total = sum(x.nbytes for x in jax.tree.leaves(rows))
    assert cloning.aggregate_bytes(spec, groups, 8, targets) == total
    assert total == 8 * (4 * 24 * 3 + 4 * (1 + 1 + 2))


@pytest.mark.parametrize(
    ("observations", "message"),
    [
        ({"policy": ArraySpec((2,))}, r"no expert.*demonstrations: \{source: script\}"),
        ({"policy": ArraySpec((2,)), "expert": ArraySpec((2,))}, r"shape \(2,\).*1 number"),
    ],
)
def test_an_environment_without_an_expert_is_refused(observations, message):
    with pytest.raises(ConfigError, match=message):
        cloning.check_expert(dataclasses.replace(SPEC, observations=observations), "bc")
