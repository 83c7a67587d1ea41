"""The manifest and the options; imported for listing, so nothing heavy here."""

from __future__ import annotations

import dataclasses

from r2s_core.plugin import Plugin, option


@dataclasses.dataclass(frozen=True)
class TemplateNameConfig:
    """Options of the hook `template_name`."""

    metric: str = option("episode/success", "the metric that should grow; see metrics.csv")
    patience: int = option(50, "updates without a new best after which training stops", minimum=1)
    gain: float = option(0.01, "by how much a new best must exceed the old one", minimum=0.0)


PLUGIN = Plugin(
    name="template_name",
    kind="hook",
    contract=2,
    summary="Stops training when a metric has stopped growing",
    target="r2s_template_module.hook:make",
    config=TemplateNameConfig,
)
