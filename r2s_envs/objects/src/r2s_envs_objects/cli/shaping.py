"""Arguments that describe a scan, shared by the verbs that prepare objects; light."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

from r2s_envs_objects.materials import HEAVIEST, LIGHTEST, MATERIALS
from r2s_envs_objects.options import DEFAULT_ROBOT


def add_reading(parser: argparse.ArgumentParser) -> None:
    """--units, --up, --scale, --max-filled, --material, --robot."""
    parser.add_argument(
        "--units",
        default="auto",
        choices=("auto", "m", "mm", "cm", "inch"),
        help="unit of the file's numbers (auto: as stated in the file, or from the size)",
    )
    parser.add_argument(
        "--up",
        default="z",
        choices=("z", "y", "x", "-z", "-y", "-x"),
        help="the file's axis that points up (z)",
    )
    parser.add_argument(
        "--scale", type=number(above=0.0), default=1.0, help="factor on the size (1)"
    )
    parser.add_argument(
        "--max-filled",
        type=number(0.0, 1.0),
        default=0.25,
        metavar="SHARE",
        help="largest fraction of the surface that closing holes may add (0.25)",
    )
    parser.add_argument("--material", choices=tuple(MATERIALS), help="what it is made of")
    parser.add_argument(
        "--robot",
        default=DEFAULT_ROBOT,
        metavar="NAME",
        help=f"the robot to hold it ({DEFAULT_ROBOT}); `r2s plugins robot` lists them",
    )


def add_shaping(parser: argparse.ArgumentParser) -> None:
    """The same, and --density, --max-pieces, --max-hull-vertices, --force."""
    add_reading(parser)
    parser.add_argument(
        "--density",
        type=number(minimum=LIGHTEST, maximum=HEAVIEST),
        metavar="KG/M3",
        help="density of the closed scan, hollow or not (the material's, else 400)",
    )
    parser.add_argument(
        "--max-pieces",
        type=integer(1, 256),
        metavar="N",
        help="maximum number of convex pieces (16, or up to 128 where fewer would fill a hollow)",
    )
    parser.add_argument(
        "--max-hull-vertices",
        type=integer(8, 256),
        default=64,
        metavar="N",
        help="maximum number of vertices per piece (64; 32 makes faster physics)",
    )
    parser.add_argument(
        "--force", action="store_true", help="allow training even if the gripper cannot hold it"
    )
    parser.add_argument(
        "--no-pictures", dest="pictures", action="store_false", help="seconds quicker"
    )


def number(
    minimum: float = -math.inf, maximum: float = math.inf, above: float = -math.inf
) -> Callable[[str], float]:
    """A type for argparse: a finite number within bounds."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
        if not (math.isfinite(value) and value > above and minimum <= value <= maximum):
            bounds = f"above {above:g}" if above > -math.inf else f"from {minimum:g} to {maximum:g}"
            raise argparse.ArgumentTypeError(f"{text} is not {bounds}")
        return value

    return parse


def integer(minimum: int, maximum: int) -> Callable[[str], int]:
    """A type for argparse: a whole number within bounds."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if not minimum <= value <= maximum:
            raise argparse.ArgumentTypeError(f"{text} is not from {minimum} to {maximum}")
        return value

    return parse
