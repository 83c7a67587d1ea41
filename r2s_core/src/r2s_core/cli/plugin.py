"""Manifests of the built-in commands; light."""

from __future__ import annotations

from r2s_core.cli import compare, doctor, evaluate, new, plugins, run, validate
from r2s_core.plugin import Plugin

RUN = Plugin(
    name="run",
    kind="command",
    summary="Train as a YAML file says, evaluate the policy and write the report.",
    target="r2s_core.cli.run:main",
    configure=run.configure,
)
EVAL = Plugin(
    name="eval",
    kind="command",
    summary="Evaluate the policy that a run left, on fresh episodes.",
    target="r2s_core.cli.evaluate:main",
    configure=evaluate.configure,
)
COMPARE = Plugin(
    name="compare",
    kind="command",
    summary="Run configurations over several seeds, or collect runs, and compare them.",
    target="r2s_core.cli.compare:main",
    configure=compare.configure,
)
PLUGINS = Plugin(
    name="plugins",
    kind="command",
    summary="List the installed plugins, importing none of them.",
    target="r2s_core.cli.plugins:main",
    configure=plugins.configure,
)
INFO = Plugin(
    name="info",
    kind="command",
    summary="Tell a plugin's options: type, default, range, meaning.",
    target="r2s_core.cli.plugins:main_info",
    configure=plugins.configure_info,
)
VALIDATE = Plugin(
    name="validate",
    kind="command",
    summary="Check a configuration against the installed plugins.",
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
    summary="Look at this machine: devices, physics backends, rendering, versions.",
    target="r2s_core.cli.doctor:main",
    configure=doctor.configure,
)
NEW = Plugin(
    name="new",
    kind="command",
    summary="Write the package of a new plugin, which works as it stands.",
    target="r2s_core.cli.new:main",
    configure=new.configure,
)
