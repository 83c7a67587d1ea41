"""What a policy sees, from what real cameras see.

A policy was trained with images of pinhole cameras of a few pixels. Each of their pixels is looked
up in the real camera's image, through its lens, and averaged over the pixel's area. Where the real
camera looks in another direction than that of training, the image is turned back, which is exact; a
camera at another place is not made up for.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from r2s_deploy.bundle import Bundle, SeenBy
from r2s_deploy.camera import CameraSource, Frame, Intrinsics
from r2s_deploy.errors import DeployError, NoImage
from r2s_deploy.transform import Transform

Array = np.ndarray
_MOST_SAMPLES = 8  # along a pixel's side
_UNSEEN = 0.01  # share of the policy's image that the real camera may not see
_FAR_M, _FAR_DEG = 0.05, 20.0  # from the place in training


@dataclasses.dataclass(frozen=True, eq=False)
class Eye:
    """A running camera in the place of one of training.

    turn [3, 3]: takes directions in the frame of training's camera to those in this one's.
    """

    source: CameraSource
    intrinsics: Intrinsics
    turn: Array = dataclasses.field(default_factory=lambda: np.eye(3))


def turn_to(seen: SeenBy, place: Transform, name: str) -> tuple[Array, float, float]:
    """What `Eye.turn` is for a camera at `place`, its pose in the frame that `seen.pose` is in; how
    far it is from where it was in training, m; and by how many degrees it looks elsewhere.

    Raises `DeployError` where that is too far.
    """
    away, angle = place.distance_to(seen.pose), place.angle_to(seen.pose)
    if away > _FAR_M or angle > _FAR_DEG:
        raise DeployError(
            f"the camera {name} is {1000 * away:.0f} mm and {angle:.0f} degrees from where it was "
            f"in training, more than {1000 * _FAR_M:.0f} mm or {_FAR_DEG:g} degrees: it belongs at "
            f"{np.round(seen.pose.translation, 3).tolist()} m"
        )
    return place.rotation.T @ seen.pose.rotation, away, angle


class View:
    """Makes the images of one camera of training from those of a real one."""

    def __init__(self, name: str, seen: SeenBy, eye: Eye) -> None:
        """Raises `DeployError` where the real camera does not see what that one saw."""
        self.name, self._seen, self._eye = name, seen, eye
        width, height = seen.size
        focal = 0.5 * height / math.tan(math.radians(seen.field_of_view) / 2.0)
        finer = float(eye.intrinsics.matrix[0, 0]) / focal
        self._samples = min(max(1, math.ceil(finer)), _MOST_SAMPLES)
        rays = _rays(width, height, focal, self._samples) @ eye.turn.T
        self._rows, self._columns, self._outside = self._pixels(rays)
        unseen = float(self._outside.mean())
        if unseen > _UNSEEN:
            raise DeployError(
                f"the camera {name} does not see {100 * unseen:.0f} % of what it saw in training: "
                f"it needs a vertical field of view of {seen.field_of_view:g} degrees in the same "
                "direction"
            )
        central = _rays(width, height, focal, 1) @ eye.turn.T
        self._depth_at = self._pixels(central)
        self._depth_scale = 1.0 / central[..., 2]

    def _pixels(self, rays: Array) -> tuple[Array, Array, Array]:
        """Rows and columns in the real image, and which rays it does not see."""
        width, height = self._eye.intrinsics.size
        found = self._eye.intrinsics.project(rays)
        x, y = found[..., 0], found[..., 1]
        outside = ~((x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5))
        x, y = (np.where(outside, 0.0, value) for value in (x, y))
        rows = np.clip(np.rint(y), 0, height - 1).astype(np.intp)
        return rows, np.clip(np.rint(x), 0, width - 1).astype(np.intp), outside

    def frame(self) -> Frame:
        """The real camera's newest; raises `NoImage` where it is not one of that camera."""
        frame = self._eye.source.frame()
        width, height = self._eye.intrinsics.size
        if frame.image.dtype != np.uint8 or frame.image.shape[:2] != (height, width):
            raise NoImage(
                f"the camera {self.name} gives {frame.image.dtype}{list(frame.image.shape)} and "
                f"was calibrated for uint8[{height}, {width}, 3]"
            )
        return frame

    def rgb(self, frame: Frame) -> Array:
        """uint8[H, W, 3]; raises `NoImage` for one that shows nothing."""
        image = frame.image if frame.image.ndim == 3 else np.repeat(frame.image[..., None], 3, -1)
        if image.shape[2] != 3:
            raise NoImage(f"the camera {self.name} gives {image.shape[2]} channels, not 3")
        values = image[self._rows, self._columns].astype(np.float32)
        width, height = self._seen.size
        split = values.reshape(height, self._samples, width, self._samples, 3)
        mean = np.rint(split.mean(axis=(1, 3))).astype(np.uint8)
        if np.ptp(mean.reshape(-1, 3), axis=0).max() == 0:
            raise NoImage(
                f"the camera {self.name} sees one colour alone: is its cap on, or is it dark?"
            )
        return mean

    def depth(self, frame: Frame) -> Array:
        """uint16[H, W, 1], mm; raises `NoImage` where the camera measures none."""
        if frame.depth is None or frame.depth.shape != frame.image.shape[:2]:
            raise NoImage(f"the camera {self.name} gives no depth in the pixels of its image")
        rows, columns, outside = self._depth_at
        near, far = self._seen.depth_range
        found = frame.depth[rows, columns] * self._depth_scale
        sound = (found >= 1e3 * near) & (found <= 1e3 * far) & ~outside
        return np.where(sound, np.rint(found), 0.0).astype(np.uint16)[..., None]


def _rays(width: int, height: int, focal: float, samples: int) -> Array:
    """Directions [H * samples, W * samples, 3] through a pinhole's pixels, z is 1."""
    columns = (np.arange(width * samples) + 0.5) / samples - width / 2.0
    rows = (np.arange(height * samples) + 0.5) / samples - height / 2.0
    x, y = np.meshgrid(columns / focal, rows / focal)
    return np.stack([x, y, np.ones_like(x)], axis=-1)


class Eyes:
    """All images that a policy reads, each taken anew in every `period`-th control step."""

    def __init__(self, bundle: Bundle, eyes: Mapping[str, Eye]) -> None:
        """Raises `DeployError` where a camera is missing, or cannot stand in for training's."""
        self._images, self._cameras = bundle.images, bundle.cameras
        for image in bundle.images:
            if image.channel == "segmentation":
                raise DeployError(
                    f"{bundle.path}: the policy reads the image {image.name}, which no camera gives"
                )
            if image.camera not in eyes:
                raise DeployError(
                    f"{bundle.path}: the policy reads the image {image.name}, and there is no "
                    f"camera {image.camera}"
                )
        names = sorted({image.camera for image in bundle.images})
        self._views = {name: View(name, bundle.cameras[name], eyes[name]) for name in names}
        self._kept: dict[str, Array] = {}

    def look(self, step: int) -> tuple[dict[str, Array], float | None]:
        """The images of a control step [H, W, C] by name, and when the oldest of those that were
        due in it was taken (s; None: none was due); raises `NoImage` where there is none."""
        first = not self._kept
        due = [n for n in self._views if first or step % self._cameras[n].period == 0]
        frames = {name: self._views[name].frame() for name in due}
        for image in self._images:
            if image.camera in frames:
                view, frame = self._views[image.camera], frames[image.camera]
                made = view.depth(frame) if image.channel == "depth" else view.rgb(frame)
                self._kept[image.name] = made
        taken = min((frame.time_s for frame in frames.values()), default=None)
        return dict(self._kept), taken
