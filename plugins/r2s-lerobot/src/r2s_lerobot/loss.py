"""How far images are apart."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Loss:
    """Differences of whole numbers: of levels out of 255, or of millimetres.

    largest, total: of all `pixels`, each channel counted.
    """

    largest: int = 0
    total: int = 0
    pixels: int = 0

    @staticmethod
    def between(a: np.ndarray, b: np.ndarray) -> Loss:
        """Of images of equal shape, uint8 or uint16."""
        apart = np.where(a > b, a - b, b - a)  # without a sign, so that nothing overflows
        return Loss(int(apart.max(initial=0)), int(apart.sum(dtype=np.int64)), apart.size)

    def joined(self, other: Loss) -> Loss:
        """Of both together."""
        largest, total = max(self.largest, other.largest), self.total + other.total
        return Loss(largest, total, self.pixels + other.pixels)

    @property
    def mean(self) -> float:
        """Over all pixels and channels."""
        return self.total / max(self.pixels, 1)
