"""The manifest and the options; imported for listing, so nothing heavy here."""

from __future__ import annotations

import dataclasses

from r2s_core.plugin import Plugin, option


@dataclasses.dataclass(frozen=True)
class TemplateNameConfig:
    """Options of the randomizer `template_name`."""

    range: tuple[float, float] = option(
        (0.7, 1.3), "each joint's damping is multiplied by a factor between these", above=0.0
    )


PLUGIN = Plugin(
    name="template_name",
    kind="randomizer",
    contract=2,
    summary="The damping of every joint, sampled at each reset",
    target="r2s_template_module.randomizer:make",
    config=TemplateNameConfig,
)
