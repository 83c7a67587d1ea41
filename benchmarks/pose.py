"""How well a camera tells where a tag is: errors on rendered images with a known truth.

    python benchmarks/pose.py [--views 60]

Prints the tables of pose.md. 1280 x 720 pixels, 60 degrees, a webcam's distortion, known exactly.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses

import numpy as np

from r2s_deploy.camera import Intrinsics
from r2s_deploy.errors import NoPose
from r2s_deploy.pose.edges import fit_edges
from r2s_deploy.pose.opencv import cv2, rotation_vector
from r2s_deploy.pose.rendered import Print, board_print, draw, facing, tag_print
from r2s_deploy.pose.sight import Upright, locate
from r2s_deploy.pose.target import MODULES, Charuco, Tag, Tags, Target
from r2s_deploy.transform import Transform

DISTANCES = (0.3, 0.5, 0.75, 1.0, 1.25, 1.5)
CAMERA = dataclasses.replace(
    Intrinsics.of_field_of_view((1280, 720), 60.0),
    distortion=np.array([-0.25, 0.08, 0.001, -0.0005, 0.0]),
)
SIZE = 0.04
TAG, TAG_PRINT = Tags([Tag(3, SIZE)]), tag_print(3, SIZE)
BOARD = Charuco((5, 5), 0.02, 0.015)


@dataclasses.dataclass(frozen=True)
class Light:
    """How good an image is."""

    name: str
    blur_px: float
    motion_px: float
    noise: float


STILL = Light("still", 0.6, 0.0, 2.0)
MOVING = Light("moving, out of focus", 1.2, 4.0, 4.0)


def view(flat: Print, pose: Transform, light: Light, rng: np.random.Generator) -> np.ndarray:
    """An image of the print."""
    angle = rng.uniform(0.0, 2.0 * np.pi)
    motion = (light.motion_px * np.cos(angle), light.motion_px * np.sin(angle))
    return draw(
        [(flat, pose)],
        CAMERA,
        blur_px=light.blur_px,
        noise=light.noise,
        motion_px=motion,
        rng=rng,
    )


def errors(
    name: str, target: Target, flat: Print, tilt: float, light: Light, views: int, upright: bool
) -> None:
    """A row for each distance."""
    for distance in DISTANCES:
        rng = np.random.default_rng(0)
        found, reasons = [], collections.Counter[str]()
        for _ in range(views):
            pose = facing(distance, tilt, rng, spread=0.3)
            image = view(flat, pose, light, rng)
            # As if the print lay on top of an object that stands on the table.
            in_base = Transform(pose.rotation.T, np.zeros(3))
            try:
                seen = locate(
                    image, target, CAMERA, None, Upright(15.0) if upright else None, in_base
                )
            except NoPose as error:
                reasons[_short(str(error))] += 1
                continue
            mm, degrees = 1e3 * seen.pose.distance_to(pose), seen.pose.angle_to(pose)
            found.append((mm, degrees, mm / seen.position_std_m / 1e3))
        why = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
        if not found:
            print(f"| {name} | {distance:g} | 0 % | | | | {why} |")
            continue
        mm, degrees, share = np.array(found).T
        print(
            f"| {name} | {distance:g} | {len(found) / views:.0%} | {_spread(mm)} | "
            f"{_spread(degrees)} | {np.sqrt(np.mean(share**2)):.2f} ({share.max():.1f}) | {why} |"
        )


def _short(reason: str) -> str:
    for word in ("ambiguous", "blurred or too small", "not found", "uncertain", "corners are"):
        if word in reason.replace("two poses", "ambiguous"):
            return {"corners are": "too few corners"}.get(word, word)
    return reason


def _spread(values: np.ndarray) -> str:
    return f"{np.median(values):.2f}, {np.quantile(values, 0.95):.2f}, {values.max():.2f}"


def corners(views: int) -> None:
    """Root mean square errors of a tag's corners, pixels: OpenCV's, and `fit_edges`."""
    settings = cv2.aruco.DetectorParameters()
    settings.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_SUBPIX
    settings.minMarkerDistanceRate = 0.05
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_APRILTAG_36h11)
    detector = cv2.aruco.ArucoDetector(dictionary, settings)
    half = SIZE / 2
    square = np.array([(-half, half, 0), (half, half, 0), (half, -half, 0), (-half, -half, 0)])
    rng = np.random.default_rng(0)
    bins: dict[float, list[tuple[float, float]]] = collections.defaultdict(list)
    for _ in range(views):
        pose = facing(rng.uniform(0.25, 1.5), rng.uniform(0.0, 60.0), rng, spread=0.3)
        light = Light("", rng.uniform(0.4, 2.0), rng.choice([0.0, 0.0, 3.0, 6.0]), 3.0)
        image = view(TAG_PRINT, pose, light, rng)
        quads, ids, _ = detector.detectMarkers(image)
        if ids is None:
            continue
        truth = cv2.projectPoints(
            square, rotation_vector(pose), pose.translation, CAMERA.matrix, None
        )[0][:, 0]
        quad = np.asarray(quads[0], float).reshape(4, 2)
        edges = fit_edges(image, quad, CAMERA, MODULES)
        if edges is not None:
            errors = (CAMERA.ideal(quad) - truth, edges.corners - truth)
            key = min(np.floor(edges.smear / 0.15) * 0.15, 1.05)
            bins[float(key)].append(tuple(float(np.mean(x**2)) for x in errors))  # type: ignore
    for smear, both in sorted(bins.items()):
        subpix, lines = np.sqrt(np.mean(both, axis=0))
        print(f"| {smear:.2f} to {smear + 0.15:.2f} | {len(both)} | {subpix:.2f} | {lines:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--views", type=int, default=60)
    views = parser.parse_args().views
    print("| what | m | poses | mm: median, 95 %, most | degrees | of its std | refused |")
    print("|---|---|---|---|---|---|---|")
    tag = f"tag {1e3 * SIZE:.0f} mm"
    board = (BOARD, board_print(BOARD))
    errors(f"{tag}, turned 40 degrees", TAG, TAG_PRINT, 40.0, STILL, views, False)
    errors(f"{tag}, 10 degrees", TAG, TAG_PRINT, 10.0, STILL, views, False)
    errors(f"{tag}, 10 degrees, `Upright`", TAG, TAG_PRINT, 10.0, STILL, views, True)
    errors(f"{tag}, 40 degrees, {MOVING.name}", TAG, TAG_PRINT, 40.0, MOVING, views, False)
    errors("board 100 mm, 40 degrees", *board, 40.0, STILL, views, False)
    print("\n| edges' smear, modules | tags | `cornerSubPix`, px | `fit_edges`, px |")
    print("|---|---|---|---|")
    corners(5 * views)


if __name__ == "__main__":
    main()
