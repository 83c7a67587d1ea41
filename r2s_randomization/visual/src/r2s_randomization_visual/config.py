"""Options of the visual randomizers; imports nothing heavy.

Names are shell patterns for elements of the scene that pictures are rendered from.
"""

from __future__ import annotations

import dataclasses

from r2s_core.plugin import option
from r2s_core.ranges import check_factors, check_range

Range = tuple[float, float]
Names = tuple[str, ...]
_ALL: Names = ("*",)


@dataclasses.dataclass(frozen=True)
class LightsConfig:
    """Options of `visual_lights`."""

    lights: Names = option(_ALL, "lights, by name or pattern")
    shift: float = option(0.5, "m, largest shift along each axis", minimum=0.0)
    tilt: float = option(15.0, "degrees, largest change of direction", minimum=0.0)
    brightness: Range = option((0.5, 1.5), "factor on diffuse light")
    tint: float = option(
        0.1, "largest relative change of each of red, green and blue", minimum=0.0, maximum=1.0
    )

    def __post_init__(self) -> None:
        check_factors(brightness=self.brightness)


@dataclasses.dataclass(frozen=True)
class ColorsConfig:
    """Options of `visual_colors`."""

    materials: Names = option(_ALL, "materials, by name or pattern")
    amount: float = option(
        0.5, "0 keeps a colour, 1 replaces it by a random one", above=0.0, maximum=1.0
    )


@dataclasses.dataclass(frozen=True)
class SurfacesConfig:
    """Options of `visual_surfaces`."""

    materials: Names = option(_ALL, "materials, by name or pattern")
    specular: Range = option((0.0, 0.5), "strength of the highlights")
    shininess: Range = option((0.0, 0.8), "sharpness of the highlights")
    reflectance: Range = option((0.0, 0.1), "how much flat surfaces mirror their surroundings")

    def __post_init__(self) -> None:
        for name in ("specular", "shininess", "reflectance"):
            low, high = getattr(self, name)
            if not 0 <= low <= high <= 1:
                raise ValueError(f"{name} is [{low:g}, {high:g}]; give numbers from 0 to 1")


@dataclasses.dataclass(frozen=True)
class TexturesConfig:
    """Options of `visual_textures`."""

    tint: float = option(
        0.4, "largest relative change of each of red, green and blue", minimum=0.0, maximum=1.0
    )
    grain: float = option(
        0.05, "standard deviation of noise on each texel, as a fraction of white", minimum=0.0
    )


@dataclasses.dataclass(frozen=True)
class CameraConfig:
    """Options of `visual_camera`."""

    cameras: Names = option(_ALL, "cameras, by name or pattern")
    shift: float = option(0.03, "m, largest shift along each axis", minimum=0.0)
    tilt: float = option(2.0, "degrees, largest rotation, about a random axis", minimum=0.0)
    field_of_view: Range = option((-2.0, 2.0), "degrees, added to the vertical field of view")

    def __post_init__(self) -> None:
        check_range(field_of_view=self.field_of_view)
