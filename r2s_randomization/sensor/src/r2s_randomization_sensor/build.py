"""The builders, named as the plugins are."""

from __future__ import annotations

from r2s_core.device import check_memory
from r2s_core.draw import chosen
from r2s_core.errors import ConfigError
from r2s_core.types import ArraySpec, RandomizerContext
from r2s_randomization_sensor import config
from r2s_randomization_sensor.camera import CameraNoise
from r2s_randomization_sensor.delay import Delay
from r2s_randomization_sensor.noise import ActionNoise, Dropout, Noise, Quantization


def sensor_noise(options: config.SensorNoiseConfig, context: RandomizerContext) -> Noise:
    """White noise, and a bias that is constant over the episode."""
    return Noise(_readings(context, options.readings), options.std, options.bias)


def sensor_delay(options: config.SensorDelayConfig, context: RandomizerContext) -> Delay:
    """Readings and images arrive later than they were measured."""
    names = _named(context, options.readings, options.images)
    made = Delay("reading", names, options, context.control_dt)
    _check_room(context, names, made.length)
    return made


def sensor_dropout(options: config.SensorDropoutConfig, context: RandomizerContext) -> Dropout:
    """Readings and images drop out, and the last is held."""
    names = _named(context, options.readings, options.images)
    _check_room(context, names, 1)
    return Dropout(names, options.probability)


def sensor_quantization(
    options: config.SensorQuantizationConfig, context: RandomizerContext
) -> Quantization:
    """Readings are rounded to a resolution."""
    return Quantization(_readings(context, options.readings), options.resolution)


def camera_noise(options: config.CameraNoiseConfig, context: RandomizerContext) -> CameraNoise:
    """Colour images err as those of a camera do.

    Raises ConfigError where there are none of these names.
    """
    names = _images(context, options.images)
    colour = tuple(name for name in names if _is_colour(context.images[name]))
    for name in names:
        if name in options.images and name not in colour:
            raise ConfigError(f"images: {name} has no colours; name a group that has")
    if not colour:
        raise ConfigError(f"images: none of {', '.join(names)} has colours; leave it out")
    return CameraNoise(colour, options)


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
    for pattern in patterns:
        if pattern in context.images and pattern not in names:
            raise ConfigError(
                f"readings: {pattern} is a group of images, not of numbers; use camera_noise, or "
                "the option images of sensor_delay and sensor_dropout"
            )
    return tuple(names[i] for i in chosen(names, patterns, "readings", "reading"))


def _images(context: RandomizerContext, patterns: tuple[str, ...]) -> tuple[str, ...]:
    """The names of the groups of images to vary."""
    names = tuple(context.images)
    if not names:
        raise ConfigError("images: there are none, since the environment has no cameras")
    return tuple(names[i] for i in chosen(names, patterns, "images", "group of images"))


def _named(
    context: RandomizerContext, readings: tuple[str, ...] | None, images: tuple[str, ...]
) -> tuple[str, ...]:
    """The names of both; without a choice, all readings where no images are named."""
    seen = _images(context, images) if images else ()
    if readings is None:
        readings = () if images else ("*",)
    return (*_readings(context, readings), *seen)


def _is_colour(spec: ArraySpec) -> bool:
    return spec.dtype == "uint8" and spec.shape[-1] == 3


def _check_room(context: RandomizerContext, names: tuple[str, ...], kept: int) -> None:
    """Raises ConfigError where there is no memory for so many images of each group."""
    images = [context.images[name] for name in names if name in context.images]
    check_memory(
        kept * context.num_worlds * sum(spec.nbytes for spec in images),
        f"{kept} images of {context.num_worlds:,} worlds",
        "lower environment.num_parallel_envs, camera_resolution or the delay",
    )
