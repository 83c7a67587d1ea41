"""The manifest; imported for listing, so nothing heavy here."""

from __future__ import annotations

from r2s_core.plugin import Plugin

PLUGIN = Plugin(
    name="template_name",
    kind="robot",
    contract=2,
    summary="TemplateName: six hinges and a gripper of 60 mm",
    target="r2s_template_module.robot:make",
)
