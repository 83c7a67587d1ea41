"""The command `r2s-deploy`."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from r2s_deploy import drive
from r2s_deploy.errors import DeployError

_EXAMPLES = """examples:
  r2s-deploy check duck_bundle
  r2s-deploy rehearse duck_bundle scene.xml --episodes 200
  r2s-deploy rehearse duck_bundle scene.xml --latency 5 --angle-noise 0.0005 --gravity-error 0.01
  r2s-deploy run duck_bundle cell.toml --goal 0.5 0 0.3 --object 0.5 0 0.03 --arm
  r2s-deploy shadow duck_bundle recorded.csv -o shadow.html --goal 0.5 0 0.3
  r2s-deploy shadow duck_bundle recorded.mcap --topic object=/tracker/pose --goal 0.5 0 0.3"""
_LARGEST = 2**31 - 1  # of a seed or a number of cycles
#: Of the simulated robot, handed on.
_SIMULATED = (
    "latency",
    "angle_noise",
    "velocity_noise",
    "finger_noise",
    "gravity_error",
    "image_latency",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 1 where it fails, after a sentence on standard error."""
    args = _parser().parse_args(arguments)
    try:
        args.run(args)
    except DeployError as error:
        print(f"r2s-deploy: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="r2s-deploy",
        description="Run policies of r2s without r2s.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    check = commands.add_parser("check", help="is a bundle whole, and does it compute the same?")
    check.add_argument("bundle", type=Path, metavar="BUNDLE")
    check.set_defaults(run=_check)
    rehearse = commands.add_parser("rehearse", help="play episodes on a simulated robot")
    rehearse.add_argument("bundle", type=Path, metavar="BUNDLE")
    rehearse.add_argument("scene", type=Path, metavar="SCENE.xml", help="as r2s scene writes it")
    rehearse.add_argument("--episodes", type=_whole, default=200, metavar="N")
    rehearse.add_argument("--seed", type=_from_zero, default=0)
    rehearse.add_argument("--latency", type=_from_zero, default=0, help="ms until a target acts")
    rehearse.add_argument("--angle-noise", type=_noise, default=0.0, help="of the joints, rad")
    rehearse.add_argument("--velocity-noise", type=_noise, default=0.0, help="of the joints, rad/s")
    rehearse.add_argument("--finger-noise", type=_noise, default=0.0, help="m, and m/s")
    rehearse.add_argument("--gravity-error", type=_share, default=0.0, help="share uncompensated")
    rehearse.add_argument("--tracker-noise", type=_noise, default=0.0, help="of the object, m")
    rehearse.add_argument(
        "--speed", type=float, default=1.0, help="share of full speed (1); `run` has 0.1"
    )
    rehearse.add_argument("--steps", type=_whole, metavar="N", help="control steps (training's)")
    rehearse.add_argument(
        "--image-latency", type=_from_zero, default=0, help="ms until one is seen"
    )
    rehearse.add_argument(
        "--entered",
        action="store_true",
        help="the object's pose is entered as an episode starts, and not tracked",
    )
    rehearse.add_argument(
        "--path", choices=("filter", "ruckig"), default="filter", help="from targets to a path"
    )
    rehearse.add_argument(
        "--allow-privileged",
        action="store_true",
        help="also where the policy reads what no robot measures; it is guessed",
    )
    _add_object_name(rehearse)
    rehearse.add_argument("--log", type=Path, metavar="FILE.csv", help="keep the first episode")
    rehearse.set_defaults(run=_rehearse)
    run = commands.add_parser("run", help="on the robot of a cell; moves with --arm alone")
    drive.add_arguments(run)
    run.set_defaults(run=drive.run)
    shadow = commands.add_parser("shadow", help="what would it have done where a robot has been?")
    shadow.add_argument("bundle", type=Path, metavar="BUNDLE")
    shadow.add_argument(
        "log",
        type=Path,
        metavar="LOG",
        help="a CSV file (columns: see r2s_deploy.log), an MCAP file, or a LeRobot data set",
    )
    shadow.add_argument("-o", "--output", type=Path, default=Path("shadow.html"), metavar="PAGE")
    shadow.add_argument(
        "--goal", type=float, nargs=3, metavar=("X", "Y", "Z"), help="m, also in place of the log's"
    )
    shadow.add_argument(
        "--object",
        type=float,
        nargs=7,
        metavar=("X", "Y", "Z", "QW", "QX", "QY", "QZ"),
        help="its pose, also in place of the log's",
    )
    _add_object_name(shadow)
    shadow.add_argument(
        "--columns",
        type=_pair,
        nargs="+",
        default=[],
        metavar="NAME=RECORDED",
        help="what the log calls a joint or another column",
    )
    shadow.add_argument(
        "--topic",
        type=_pair,
        nargs="+",
        default=[],
        metavar="OF=TOPIC",
        help="of an MCAP file: joints=, fingers=, object=, goal=, targets=",
    )
    shadow.add_argument("--episode", type=int, metavar="N", help="of a LeRobot data set")
    shadow.set_defaults(run=_shadow)
    return parser


def _add_object_name(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--object-name", metavar="NAME", help="which object, where the bundle knows several"
    )


def _check(args: argparse.Namespace) -> None:
    from r2s_deploy.check import check

    for line in check(args.bundle):
        print(line)


def _rehearse(args: argparse.Namespace) -> None:
    from r2s_deploy.bundle import load

    bundle = load(args.bundle)
    if bundle.privileged and not args.allow_privileged:
        raise DeployError(
            f"{args.bundle}: the policy reads what no robot measures: "
            f"{', '.join(bundle.privileged)}. They are guessed with --allow-privileged."
        )
    if not args.scene.is_file():
        raise DeployError(f"{args.scene} is not a file; `r2s scene OBJECT -o scene.xml` writes one")
    from r2s_deploy.rehearse import check_log, rehearse, summary

    if args.log is not None:
        check_log(args.log)
    options = [f"--seed={args.seed}"]
    options += [f"--{name.replace('_', '-')}={getattr(args, name)}" for name in _SIMULATED]
    played = []
    for episode in rehearse(
        bundle,
        args.scene,
        args.episodes,
        seed=args.seed,
        options=tuple(options),
        tracker_std_m=args.tracker_noise,
        object_name=args.object_name,
        entered=args.entered,
        path=args.path,
        speed=args.speed,
        steps=args.steps,
    ):
        played.append(episode)
        if len(played) % 20 == 0 or len(played) == args.episodes:
            good = sum(each.success for each in played)
            print(f"{len(played)} episodes: {good} succeeded", file=sys.stderr)
    for line in summary(played):
        print(line)
    if args.log is not None and played[0].log is not None:
        from r2s_deploy.log import write_csv

        try:
            write_csv(args.log, played[0].log, bundle.robot["joints"]["names"])
        except OSError as error:
            raise DeployError(f"{args.log} cannot be written: {error.strerror}") from error
        print(f"the first episode: {args.log}")


def _shadow(args: argparse.Namespace) -> None:
    import numpy as np

    from r2s_deploy.bundle import load
    from r2s_deploy.page import check_place, page, summary, write
    from r2s_deploy.recorded.read import read
    from r2s_deploy.shadow import shadow

    check_place(args.output)
    bundle = load(args.bundle)
    log = read(
        args.log,
        bundle,
        columns=dict(args.columns),
        topics=dict(args.topic),
        episode=args.episode,
    )
    goal, thing = (None if x is None else np.array(x) for x in (args.goal, args.object))
    found = shadow(bundle, log, goal=goal, thing=thing, object_name=args.object_name)
    for label, text in summary(bundle, found):
        print(f"{label}: {text}")
    for note in found.notes:
        print(f"the recording: {note}")
    write(args.output, page(bundle, found, args.log.name))
    print(f"page: {args.output}")


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def _from_zero(text: str) -> int:
    value = int(text)
    if not 0 <= value <= _LARGEST:
        raise argparse.ArgumentTypeError(f"must be from 0 to {_LARGEST:,}")
    return value


def _noise(text: str) -> float:
    value = float(text)
    if not 0.0 <= value < math.inf:
        raise argparse.ArgumentTypeError("must be a number from 0")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not -1.0 <= value <= 1.0:
        raise argparse.ArgumentTypeError("must be a number from -1 to 1")
    return value


def _whole(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


if __name__ == "__main__":
    sys.exit(main())
