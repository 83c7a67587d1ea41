"""`r2s cameras`."""

from __future__ import annotations

import argparse
from pathlib import Path

from r2s_core.config import load_config
from r2s_core.system.streams import lasting_streams
from r2s_core.system.text import printable

_EXAMPLES = """examples:
  r2s cameras vision
  r2s cameras my.yaml -o seen.png --worlds 8
  r2s cameras vision environment.camera_resolution='[64, 64]'"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.epilog = _EXAMPLES
    parser.add_argument("config", metavar="CONFIG", help="a YAML file, or the name of a sample")
    parser.add_argument(
        "overrides", metavar="key=value", nargs="*", default=[], help="replaces a value of the file"
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", default=Path("cameras.png"), help="a PNG file"
    )
    parser.add_argument(
        "--worlds", type=int, default=4, choices=range(1, 33), metavar="N", help="episodes, 1 to 32"
    )


def main(args: argparse.Namespace) -> int:
    """Draw what the cameras see as episodes start."""
    config = load_config(args.config, args.overrides, to_train=False)
    with lasting_streams():
        from r2s_core.rendering import camera_sheet

        for line in camera_sheet.write(config, args.output, args.worlds):
            print(printable(line))
        print(f"{printable(str(args.output))}: a row for each image, a column for each episode")
    return 0
