"""Options of the randomizers of pictures; imports nothing heavy.

Names are patterns as in a shell, of the scene that pictures are drawn of.
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
    shift: float = option(0.5, "m, at most so far along each axis", minimum=0.0)
    tilt: float = option(15.0, "degrees, at most so far from where they point", minimum=0.0)
    brightness: Range = option((0.5, 1.5), "factor on diffuse light")
    tint: float = option(
        0.1, "how far each of red, green and blue strays, as a share", minimum=0.0, maximum=1.0
    )

    def __post_init__(self) -> None:
        check_factors(brightness=self.brightness)


@dataclasses.dataclass(frozen=True)
class ColorsConfig:
    """Options of `visual_colors`."""

    materials: Names = option(_ALL, "materials, by name or pattern")
    amount: float = option(
        0.5, "0 leaves a colour, 1 puts any other in its place", above=0.0, maximum=1.0
    )


@dataclasses.dataclass(frozen=True)
class SurfacesConfig:
    """Options of `visual_surfaces`."""

    materials: Names = option(_ALL, "materials, by name or pattern")
    specular: Range = option((0.0, 0.5), "how much light they mirror in highlights")
    shininess: Range = option((0.0, 0.8), "how small the highlights are")
    reflectance: Range = option((0.0, 0.1), "how much of the surroundings flat ones mirror")

    def __post_init__(self) -> None:
        for name in ("specular", "shininess", "reflectance"):
            low, high = getattr(self, name)
            if not 0 <= low <= high <= 1:
                raise ValueError(f"{name} is [{low:g}, {high:g}]; give shares from 0 to 1")


@dataclasses.dataclass(frozen=True)
class TexturesConfig:
    """Options of `visual_textures`."""

    tint: float = option(
        0.4, "how far each of red, green and blue strays, as a share", minimum=0.0, maximum=1.0
    )
    grain: float = option(
        0.05, "standard deviation of noise on each texel, as a share of white", minimum=0.0
    )


@dataclasses.dataclass(frozen=True)
class CameraConfig:
    """Options of `visual_camera`."""

    cameras: Names = option(_ALL, "cameras, by name or pattern")
    shift: float = option(0.03, "m, at most so far along each axis", minimum=0.0)
    tilt: float = option(2.0, "degrees, at most so far turned about any axis", minimum=0.0)
    field_of_view: Range = option((-2.0, 2.0), "degrees, added to the vertical field of view")

    def __post_init__(self) -> None:
        check_range(field_of_view=self.field_of_view)
