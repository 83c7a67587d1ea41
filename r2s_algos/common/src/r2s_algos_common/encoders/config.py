"""The options of networks that read images; imports nothing heavy."""

from __future__ import annotations

import dataclasses
from typing import Literal

from r2s_core.plugin import option


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Random changes to the images that are learned from, never to those that are acted on.

    Each sample of each camera has its own. Shifting is that of DrQ (Kostrikov et al. 2021).
    """

    shift: int = option(
        0, "pixels by which an image is moved at most, its edges repeated", minimum=0, maximum=16
    )
    brightness: float = option(
        0.0, "added to colours at most, in shares of their range", minimum=0.0, maximum=1.0
    )
    contrast: float = option(
        0.0, "share by which colours move away from grey at most", minimum=0.0, below=1.0
    )
    gain: float = option(
        0.0, "share by which each colour channel is scaled at most", minimum=0.0, below=1.0
    )

    @property
    def colour(self) -> bool:
        """Whether colours change."""
        return max(self.brightness, self.contrast, self.gain) > 0


@dataclasses.dataclass(frozen=True)
class ImageEncoder:
    """How networks read images; without images it has no effect."""

    cameras: Literal["separate", "shared", "stacked"] = option(
        "stacked",
        "stacked: one encoder for the channels of all images of equal size, the fastest; separate: "
        "one for each image; shared: one for all images of equal shape",
    )
    channels: tuple[int, ...] = option(
        (32, 32),
        "output channels of the convolutions; the last number counts for all further ones",
        minimum=1,
        maximum=1024,
    )
    features: int = option(64, "numbers that an encoder outputs", minimum=1, maximum=4096)
    augment: Augmentation = option(
        doc="random changes to the images that are learned from", factory=Augmentation
    )

    def __post_init__(self) -> None:
        if not self.channels:
            raise ValueError("channels is empty; name the channels of one convolution or more")
