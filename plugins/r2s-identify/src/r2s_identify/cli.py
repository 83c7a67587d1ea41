"""The arguments of `r2s identify`; imports nothing heavy."""

from __future__ import annotations

import argparse
from pathlib import Path

from r2s_core.errors import ConfigError
from r2s_core.system.streams import lasting_streams

_EXAMPLES = """examples:
  r2s identify log.csv --config quickstart -o identified.yaml
  r2s identify log.csv --config quickstart -o identified.yaml --propose next.csv
  r2s identify --excite quickstart -o log.csv --unknown-seed 7 --truth truth.json
  r2s identify --excite quickstart -o log.csv --targets next.csv"""
#: Arguments of one of the two uses only, with what they are when not given.
_OF_FIT = {"config": None, "object_held": None, "propose": None, "threads": None}
_OF_EXCITE = {
    "scene": None,
    "targets": None,
    "truth": None,
    "seconds": 12.0,
    "unknown_seed": 0,
    "payload": None,
    "angle_noise": 1e-4,
    "velocity_noise": 1e-2,
    "quantum": 2e-4,
}


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.epilog = _EXAMPLES
    parser.add_argument(
        "log", metavar="LOG.csv", nargs="?", type=Path, help="a recorded motion (r2s_deploy.log)"
    )
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="what is written")
    parser.add_argument(
        "--joints", metavar="NAME", nargs="+", help="whose numbers are unknown (default: all)"
    )
    fit = parser.add_argument_group("to identify")
    fit.add_argument("--config", metavar="CONFIG", help="of the run: its robot and its objects")
    fit.add_argument(
        "--object-held",
        metavar="NAME",
        help="the object that is in the hand all the time, as `r2s object` names it",
    )
    fit.add_argument(
        "--propose", metavar="FILE.csv", type=Path, help="write a motion that would tell more"
    )
    fit.add_argument("--threads", metavar="N", type=_whole, help="of the rollouts (all cores)")
    excite = parser.add_argument_group("to record a log on the simulated robot")
    excite.add_argument("--excite", metavar="CONFIG", help="of the run: which robot is moved")
    excite.add_argument("--scene", metavar="FILE.xml", type=Path, help="as `r2s scene` writes it")
    excite.add_argument("--seconds", metavar="S", type=_positive, help="of the motion (12)")
    excite.add_argument("--targets", metavar="FILE.csv", type=Path, help="of --propose")
    excite.add_argument(
        "--unknown-seed", metavar="N", type=_seed, help="of what is hidden in the robot (0)"
    )
    excite.add_argument("--payload", metavar="KG", type=_from_zero, help="at the hand (drawn)")
    excite.add_argument("--angle-noise", metavar="RAD", type=_from_zero, help="(1e-4)")
    excite.add_argument("--velocity-noise", metavar="RAD/S", type=_from_zero, help="(1e-2)")
    excite.add_argument("--quantum", metavar="RAD", type=_from_zero, help="of encoders (2e-4)")
    excite.add_argument(
        "--truth", metavar="FILE.json", type=Path, help="write what was hidden, into its own file"
    )


def main(args: argparse.Namespace) -> int:
    """Identify, or record."""
    exciting = args.excite is not None
    if exciting == (args.log is not None):
        raise ConfigError(
            "say what to do: `r2s identify LOG.csv --config CONFIG -o FILE.yaml`, or "
            "`r2s identify --excite CONFIG -o LOG.csv`"
        )
    for name in _OF_FIT if exciting else _OF_EXCITE:
        if getattr(args, name) is not None:
            use = "a LOG.csv" if exciting else "--excite"
            raise ConfigError(f"--{name.replace('_', '-')} goes with {use}; drop it")
    if args.output is None:
        raise ConfigError("say where to write with -o FILE")
    for name, value in _OF_EXCITE.items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    if not exciting and args.config is None:
        raise ConfigError("say which robot it is with --config CONFIG, the YAML file of the run")
    from r2s_identify import commands

    with lasting_streams():
        (commands.excite if exciting else commands.identify)(args)
    return 0


def _whole(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _seed(text: str) -> int:
    value = int(text)
    if not 0 <= value < 2**31:
        raise argparse.ArgumentTypeError("must be a whole number from 0")
    return value


def _from_zero(text: str) -> float:
    value = float(text)
    if not 0.0 <= value < float("inf"):
        raise argparse.ArgumentTypeError("must be a number from 0")
    return value


def _positive(text: str) -> float:
    value = float(text)
    if not 0.0 < value < 600.0:
        raise argparse.ArgumentTypeError("must be above 0 and below 600 s")
    return value
