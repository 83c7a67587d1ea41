"""Options of the randomizers of sensing and actuation; imports nothing heavy."""

from __future__ import annotations

import dataclasses
from typing import Literal

from r2s_core.plugin import option
from r2s_core.ranges import check_factors, check_range

Range = tuple[float, float]
Names = tuple[str, ...]
_ALL: Names = ("*",)
_READINGS = "readings, by name or pattern"
_READINGS_OR_IMAGES = "readings, by name or pattern; default: all, or none where `images` are given"
_IMAGES = "groups of images, by name or pattern"


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
    """Options of `sensor_delay`. What one entry names shares its delay: one entry per device.

    An image is never interpolated: it is the last that has arrived. So many images are kept as the
    longest delay has control steps, and two more.
    """

    readings: Names | None = option(None, _READINGS_OR_IMAGES)
    images: Names = option((), _IMAGES)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_named(self.readings, self.images)


@dataclasses.dataclass(frozen=True)
class SensorDropoutConfig:
    """Options of `sensor_dropout`. What one entry names drops out together."""

    readings: Names | None = option(None, _READINGS_OR_IMAGES)
    images: Names = option((), _IMAGES)
    probability: float = option(
        0.05, "that a control step has no new reading: the last is held", above=0.0, maximum=1.0
    )

    def __post_init__(self) -> None:
        _check_named(self.readings, self.images)


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


@dataclasses.dataclass(frozen=True)
class CameraNoiseConfig:
    """Options of `camera_noise`. Levels are those of 8 bits, from 0 to 255."""

    images: Names = option(_ALL, "groups of colour images, by name or pattern")
    noise: float = option(
        2.0, "levels, standard deviation of noise on each number of each image", minimum=0.0
    )
    gain: float = option(
        0.0, "standard deviation of the relative change of each image's brightness", minimum=0.0
    )
    exposure: Range = option((0.9, 1.1), "factor on all levels, sampled for each episode")
    white_balance: float = option(
        0.05,
        "largest relative change of each of red, green and blue, sampled for each episode",
        minimum=0.0,
        maximum=1.0,
    )
    blur: Range = option(
        (0.0, 0.0), "pixels, standard deviation of a Gaussian kernel, sampled for each episode"
    )

    def __post_init__(self) -> None:
        check_factors(exposure=self.exposure)
        check_range(blur=self.blur)
        if not 0.0 <= self.blur[0] <= self.blur[1] <= 5.0:
            raise ValueError(f"blur is {list(self.blur)}; give pixels from 0 to 5")
        nothing = (self.noise, self.gain, self.white_balance, self.blur[1]) == (0.0,) * 4
        if nothing and self.exposure == (1.0, 1.0):
            raise ValueError("nothing changes the images; set noise, exposure or another option")


def _check_named(readings: Names | None, images: Names) -> None:
    if readings == () and not images:
        raise ValueError("readings and images are both empty; name some")
