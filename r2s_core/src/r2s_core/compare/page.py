"""Lays out `compare.html` from what compare.json holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from r2s_core.compare.tables import captions, improvement, interval, reached, rows, verdict
from r2s_core.pages import Table, write_page
from r2s_core.pages.charts import COLOURS, band_chart, interval_chart
from r2s_core.record.history import EVALUATED

_SOURCES = {EVALUATED: "Deterministic policy", "episode/success": "Training episodes"}
_AXES = {"over_seconds": "seconds of training", "over_steps": "environment steps"}
_BAND = "interquartile mean over runs, band: 25 to 75 %"
_ENOUGH = 3  # runs, from which on median, mean and interquartile mean can differ


def write_comparison(path: Path, numbers: Mapping[str, Any]) -> Path:
    """Write the report to `path`; numbers: what compare.json holds."""
    groups = numbers["groups"]
    labels = [group["label"] for group in groups]
    both, one_sided = _differences(numbers, labels)
    facts = {
        "title": "Comparison: " + ", ".join(labels),
        "subtitle": list(_subtitle(numbers)),
        "verdict": verdict(numbers),
        "notes": numbers["notes"],
        "colours": {label: i % COLOURS for i, label in enumerate(labels)},
        "final": list(_final(numbers)),
        "table": _table(numbers),
        "curves": list(_curves(numbers)),
        "reached": _reached(numbers),
        "levels": [f"{100 * level:g} %" for level in numbers["levels"]],
        "improvement": _improvement(numbers),
        "differences": both,
        "one_sided": one_sided,
        "runs": _runs(numbers),
        "captions": captions(numbers),
    }
    return write_page(path, "compare.html", facts)


def _subtitle(numbers: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    groups = numbers["groups"]
    yield "configurations", str(len(groups))
    yield "runs", str(sum(len(group["runs"]) for group in groups))
    if numbers["machines"]:
        yield "machine", "; ".join(numbers["machines"])
    if numbers["finished"]:
        first, last = (time[:16].replace("T", " ") for time in numbers["finished"])
        yield "finished", first if first == last else f"{first} to {last}"


def _final(numbers: Mapping[str, Any]) -> Iterator[tuple[str, Markup]]:
    groups = numbers["groups"]
    finals = {group["label"]: group["success"] for group in groups}
    if any(finals.values()):
        yield "Success, interquartile mean over runs", _interval_chart(finals)
    if over := numbers["by_algorithm"]:
        # Algorithms are not groups of runs, so they have no colour here.
        chart = _interval_chart(over["algorithms"], coloured=False)
        yield f"The same over {over['tasks']} tasks", chart


def _interval_chart(finals: Mapping[str, Any], coloured: bool = True) -> Markup:
    shown, colours = [], []
    for i, (name, final) in enumerate(finals.items()):
        if final:
            one = final["interquartile_mean"]
            ends = one["ci95"] or (one["value"], one["value"])
            shown.append((name, one["value"], *ends))
            colours.append(i)
    return interval_chart(shown, "final success", colours if coloured else None)


def _table(numbers: Mapping[str, Any]) -> Table:
    groups = numbers["groups"]
    cells = [rows(group, ()) for group in groups]
    more = ("median", "mean") if any(len(g["runs"]) >= _ENOUGH for g in groups) else ()
    body = [
        [
            group["label"],
            *own.values(),
            *(interval((group["success"] or {}).get(name)) for name in more),
        ]
        for group, own in zip(groups, cells, strict=True)
    ]
    return Table("", body, ["", *cells[0], *(f"success, {name}" for name in more)])


def _curves(numbers: Mapping[str, Any]) -> Iterator[tuple[list[tuple[str, Markup]], str]]:
    """([(title, chart)], caption), by source."""
    for source, meaning in numbers["meaning"].items():
        charts = [
            (
                f"{_SOURCES[source]}: success over {unit}",
                band_chart(
                    {group["label"]: group["curves"][source][axis] for group in numbers["groups"]},
                    x_label=unit,
                    label=f"{source} over {unit}",
                ),
            )
            for axis, unit in _AXES.items()
        ]
        if drawn := [(title, chart) for title, chart in charts if chart]:
            yield drawn, f"{meaning} Line: {_BAND}, as far as every run of the group came."


def _reached(numbers: Mapping[str, Any]) -> Table | None:
    """The levels that some run reached; None where there are none."""
    heads, body = [""], [[group["label"]] for group in numbers["groups"]]
    for level in numbers["levels"]:
        hits = [group["reached"][f"{level:g}"] for group in numbers["groups"]]
        if not any(hit["runs"] for hit in hits):
            continue
        for unit, name in (("seconds", "time"), ("steps", "steps")):
            heads.append(f"{name} to {100 * level:g} %")
            for row, hit in zip(body, hits, strict=True):
                row.append(reached(hit, unit))
    return Table("", body, heads) if len(heads) > 1 else None


def _improvement(numbers: Mapping[str, Any]) -> Table | None:
    over = numbers["by_algorithm"]
    pairs = [*numbers["improvement"], *(over["improvement"] if over else [])]
    heads = ["", "probability of improvement (95 % interval)"]
    return Table("", list(map(improvement, pairs)), heads) if pairs else None


def _differences(numbers: Mapping[str, Any], labels: Sequence[str]) -> tuple[Table, Table]:
    """Settings that all groups have and differ in, and those that only some have."""
    both, one_sided = [], []
    for key, values in numbers["differences"].items():
        row = [key, *("-" if value is None else str(value) for value in values)]
        (one_sided if None in values else both).append(row)
    heads = ["", *labels]
    return Table("", both, heads), Table("", one_sided, heads)


def _runs(numbers: Mapping[str, Any]) -> Table:
    heads = ["", "seed", "success", "training", "compiling", "steps", "steps/s", "stopped by"]
    heads += [f"time to {100 * level:g} %" for level in numbers["levels"]]
    body = []
    for group in numbers["groups"]:
        for run in group["runs"]:
            success = run["success"]
            estimate = None if success is None else {"value": success, "ci95": run["success_ci95"]}
            cells = [
                group["label"],
                str(run["seed"]),
                interval(estimate),
                f"{run['training_s']:,.0f} s",
                "-" if run["compile_s"] is None else f"{run['compile_s']:,.0f} s",
                f"{run['env_steps']:,}",
                f"{run['steps_per_second']:,.0f}",
                str(run["stopped_by"] or "-"),
            ]
            hits = run["reached"]
            for level in numbers["levels"]:
                hit = hits and hits[f"{level:g}"]
                cells.append(
                    f"{hit['seconds']:,.0f} s" if hit else "-" if hits is None else "not reached"
                )
            body.append([*cells, run["path"]])
    return Table("", body, [*heads, "folder"])
