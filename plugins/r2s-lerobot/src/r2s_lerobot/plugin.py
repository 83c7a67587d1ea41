"""The manifests. Light: neither JAX nor pyarrow is imported here."""

from __future__ import annotations

from r2s_core.plugin import Plugin
from r2s_lerobot import cli
from r2s_lerobot.layout import INFO

LEROBOT = Plugin(
    name="lerobot",
    kind="dataset",
    summary="LeRobotDataset v3",
    target="r2s_lerobot.read:read",
    marker=INFO,
)

DEMO = Plugin(
    name="demo",
    kind="command",
    summary="record, describe and replay demonstrations",
    target="r2s_lerobot.cli:main",
    configure=cli.configure,
)
