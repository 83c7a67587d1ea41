"""`r2s export`."""

from __future__ import annotations

import argparse
from pathlib import Path

from r2s_core.errors import ConfigError
from r2s_core.system.streams import lasting_streams

_EXAMPLES = """examples:
  r2s export runs/quickstart -o duck_bundle
  r2s export runs/quickstart -o duck_bundle --allow-privileged
  r2s export runs/quickstart -o duck_bundle --rehearse duck.xml --allow-privileged
  r2s export --check duck_bundle            is it whole, and does it compute the same?"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.epilog = _EXAMPLES
    parser.add_argument(
        "run_dir", metavar="RUN_DIR", nargs="?", type=Path, help="the folder of a run"
    )
    parser.add_argument("-o", "--output", metavar="DIR", type=Path, help="the bundle's folder")
    parser.add_argument("--check", metavar="BUNDLE", type=Path, help="verify a bundle instead")
    parser.add_argument(
        "--allow-privileged",
        action="store_true",
        help="export a policy that reads numbers which no robot measures",
    )

    parser.add_argument(
        "--rehearse",
        metavar="SCENE.xml",
        type=Path,
        help="also play episodes on the simulated robot, in a scene that `r2s scene` wrote, for "
        "the bundle's certificate",
    )
    parser.add_argument(
        "--episodes", metavar="N", type=int, default=200, help="with --rehearse: how many (200)"
    )


def main(args: argparse.Namespace) -> int:
    """Export or check."""
    if args.check is not None:
        others = (args.run_dir, args.output, args.rehearse)
        if any(each is not None for each in others) or args.allow_privileged:
            raise ConfigError("--check takes a bundle alone; drop the other arguments")
        from r2s_export.check import check_bundle

        with lasting_streams():
            check_bundle(args.check)
        return 0
    if args.run_dir is None or args.output is None:
        raise ConfigError("say what to export and where: r2s export RUN_DIR -o BUNDLE")
    if args.rehearse is not None and not args.rehearse.is_file():
        raise ConfigError(f"{args.rehearse} is not a file; `r2s scene OBJECT -o FILE` writes one")
    if args.episodes < 1:
        raise ConfigError(f"--episodes is {args.episodes}; give a number from 1")
    from r2s_export.rehearsal import Stage
    from r2s_export.write import export_run

    stage = None if args.rehearse is None else Stage(args.rehearse, args.episodes)
    with lasting_streams():
        export_run(args.run_dir, args.output, args.allow_privileged, stage)
    return 0
