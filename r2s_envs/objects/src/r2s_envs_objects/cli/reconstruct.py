"""`r2s object reconstruct`: arguments only; light."""

from __future__ import annotations

import argparse
from pathlib import Path

TARGET = "r2s_envs_objects.reconstruct.command:main"


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.epilog = """examples:
  r2s object reconstruct cloud.ply"""
    parser.add_argument(
        "source", type=Path, metavar="CLOUD", help="a .ply or .pcd cloud, or a depth folder"
    )
