"""The builders, named as the plugins are."""

from __future__ import annotations

from r2s_core.draw import chosen
from r2s_core.types import RandomizerContext
from r2s_randomization_sensor import config
from r2s_randomization_sensor.delay import Delay
from r2s_randomization_sensor.noise import ActionNoise, Dropout, Noise, Quantization


def sensor_noise(options: config.SensorNoiseConfig, context: RandomizerContext) -> Noise:
    """White noise, and a bias that is constant over the episode."""
    return Noise(_readings(context, options.readings), options.std, options.bias)


def sensor_delay(options: config.SensorDelayConfig, context: RandomizerContext) -> Delay:
    """Readings arrive later than they were measured."""
    return Delay("reading", _readings(context, options.readings), options, context.control_dt)


def sensor_dropout(options: config.SensorDropoutConfig, context: RandomizerContext) -> Dropout:
    """Readings drop out, and the last value is held."""
    return Dropout(_readings(context, options.readings), options.probability)


def sensor_quantization(
    options: config.SensorQuantizationConfig, context: RandomizerContext
) -> Quantization:
    """Readings are rounded to a resolution."""
    return Quantization(_readings(context, options.readings), options.resolution)


def action_noise(options: config.ActionNoiseConfig, context: RandomizerContext) -> ActionNoise:
    """White noise, and a bias that is constant over the episode."""
    if options.actions == ("*",):
        return ActionNoise(None, options.std, options.bias)
    places = chosen(context.action_names, options.actions, "actions", "action component")
    return ActionNoise(places, options.std, options.bias)


def action_delay(options: config.ActionDelayConfig, context: RandomizerContext) -> Delay:
    """Actions take effect later than they were chosen."""
    return Delay("action", ("action",), options, context.control_dt)


def _readings(context: RandomizerContext, patterns: tuple[str, ...]) -> tuple[str, ...]:
    """The names of the readings to vary."""
    names = tuple(context.readings)
    return tuple(names[i] for i in chosen(names, patterns, "readings", "reading"))
