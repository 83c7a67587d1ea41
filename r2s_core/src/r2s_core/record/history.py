"""The metrics of training so far, saved with the checkpoints."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from r2s_core.plugin import option

#: Success of the deterministic policy on fresh episodes; in the rows of `evaluation.curve_points`.
EVALUATED = "eval/success"
_MOST_ROWS = 2000
_SUCCESS, _COUNT, _DIVERGED = "episode/success", "episode/count", "env/diverged"
#: Episodes that `recent_success` averages over; its standard error is then 1 % at 95 %.
_RECENT_EPISODES = 500


@dataclasses.dataclass(frozen=True)
class SavedHistory:
    """A `History` as stored in a checkpoint; JSON has no NaN, so it is None in the rows."""

    rows: tuple[Mapping[str, float | None], ...] = ()
    episodes: float = option(0.0, minimum=0.0)
    diverged: float = option(0.0, minimum=0.0)
    stride: int = option(1, minimum=1)
    updates: int = option(0, minimum=0)
    recent: tuple[tuple[float, float], ...] = option(())

    def __post_init__(self) -> None:
        if any(row.get("step") is None for row in self.rows):
            raise ValueError("a row has no step")


class History:
    """Rows of metrics, thinned evenly once there are thousands, and running totals.

    Evaluation rows are few and are never thinned.
    """

    def __init__(self, saved: SavedHistory | None = None) -> None:
        """Empty, or as it was saved."""
        saved = saved or SavedHistory()
        self.rows: list[dict[str, float]] = [
            {name: math.nan if x is None else x for name, x in row.items()} for row in saved.rows
        ]
        self.episodes, self.diverged = saved.episodes, saved.diverged
        self._stride, self._updates = saved.stride, saved.updates
        self._recent: list[tuple[float, float]] = list(saved.recent)

    def append(self, row: Mapping[str, float]) -> None:
        """Add the metrics of one update, including `step`."""
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

    def saved(self) -> SavedHistory:
        """Everything, as JSON can store it."""
        return SavedHistory(
            rows=tuple(
                {name: x if math.isfinite(x) else None for name, x in row.items()}
                for row in self.rows
            ),
            episodes=self.episodes,
            diverged=self.diverged,
            stride=self._stride,
            updates=self._updates,
            recent=tuple(self._recent),
        )

    def column(self, name: str) -> list[tuple[float, float]]:
        """(step, value) of a metric, where it was finite."""
        points = ((row["step"], row.get(name, math.nan)) for row in self.rows)
        return [(step, value) for step, value in points if math.isfinite(value)]


def _finite(value: float | None) -> float:
    return value if value is not None and math.isfinite(value) else 0.0
