"""Density and friction of household objects, by material: light, like the options.

Densities are *effective*: kg per m3 of the closed scan, which treats a container as solid. `solid`
is the density of the material itself. Sources: solid densities and friction from the
usual engineering tables (Engineering Toolbox; CRC Handbook); effective ranges from the weighed
YCB objects (Calli et al. 2015) over the volumes of their scans (benchmarks/objects.md), e.g.
cracker box 190, mustard 985, soup can 1090, drill 1540, wood block 460, foam brick 150, mug 850
kg/m3. Friction is dry, against a gripper's rubber pad or a table, and as uncertain as its range.
"""

from __future__ import annotations

from typing import NamedTuple

Range = tuple[float, float]

LIGHTEST, HEAVIEST = 20.0, 20000.0  # kg/m3: no household object is outside


class Material(NamedTuple):
    """density: kg/m3, the most likely; density_range: plausible; solid: of the material itself."""

    density: float
    density_range: Range
    solid: float
    friction: float
    friction_range: Range


MATERIALS = {
    "plastic": Material(500.0, (150.0, 1200.0), 1050.0, 0.6, (0.3, 0.9)),
    "wood": Material(600.0, (350.0, 900.0), 600.0, 0.6, (0.35, 0.8)),
    "metal": Material(2700.0, (900.0, 7900.0), 7850.0, 0.5, (0.25, 0.8)),
    "ceramic": Material(2000.0, (800.0, 2600.0), 2300.0, 0.5, (0.3, 0.8)),
    "glass": Material(1500.0, (600.0, 2600.0), 2500.0, 0.45, (0.2, 0.8)),
    "foam": Material(100.0, (25.0, 250.0), 100.0, 0.8, (0.5, 1.1)),
    "cardboard": Material(200.0, (60.0, 700.0), 690.0, 0.5, (0.3, 0.7)),
    "rubber": Material(1100.0, (500.0, 1500.0), 1150.0, 1.0, (0.6, 1.3)),
    "food": Material(900.0, (350.0, 1150.0), 1000.0, 0.6, (0.3, 0.9)),
    "fabric": Material(200.0, (60.0, 500.0), 1400.0, 0.7, (0.4, 1.0)),
}

#: For an object of unknown material: effective densities of the weighed YCB objects.
UNKNOWN_DENSITY_RANGE: Range = (150.0, 1500.0)
UNKNOWN_FRICTION_RANGE: Range = (0.3, 1.2)
WEIGHED, MEASURED = 0.1, 0.2  # relative half-width of the range around a given mass, friction


def implausible(mass: float, volume: float) -> str | None:
    """Why a mass, kg, in a volume, m3, is implausible for a household object; None: it is not."""
    density = mass / volume
    if LIGHTEST <= density <= HEAVIEST:
        return None
    return (
        f"{mass:g} kg in {volume * 1e6:.3g} cm3 is {density:.3g} kg/m3, outside {LIGHTEST:g} to "
        f"{HEAVIEST:g}"
    )


def density_of(material: str | None, density: float | None) -> tuple[float, Range]:
    """kg/m3 and its plausible range: the user's, else the material's, else a guess."""
    known = MATERIALS.get(material or "")
    if density is not None:
        low, high = known.density_range if known else UNKNOWN_DENSITY_RANGE
        return density, (min(low, density), max(high, density))
    if known:
        return known.density, known.density_range
    return 400.0, UNKNOWN_DENSITY_RANGE


def friction_of(material: str | None, friction: float | None) -> tuple[float, Range]:
    """Sliding friction and its plausible range: the user's, else the material's."""
    known = MATERIALS.get(material or "")
    if friction is not None:
        return friction, (friction * (1.0 - MEASURED), friction * (1.0 + MEASURED))
    if known:
        return known.friction, known.friction_range
    return 1.0, UNKNOWN_FRICTION_RANGE
