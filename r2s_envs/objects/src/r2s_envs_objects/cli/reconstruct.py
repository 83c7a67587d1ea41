"""`r2s object reconstruct`: arguments only; light."""

from __future__ import annotations

import argparse
from pathlib import Path

TARGET = "r2s_envs_objects.reconstruct.command:main"

_EPILOG = """examples:
  r2s object reconstruct cloud.ply                    -> cloud_mesh.ply, cloud_mesh.json
  r2s object reconstruct cloud.pcd --units mm -o bottle.stl
  r2s object reconstruct depth_folder/ -o mug.ply
  r2s object reconstruct table.pcd --segment -o objects/    -> objects/object_0.ply, ...

a depth folder holds 16-bit grey PNG files and cameras.json:
  {"depth_scale": 0.001,
   "intrinsics": {"fx": 615.0, "fy": 615.0, "cx": 320.0, "cy": 240.0},
   "frames": [{"depth": "000.png", "mask": "000_mask.png",
               "camera_to_world": [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]}]}
Depth counts times depth_scale are metres along the camera's axis, 0 is unknown. Poses are in
metres; the camera looks along its +z, x to the right of the image, y down (OpenCV). `mask` is
optional: the object is where it is not 0. A frame may have `intrinsics` of its own. If the views
do not agree under this convention, others are tried (world-to-camera, OpenGL, millimetres, ...),
and the one under which they agree is used and reported. Images must lie in the folder.

The mesh is in metres, z up, standing on z = 0; the JSON beside it has the transform that led
there, and all findings. Pass the mesh to `r2s object check` and `r2s object fix`."""


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.epilog = _EPILOG
    parser.add_argument(
        "source", type=Path, metavar="CLOUD", help="a .ply or .pcd cloud, or a depth folder"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="OUT",
        help="the mesh (.ply, .stl, .obj), or with --segment the folder of meshes",
    )
    parser.add_argument(
        "--segment",
        action="store_true",
        help="a tabletop scene: remove the table, one mesh for each object on it",
    )
    parser.add_argument(
        "--units",
        choices=("auto", "m", "mm", "cm", "inch"),
        default="auto",
        help="unit of the cloud's numbers (auto: from the size; depth folders are in metres)",
    )
    parser.add_argument(
        "--up",
        choices=("z", "y", "x", "-z", "-y", "-x"),
        default="z",
        help="the cloud's axis that points up (z); write --up=-y for a negative one",
    )
    parser.add_argument(
        "--support",
        type=float,
        metavar="HEIGHT",
        help="height along the up axis of the plane on which the object stood, in the cloud's unit",
    )
    parser.add_argument(
        "--resolution",
        type=_resolution,
        default=128,
        metavar="CELLS",
        help="grid cells along the longest side, 16 to 256 (128)",
    )
    parser.add_argument(
        "--mask", metavar="NAME", help="the object's mask, if the folder has several objects' masks"
    )


def _resolution(text: str) -> int:
    value = int(text)
    if not 16 <= value <= 256:
        raise argparse.ArgumentTypeError("must be 16 to 256")
    return value
