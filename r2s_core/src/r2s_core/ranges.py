"""The options that randomizers share; imports nothing heavy. `draw` makes use of them."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

from r2s_core.plugin import option

Distribution = Literal["uniform", "log_uniform", "normal"]


@dataclasses.dataclass(frozen=True)
class Drawn:
    """How a randomizer draws from its ranges."""

    distribution: Distribution = option(
        "uniform",
        "uniform, log_uniform, or normal: about the range's middle, which ends two standard "
        "deviations from it",
    )
    shared: bool = option(
        False, "one draw for all that is chosen in a world, rather than one for each"
    )


def check_factors(**ranges: tuple[float, float]) -> None:
    """Raises ValueError unless every range is of positive numbers, the lesser first."""
    for name, (low, high) in ranges.items():
        if not 0 < low <= high < math.inf:
            raise ValueError(
                f"{name} is [{low:g}, {high:g}]; give two factors above 0, lesser first"
            )


def check_range(**ranges: tuple[float, float]) -> None:
    """Raises ValueError unless every range is of finite numbers, the lesser first."""
    for name, (low, high) in ranges.items():
        if not -math.inf < low <= high < math.inf:
            raise ValueError(f"{name} is [{low:g}, {high:g}]; give two numbers, the lesser first")


def check_from_zero(options: Drawn, name: str) -> None:
    """Raises ValueError where a quantity of which 0 changes nothing, and from which a curriculum
    widens the range, is to be drawn by its logarithm."""
    if options.distribution == "log_uniform":
        raise ValueError(
            f"distribution is log_uniform, but {name} counts from 0, which has no logarithm; take "
            "uniform or normal"
        )
