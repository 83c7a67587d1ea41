"""Cameras: images with their time, and the intrinsics that calibration finds.

Camera frames are OpenCV's: x to the right in the image, y downward, z forward. Pixel (0, 0) is the
centre of the upper left one.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from r2s_deploy.errors import CalibrationError
from r2s_deploy.transform import Floats, Transform

Image = NDArray[np.uint8]
FORMAT = "r2s-camera/1"
#: This frame in MuJoCo's, which has y upward in the image and looks along -z.
OPENCV_IN_MUJOCO = Transform(np.diag([1.0, -1.0, -1.0]), np.zeros(3))
_MOST_STEPS = 60  # of the fixed point that takes distortion away; usual lenses take 10
_EXACT, _CLOSE = 1e-10, 1e-6
_MOST_BYTES = 1 << 20  # of a calibration file; a sound one has less than 1 kB


@dataclasses.dataclass(frozen=True, eq=False)
class Frame:
    """image: uint8[H, W, 3] (red, green, blue) or uint8[H, W].

    time_s: the middle of the exposure by `time.monotonic`, as well as the camera tells it.
    depth: uint16[H, W], mm along the viewing direction in the same pixels; 0: none was measured.
    """

    image: Image
    time_s: float
    depth: NDArray[np.uint16] | None = None


class CameraSource(Protocol):
    """A camera that is running."""

    def frame(self) -> Frame:
        """The newest image, without waiting for another one.

        Raises `NoImage` where there is none.
        """
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class Intrinsics:
    """A pinhole with OpenCV's distortion.

    size: (width, height) of the images, pixels.
    matrix: float64[3, 3], focal lengths and principal point, pixels.
    distortion: float64[5], k1, k2, p1, p2, k3.
    rms_px: root mean square reprojection error of the calibration; None where there was none.
    """

    size: tuple[int, int]
    matrix: Floats
    distortion: Floats = dataclasses.field(default_factory=lambda: np.zeros(5))
    rms_px: float | None = None

    @classmethod
    def of_vertical_field(cls, size: tuple[int, int], vertical_deg: float) -> Intrinsics:
        """As `of_field_of_view`, by the vertical one."""
        upward = math.tan(math.radians(vertical_deg) / 2.0)
        return cls.of_field_of_view(size, 2.0 * math.degrees(math.atan(upward * size[0] / size[1])))

    @classmethod
    def of_field_of_view(cls, size: tuple[int, int], horizontal_deg: float) -> Intrinsics:
        """Of an ideal camera: square pixels, the principal point in the middle, no distortion."""
        width, height = size
        focal = 0.5 * width / math.tan(math.radians(horizontal_deg) / 2.0)
        matrix = [[focal, 0.0, (width - 1) / 2], [0.0, focal, (height - 1) / 2], [0.0, 0.0, 1.0]]
        return cls(size, np.array(matrix))

    def project(self, rays: ArrayLike) -> Floats:
        """Pixels [..., 2] where rays [..., 3] in the camera's frame are seen; NaN for those that
        come from behind."""
        rays = np.asarray(rays, float)
        flat = rays.reshape(-1, 3)
        with np.errstate(divide="ignore", invalid="ignore"):
            ahead = np.where(flat[:, 2:] > 0.0, flat[:, :2] / flat[:, 2:], np.nan)
        return self._pixels(self._distort(ahead)).reshape(*rays.shape[:-1], 2)

    def ideal(self, pixels: ArrayLike) -> Floats:
        """Pixels [..., 2] of an image without the distortion, through the same `matrix`; NaN where
        the distortion cannot be undone."""
        flat = np.asarray(pixels, float).reshape(-1, 2)
        seen = (flat - self.matrix[:2, 2]) / self.matrix[[0, 1], [0, 1]]
        rays = seen
        with np.errstate(over="ignore", invalid="ignore"):  # beyond what the lens model reaches
            for _ in range(_MOST_STEPS):
                error = seen - self._distort(rays)
                if np.abs(error).max(initial=0.0) < _EXACT:
                    break
                rays = rays + error
            undone = np.abs(self._distort(rays) - seen).max(axis=1, keepdims=True) < _CLOSE
        rays = np.where(undone, rays, np.nan)
        return self._pixels(rays).reshape(np.shape(pixels))

    def distorted(self, pixels: ArrayLike) -> Floats:
        """The inverse of `ideal`."""
        flat = np.asarray(pixels, float).reshape(-1, 2)
        rays = (flat - self.matrix[:2, 2]) / self.matrix[[0, 1], [0, 1]]
        return self._pixels(self._distort(rays)).reshape(np.shape(pixels))

    def _pixels(self, rays: Floats) -> Floats:
        return rays * self.matrix[[0, 1], [0, 1]] + self.matrix[:2, 2]

    def _distort(self, rays: Floats) -> Floats:
        """Rays [N, 2], at depth 1 (Brown 1966, in OpenCV's order)."""
        k1, k2, p1, p2, k3 = self.distortion
        x, y = rays.T
        r2 = x * x + y * y
        radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3))
        return np.column_stack(
            [
                x * radial + 2.0 * p1 * x * y + p2 * (r2 + 2.0 * x * x),
                y * radial + p1 * (r2 + 2.0 * y * y) + 2.0 * p2 * x * y,
            ]
        )

    def save(self, path: Path) -> None:
        """As JSON, in one replacement."""
        facts = {
            "format": FORMAT,
            "size": list(self.size),
            "matrix": self.matrix.tolist(),
            "distortion": self.distortion.tolist(),
            "rms_px": self.rms_px,
        }
        write_json(path, facts)

    @classmethod
    def load(cls, path: Path) -> Intrinsics:
        """Raises `CalibrationError` for a file that is missing, damaged or not sound."""
        facts = read_json(path, FORMAT)
        try:
            size = tuple(facts["size"])
            matrix = np.array(facts["matrix"], float)
            distortion = np.array(facts["distortion"], float)
            rms = None if facts["rms_px"] is None else float(facts["rms_px"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise CalibrationError(f"{path} is damaged ({error}); calibrate again") from None
        if problem := _problem(size, matrix, distortion, rms):
            raise CalibrationError(f"{path} is damaged: {problem}; calibrate again")
        return cls((size[0], size[1]), matrix, distortion, rms)


def _problem(size: tuple[Any, ...], matrix: Floats, distortion: Floats, rms: float | None) -> str:
    """What is wrong with these numbers; empty where nothing is."""
    if len(size) != 2 or not all(type(side) is int and 1 <= side <= 1 << 16 for side in size):
        return f"size is {list(size)} and must be [width, height] in pixels"
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
        return "matrix must be 3 x 3 finite numbers"
    (fx, skew, _), (zero, fy, _), last = matrix
    if min(fx, fy) <= 0.0 or skew != 0.0 or zero != 0.0 or last.tolist() != [0.0, 0.0, 1.0]:
        return "matrix must be [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] with fx and fy above 0"
    if distortion.shape != (5,) or not np.isfinite(distortion).all():
        return "distortion must be 5 finite numbers"
    if rms is not None and not (math.isfinite(rms) and rms >= 0.0):
        return "rms_px must be a number from 0"
    return ""


def write_json(path: Path, facts: Mapping[str, Any]) -> None:
    """Written beside and moved into place, so that the file is whole at every moment."""
    descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(json.dumps(facts, indent=2, allow_nan=False) + "\n")
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


def read_json(path: Path, expected: str) -> dict[str, Any]:
    """A JSON object whose `format` is the expected one; raises `CalibrationError` for others."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise CalibrationError(f"cannot read {path}: {error.strerror}") from None
    try:
        facts = json.loads(data) if len(data) <= _MOST_BYTES else None
    except (ValueError, RecursionError):
        facts = None
    if not isinstance(facts, dict) or facts.get("format") != expected:
        raise CalibrationError(f"{path} is no file of the format {expected}")
    return facts
