"""Manifest and arguments of `r2s scene`; light."""

from __future__ import annotations

import argparse
from pathlib import Path

from r2s_core.plugin import Plugin
from r2s_envs_objects.options import DEFAULT_ROBOT


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.epilog = """examples:
  r2s scene sample:bottle sample:duck -o scene.xml
  r2s scene mug.ply drill.stl --units m -o scenes/two.xml
then open it in MuJoCo's own viewer, and load the key `home`:
  python -m mujoco.viewer --mjcf=scene.xml"""
    parser.add_argument(
        "objects",
        nargs="+",
        metavar="OBJECT",
        help="a scan (.stl, .obj, .ply) or sample:NAME; repeat one to place it several times",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("scene.xml"),
        metavar="FILE.xml",
        help="the model (scene.xml); its meshes go into a folder beside it",
    )
    parser.add_argument(
        "--robot",
        default=DEFAULT_ROBOT,
        metavar="NAME",
        help=f"the robot at the table ({DEFAULT_ROBOT}); `r2s plugins robot` lists them",
    )
    parser.add_argument(
        "--units",
        choices=("auto", "m", "cm", "mm", "inch"),
        default="auto",
        help="unit of the scans (auto: from the size)",
    )
    parser.add_argument(
        "--up",
        choices=("z", "y", "x", "-z", "-y", "-x"),
        default="z",
        help="the scans' axis that points up (z); write --up=-y for a negative one",
    )
    parser.add_argument(
        "--plain",
        action="store_true",
        help="with the looks that a policy's cameras see in training: for rehearsals with images",
    )


SCENE = Plugin(
    name="scene",
    kind="command",
    summary="Write a MuJoCo scene: a robot at its table with the given objects.",
    target="r2s_envs_pick_place.scene.command:main",
    configure=configure,
)
