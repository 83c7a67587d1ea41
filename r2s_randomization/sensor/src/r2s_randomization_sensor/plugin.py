"""Manifests; imports nothing heavy."""

from __future__ import annotations

from r2s_core.plugin import Plugin
from r2s_randomization_sensor import config


def _randomizer(name: str, summary: str, options: type) -> Plugin:
    return Plugin(
        name=name,
        kind="randomizer",
        summary=summary,
        target=f"r2s_randomization_sensor.build:{name}",
        config=options,
    )


SENSOR_NOISE = _randomizer("sensor_noise", "noise and bias of readings", config.SensorNoiseConfig)
SENSOR_DELAY = _randomizer("sensor_delay", "readings arrive late", config.SensorDelayConfig)
SENSOR_DROPOUT = _randomizer(
    "sensor_dropout", "readings drop out, and the last one is held", config.SensorDropoutConfig
)
SENSOR_QUANTIZATION = _randomizer(
    "sensor_quantization", "readings are quantized", config.SensorQuantizationConfig
)
CAMERA_NOISE = _randomizer(
    "camera_noise", "noise, exposure, white balance and blur of images", config.CameraNoiseConfig
)
ACTION_NOISE = _randomizer("action_noise", "noise and bias of actions", config.ActionNoiseConfig)
ACTION_DELAY = _randomizer("action_delay", "actions take effect late", config.ActionDelayConfig)
