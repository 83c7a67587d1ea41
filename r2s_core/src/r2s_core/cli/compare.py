"""`r2s compare`."""

from __future__ import annotations

import argparse
from pathlib import Path

from r2s_core.cli.run import TRUST
from r2s_core.system.streams import lasting_streams

_EXAMPLES = """examples:
  r2s compare quickstart                       one configuration, seeds 0 to 4
  r2s compare quickstart panda_joint --seeds 3
  r2s compare quickstart_rl --vary algorithm=ppo,sac,ddpg
  r2s compare quickstart_rl --vary algorithms.ppo.learning_rate=1e-4,3e-4
  r2s compare a.yaml b.yaml --output runs/a_or_b training.total_timesteps=2e6
  r2s compare runs/a_or_b runs/mine            existing runs

A YAML file is run for the seeds 0 to N-1, whatever seed it names: one run after another, so that
training times are comparable, each in DIR/NAME/seed_I. The same command continues an interrupted
comparison: finished runs with the same configuration are not repeated. During training, runs
evaluate the deterministic policy 20 times (evaluation.curve_points); this does not count as
training time."""


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.epilog = _EXAMPLES
    parser.add_argument(
        "inputs",
        metavar="YAML|RUN_DIR|key=value",
        nargs="+",
        help="configurations to run, folders of runs (or folders that contain them, up to three "
        "levels deep), and values to replace in every YAML",
    )
    parser.add_argument(
        "--seeds", type=int, default=5, metavar="N", help="runs of each configuration; default: 5"
    )
    parser.add_argument(
        "--vary",
        action="append",
        default=[],
        metavar="KEY=V1,V2,...",
        help="run each YAML with each of these values; several --vary give all combinations",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("runs/compare"),
        metavar="DIR",
        help="folder of the runs and of compare.html, .json and .md; default: runs/compare",
    )
    parser.add_argument("--trust", action="store_true", help=TRUST)


def main(args: argparse.Namespace) -> int:
    """Run what has not been run yet, and report."""
    from r2s_core.compare import compare

    with lasting_streams():
        return compare(
            args.inputs, seeds=args.seeds, vary=args.vary, output=args.output, trust=args.trust
        )
