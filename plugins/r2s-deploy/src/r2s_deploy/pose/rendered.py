"""Pictures of tags and boards with a known truth: for tests, and to try a setup without a camera.

Each pixel is the mean over a grid of rays through the lens model, so that edges lie where they
should to a small part of a pixel; then the lens's blur, and the sensor's noise.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from r2s_deploy.camera import Frame, Image, Intrinsics
from r2s_deploy.errors import NoImage
from r2s_deploy.pose.opencv import cv2, rotation_vector, transform
from r2s_deploy.pose.target import MODULES, Charuco
from r2s_deploy.transform import Floats, Transform

_PAPER, _INK = 215.0, 30.0


@dataclasses.dataclass(frozen=True, eq=False)
class Print:
    """A flat print. texture: uint8[h, w], 0 for ink and 255 for paper, row 0 at the top.

    size_m: (width, height) of the texture. Its frame is that of the targets.
    """

    texture: Image
    size_m: tuple[float, float]


def tag_print(tag_id: int, size_m: float, margin: int = 2) -> Print:
    """An AprilTag 36h11 whose black square has this side, in a white margin of so many modules."""
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_APRILTAG_36h11)
    modules = cv2.aruco.generateImageMarker(dictionary, tag_id, MODULES)
    texture = np.pad(modules, margin, constant_values=255)
    side = size_m * texture.shape[0] / MODULES
    return Print(np.asarray(texture, np.uint8), (side, side))


def board_print(board: Charuco, pixels_per_square: int = 70) -> Print:
    """A board with a white margin of a quarter of a square."""
    margin = pixels_per_square // 4
    columns, rows = (side * pixels_per_square + 2 * margin for side in board.squares)
    texture = board.board.generateImage((columns, rows), marginSize=margin)
    scale = board.size_m[0] / (board.squares[0] * pixels_per_square)
    return Print(np.asarray(texture, np.uint8), (columns * scale, rows * scale))


def draw(
    what: list[tuple[Print, Transform]],
    camera: Intrinsics,
    *,
    rays: int = 4,
    blur_px: float = 0.6,
    noise: float = 2.0,
    background: float = 120.0,
    motion_px: tuple[float, float] = (0.0, 0.0),
    rng: np.random.Generator,
) -> Image:
    """uint8[H, W]: prints at their poses in the camera's frame, the last one in front.

    rays: along each side of a pixel. blur_px: standard deviation of the lens's blur. noise: that
    of the sensor's noise, levels of 255. motion_px: the way of the picture during the exposure.
    """
    width, height = camera.size
    image = np.full((height, width), background, np.float32)
    for flat, pose in what:
        _draw(image, flat, pose, camera, rays)
    seen = cv2.GaussianBlur(image, (0, 0), blur_px) if blur_px > 0.0 else image
    if np.any(motion_px):
        seen = cv2.filter2D(seen, -1, _streak(motion_px))
    noisy = seen + noise * rng.standard_normal(image.shape, np.float32)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def facing(
    distance_m: float, tilt_deg: float, rng: np.random.Generator, spread: float = 0.1
) -> Transform:
    """The pose in the camera's frame of a print at this depth, turned so far from the line of sight
    in a random direction.

    spread: how far from the image's middle it may be, of the depth.
    """
    about, roll = rng.uniform(0.0, 2 * math.pi, 2)
    place = np.array([*rng.uniform(-spread, spread, 2) * (1.0, 0.5), 1.0]) * distance_m
    back = -place / np.linalg.norm(place)
    right = np.cross((0.0, 1.0, 0.0), back)
    right /= np.linalg.norm(right)
    towards = np.column_stack([right, np.cross(back, right), back])
    tilt = math.radians(tilt_deg) * np.array([math.cos(about), math.sin(about), 0.0])
    return Transform(towards @ _turn(tilt) @ _turn(np.array([0.0, 0.0, roll])), place)


class StillCamera:
    """A `CameraSource` with one image, or none."""

    def __init__(self, image: Image | None, time_s: float = 0.0) -> None:
        self.image, self.time_s = image, time_s

    def frame(self) -> Frame:
        if self.image is None:
            raise NoImage("there is no image")
        return Frame(self.image, self.time_s)


def _turn(vector: Floats) -> Floats:
    return transform(vector, np.zeros(3)).rotation


def _draw(
    image: NDArray[np.float32], flat: Print, pose: Transform, camera: Intrinsics, rays: int
) -> None:
    """Into float32[H, W], where the print is."""
    half = np.array([*flat.size_m, 0.0]) / 2
    rim = np.array([[x, y, 0.0] for x in (-1, 1) for y in (-1, 1)]) * half
    if pose.rotation[:, 2] @ pose.translation >= 0.0 or (pose.points(rim)[:, 2] <= 0.0).any():
        return  # its back, or behind the camera
    rim = np.concatenate(
        [np.linspace(rim[a], rim[b], 9) for a, b in ((0, 1), (1, 3), (3, 2), (2, 0))]
    )
    seen = cv2.projectPoints(
        rim, rotation_vector(pose), pose.translation, camera.matrix, camera.distortion
    )[0][:, 0]
    low = np.clip(np.floor(seen.min(axis=0)).astype(int) - 2, 0, camera.size)
    high = np.clip(np.ceil(seen.max(axis=0)).astype(int) + 3, 0, camera.size)
    (w, h) = high - low
    if min(w, h) <= 0:
        return
    x, y = _on_plane(_rays(camera, low, high, rays), pose)
    rows, columns = flat.texture.shape
    column = np.floor((x / flat.size_m[0] + 0.5) * columns).astype(int)
    row = np.floor((0.5 - y / flat.size_m[1]) * rows).astype(int)
    hit = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
    ink = flat.texture[np.clip(row, 0, rows - 1), np.clip(column, 0, columns - 1)]
    levels = (_INK + (_PAPER - _INK) / 255.0 * ink) * hit

    def mean(values: Floats) -> Floats:
        return values.reshape(h, rays, w, rays).mean(axis=(1, 3))

    area = np.s_[low[1] : high[1], low[0] : high[0]]
    image[area] = image[area] * (1.0 - mean(hit.astype(float))) + mean(levels)


def _rays(camera: Intrinsics, low: Floats, high: Floats, rays: int) -> Floats:
    """The rays [2, N], at depth 1 of the camera, of all pixels from `low` to below `high`.

    The lens is undone at the pixels' corners; between these it is as good as linear (2e-4 pixels).
    """
    u, v = (np.arange(low[i], high[i] + 1) - 0.5 for i in (0, 1))
    grid = np.stack(np.meshgrid(u, v), axis=-1)
    done = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 40, 1e-9)
    corners = cv2.undistortPointsIter(
        grid.reshape(-1, 1, 2), camera.matrix, camera.distortion, np.eye(3), np.eye(3), done
    )
    planes = np.asarray(corners, float).reshape(grid.shape).transpose(2, 0, 1)
    return _between(_between(planes, rays).swapaxes(1, 2), rays).swapaxes(1, 2).reshape(2, -1)


def _between(values: Floats, rays: int) -> Floats:
    """From [..., pixels + 1] at pixels' corners to [..., pixels * rays] at rays, linearly."""
    share = np.tile((np.arange(rays) + 0.5) / rays, values.shape[-1] - 1)
    left, right = (np.repeat(x, rays, axis=-1) for x in (values[..., :-1], values[..., 1:]))
    return left + share * (right - left)


def _on_plane(rays: Floats, pose: Transform) -> tuple[Floats, Floats]:
    """Where rays [2, N], at depth 1 of the camera, meet the print's plane, in its frame."""
    x, y, z = (rays[0] * a + rays[1] * b + c for a, b, c in pose.rotation.T)
    origin = -pose.rotation.T @ pose.translation
    far = -origin[2] / z
    return origin[0] + far * x, origin[1] + far * y


def _streak(motion_px: tuple[float, float]) -> Floats:
    """The kernel of a uniform motion."""
    half = int(np.ceil(np.hypot(*motion_px) / 2)) + 1
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    for along in np.linspace(-0.5, 0.5, 400):
        x, y = half + along * motion_px[0], half + along * motion_px[1]
        i, j = int(y), int(x)
        a, b = y - i, x - j
        kernel[i : i + 2, j : j + 2] += np.outer((1 - a, a), (1 - b, b))
    return kernel / kernel.sum()
