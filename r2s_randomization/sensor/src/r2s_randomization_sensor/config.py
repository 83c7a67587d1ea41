"""Options of the randomizers of sensing and acting; imports nothing heavy."""

from __future__ import annotations

import dataclasses
from typing import Literal

from r2s_core.plugin import option
from r2s_core.ranges import check_range

Names = tuple[str, ...]
_ALL: Names = ("*",)
_READINGS = "what is measured, by name or pattern"


@dataclasses.dataclass(frozen=True)
class NoiseConfig:
    """How large errors are."""

    std: float = option(0.0, "standard deviation of noise that is new at each step", minimum=0.0)
    bias: float = option(0.0, "standard deviation of an error that stays all episode", minimum=0.0)

    def __post_init__(self) -> None:
        if self.std == 0 and self.bias == 0:
            raise ValueError("std and bias are both 0, which is no noise; set one")


@dataclasses.dataclass(frozen=True)
class SensorNoiseConfig(NoiseConfig):
    """Options of `sensor_noise`; in the readings' own units, for a quaternion in rad."""

    readings: Names = option(_ALL, _READINGS)


@dataclasses.dataclass(frozen=True)
class DelayConfig:
    """How late. What is late by a part of a control step is interpolated; steps are whole."""

    delay: tuple[float, float] = option((0.0, 0.05), "drawn for each episode, in `unit`")
    jitter: float = option(
        0.0, "at most so much more or less, drawn for each control step, in `unit`", minimum=0.0
    )
    unit: Literal["s", "steps"] = option("s", "seconds, or whole control steps")
    share: float = option(1.0, "of the episodes that come late at all", above=0.0, maximum=1.0)

    def __post_init__(self) -> None:
        check_range(delay=self.delay)
        if self.delay[0] < 0:
            raise ValueError(f"delay is {list(self.delay)}; it cannot be below 0")
        if self.delay[1] + self.jitter == 0:
            raise ValueError("delay and jitter are both 0, which is no delay; set one")
        amounts = (*self.delay, self.jitter)
        if self.unit == "steps" and any(x != int(x) for x in amounts):
            raise ValueError(
                f"delay is {list(self.delay)} and jitter {self.jitter} in control steps, which are "
                "whole; for parts of one use unit: s"
            )


@dataclasses.dataclass(frozen=True)
class SensorDelayConfig(DelayConfig):
    """Options of `sensor_delay`. What one device measures is late together: give it one entry."""

    readings: Names = option(_ALL, _READINGS)


@dataclasses.dataclass(frozen=True)
class SensorDropoutConfig:
    """Options of `sensor_dropout`. What one device measures drops out together."""

    readings: Names = option(_ALL, _READINGS)
    probability: float = option(
        0.05, "of a control step without news: the last value is held", above=0.0, maximum=1.0
    )


@dataclasses.dataclass(frozen=True)
class SensorQuantizationConfig:
    """Options of `sensor_quantization`."""

    readings: Names = option(_ALL, _READINGS)
    resolution: float = option(
        0.001,
        "least difference, in the reading's own unit; where steps lie differs by episode",
        above=0.0,
    )


@dataclasses.dataclass(frozen=True)
class ActionNoiseConfig(NoiseConfig):
    """Options of `action_noise`; an action goes from -1 to 1."""

    actions: Names = option(_ALL, "numbers of the action, by name or pattern")


@dataclasses.dataclass(frozen=True)
class ActionDelayConfig(DelayConfig):
    """Options of `action_delay`: the time from deciding to the robot's controller."""
