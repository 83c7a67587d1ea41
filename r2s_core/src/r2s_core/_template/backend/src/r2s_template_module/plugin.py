"""The manifest and the options; imported for listing, so nothing heavy here."""

from __future__ import annotations

import dataclasses

from r2s_core.plugin import Plugin, option


@dataclasses.dataclass(frozen=True)
class TemplateNameConfig:
    """Options of the backend `template_name`."""

    iterations: int | None = option(
        None, "iterations of the constraint solver; default: the scene's", minimum=1
    )


PLUGIN = Plugin(
    name="template_name",
    kind="backend",
    contract=2,
    summary="C MuJoCo, one world after another: slow, and easy to read",
    target="r2s_template_module.backend:make",
    config=TemplateNameConfig,
)
