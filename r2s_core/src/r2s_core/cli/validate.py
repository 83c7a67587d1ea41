"""`r2s validate` and `r2s schema`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
from pathlib import Path

from r2s_core.config import RunConfig, load_config, user_code
from r2s_core.config.flat import flat
from r2s_core.errors import ConfigError
from r2s_core.system import files, trust
from r2s_core.system.text import printable


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `validate`."""
    parser.epilog = """examples:
  r2s validate quickstart
  r2s validate quickstart algorithms.bc.batch_size=512
  r2s validate quickstart --show            with every default filled in"""
    parser.add_argument("config", metavar="CONFIG", help="a YAML file, or the name of a sample")
    parser.add_argument(
        "overrides", metavar="key=value", nargs="*", default=[], help="replaces a value of the file"
    )
    parser.add_argument("--show", action="store_true", help="print the whole configuration")


def main(args: argparse.Namespace) -> int:
    """Load the configuration, which reports everything that is wrong."""
    config = load_config(args.config, args.overrides)
    _require_files(config)
    if args.show:
        import yaml

        print(yaml.safe_dump(config.resolved(), sort_keys=False), end="")
        return 0
    print(
        f"{printable(args.config)}: valid: {config.chosen_algorithm.use} on "
        f"{config.environment.use}, "
        f"{config.environment.engine.num_parallel_envs} worlds, backend {config.backend.use}, "
        f"{config.training.total_timesteps:,} steps (nothing was built: a plugin may still refuse)"
    )
    if untrusted := user_code.untrusted(config):
        print(f"running it needs --trust: {printable(trust.would_run(untrusted))}")
    return 0


def _require_files(config: RunConfig) -> None:
    """Raises `ConfigError` where a file of the environment is missing. Its content is not checked:
    that needs MuJoCo, and `r2s object check` does it."""
    for key, value in flat(dataclasses.asdict(config.environment.options)).items():
        for path in value if isinstance(value, tuple | list) else [value]:
            if not isinstance(path, Path):
                continue
            if path.is_dir():
                if not os.access(path, os.R_OK | os.X_OK):
                    raise ConfigError(f"environment.{key}: {path}: this folder is not readable")
                continue
            try:
                files.open_regular(path, what="what it names", error=ConfigError).close()
            except ConfigError as error:
                raise ConfigError(f"environment.{key}: {error}") from error


def configure_schema(parser: argparse.ArgumentParser) -> None:
    """The arguments of `schema`."""
    parser.epilog = """examples:
  r2s schema > r2s.schema.json
Then in VS Code's settings: "yaml.schemas": {"r2s.schema.json": "configs/*.yaml"}"""


def main_schema(args: argparse.Namespace) -> int:
    """Print the schema."""
    from r2s_core.config.json_schema import config_schema

    print(json.dumps(config_schema(), indent=2, default=repr))
    return 0
