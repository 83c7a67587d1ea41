"""The manifest; imports nothing heavy."""

from __future__ import annotations

from r2s_core.plugin import Plugin
from r2s_identify import cli

IDENTIFY = Plugin(
    name="identify",
    kind="command",
    summary="fit delay, gains, friction, armature and load of a robot to a log, with intervals",
    target="r2s_identify.cli:main",
    configure=cli.configure,
)
