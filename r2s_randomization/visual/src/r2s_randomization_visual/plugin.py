"""Manifests; imports nothing heavy."""

from __future__ import annotations

from r2s_core.plugin import Plugin
from r2s_randomization_visual import config


def _randomizer(name: str, summary: str, options: type, inputs: str | None = None) -> Plugin:
    return Plugin(
        name=f"visual_{name}",
        kind="randomizer",
        summary=summary,
        target=f"r2s_randomization_visual.build:{name}",
        config=options,
        inputs=inputs,
    )


LIGHTS = _randomizer("lights", "position, brightness and colour of lights", config.LightsConfig)
COLORS = _randomizer("colors", "colours of materials", config.ColorsConfig)
SURFACES = _randomizer("surfaces", "highlights and reflections of materials", config.SurfacesConfig)
TEXTURES = _randomizer("textures", "colours and grain of textures", config.TexturesConfig)
CAMERA = _randomizer("camera", "pose and field of view of cameras", config.CameraConfig)
PATTERNS = _randomizer(
    "patterns", "noise and checkerboards on materials, as cameras see them", config.PatternsConfig
)
BACKGROUND = _randomizer(
    "background",
    "noise or pictures behind the scene, as cameras see it",
    config.BackgroundConfig,
    inputs="r2s_randomization_visual.pictures:keep_inputs",
)
DISTRACTORS = _randomizer("distractors", "bodies that are only seen", config.DistractorsConfig)
