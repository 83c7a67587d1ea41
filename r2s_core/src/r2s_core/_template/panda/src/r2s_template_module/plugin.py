"""The manifests and the options; imported for listing, so nothing heavy here."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from r2s_core.plugin import Plugin, option


@dataclasses.dataclass(frozen=True)
class TemplateNameConfig:
    """Options of the task `template_name`."""

    object: Path | str = option("sample:soap", "a scan (STL, OBJ, PLY) or sample:NAME")
    goal_distance: tuple[float, float] = option(
        (0.06, 0.12), "how far ahead of the object the goal lies, m", above=0.0, maximum=0.15
    )
    goal_width: float = option(
        0.04, "how far the goal lies to the left or right at most, m", minimum=0.0, maximum=0.1
    )
    tolerance: float = option(0.03, "distance to the goal that counts as success, m", above=0.0)


@dataclasses.dataclass(frozen=True)
class SharpnessConfig:
    """Options of the rewards."""

    sharpness: float = option(10.0, "1/m; larger rewards only the last centimetres", above=0.0)


PLUGIN = Plugin(
    name="template_name",
    kind="environment",
    contract=2,
    summary="A Panda pushes a scanned object over the table to a goal",
    target="r2s_template_module.task:make",
    config=TemplateNameConfig,
)
REACH = Plugin(
    name="template_name_reach",
    kind="reward",
    contract=2,
    summary="1 - tanh(distance of the hand to its place behind the object * sharpness)",
    target="r2s_template_module.rewards:reach",
    config=SharpnessConfig,
)
PUSH = Plugin(
    name="template_name_push",
    kind="reward",
    contract=2,
    summary="1 - tanh(distance of the object to the goal * sharpness)",
    target="r2s_template_module.rewards:push",
    config=SharpnessConfig,
)
