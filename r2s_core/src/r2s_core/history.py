"""What training measured so far; it travels with the checkpoints."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

#: Success of the deterministic policy on fresh episodes; in the rows of `evaluation.curve_points`.
EVALUATED = "eval/success"
_MOST_ROWS = 2000
_SUCCESS, _COUNT, _DIVERGED = "episode/success", "episode/count", "env/diverged"
#: Episodes over which `recent_success` is taken; its standard error is then 1 % at 95 %.
_RECENT_EPISODES = 500


class History:
    """Rows of metrics, thinned evenly once there are thousands, and running totals.

    Rows with an evaluation are few and dear; they stay.
    """

    def __init__(self, saved: Mapping[str, Any] | None = None) -> None:
        """Empty, or as `saved()` told."""
        saved = saved or {}
        self.rows: list[dict[str, float]] = [dict(row) for row in saved.get("rows", [])]
        self.episodes = float(saved.get("episodes", 0.0))
        self.diverged = float(saved.get("diverged", 0.0))
        self._stride = int(saved.get("stride", 1))
        self._updates = int(saved.get("updates", 0))
        self._recent: list[tuple[float, float]] = [
            (count, successes) for count, successes in saved.get("recent", [])
        ]

    def append(self, row: Mapping[str, float]) -> None:
        """Take in the metrics of one update; `step` is among them."""
        count = _finite(row.get(_COUNT))
        self.episodes += count
        self.diverged += _finite(row.get(_DIVERGED))
        if count:
            self._recent.append((count, count * _finite(row.get(_SUCCESS))))
        while sum(n for n, _ in self._recent[1:]) >= _RECENT_EPISODES:
            self._recent.pop(0)
        if self._updates % self._stride == 0 or EVALUATED in row:
            self.rows.append(dict(row))
        self._updates += 1
        if len(self.rows) > _MOST_ROWS:
            self.rows = [r for i, r in enumerate(self.rows) if i % 2 == 0 or EVALUATED in r]
            self._stride *= 2

    def recent_success(self) -> float | None:
        """Success rate of the latest 500 episodes or so; None before that many have ended."""
        count = sum(n for n, _ in self._recent)
        if count < _RECENT_EPISODES:
            return None
        return sum(successes for _, successes in self._recent) / count

    def saved(self) -> dict[str, Any]:
        """Everything, as JSON can hold it."""
        return {
            "rows": self.rows,
            "episodes": self.episodes,
            "diverged": self.diverged,
            "stride": self._stride,
            "updates": self._updates,
            "recent": self._recent,
        }

    def column(self, name: str) -> list[tuple[float, float]]:
        """(step, value) of a metric, where it was finite."""
        points = ((row["step"], row.get(name, math.nan)) for row in self.rows)
        return [(step, value) for step, value in points if math.isfinite(value)]


def _finite(value: float | None) -> float:
    return value if value is not None and math.isfinite(value) else 0.0
