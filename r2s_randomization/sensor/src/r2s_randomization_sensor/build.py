"""The builders, named as the plugins are."""

from __future__ import annotations

from r2s_core.draw import chosen
from r2s_core.types import RandomizerContext
from r2s_randomization_sensor import config
from r2s_randomization_sensor.delay import Delay
from r2s_randomization_sensor.noise import ActionNoise, Dropout, Noise, Quantization


def sensor_noise(options: config.SensorNoiseConfig, context: RandomizerContext) -> Noise:
    """White noise, and an error that stays all episode."""
    return Noise(_readings(context, options.readings), options.std, options.bias)


def sensor_delay(options: config.SensorDelayConfig, context: RandomizerContext) -> Delay:
    """What is measured now is read later."""
    return Delay("reading", _readings(context, options.readings), options, context.control_dt)


def sensor_dropout(options: config.SensorDropoutConfig, context: RandomizerContext) -> Dropout:
    """No news: the last value is held."""
    return Dropout(_readings(context, options.readings), options.probability)


def sensor_quantization(
    options: config.SensorQuantizationConfig, context: RandomizerContext
) -> Quantization:
    """Steps of a resolution."""
    return Quantization(_readings(context, options.readings), options.resolution)


def action_noise(options: config.ActionNoiseConfig, context: RandomizerContext) -> ActionNoise:
    """White noise, and an error that stays all episode."""
    if options.actions == ("*",):
        return ActionNoise(None, options.std, options.bias)
    places = chosen(context.action_names, options.actions, "actions", "number of the action")
    return ActionNoise(places, options.std, options.bias)


def action_delay(options: config.ActionDelayConfig, context: RandomizerContext) -> Delay:
    """What is decided now is done later."""
    return Delay("action", ("action",), options, context.control_dt)


def _readings(context: RandomizerContext, patterns: tuple[str, ...]) -> tuple[str, ...]:
    """The names of the readings that are varied."""
    names = tuple(context.readings)
    return tuple(names[i] for i in chosen(names, patterns, "readings", "reading"))
