"""The manifest and the options; imported for listing, so nothing heavy here."""

from __future__ import annotations

import dataclasses

from r2s_core.plugin import Plugin, option


@dataclasses.dataclass(frozen=True)
class TemplateNameConfig:
    """Options of the renderer `template_name`."""

    shade: float = option(
        0.5, "how much darker a surface is that is seen at a slant", minimum=0.0, maximum=1.0
    )


PLUGIN = Plugin(
    name="template_name",
    kind="renderer",
    contract=2,
    summary="one ray per pixel, one after another: slow, and easy to read",
    target="r2s_template_module.renderer:make",
    config=TemplateNameConfig,
)
