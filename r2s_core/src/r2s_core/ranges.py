"""The options that randomizers share; imports nothing heavy. `draw` uses them."""

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
        False, "one draw per world for all selected elements, instead of one per element"
    )


def check_factors(**ranges: tuple[float, float]) -> None:
    """Raises ValueError unless every range is of positive numbers, the lower one first."""
    for name, (low, high) in ranges.items():
        if not 0 < low <= high < math.inf:
            raise ValueError(
                f"{name} is [{low:g}, {high:g}]; give two factors above 0, the lower one first"
            )


def check_range(**ranges: tuple[float, float]) -> None:
    """Raises ValueError unless every range is of finite numbers, the lower one first."""
    for name, (low, high) in ranges.items():
        if not -math.inf < low <= high < math.inf:
            raise ValueError(
                f"{name} is [{low:g}, {high:g}]; give two numbers, the lower one first"
            )


def check_from_zero(options: Drawn, name: str) -> None:
    """Raises ValueError for log_uniform on a quantity whose neutral value, from which a curriculum
    widens the range, is 0."""
    if options.distribution == "log_uniform":
        raise ValueError(
            f"distribution is log_uniform, but {name} counts from 0, which has no logarithm; use "
            "uniform or normal"
        )
