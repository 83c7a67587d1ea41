"""`r2s object library`: arguments only; light."""

from __future__ import annotations

import argparse
from pathlib import Path

from r2s_envs_objects.cli.shaping import add_shaping, integer

TARGET = "r2s_envs_objects.commands.library:main"


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.epilog = """examples:
  r2s object library scans/
  r2s object library scans/ -o objects --units mm --material plastic --jobs 4

Each scan (.stl, .obj, .ply) gets a folder with its certificate and object, as from `r2s object
fix`; library.json lists them all. Name the library in a YAML:
  reconstructed_objects_dir: outputs/reconstructed_objects

Exit status: 0 if every scan that was not refused is ready for simulation, and there is one;
1 otherwise. A scan that is refused, or whose process dies, does not stop the others."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="a folder of scans")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="OUT", default=Path("outputs/reconstructed_objects"),
        help="the output folder (outputs/reconstructed_objects)",
    )  # fmt: skip
    parser.add_argument(
        "--jobs", type=integer(1, 1024), metavar="N", help="scans at a time (one per core)"
    )
    add_shaping(parser)
