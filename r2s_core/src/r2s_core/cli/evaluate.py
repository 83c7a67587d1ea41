"""`r2s eval`."""

from __future__ import annotations

import argparse
from pathlib import Path

from r2s_core.errors import ConfigError
from r2s_core.system.streams import lasting_streams

_EXAMPLES = """examples:
  r2s eval runs/quickstart
  r2s eval runs/quickstart --episodes 10000
  r2s eval runs/quickstart --backend warp
  r2s eval runs/quickstart environment.goal_range=0.2     how far does it generalise?
  r2s eval runs/quickstart --failures                     show me one of each
  r2s eval runs/quickstart --robustness                   what does it tolerate?
  r2s eval runs/vision --robustness --only 'cameras*' --only light"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.epilog = _EXAMPLES
    parser.add_argument("run_dir", metavar="RUN_DIR", type=Path, help="the folder of a run")
    parser.add_argument(
        "overrides",
        metavar="key=value",
        nargs="*",
        default=[],
        help="replaces a value of its configuration",
    )
    parser.add_argument("--episodes", type=_positive, metavar="N", help="default: the run's own")
    parser.add_argument(
        "--failures",
        action="store_true",
        help="keep an episode of each kind of failure: a video, and a log for `r2s replay`",
    )
    parser.add_argument(
        "--robustness",
        action="store_true",
        help="evaluate under each of the task's perturbations; writes robustness.json and .html",
    )
    parser.add_argument(
        "--grid", type=Path, metavar="FILE", help="with --robustness: your own perturbations"
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="with --robustness: this perturbation, by name or pattern; may be given several times",
    )
    parser.add_argument("--backend", metavar="NAME", help="physics backend; default: the run's own")


def main(args: argparse.Namespace) -> int:
    """Evaluate."""
    if args.robustness and args.failures:
        raise ConfigError("--failures does not apply with --robustness; run them one by one")
    if args.robustness:
        from r2s_core.evaluation.robustness import measure_robustness

        with lasting_streams():
            measure_robustness(
                args.run_dir, args.episodes, args.backend, args.overrides, args.grid, args.only
            )
        return 0
    if args.grid is not None:
        raise ConfigError("--grid only applies with --robustness; add that")
    if args.only:
        raise ConfigError("--only only applies with --robustness; add that")
    from r2s_core.evaluation.evaluate import evaluate_run

    keep = None
    if args.failures:
        from r2s_core.rendering.failures import keep_failures as keep
    with lasting_streams():
        evaluate_run(args.run_dir, args.episodes, args.backend, args.overrides, keep)
    return 0


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value
