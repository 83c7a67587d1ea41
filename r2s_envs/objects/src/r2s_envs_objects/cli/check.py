"""`r2s object check`: arguments only; light."""

from __future__ import annotations

import argparse

from r2s_envs_objects.cli.shaping import add_reading

TARGET = "r2s_envs_objects.commands.doctor:main"


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.epilog = """examples:
  r2s object check scan.stl
  r2s object check scan.obj --units mm --up y
  r2s object check sample:duck --json

Exit status: 0 where nothing is worse than a note, 1 for warnings or a scan that is refused."""
    parser.add_argument("scan", metavar="SCAN", help="a .stl, .obj or .ply file, or sample:NAME")
    add_reading(parser)
    parser.add_argument("--mass", type=float, metavar="KG", help="the object's mass")
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
