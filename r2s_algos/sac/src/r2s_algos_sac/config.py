"""SAC's options; imports nothing heavy, so that listing and validating stay fast."""

from __future__ import annotations

import dataclasses

from r2s_algos_common.off_policy.config import OffPolicyConfig
from r2s_core.plugin import option


@dataclasses.dataclass(frozen=True)
class SACConfig(OffPolicyConfig):
    """Options of soft actor-critic; the defaults suit pick-and-place."""

    # Temperature
    initial_temperature: float = option(
        0.001,
        "initial temperature: the weight of a nat of entropy, in units of the reward scale",
        above=0.0,
    )
    learn_temperature: bool = option(True, "follow target_entropy; false: constant temperature")
    temperature_learning_rate: float = option(
        3e-4, "Adam's learning rate for the temperature's logarithm", above=0.0
    )
    target_entropy: float | None = option(
        None, "nats that the temperature aims at; null: -1 per action dimension"
    )
    # Policy
    initial_log_std: float = option(-0.7, "initial log standard deviation of actions before tanh")
    min_log_std: float = option(-5.0, "its lower bound")
    max_log_std: float = option(1.0, "its upper bound")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.min_log_std < self.initial_log_std < self.max_log_std:
            raise ValueError(
                f"initial_log_std is {self.initial_log_std}; it must lie between min_log_std "
                f"{self.min_log_std} and max_log_std {self.max_log_std}"
            )
