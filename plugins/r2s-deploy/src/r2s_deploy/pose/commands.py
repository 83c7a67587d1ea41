"""`python -m r2s_deploy.pose`: from a print to a pose, without a robot."""

from __future__ import annotations

import argparse
import base64
import sys
from pathlib import Path

import numpy as np

from r2s_deploy.camera import Image, Intrinsics
from r2s_deploy.errors import DeployError
from r2s_deploy.pose.calibrate import calibrate
from r2s_deploy.pose.opencv import cv2
from r2s_deploy.pose.rendered import Print, board_print, tag_print
from r2s_deploy.pose.sight import locate
from r2s_deploy.pose.target import Charuco, Tag, Tags

_IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; its exit status."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except DeployError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m r2s_deploy.pose", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    print_ = commands.add_parser("print", help="a tag or board as SVG, true to scale")
    _add_target(print_)
    print_.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.svg")
    print_.set_defaults(run=_print)

    lens = commands.add_parser("calibrate", help="a camera's lens from images of a board")
    lens.add_argument("images", type=Path, nargs="+", help="images, or folders of them")
    _add_board(lens, required=True)
    lens.add_argument("-o", "--output", type=Path, required=True, metavar="CAMERA.json")
    lens.set_defaults(run=_calibrate)

    look = commands.add_parser("locate", help="a tag or board in the camera's frame")
    look.add_argument("image", type=Path)
    look.add_argument("--camera", type=Path, required=True, metavar="CAMERA.json")
    _add_target(look)
    look.set_defaults(run=_locate)
    return parser


def _add_target(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_mutually_exclusive_group(required=True)
    kinds.add_argument("--tag", type=int, metavar="ID", help="an AprilTag 36h11, 0 to 586")
    _add_board(parser, kinds)
    parser.add_argument("--size", type=float, default=40.0, help="of a tag's black square, mm")


def _add_board(
    parser: argparse.ArgumentParser,
    kinds: argparse._MutuallyExclusiveGroup | None = None,
    required: bool = False,
) -> None:
    (kinds or parser).add_argument(
        "--board", type=_squares, metavar="7x5", required=required, help="columns x rows"
    )
    parser.add_argument("--square", type=float, default=30.0, help="of a board, mm")
    parser.add_argument("--marker", type=float, default=22.0, help="within a square, mm")


def _squares(text: str) -> tuple[int, int]:
    columns, _, rows = text.partition("x")
    return int(columns), int(rows)


def _board(options: argparse.Namespace) -> Charuco:
    return Charuco(options.board, 1e-3 * options.square, 1e-3 * options.marker)


def _print(options: argparse.Namespace) -> None:
    flat = (
        board_print(_board(options))
        if options.board
        else tag_print(Tag(options.tag, 1e-3 * options.size).id, 1e-3 * options.size)
    )
    try:
        options.output.write_text(_svg(flat), encoding="utf-8")
    except OSError as error:
        raise DeployError(f"cannot write {options.output}: {error.strerror}") from None
    width, height = (1e3 * side for side in flat.size_m)
    print(f"{options.output}: {width:g} x {height:g} mm with its margin")
    print("Print it at 100 %, glue it to something flat, and measure it: sizes are of the print.")


def _svg(flat: Print) -> str:
    """The print as a picture of its size in an SVG file."""
    scale = max(1, 600 // min(flat.texture.shape))
    pixels = np.kron(flat.texture, np.ones((scale, scale), np.uint8))
    data = base64.b64encode(cv2.imencode(".png", pixels)[1].tobytes()).decode()
    width, height = (1e3 * side for side in flat.size_m)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}mm" height="{height:g}mm" '
        f'viewBox="0 0 {width:g} {height:g}"><image width="{width:g}" height="{height:g}" '
        f'image-rendering="pixelated" href="data:image/png;base64,{data}"/></svg>\n'
    )


def _calibrate(options: argparse.Namespace) -> None:
    images = {str(path): _read(path) for path in _files(options.images)}
    found = calibrate(images, _board(options))
    try:
        found.intrinsics.save(options.output)
    except OSError as error:
        raise DeployError(f"cannot write {options.output}: {error.strerror}") from None
    for name, why in found.left_out.items():
        print(f"left out {name}: {why}")
    for name, rms in sorted(found.view_rms_px.items(), key=lambda x: -x[1])[:3]:
        print(f"{name}: corners {rms:.2f} pixels off (root mean square)")
    print(
        f"{options.output}: {found.intrinsics.rms_px:.2f} pixels over {len(found.view_rms_px)} "
        f"images, focal length within {found.focal_std:.2%}, {found.covered:.0%} of the image seen"
    )


def _files(paths: list[Path]) -> list[Path]:
    found = []
    for path in paths:
        inside = (
            sorted(x for x in path.iterdir() if x.suffix.lower() in _IMAGES)
            if (path.is_dir())
            else [path]
        )
        if not inside:
            raise DeployError(f"there is no image in {path}")
        found += inside
    return found


def _read(path: Path) -> Image:
    """uint8[H, W] of a file."""
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) if path.is_file() else None
    if image is None:
        raise DeployError(f"{path} is missing, or no image that OpenCV reads")
    return np.asarray(image, np.uint8)


def _locate(options: argparse.Namespace) -> None:
    camera = Intrinsics.load(options.camera)
    target = _board(options) if options.board else Tags([Tag(options.tag, 1e-3 * options.size)])
    found = locate(_read(options.image), target, camera)
    position = ", ".join(f"{1e3 * x:.1f}" for x in found.pose.translation)
    quaternion = ", ".join(f"{x:.4f}" for x in found.pose.quaternion)
    print(f"position {position} mm, quaternion (w, x, y, z) {quaternion}, in the camera's frame")
    print(
        f"standard deviations {1e3 * found.position_std_m:.2f} mm and "
        f"{found.rotation_std_deg:.2f} degrees; corners {found.rms_px:.2f} pixels off"
    )
