"""`python -m r2s_deploy.pose`: from a print to a pose, without a robot."""

from __future__ import annotations

import argparse
import base64
import math
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from r2s_deploy.bundle import load
from r2s_deploy.camera import Image, Intrinsics
from r2s_deploy.errors import DeployError, NoPose
from r2s_deploy.pose.calibrate import calibrate
from r2s_deploy.pose.hand_poses import read_poses
from r2s_deploy.pose.opencv import cv2
from r2s_deploy.pose.placement import CameraPlace, HandView, KnownView, by_hand_eye, by_known_place
from r2s_deploy.pose.rendered import Print, board_print, tag_print
from r2s_deploy.pose.sight import locate
from r2s_deploy.pose.target import Charuco, Tag, Tags
from r2s_deploy.transform import Transform

_IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; its exit status."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except DeployError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:  # of names that are too long, or folders that may not be read
        print(f"error: {str(error.filename)[:200]}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
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

    place = commands.add_parser("place", help="a fixed camera, by a board at a known place")
    _add_views(place)
    where = place.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--at",
        type=float,
        nargs=7,
        metavar=("X", "Y", "Z", "QW", "QX", "QY", "QZ"),
        help="the target in the base's frame, m",
    )
    where.add_argument("--poses", type=Path, metavar="FILE", help="the same, for each image")
    place.set_defaults(run=_place)

    hand = commands.add_parser("hand-eye", help="a camera, by views from poses of the hand")
    _add_views(hand)
    hand.add_argument(
        "--mount",
        choices=("base", "hand"),
        required=True,
        help="base: the camera is fixed and the target on the hand; hand: the camera is on the "
        "hand and the target fixed",
    )
    hand.add_argument(
        "--poses",
        type=Path,
        required=True,
        metavar="FILE",
        help="CSV or JSON: image, and x y z qw qx qy qz of the hand, or the joints' angles",
    )
    hand.add_argument("--bundle", type=Path, help="whose arm the joints' angles are of")
    hand.set_defaults(run=_hand_eye)

    look = commands.add_parser("locate", help="a tag or board in the camera's frame")
    look.add_argument("image", type=Path)
    look.add_argument("--camera", type=Path, required=True, metavar="CAMERA.json")
    _add_target(look)
    look.set_defaults(run=_locate)
    return parser


def _add_views(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", type=Path, nargs="+", help="images, or folders of them")
    parser.add_argument("--camera", type=Path, required=True, metavar="CAMERA.json")
    _add_target(parser)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="PLACE.json")


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


def _target(options: argparse.Namespace) -> Charuco | Tags:
    return _board(options) if options.board else Tags([Tag(options.tag, 1e-3 * options.size)])


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
    try:
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) if path.is_file() else None
    except cv2.error as error:  # of far too many pixels, say
        raise DeployError(f"{path} cannot be read as an image (OpenCV: {error.err})") from None
    if image is None:
        raise DeployError(f"{path} is missing, or no image that OpenCV reads")
    return np.asarray(image, np.uint8)


def _place(options: argparse.Namespace) -> None:
    views = _views(options)
    if options.at:
        at = Transform.of(options.at[:3], options.at[3:])
        known = dict.fromkeys(views, at)
    else:
        known = read_poses(options.poses)
    both = _paired(views, known, options.poses)
    _save(by_known_place({n: KnownView(seen, at) for n, (seen, at) in both.items()}), options)


def _hand_eye(options: argparse.Namespace) -> None:
    arm, joints = None, ()
    if options.bundle is not None:
        bundle = load(options.bundle)
        arm, joints = bundle.law.arm, bundle.robot["joints"]["names"]
    hands = read_poses(options.poses, arm, joints)
    both = _paired(_views(options), hands, options.poses)
    views = {name: HandView(seen, hand) for name, (seen, hand) in both.items()}
    _save(by_hand_eye(views, options.mount), options)


def _views(options: argparse.Namespace) -> dict[str, Transform]:
    """The target in the camera's frame by the names of images; tells those without it."""
    camera, target = Intrinsics.load(options.camera), _target(options)
    found: dict[str, Transform] = {}
    for path in _files(options.images):
        if path.name in found:
            raise DeployError(f"two images are called {path.name}; give each another name")
        try:
            found[path.name] = locate(_read(path), target, camera).pose
        except NoPose as error:
            print(f"left out {path}: {error}")
    return found


def _paired(
    views: Mapping[str, Transform], known: Mapping[str, Transform], path: Path | None
) -> dict[str, tuple[Transform, Transform]]:
    """Views with what is known of each; tells those of which nothing is."""
    for name in views.keys() - known.keys():
        print(f"left out {name}: {path} does not name it")
    return {name: (views[name], known[name]) for name in sorted(views.keys() & known.keys())}


def _save(place: CameraPlace, options: argparse.Namespace) -> None:
    try:
        place.save(options.output)
    except OSError as error:
        raise DeployError(f"cannot write {options.output}: {error.strerror}") from None
    worst = sorted(place.residuals.items(), key=lambda x: -x[1][0])[:3]
    for name, (distance, angle) in worst:
        print(f"{name}: {1e3 * distance:.2f} mm and {angle:.2f} degrees off")
    position = ", ".join(f"{1e3 * x:.1f}" for x in place.pose.translation)
    quaternion = ", ".join(f"{x:.4f}" for x in place.pose.quaternion)
    pose = f"position {position} mm, quaternion (w, x, y, z) {quaternion}"
    print(f"{pose}, in the frame of the {place.mount}")
    std = (
        f"standard deviations {1e3 * place.position_std_m:.2f} mm and "
        f"{place.rotation_std_deg:.2f} degrees"
        if math.isfinite(place.position_std_m)
        else "one view alone tells no standard deviations"
    )
    print(f"{options.output}: {len(place.residuals)} views, {std}")


def _locate(options: argparse.Namespace) -> None:
    camera = Intrinsics.load(options.camera)
    found = locate(_read(options.image), _target(options), camera)
    position = ", ".join(f"{1e3 * x:.1f}" for x in found.pose.translation)
    quaternion = ", ".join(f"{x:.4f}" for x in found.pose.quaternion)
    print(f"position {position} mm, quaternion (w, x, y, z) {quaternion}, in the camera's frame")
    print(
        f"standard deviations {1e3 * found.position_std_m:.2f} mm and "
        f"{found.rotation_std_deg:.2f} degrees; corners {found.rms_px:.2f} pixels off"
    )
