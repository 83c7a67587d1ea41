import numpy as np
import pytest

from r2s_core.evaluation.intervals import (
    bootstrap_interval,
    difference_interval,
    improvement_interval,
    interquartile_mean,
    paired_interval,
    probability_of_improvement,
    wilson_interval,
)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [  # from the closed form, by hand; 0/10 and 10/10 are the textbook cases
        (0, 10, 0.0, 0.27753),
        (10, 10, 0.72247, 1.0),
        (5, 10, 0.23659, 0.76341),
        (973, 1024, 0.93507, 0.96198),
    ],
)
def test_known_values(successes, trials, low, high):
    assert wilson_interval(successes, trials) == pytest.approx((low, high), abs=1e-4)


def test_no_trials_say_nothing():
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_covers_the_truth_about_95_percent_of_the_time():
    rng = np.random.default_rng(0)
    truth = 0.96
    draws = rng.binomial(1024, truth, size=4000)
    covered = [low <= truth <= high for low, high in (wilson_interval(int(d), 1024) for d in draws)]
    assert 0.935 <= np.mean(covered) <= 0.965


def test_refuses_more_successes_than_trials():
    with pytest.raises(ValueError, match=r"0\.\.4"):
        wilson_interval(5, 4)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [([0.5], 0.5), ([0, 3, 9], 4), ([0, 1, 3, 100], 2), ([9, 1, 2, 3, -50], 2)],
)
def test_the_interquartile_mean_leaves_out_a_quarter_at_each_end(scores, expected):
    assert interquartile_mean(np.array(scores, float)) == pytest.approx(expected)


@pytest.mark.parametrize("runs", [1, 2, 3, 4, 5, 8, 11, 50])
def test_the_interquartile_mean_is_scipys_trimmed_mean(runs):
    stats = pytest.importorskip("scipy.stats")
    scores = np.random.default_rng(runs).normal(size=(7, runs))
    expected = stats.trim_mean(scores, 0.25, axis=1)
    np.testing.assert_allclose(interquartile_mean(scores), expected, rtol=1e-12)


def test_the_bootstrap_interval_of_a_mean_is_the_known_one():
    scores = np.random.default_rng(1).normal(0.7, 0.1, size=400)
    low, high = bootstrap_interval([scores], lambda x: x.mean(axis=-1)) or (0, 0)
    margin = 1.96 * scores.std() / np.sqrt(len(scores))
    assert (low, high) == pytest.approx((scores.mean() - margin, scores.mean() + margin), abs=2e-4)


def test_the_bootstrap_interval_covers_the_truth(monkeypatch):
    monkeypatch.setattr("r2s_core.evaluation.intervals.RESAMPLES", 500)
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(600):  # the distribution is symmetric: its interquartile mean is its centre
        low, high = bootstrap_interval([rng.normal(0.5, 0.2, 30)], interquartile_mean) or (0, 0)
        covered.append(low <= 0.5 <= high)
    assert 0.91 <= np.mean(covered) <= 0.97


def test_runs_are_resampled_within_their_task():
    """Tasks differ, seeds do not: whoever mixed the strata would find an interval."""
    strata = [np.full(4, 0.2), np.full(4, 0.9)]
    low, high = bootstrap_interval(strata, lambda x: x.mean(axis=-1)) or (0, 1)
    assert (low, high) == pytest.approx((0.55, 0.55))


def test_a_single_run_has_no_interval():
    one, two = np.array([0.9]), np.array([0.8, 0.9])
    assert bootstrap_interval([one], interquartile_mean) is None
    assert bootstrap_interval([two, one], interquartile_mean) is None
    assert improvement_interval([two], [one]) is None


def test_the_probability_of_improvement():
    better, worse = np.array([0.8, 0.9, 1.0]), np.array([0.1, 0.2])
    assert probability_of_improvement([better], [worse]) == 1.0
    assert probability_of_improvement([worse], [better]) == 0.0
    assert probability_of_improvement([better], [better]) == 0.5
    assert probability_of_improvement([np.full(5, 0.7)], [np.full(3, 0.7)]) == 0.5
    assert probability_of_improvement([better, worse], [worse, better]) == 0.5
    low, high = improvement_interval([better], [better]) or (1, 0)
    assert low < 0.5 < high
    assert improvement_interval([better], [worse]) == (1.0, 1.0)


def test_the_probability_of_improvement_is_mann_whitneys_u():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(3)
    a, b = rng.normal(0.1, 1, 40), rng.normal(0, 1, 30)
    u = stats.mannwhitneyu(a, b).statistic / (40 * 30)
    assert probability_of_improvement([a], [b]) == pytest.approx(u)
    low, high = improvement_interval([a], [b]) or (0, 0)
    assert low < u < high
    assert 0.15 < high - low < 0.4  # about 1.96 * 2 * sqrt((n + m + 1) / (12 n m)) = 0.27


def test_the_difference_of_two_means_has_the_interval_of_both():
    rng = np.random.default_rng(0)
    a, b = rng.normal(3.0, 1.0, 400), rng.normal(1.0, 1.0, 300)
    found = difference_interval(a, b)
    assert found is not None
    error = 1.96 * np.hypot(a.std() / 20.0, b.std() / 300**0.5)
    middle = a.mean() - b.mean()
    np.testing.assert_allclose(found, (middle - error, middle + error), atol=0.02)
    assert difference_interval(a[:1], b) is None


def test_a_paired_difference_is_the_surer_the_more_its_pairs_agree():
    rng = np.random.default_rng(0)
    a = (rng.random(200) < 0.8).astype(float)
    b = a.copy()
    b[np.flatnonzero(a)[:20]] = 0.0  # what succeeded in b succeeded in a
    b_apart = np.sort(b)[::-1]
    a_apart = np.sort(a)  # the same rates, but where b succeeded a failed
    low, high = paired_interval(a, b, 1, 1)
    least, most = paired_interval(a_apart, b_apart, 1, 1)
    assert least < low < a.mean() - b.mean() == pytest.approx(0.1)
    assert high < most
    assert 0.05 < low < high < 0.16  # from 20 of 200 that differ, all to one side
    assert paired_interval(b, a, 1, 1) == pytest.approx((-high, -low))
    same = paired_interval(a, a, 1, 1)
    assert -0.03 < same[0] < 0.0 < same[1] < 0.03  # nothing differed, yet something might
    assert paired_interval(np.ones(1), np.ones(1), 1, 1) == (-1.0, 1.0)
