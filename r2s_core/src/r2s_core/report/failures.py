"""How the episodes of an evaluation failed: kinds, by stage and by object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from r2s_core.evaluation.intervals import wilson_interval
from r2s_core.pages import Table


def failure_tables(result: Mapping[str, Any]) -> list[Table]:
    """From what result.json holds; none where no episode failed, or it does not tell the stages."""
    if not result.get("failures_by_stage"):
        return []
    return [_by_stage(result), *_by_object(result)]


def _by_stage(result: Mapping[str, Any]) -> Table:
    meanings, episodes = result["task"].get("failures", {}), result["episodes"]
    order = ("start", *result["task"]["stages"])
    by_stage = result["failures_by_stage"]
    stages = [stage for stage in order if any(stage in counts for counts in by_stage.values())]
    rows = [
        (
            kind,
            f"{sum(counts.values()):,}",
            _share(sum(counts.values()), episodes),
            *(f"{counts[stage]:,}" if stage in counts else "" for stage in stages),
            meanings.get(kind, ""),
        )
        for kind, counts in by_stage.items()
    ]
    heads = ("kind", "episodes", "of all, 95 % interval", *(f"got to: {s}" for s in stages))
    return Table("Each failed episode is of one kind", rows, (*heads, "what it means"))


def _by_object(result: Mapping[str, Any]) -> list[Table]:
    objects = result.get("objects", [])
    if len(objects) < 2:
        return []
    kinds = dict.fromkeys(kind for row in objects for kind in row["failures"])
    rows = [
        (
            row["name"] + (" (not trained on)" if row["held_out"] else ""),
            f"{row['episodes']:,}",
            _share(round(row["success_rate"] * row["episodes"]), row["episodes"]),
            *(f"{row['failures'][kind]:,}" if kind in row["failures"] else "" for kind in kinds),
        )
        for row in objects
    ]
    heads = ("object", "episodes", "success, 95 % interval", *kinds)
    return [Table("By object, the worst first", rows, heads)]


def _share(number: int, episodes: int) -> str:
    low, high = wilson_interval(number, episodes)
    return f"{100 * number / episodes:.1f} % ({100 * low:.1f} to {100 * high:.1f})"
