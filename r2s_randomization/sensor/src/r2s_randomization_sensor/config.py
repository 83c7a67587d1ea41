"""Options of the randomizers of sensing and actuation; imports nothing heavy."""

from __future__ import annotations

import dataclasses
from typing import Literal

from r2s_core.plugin import option
from r2s_core.ranges import check_range

Names = tuple[str, ...]
_ALL: Names = ("*",)
_READINGS = "readings, by name or pattern"


@dataclasses.dataclass(frozen=True)
class NoiseConfig:
    """The size of the errors."""

    std: float = option(0.0, "standard deviation of noise sampled at each step", minimum=0.0)
    bias: float = option(0.0, "standard deviation of an error constant in an episode", minimum=0.0)

    def __post_init__(self) -> None:
        if self.std == 0 and self.bias == 0:
            raise ValueError("std and bias are both 0, so there is no noise; set one")


@dataclasses.dataclass(frozen=True)
class SensorNoiseConfig(NoiseConfig):
    """Options of `sensor_noise`; in the readings' own units, for a quaternion in rad."""

    readings: Names = option(_ALL, _READINGS)


@dataclasses.dataclass(frozen=True)
class DelayConfig:
    """The delay. Fractions of a control step are interpolated; `unit: steps` has none."""

    delay: tuple[float, float] = option((0.0, 0.05), "sampled for each episode, in `unit`")
    jitter: float = option(
        0.0, "largest change of the delay, sampled for each control step, in `unit`", minimum=0.0
    )
    unit: Literal["s", "steps"] = option("s", "seconds, or whole control steps")
    share: float = option(1.0, "fraction of episodes with any delay", above=0.0, maximum=1.0)

    def __post_init__(self) -> None:
        check_range(delay=self.delay)
        if self.delay[0] < 0:
            raise ValueError(f"delay is {list(self.delay)}; it cannot be below 0")
        if self.delay[1] + self.jitter == 0:
            raise ValueError("delay and jitter are both 0, so there is no delay; set one")
        amounts = (*self.delay, self.jitter)
        if self.unit == "steps" and any(x != int(x) for x in amounts):
            raise ValueError(
                f"delay is {list(self.delay)} and jitter {self.jitter}, but unit: steps takes "
                "whole control steps; for fractions use unit: s"
            )


@dataclasses.dataclass(frozen=True)
class SensorDelayConfig(DelayConfig):
    """Options of `sensor_delay`. The readings of one entry share their delay: one per device."""

    readings: Names = option(_ALL, _READINGS)


@dataclasses.dataclass(frozen=True)
class SensorDropoutConfig:
    """Options of `sensor_dropout`. The readings of one entry drop out together."""

    readings: Names = option(_ALL, _READINGS)
    probability: float = option(
        0.05, "that a control step has no new reading: the last is held", above=0.0, maximum=1.0
    )


@dataclasses.dataclass(frozen=True)
class SensorQuantizationConfig:
    """Options of `sensor_quantization`."""

    readings: Names = option(_ALL, _READINGS)
    resolution: float = option(
        0.001,
        "step between values, in the reading's own unit; its offset is sampled for each episode",
        above=0.0,
    )


@dataclasses.dataclass(frozen=True)
class ActionNoiseConfig(NoiseConfig):
    """Options of `action_noise`; an action lies in [-1, 1]."""

    actions: Names = option(_ALL, "action components, by name or pattern")


@dataclasses.dataclass(frozen=True)
class ActionDelayConfig(DelayConfig):
    """Options of `action_delay`: the time from the policy's output to the robot's controller."""
