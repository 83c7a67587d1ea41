"""`r2s object library`: arguments only; light."""

from __future__ import annotations

import argparse
from pathlib import Path

TARGET = "r2s_envs_objects.library:main"


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.epilog = """examples:
  r2s object library scans/"""
    parser.add_argument("folder", type=Path, metavar="DIR", help="a folder of scans")
