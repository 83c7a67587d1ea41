"""From runs to the numbers of compare.json: final success, time to success, curves."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from r2s_core.compare.records import Group, Run
from r2s_core.config.flat import differing
from r2s_core.evaluation.intervals import (
    RESAMPLES,
    Strata,
    bootstrap_interval,
    improvement_interval,
    interquartile_mean,
    probability_of_improvement,
)
from r2s_core.record.history import EVALUATED, History

#: Success rates whose first crossing is reported.
LEVELS = (0.5, 0.9, 0.95)
_TRAINING = "episode/success"
#: source of a curve -> what it is, in a sentence.
MEANINGS = {
    EVALUATED: (
        "Evaluations of the deterministic policy on fresh episodes from the task's own starts, at "
        "steps spread over training and outside of its clock; not smoothed, so a level counts as "
        "reached at the first evaluation that shows it."
    ),
    _TRAINING: (
        "Episodes of the training itself, over the latest 500 or so: of the stochastic policy, and "
        "some from easier start states where the task has them. This is not evaluation success."
    ),
}
_GRID = 200
_STATISTICS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "interquartile_mean": interquartile_mean,
    "median": lambda scores: np.median(scores, axis=-1),
    "mean": lambda scores: scores.mean(axis=-1),
}


def analyse(groups: Sequence[Group]) -> dict[str, Any]:
    """The content of compare.json, without the notes; plain values, None where not measured."""
    runs = [run for group in groups for run in group.runs]
    # The same for all groups, or the one with the easier episodes would win.
    source = EVALUATED if all(_has(run, EVALUATED) for run in runs) else _TRAINING
    sources = [source, _TRAINING] if source != _TRAINING else [source]
    settings = [group.setting for group in groups]
    times = sorted(run.result["finished_at"] for run in runs)
    return {
        "source": source,
        "meaning": {name: MEANINGS[name] for name in sources},
        "levels": list(LEVELS),
        "resamples": RESAMPLES,
        "groups": [_of_group(group, source, sources) for group in groups],
        "improvement": [
            _improvement((a.label, _scores([a])), (b.label, _scores([b])))
            for i, a in enumerate(groups)
            for b in groups[i + 1 :]
            if _scores([a]) and _scores([b])
        ],
        "by_algorithm": _by_algorithm(groups),
        "machines": list(dict.fromkeys(filter(None, map(_machine, runs)))),
        "finished": [times[0], times[-1]],
        "differences": {
            key: [setting.get(key) for setting in settings] for key in differing(*settings)
        },
    }


def curve(run: Run, source: str) -> np.ndarray:
    """[points, 3]: step, seconds of training, success; see `MEANINGS`."""
    points, history = [], History()
    for row in run.rows:
        value = row.get(EVALUATED)
        if source == _TRAINING:
            history.append(row)
            value = history.recent_success()
        if value is not None and math.isfinite(value):
            points.append((row["step"], row["wall_s"], value))
    return np.array(points).reshape(-1, 3)


def reached(points: np.ndarray, level: float) -> tuple[float, float] | None:
    """(step, seconds) where the success of a `curve` is first at least `level`."""
    above = np.flatnonzero(points[:, 2] >= level)
    return (float(points[above[0], 0]), float(points[above[0], 1])) if len(above) else None


def band(curves: Sequence[np.ndarray], axis: int) -> list[list[float]]:
    """Rows of (x, interquartile mean, 25 %, 75 %) over runs; x: step (axis 0) or seconds (1).

    Only as far as every run came: beyond that it would be the mean of the longer runs.
    """
    if not curves or not all(map(len, curves)):
        return []
    low, high = max(c[0, axis] for c in curves), min(c[-1, axis] for c in curves)
    if low > high:
        return []
    x = np.unique(np.linspace(low, high, _GRID))
    y = np.array([np.interp(x, c[:, axis], c[:, 2]) for c in curves])
    lower, upper = np.quantile(y, (0.25, 0.75), axis=0)
    rows = np.stack([x, interquartile_mean(y.T), lower, upper], axis=1)
    return [[float(f"{value:.6g}") for value in row] for row in rows]


def _of_group(group: Group, source: str, sources: Sequence[str]) -> dict[str, Any]:
    results = [run.result for run in group.runs]
    curves = {name: [curve(run, name) for run in group.runs] for name in sources}
    # A run without a curve (no metrics, too few episodes) does not count as not reaching a level.
    measured = [c for c in curves[source] if len(c)]
    hits = {level: [reached(c, level) for c in measured] for level in LEVELS}
    seconds = [result["wall_clock_s"] for result in results]
    return {
        "label": group.label,
        "name": group.setting["name"],
        "algorithm": group.algorithm,
        "environment": group.setting.get("environment.use"),
        "success": _final(_scores([group])),
        "worst": _worst(group),
        "training_s": {"median": statistics.median(seconds), "max": max(seconds)},
        "env_steps": statistics.median(result["env_steps"] for result in results),
        "steps_per_second": statistics.median(r["train_steps_per_second"] for r in results),
        "reached": {f"{level:g}": _reached(hits[level]) for level in LEVELS},
        "runs": [
            _of_run(run, points) for run, points in zip(group.runs, curves[source], strict=True)
        ],
        "curves": {
            name: {"over_steps": band(curves[name], 0), "over_seconds": band(curves[name], 1)}
            for name in sources
        },
    }


def _of_run(run: Run, points: np.ndarray) -> dict[str, Any]:
    hits = {level: reached(points, level) for level in LEVELS}
    return {
        "path": str(run.path),
        "seed": run.seed,
        "success": run.success,
        "success_ci95": run.result.get("success_ci95"),
        "episodes": run.result.get("episodes"),
        "training_s": run.result["wall_clock_s"],
        "compile_s": run.result.get("compile_s"),
        "env_steps": run.result["env_steps"],
        "steps_per_second": run.result["train_steps_per_second"],
        "stopped_by": run.result.get("stopped_by"),
        "reached": {
            f"{level:g}": {"step": hit[0], "seconds": hit[1]} if hit else None
            for level, hit in hits.items()
        }
        if len(points)
        else None,
    }


def _reached(hits: Sequence[tuple[float, float] | None]) -> dict[str, Any]:
    """How many of the runs with a curve reached it, and after how many steps and seconds."""
    found = [hit for hit in hits if hit is not None]
    ranges = {name: _range([hit[i] for hit in found], len(hits)) for i, name in _AXES}
    return {"runs": len(found), "of": len(hits), **ranges}


_AXES = ((0, "steps"), (1, "seconds"))


def _range(values: Sequence[float], runs: int) -> dict[str, float | None]:
    """Median over all runs; those that never reached it count as later than any that did."""
    everyone = [*values, *[math.inf] * (runs - len(values))]
    middle = statistics.median(everyone) if everyone else math.inf
    return {
        "median": middle if math.isfinite(middle) else None,
        "low": min(values, default=None),
        "high": max(values, default=None),
    }


def _scores(groups: Sequence[Group]) -> list[np.ndarray]:
    """Final success of the evaluated runs, one stratum per group."""
    strata = [[run.success for run in group.runs if run.success is not None] for group in groups]
    return [np.array(scores) for scores in strata if scores]


def _final(strata: Strata) -> dict[str, Any] | None:
    """{statistic: {value, ci95}} over all the scores."""
    if not strata:
        return None
    scores = np.concatenate(strata)
    return {
        name: {"value": float(statistic(scores)), "ci95": bootstrap_interval(strata, statistic)}
        for name, statistic in _STATISTICS.items()
    }


def _worst(group: Group) -> dict[str, Any] | None:
    evaluated = [(run.success, run.seed) for run in group.runs if run.success is not None]
    return dict(zip(("success", "seed"), min(evaluated), strict=True)) if evaluated else None


def _improvement(a: tuple[str, Strata], b: tuple[str, Strata]) -> dict[str, Any]:
    return {
        "a": a[0],
        "b": b[0],
        "probability": probability_of_improvement(a[1], b[1]),
        "ci95": improvement_interval(a[1], b[1]),
    }


def _by_algorithm(groups: Sequence[Group]) -> dict[str, Any] | None:
    """Algorithms over several tasks, a stratum each; None unless all ran on the same tasks."""
    table: dict[str, dict[str, Group]] = {}
    for group in groups:
        task = repr(sorted((k, v) for k, v in group.setting.items() if _is_task(k)))
        if task in table.setdefault(group.algorithm, {}):
            return None
        table[group.algorithm][task] = group
    tasks = list(next(iter(table.values())))
    if len(table) < 2 or len(tasks) < 2 or any(set(x) != set(tasks) for x in table.values()):
        return None
    strata = {name: _scores([by_task[t] for t in tasks]) for name, by_task in table.items()}
    if any(len(scores) < len(tasks) for scores in strata.values()):
        return None
    names = list(strata)
    return {
        "tasks": len(tasks),
        "algorithms": {name: _final(scores) for name, scores in strata.items()},
        "improvement": [
            _improvement((a, strata[a]), (b, strata[b]))
            for i, a in enumerate(names)
            for b in names[i + 1 :]
        ],
    }


def _machine(run: Run) -> str:
    """The machine of a run in one line; empty where its result does not say."""
    hardware = run.result.get("hardware") or {}
    cpu, cores = hardware.get("cpu"), hardware.get("cpu_cores")
    devices = [str(x) for x in _listed(hardware.get("jax_devices")) if "cpu" not in str(x).lower()]
    parts = [str(cpu)] if cpu else []
    parts += [f"{cores} cores"] if cores else []
    return ", ".join([*parts, *devices])


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def _is_task(key: str) -> bool:
    return key.split(".")[0] in ("environment", "randomization", "backend")


def _has(run: Run, source: str) -> bool:
    return any(math.isfinite(row.get(source, math.nan)) for row in run.rows)
