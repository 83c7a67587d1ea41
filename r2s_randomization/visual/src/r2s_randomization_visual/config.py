"""Options of the visual randomizers; imports nothing heavy.

Names are shell patterns for elements of the scene that cameras see, or where there are none that
pictures are rendered from.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

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
    brightness: Range = option((0.5, 1.5), "factor on diffuse and ambient light")
    tint: float = option(
        0.1, "largest relative change of each of red, green and blue", minimum=0.0, maximum=1.0
    )
    share: float = option(
        1.0,
        "fraction of episodes (with visual_period: of periods) in which it is done",
        above=0.0,
        maximum=1.0,
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
    share: float = option(
        1.0,
        "fraction of episodes (with visual_period: of periods) in which it is done",
        above=0.0,
        maximum=1.0,
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
    shift: float = option(0.03, "m, largest shift along each axis", minimum=0.0, maximum=10.0)
    tilt: float = option(
        2.0, "degrees, largest rotation, about a random axis", minimum=0.0, maximum=180.0
    )
    field_of_view: Range = option(
        (-2.0, 2.0),
        "degrees, added to the vertical field of view, which stays from 1 to 170",
        minimum=-170.0,
        maximum=170.0,
    )
    whole: bool = option(
        False,
        "whether a camera is always moved by the whole of `shift` and `tilt`, in any direction",
    )
    share: float = option(
        1.0,
        "fraction of episodes (with visual_period: of periods) in which it is done",
        above=0.0,
        maximum=1.0,
    )

    def __post_init__(self) -> None:
        check_range(field_of_view=self.field_of_view)


@dataclasses.dataclass(frozen=True)
class PatternsConfig:
    """Options of `visual_patterns`."""

    materials: Names = option(_ALL, "materials, by name or pattern")
    amount: Range = option((0.0, 0.6), "how much a second, random colour shows where it is full")
    size: Range = option((0.01, 0.15), "m, of a pattern's cells; their logarithm is sampled")
    checkered: float = option(
        0.3, "share of checkerboards; the others are smooth noise", minimum=0.0, maximum=1.0
    )

    def __post_init__(self) -> None:
        check_range(amount=self.amount, size=self.size)
        if not 0.0 <= self.amount[0] <= self.amount[1] <= 1.0:
            raise ValueError(f"amount is {list(self.amount)}; give numbers from 0 to 1")
        if not 0.0 < self.size[0] <= self.size[1]:
            raise ValueError(f"size is {list(self.size)}; give lengths above 0")


@dataclasses.dataclass(frozen=True)
class BackgroundConfig:
    """Options of `visual_background`: what is neither a body nor kept is replaced."""

    pictures: Path | None = option(
        None, "a folder of PNG and JPEG files, or one PNG of squares in a column; default: noise"
    )
    keep: Names = option(
        (), "what is fixed in the world but stays, by the name or pattern of its geom or material"
    )
    share: float = option(1.0, "fraction of episodes where it is replaced", above=0.0, maximum=1.0)


@dataclasses.dataclass(frozen=True)
class DistractorsConfig:
    """Options of `visual_distractors`: transparent bodies of the scene that become visible."""

    bodies: Names = option(("distractor_*",), "the scene's spare bodies, by name or pattern")
    number: tuple[int, int] = option(
        (0, 3), "fewest and most that are seen", minimum=0, maximum=1000
    )
    shift: float = option(0.03, "m, largest shift along each horizontal axis", minimum=0.0)

    def __post_init__(self) -> None:
        low, high = self.number
        if low > high or not high:
            raise ValueError(f"number is {list(self.number)}; give the fewest and the most")
