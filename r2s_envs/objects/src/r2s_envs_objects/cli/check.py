"""`r2s object check`: arguments only; light."""

from __future__ import annotations

import argparse
from pathlib import Path

TARGET = "r2s_envs_objects.doctor:main"


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.epilog = """examples:
  r2s object check scan.stl"""
    parser.add_argument("scan", type=Path, metavar="SCAN", help="a .stl, .obj or .ply file")
