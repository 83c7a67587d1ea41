"""The manifest and the options; imported for listing, so nothing heavy here."""

from __future__ import annotations

import dataclasses

from r2s_core.plugin import Plugin, option


@dataclasses.dataclass(frozen=True)
class TemplateNameConfig:
    """Options of the reward `template_name`."""

    max_step: float = option(0.1, "change of position per step that costs 1, m or rad", above=0.0)


PLUGIN = Plugin(
    name="template_name",
    kind="reward",
    contract=2,
    summary="-(change of position per control step)^2, for smooth motion",
    target="r2s_template_module.reward:make",
    config=TemplateNameConfig,
)
