"""The manifest; imports nothing heavy."""

from __future__ import annotations

from r2s_core.plugin import Plugin
from r2s_export import cli

EXPORT = Plugin(
    name="export",
    kind="command",
    summary="write a bundle that a robot can run, or check one",
    target="r2s_export.cli:main",
    configure=cli.configure,
)
