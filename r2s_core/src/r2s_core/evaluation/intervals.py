"""Confidence intervals of success rates and of statistics over runs.

For small numbers of runs see Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the
Statistical Precipice", whose recommendations (interquartile mean, stratified bootstrap, probability
of improvement) these follow. Scores are grouped in strata, one float array [runs] for each task; a
single task has one stratum.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

Strata = Sequence[np.ndarray]
RESAMPLES = 10_000


def wilson_interval(successes: int, trials: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson score interval of a binomial rate, as fractions [low, high].

    Unlike the normal approximation it stays inside [0, 1] and keeps its coverage near 0 and 1,
    where rates of trained policies are. `z` is the normal quantile: 1.959964 gives 95 %. Without
    trials the interval is (0, 1).
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"successes must lie in 0..{trials}, got {successes}")
    if trials == 0:
        return 0.0, 1.0
    return _wilson(successes / trials, trials, z)


def clustered_interval(rates: np.ndarray, trials: int) -> tuple[float, float]:
    """The 95 % interval of a success rate that was measured in independent clusters.

    Within a cluster trials may depend on each other, as those from one start state do. The spread
    between clusters gives the effective number of independent trials, for which Wilson's interval
    is computed (Kott and Carr 1997), with Student's quantile for few clusters.

    Args:
      rates: float[n], each cluster's success rate.
      trials: number of trials in each cluster.
    """
    n, rate = len(rates), float(np.mean(rates))
    if n < 2:
        return 0.0, 1.0
    variance = float(np.var(rates, ddof=1)) / n
    # Where all trials failed or all succeeded, the dependence is unknown: n is the minimum.
    effective = float(n)
    if variance > 0:
        effective = min(rate * (1 - rate) / variance, float(n * trials))
    normal = 1.959964
    student = normal + (normal**3 + normal) / (4 * (n - 1))
    return _wilson(rate, effective, student)


def paired_interval(
    a: np.ndarray, b: np.ndarray, trials_a: int, trials_b: int
) -> tuple[float, float]:
    """The 95 % interval of how much higher a's success rate is than b's, both measured in the same
    independent clusters, as two policies or two worlds from the same start states are.

    Newcombe 1998, "Improved confidence intervals for the difference between binomial proportions
    based on paired data", method 10: the two rates' own intervals are combined with the
    correlation of what was measured in the same cluster, corrected for continuity. The rates'
    intervals are `clustered_interval`'s, which for one trial in each cluster are nearly Wilson's.

    Args:
      a, b: float[n], each cluster's success rates.
      trials_a, trials_b: number of trials in each cluster.
    """
    rate_a, rate_b = float(np.mean(a)), float(np.mean(b))
    low_a, high_a = clustered_interval(a, trials_a)
    low_b, high_b = clustered_interval(b, trials_b)
    spread, together = float(np.std(a) * np.std(b)), float(np.mean(a * b)) - rate_a * rate_b
    correction = 1 / (2 * len(a) * min(trials_a, trials_b))
    correlation = 0.0
    if spread > 0:
        correlation = (max(together - correction, 0.0) if together > 0 else together) / spread

    def margin(x: float, y: float) -> float:
        return math.sqrt(max(x * x - 2 * correlation * x * y + y * y, 0.0))

    difference = rate_a - rate_b
    return (
        difference - margin(rate_a - low_a, high_b - rate_b),
        difference + margin(high_a - rate_a, rate_b - low_b),
    )


def interquartile_mean(values: np.ndarray) -> np.ndarray:
    """Mean of the middle half along the last axis, [..., n] -> [...].

    A quarter of the values, rounded down, is trimmed at each end: none of three, one of five.
    """
    cut = values.shape[-1] // 4
    return np.sort(values, axis=-1)[..., cut : values.shape[-1] - cut].mean(axis=-1)


def bootstrap_interval(
    strata: Strata,
    statistic: Callable[[np.ndarray], np.ndarray],
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[float, float] | None:
    """Percentile bootstrap interval of a statistic over all runs, resampled within each stratum.

    statistic: [..., n] -> [...]. None where a stratum has fewer than two runs, which do not show
    how runs vary. With three to five runs the interval is too narrow, but still the best available.
    """
    if not strata or min(map(len, strata)) < 2:
        return None
    rng = np.random.default_rng(seed)
    drawn = [rng.choice(scores, size=(RESAMPLES, len(scores))) for scores in strata]
    return _percentiles(statistic(np.concatenate(drawn, axis=1)), confidence)


def difference_interval(a: np.ndarray, b: np.ndarray) -> tuple[float, float] | None:
    """The 95 % bootstrap interval of how much higher a's mean is than b's; float[n], float[m].

    None where either has fewer than two runs.
    """
    n = len(a)
    return bootstrap_interval((a, b), lambda x: x[..., :n].mean(-1) - x[..., n:].mean(-1))


def probability_of_improvement(a: Strata, b: Strata) -> float:
    """The probability that a run of `a` scores higher than one of `b`, averaged over the strata.

    Ties count half, so equals get 0.5. `a` and `b` have the same tasks in the same order.
    """
    return float(np.mean([_wins(x, y).mean() for x, y in zip(a, b, strict=True)]))


def improvement_interval(
    a: Strata, b: Strata, confidence: float = 0.95, seed: int = 0
) -> tuple[float, float] | None:
    """Bootstrap interval of `probability_of_improvement`; None as for `bootstrap_interval`."""
    if not a or min(map(len, (*a, *b))) < 2:
        return None
    rng = np.random.default_rng(seed)
    total = np.zeros(RESAMPLES)
    for x, y in zip(a, b, strict=True):
        # The mean of wins depends only on how often each run is drawn, [RESAMPLES, runs].
        times_x, times_y = (
            rng.multinomial(len(v), np.full(len(v), 1 / len(v)), RESAMPLES) for v in (x, y)
        )
        total += ((times_x @ _wins(x, y)) * times_y).sum(axis=1) / (len(x) * len(y))
    return _percentiles(total / len(a), confidence)


def _wilson(rate: float, trials: float, z: float) -> tuple[float, float]:
    spread = z * z / trials
    center = (rate + spread / 2) / (1 + spread)
    margin = z / (1 + spread) * math.sqrt(rate * (1 - rate) / trials + spread / (4 * trials))
    # At the ends the exact bound is 0 or 1; rounding must not put the rate outside its interval.
    low = 0.0 if rate == 0 else center - margin
    high = 1.0 if rate == 1 else center + margin
    return low, high


def _wins(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """[len(a), len(b)]: 1 where a's run is the better, 0.5 where they are equal."""
    return (a[:, None] > b).astype(float) + 0.5 * (a[:, None] == b)


def _percentiles(values: np.ndarray, confidence: float) -> tuple[float, float]:
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, (tail, 1 - tail))
    return float(low), float(high)
