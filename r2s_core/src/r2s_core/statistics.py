"""How far a measured rate can be trusted."""

from __future__ import annotations

import math


def wilson_interval(successes: int, trials: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson score interval of a binomial rate, as fractions [low, high].

    Unlike the normal approximation it stays inside [0, 1] and keeps its coverage near 0 and 1,
    where trained policies live. `z` is the normal quantile: 1.959964 gives 95 %. No trials give
    the interval that says nothing, (0, 1).
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"successes must lie in 0..{trials}, got {successes}")
    if trials == 0:
        return 0.0, 1.0
    rate = successes / trials
    spread = z * z / trials
    center = (rate + spread / 2) / (1 + spread)
    margin = z / (1 + spread) * math.sqrt(rate * (1 - rate) / trials + spread / (4 * trials))
    # At the ends the exact bound is 0 or 1; rounding must not put the rate outside its interval.
    low = 0.0 if successes == 0 else center - margin
    high = 1.0 if successes == trials else center + margin
    return low, high
