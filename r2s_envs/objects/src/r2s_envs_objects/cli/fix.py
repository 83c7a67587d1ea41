"""`r2s object fix`: arguments only; light."""

from __future__ import annotations

import argparse
from pathlib import Path

from r2s_envs_objects.cli.shaping import add_shaping, number

TARGET = "r2s_envs_objects.commands.fix:main"


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.epilog = """examples:
  r2s object fix scan.stl
  r2s object fix mug.obj --mass 0.118 --material ceramic -o objects/mug
  r2s object fix sample:duck --no-pictures

The folder gets the certificate (certificate.html, certificate.json), the repaired mesh
(visual.obj), its convex pieces (pieces/), a standalone MuJoCo model (object.xml), plausible ranges
to randomize (ranges.json), and the object for r2s (asset.npz): name the folder under `objects:` in
a YAML. An earlier object there is replaced once the new one is complete; other files are kept.

Exit status: 0 if the object is ready for simulation, even if the gripper cannot hold it;
1 if it is not, or the scan is refused."""
    parser.add_argument("scan", metavar="SCAN", help="a .stl, .obj or .ply file, or sample:NAME")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="DIR",
        help="the output folder (outputs/reconstructed_objects/NAME; NAME is the file's, or its "
        "folder's if the file has a generic name such as textured.obj or model.obj)",
    )  # fmt: skip
    parser.add_argument("--mass", type=number(above=0.0), metavar="KG", help="the object's mass")
    add_shaping(parser)
    parser.add_argument("--json", action="store_true", help="print the certificate's facts")
