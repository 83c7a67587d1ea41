"""Manifests of the built-in commands; imports nothing heavy."""

from __future__ import annotations

from r2s_core.cli import (
    cameras,
    compare,
    doctor,
    evaluate,
    new,
    plugins,
    replay,
    run,
    validate,
)
from r2s_core.plugin import Plugin

RUN = Plugin(
    name="run",
    kind="command",
    summary="Train as configured in a YAML file, evaluate the policy and write the report.",
    target="r2s_core.cli.run:main",
    configure=run.configure,
)
EVAL = Plugin(
    name="eval",
    kind="command",
    summary="Evaluate a run's policy on fresh episodes.",
    target="r2s_core.cli.evaluate:main",
    configure=evaluate.configure,
)
REPLAY = Plugin(
    name="replay",
    kind="command",
    summary="Play an episode again that `r2s eval --failures` kept; does physics do the same?",
    target="r2s_core.cli.replay:main",
    configure=replay.configure,
)
CAMERAS = Plugin(
    name="cameras",
    kind="command",
    summary="Draw what a configuration's cameras see as episodes start.",
    target="r2s_core.cli.cameras:main",
    configure=cameras.configure,
)
COMPARE = Plugin(
    name="compare",
    kind="command",
    summary="Run configurations with several seeds, or take existing runs, and compare them.",
    target="r2s_core.cli.compare:main",
    configure=compare.configure,
)
PLUGINS = Plugin(
    name="plugins",
    kind="command",
    summary="List the installed plugins without importing them.",
    target="r2s_core.cli.plugins:main",
    configure=plugins.configure,
)
INFO = Plugin(
    name="info",
    kind="command",
    summary="Show a plugin's options (type, default, range, meaning), or what a policy reads.",
    target="r2s_core.cli.plugins:main_info",
    configure=plugins.configure_info,
)
VALIDATE = Plugin(
    name="validate",
    kind="command",
    summary="Check a configuration's keys and values; builds and runs nothing.",
    target="r2s_core.cli.validate:main",
    configure=validate.configure,
)
SCHEMA = Plugin(
    name="schema",
    kind="command",
    summary="Print the JSON schema of the configuration, for editors.",
    target="r2s_core.cli.validate:main_schema",
    configure=validate.configure_schema,
)
DOCTOR = Plugin(
    name="doctor",
    kind="command",
    summary="Check this machine: devices, physics backends, rendering, versions.",
    target="r2s_core.cli.doctor:main",
    configure=doctor.configure,
)
NEW = Plugin(
    name="new",
    kind="command",
    summary="Write the package of a new, working plugin.",
    target="r2s_core.cli.new:main",
    configure=new.configure,
)
