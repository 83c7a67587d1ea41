"""The manifests and the options; imported for listing, so nothing heavy here."""

from __future__ import annotations

import dataclasses

from r2s_core.plugin import Plugin, option


@dataclasses.dataclass(frozen=True)
class TemplateNameConfig:
    """Options of the task `template_name`."""

    target_distance: tuple[float, float] = option(
        (0.1, 0.35), "the target lies between these distances from the shoulder, m", above=0.0
    )
    tolerance: float = option(0.02, "distance to the target that counts as success, m", above=0.0)


@dataclasses.dataclass(frozen=True)
class DistanceConfig:
    """Options of the reward `template_name_distance`."""

    sharpness: float = option(5.0, "1/m; larger rewards only the last centimetres", above=0.0)


PLUGIN = Plugin(
    name="template_name",
    kind="environment",
    contract=2,
    summary="A two-link arm reaches a target in the plane",
    target="r2s_template_module.task:make",
    config=TemplateNameConfig,
)
DISTANCE = Plugin(
    name="template_name_distance",
    kind="reward",
    contract=2,
    summary="1 - tanh(distance to the target * sharpness)",
    target="r2s_template_module.task:make_distance",
    config=DistanceConfig,
)
