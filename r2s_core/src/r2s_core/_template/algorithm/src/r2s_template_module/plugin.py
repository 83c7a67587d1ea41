"""The manifest and the options; imported for listing, so nothing heavy here."""

from __future__ import annotations

import dataclasses

from r2s_core.plugin import Plugin, option


@dataclasses.dataclass(frozen=True)
class TemplateNameConfig:
    """Options of the algorithm `template_name`."""

    hidden_size: int = option(16, "units of the policy's hidden layer", minimum=1)
    noise: float = option(0.1, "standard deviation of the trial weights around the mean", above=0.0)
    learning_rate: float = option(0.05, "Adam's learning rate for the mean weights", above=0.0)
    num_steps: int = option(32, "control steps per world and update", minimum=1)


PLUGIN = Plugin(
    name="template_name",
    kind="algorithm",
    contract=2,
    summary="An evolution strategy: every world tries different weights",
    target="r2s_template_module.algorithm:make",
    config=TemplateNameConfig,
)
