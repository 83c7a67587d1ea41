import numpy as np
import pytest

from r2s_core.statistics import wilson_interval


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
