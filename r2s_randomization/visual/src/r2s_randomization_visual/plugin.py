"""Manifests; imports nothing heavy."""

from __future__ import annotations

from r2s_core.plugin import Plugin
from r2s_randomization_visual import config


def _randomizer(name: str, summary: str, options: type) -> Plugin:
    return Plugin(
        name=f"visual_{name}",
        kind="randomizer",
        summary=summary,
        target=f"r2s_randomization_visual.build:{name}",
        config=options,
    )


LIGHTS = _randomizer(
    "lights", "where lights are, how bright and of what colour", config.LightsConfig
)
COLORS = _randomizer("colors", "colours of materials", config.ColorsConfig)
SURFACES = _randomizer("surfaces", "how materials shine and mirror", config.SurfacesConfig)
TEXTURES = _randomizer("textures", "colours and grain of textures", config.TexturesConfig)
CAMERA = _randomizer("camera", "where cameras are, their field of view", config.CameraConfig)
