"""Manifests and options; imports nothing heavy."""

from __future__ import annotations

import dataclasses

from r2s_core.plugin import Plugin, option
from r2s_core.ranges import Distribution, check_factors


@dataclasses.dataclass(frozen=True)
class ObjectConfig:
    """Options of the randomizers that vary an object within its own range."""

    body: str = option("object", "the object's body")
    distribution: Distribution = option("uniform", "uniform, log_uniform or normal")
    range: tuple[float, float] | None = option(
        None, "overrides the range that the object's pipeline found plausible: kg, or friction"
    )

    def __post_init__(self) -> None:
        if self.range is not None:
            check_factors(range=self.range)


OBJECT_MASS = Plugin(
    name="object_mass",
    kind="randomizer",
    summary="the object's mass, within the plausible range for such an object",
    target="r2s_randomization_objects.build:object_mass",
    config=ObjectConfig,
)
OBJECT_FRICTION = Plugin(
    name="object_friction",
    kind="randomizer",
    summary="the object's sliding friction, within the plausible range for such a surface",
    target="r2s_randomization_objects.build:object_friction",
    config=ObjectConfig,
)
