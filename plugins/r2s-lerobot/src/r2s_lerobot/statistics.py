"""The statistics of features, in the form of LeRobot's meta/stats.json."""

from __future__ import annotations

import numpy as np

#: LeRobot's names of the quantiles.
QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
_SAMPLED = 2**16  # rows at most that the quantiles of a whole data set are of


def statistics(rows: np.ndarray) -> dict[str, np.ndarray]:
    """Of an episode's rows [N, n]: float64[n] each, and the count, int64[1]."""
    rows = rows.astype(np.float64)
    found = {
        "min": rows.min(axis=0),
        "max": rows.max(axis=0),
        "mean": rows.mean(axis=0),
        "std": rows.std(axis=0),
        "count": np.array([len(rows)]),
    }
    values = np.quantile(rows, list(QUANTILES.values()), axis=0)
    return found | dict(zip(QUANTILES, values, strict=True))


class Levels:
    """The statistics of all images so far, by channel, from the counts of their levels. Shapes are
    LeRobot's: [C, 1, 1] of images in 0 to 1; [C] of other arrays, in their own unit."""

    def __init__(self, dtype: str, channels: int) -> None:
        """dtype: "video", whose 255 levels count as 1, "uint8" or "uint16"."""
        self._scale = 255.0 if dtype == "video" else 1.0
        self._shape = (channels, 1, 1) if dtype == "video" else (channels,)
        self._counts = np.zeros((channels, 2**16 if dtype == "uint16" else 2**8), np.int64)
        self._images = 0

    def add(self, images: np.ndarray) -> None:
        """[N, H, W, C]."""
        self._images += len(images)
        for channel, counts in enumerate(self._counts):
            counts += np.bincount(images[..., channel].ravel(), minlength=len(counts))

    def join(self, other: Levels) -> None:
        """As if all that was added to the other, of equal kind, had been added here."""
        self._images += other._images
        self._counts += other._counts

    def result(self) -> dict[str, np.ndarray]:
        """As `statistics`; the count is of images."""
        levels = np.arange(self._counts.shape[1]) / self._scale
        pixels = self._counts.sum(axis=1)
        mean = self._counts @ levels / pixels
        cumulative = self._counts.cumsum(axis=1)
        found = {
            "min": np.argmax(cumulative > 0, axis=1) / self._scale,
            "max": np.argmax(cumulative >= pixels[:, None], axis=1) / self._scale,
            "mean": mean,
            "std": np.sqrt((self._counts * (levels - mean[:, None]) ** 2).sum(axis=1) / pixels),
        }
        for name, share in QUANTILES.items():
            reached = cumulative >= share * pixels[:, None]
            found[name] = np.argmax(reached, axis=1) / self._scale
        shaped = {name: value.reshape(self._shape) for name, value in found.items()}
        return {**shaped, "count": np.array([self._images])}


class Running:
    """The statistics of all rows so far. Quantiles are those of evenly spaced rows, of all rows
    while there are fewer than 65,536."""

    def __init__(self) -> None:
        self._total: dict[str, np.ndarray] | None = None
        self._sample: list[np.ndarray] = []
        self._sampled, self._stride = 0, 1

    def add(self, rows: np.ndarray, of: dict[str, np.ndarray]) -> None:
        """rows: [N, n]; of: their `statistics`."""
        before = 0 if self._total is None else int(self._total["count"][0])
        kept = rows[-before % self._stride :: self._stride].astype(np.float32)
        self._sample.append(kept)
        self._sampled += len(kept)
        self._total = of if self._total is None else _joined(self._total, of)
        if self._sampled > _SAMPLED:
            self._sample = [np.concatenate(self._sample)[::2]]
            self._sampled, self._stride = len(self._sample[0]), 2 * self._stride

    def result(self) -> dict[str, np.ndarray]:
        """As `statistics`, of everything that was added."""
        assert self._total is not None
        sample = np.concatenate(self._sample).astype(np.float64)
        values = np.quantile(sample, list(QUANTILES.values()), axis=0)
        return self._total | dict(zip(QUANTILES, values, strict=True))


def _joined(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Of both together, without quantiles (Chan et al. 1979)."""
    count = a["count"] + b["count"]
    share = b["count"] / count
    apart = b["mean"] - a["mean"]
    variance = (1 - share) * a["std"] ** 2 + share * b["std"] ** 2
    return {
        "min": np.minimum(a["min"], b["min"]),
        "max": np.maximum(a["max"], b["max"]),
        "mean": a["mean"] + share * apart,
        "std": np.sqrt(variance + share * (1 - share) * apart**2),
        "count": count,
    }
