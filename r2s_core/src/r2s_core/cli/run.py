"""`r2s run`."""

from __future__ import annotations

import argparse
from pathlib import Path

from r2s_core.config import load_config
from r2s_core.config.user_code import require
from r2s_core.system.signals import interruptible_at_once, stop_with_parent
from r2s_core.system.streams import lasting_streams

_EXAMPLES = """examples:
  r2s run quickstart
  r2s run quickstart seed=3 training.total_timesteps=2e5
  r2s run quickstart_rl algorithms.ppo.learning_rate=3e-4 --output runs/slower
  r2s run quickstart --resume         continue from the last checkpoint
  r2s run my.yaml --trust             uses your own reward function in a file"""


#: Also used by `r2s compare`.
TRUST = "allow its reward functions in Python files to run, now and until their content changes"


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.epilog = _EXAMPLES
    parser.add_argument("config", metavar="CONFIG", help="a YAML file, or the name of a sample")
    parser.add_argument(
        "overrides", metavar="key=value", nargs="*", default=[], help="replaces a value of the file"
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="default: runs/NAME")
    parser.add_argument(
        "--resume", action="store_true", help="continue from the last checkpoint, if there is one"
    )
    parser.add_argument("--trust", action="store_true", help=TRUST)


def main(args: argparse.Namespace) -> int:
    """Check the configuration before anything heavy is imported, then run."""
    config = load_config(args.config, args.overrides)
    require(config, args.trust)
    stop_with_parent()
    with lasting_streams(), interruptible_at_once():
        from r2s_core.training.run import run

        run(config, output=args.output, resume=args.resume)
    return 0
