"""What a policy saw, as pictures: its cameras' images in colours, enlarged, beside the scene."""

from __future__ import annotations

import colorsys
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from r2s_core.camera import Channel
from r2s_core.evaluation.episodes import Recording
from r2s_core.rendering import overlay
from r2s_core.types import Environment, EnvSpec

_NOTHING = (24, 30, 72)  # where a depth image has no depth
_GROUND = (22, 26, 30)  # behind the images of a panel
_GOLDEN = 0.618034  # of the circle of hues from one body to the next
_MOST = 6  # images in a panel
_CELL, _LABEL, _MARGIN = 150, 20, 2  # pixels: a panel's columns, the names in it, around images


@dataclasses.dataclass(frozen=True)
class Sights:
    """How to show the images that a policy reads.

    channels: what each observation group measures, in the order of the environment's; None for an
    image of the task's own. ranges: the nearest and the farthest depth that is shown, mm, by group.
    chunk: control steps between two decisions of the policy.
    """

    channels: Mapping[str, Channel | None]
    ranges: Mapping[str, tuple[float, float]]
    chunk: int = 1

    @staticmethod
    def of(env: Environment[Any], recordings: Sequence[Recording]) -> Sights | None:
        """Of an environment and episodes in it; None where nothing was seen."""
        seen = [recording.read for recording in recordings if recording.read]
        if not seen:
            return None
        spec = env.spec
        measured = measured_by(spec)
        images = [name for name in seen[0] if spec.observations[name].is_image]
        ranges = {}
        for name in images:
            if spec.observations[name].dtype == "uint16":
                depths = np.concatenate(
                    [read[name][:: max(len(read[name]) // 4, 1)] for read in seen]
                )
                ranges[name] = depth_range(depths)
        return Sights({name: measured.get(name) for name in images}, ranges, spec.action_chunk)

    @property
    def beside(self) -> tuple[str, ...]:
        """The groups in a panel."""
        return tuple(self.channels)[:_MOST]

    def decided(self, moments: np.ndarray) -> np.ndarray:
        """The control steps of the decisions that act at `moments`, int[N]."""
        return moments - moments % self.chunk

    def colours(self, recording: Recording, name: str, moments: np.ndarray) -> np.ndarray:
        """uint8[N, H, W, 3]: what the policy saw when it decided what it does at `moments`."""
        images = recording.read[name][self.decided(moments)]
        return coloured(images, self.channels[name], self.ranges.get(name))

    def caption(self, name: str) -> str:
        """The group, and how to read its colours."""
        if name in self.ranges:
            near, far = self.ranges[name]
            return f"{name}: white {near / 1000:.2f} m, black {far / 1000:.2f} m, blue no depth"
        if self.channels[name] == "segmentation":
            return f"{name}: a colour for each body, grey what is fixed"
        return name

    def panel(self, recording: Recording, moments: np.ndarray, height: int) -> np.ndarray:
        """uint8[N, height, width, 3]: the images at `moments` under their names, enlarged by whole
        factors; black where an episode's images were not kept."""
        names = self.beside
        rows = 1 if len(names) == 1 else 2
        columns = -(-len(names) // rows)
        high, wide = height // rows, _CELL * (3 - rows)
        shape = (len(moments), height, wide * columns, 3)
        panel = np.broadcast_to(np.asarray(_GROUND, np.uint8), shape).copy()
        for number, name in enumerate(names if recording.read else ()):
            x, y = wide * (number // rows), high * (number % rows)
            room = (high - _LABEL - _MARGIN, wide - 2 * _MARGIN)
            images = fitted(self.colours(recording, name, moments), room)
            left = x + (wide - images.shape[2]) // 2
            top = y + _LABEL + (room[0] - images.shape[1]) // 2
            panel[:, top : top + images.shape[1], left : left + images.shape[2]] = images
            overlay.write_name(panel, name, left, top - 17, wide - (left - x) - _MARGIN)
        return panel


def measured_by(spec: EnvSpec) -> dict[str, Channel]:
    """What each image of the cameras measures, by observation group."""
    return {
        group: channel
        for name, camera in spec.cameras.items()
        for group, channel in camera.channels_of(name).items()
    }


def depth_range(depths: np.ndarray) -> tuple[float, float]:
    """The nearest and the farthest depth to show of depths uint16[...], mm."""
    there = depths[depths > 0]
    near, far = np.percentile(there, (1, 99)) if len(there) else (1.0, 2.0)
    return float(near), max(float(far), float(near) + 1.0)


def coloured(
    images: np.ndarray, channel: Channel | None, shown: tuple[float, float] | None
) -> np.ndarray:
    """uint8[N, H, W, 3] of images [N, H, W, C]. shown: the `depth_range` of depths, else None."""
    if shown is not None:
        return depth_colours(images[..., 0], *shown)
    if channel == "segmentation":
        return body_colours(images[..., 0])
    channels = np.minimum(np.arange(3), images.shape[-1] - 1)  # one channel is grey
    return images[..., channels]


def depth_colours(depths: np.ndarray, near: float, far: float) -> np.ndarray:
    """uint8[..., 3] of depths uint16[...], mm: white at `near`, black at `far` or beyond.

    It goes by the inverse of the depth, so that near things stand out from what is behind them.
    """
    inverse = 1.0 / np.maximum(depths, 1).astype(np.float32)
    share = np.clip((inverse - 1.0 / far) / (1.0 / near - 1.0 / far), 0.0, 1.0)
    grey = np.round(255 * share).astype(np.uint8)[..., None]
    return np.where(depths[..., None] == 0, np.asarray(_NOTHING, np.uint8), grey)


def body_colours(bodies: np.ndarray) -> np.ndarray:
    """uint8[..., 3] of segmentations uint8[...]: neighbouring numbers have distant hues."""
    hues = (_GOLDEN * number % 1.0 for number in range(256))
    colours = [colorsys.hsv_to_rgb(hue, (0.85, 0.5)[i % 2], (0.95, 0.75)[i // 2 % 2])
               for i, hue in enumerate(hues)]  # fmt: skip
    palette = np.round(255 * np.asarray(colours)).astype(np.uint8)
    palette[0], palette[1] = 0, 190
    return palette[bodies]


def fitted(images: np.ndarray, room: tuple[int, int]) -> np.ndarray:
    """Images uint8[N, H, W, 3] as large as `room` (height, width) allows: enlarged by a whole
    factor, each pixel a square, or reduced by one, each a mean of pixels."""
    height, width = images.shape[1:3]
    factor = min(room[0] // height, room[1] // width)
    if factor >= 1:
        return images.repeat(factor, 1).repeat(factor, 2)
    by = max(-(-height // room[0]), -(-width // room[1]))
    high, wide = max(height // by, 1), max(width // by, 1)
    whole = images[:, : high * by, : wide * by]
    blocks = whole.reshape(len(images), high, -1, wide, whole.shape[2] // wide, 3)
    return np.round(blocks.mean((2, 4))).astype(np.uint8)
