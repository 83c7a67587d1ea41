"""Lays out `compare.html` from what compare.json holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from r2s_core.compare.tables import captions, improvement, interval, reached, rows
from r2s_core.record.history import EVALUATED
from r2s_core.report.charts import band_chart, interval_chart
from r2s_core.report.page import figure, fill

_SOURCES = {EVALUATED: "Deterministic policy", "episode/success": "Training episodes"}
_AXES = {"over_seconds": "seconds of training", "over_steps": "environment steps"}
_BAND = "interquartile mean over runs, band: 25 to 75 %"


def write_comparison(path: Path, numbers: Mapping[str, Any]) -> Path:
    """Write the report to `path`; numbers: what compare.json holds."""
    groups = numbers["groups"]
    labels = [group["label"] for group in groups]
    runs = sum(len(group["runs"]) for group in groups)
    facts = {
        "title": escape("Comparison: " + ", ".join(labels)),
        "subtitle": f"<b>{len(groups)}</b> configurations &nbsp;·&nbsp; <b>{runs}</b> runs",
        "notes": "".join(f'<p class="note">{escape(note)}</p>' for note in numbers["notes"]),
        "final": _final(numbers),
        "curves": _curves(numbers),
        "reached": _reached(numbers),
        "improvement": _improvement(numbers),
        "differences": _differences(numbers, labels),
        "runs": _runs(numbers),
        "captions": "".join(f"<p>{escape(text)}</p>" for text in captions(numbers)),
    }
    return fill("comparison.html", path, facts)


def _final(numbers: Mapping[str, Any]) -> str:
    groups = numbers["groups"]
    charts = [("Success, interquartile mean over runs", {g["label"]: g["success"] for g in groups})]
    over = numbers["by_algorithm"]
    if over:
        charts.append((f"The same over {over['tasks']} tasks", over["algorithms"]))
    figures = [figure(title, _interval_chart(finals)) for title, finals in charts]
    cells = [rows(group, ()) for group in groups]
    table = _table(
        ["", *cells[0], "success, median", "success, mean"],
        [
            [
                group["label"],
                *own.values(),
                *(interval((group["success"] or {}).get(name)) for name in ("median", "mean")),
            ]
            for group, own in zip(groups, cells, strict=True)
        ],
    )
    return f'<div class="grid2 alone">{"".join(figures)}</div>{table}'


def _interval_chart(finals: Mapping[str, Any]) -> str:
    estimates = {name: final["interquartile_mean"] for name, final in finals.items() if final}
    if not estimates:
        return "<p>No run was evaluated (evaluation.episodes is 0).</p>"
    return interval_chart(
        [
            (name, one["value"], *(one["ci95"] or (one["value"], one["value"])))
            for name, one in estimates.items()
        ],
        "final success",
    )


def _curves(numbers: Mapping[str, Any]) -> str:
    figures = []
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
        drawn = "".join(figure(title, chart) for title, chart in charts if chart)
        text = f"{meaning} Line: {_BAND}, as far as every run of the group came."
        if drawn:
            figures.append(f'<div class="grid2">{drawn}</div><p>{escape(text)}</p>')
    return "".join(figures) or "<p>Nothing was measured.</p>"


def _reached(numbers: Mapping[str, Any]) -> str:
    heads, body = [""], [[group["label"]] for group in numbers["groups"]]
    for level in numbers["levels"]:
        for unit, name in (("seconds", "time"), ("steps", "steps")):
            heads.append(f"{name} to {100 * level:g} %")
            for row, group in zip(body, numbers["groups"], strict=True):
                row.append(reached(group["reached"][f"{level:g}"], unit))
    return _table(heads, body)


def _improvement(numbers: Mapping[str, Any]) -> str:
    over = numbers["by_algorithm"]
    pairs = [*numbers["improvement"], *(over["improvement"] if over else [])]
    if not pairs:
        return "<p>There are no two configurations whose success was measured.</p>"
    text = "The chance that a run of the first ends better than a run of the second; 50 %: equal."
    heads = ["", "probability of improvement (95 % interval)"]
    return f"<p>{text}</p>{_table(heads, map(improvement, pairs))}"


def _differences(numbers: Mapping[str, Any], labels: Sequence[str]) -> str:
    if not numbers["differences"]:
        return "<p>Nothing but the seed.</p>"
    body = [[key, *map(_shown, values)] for key, values in numbers["differences"].items()]
    return _table(["", *labels], body)


def _runs(numbers: Mapping[str, Any]) -> str:
    heads = ["", "seed", "success", "training", "compiling", "steps", "steps/s", "stopped by"]
    heads += [f"time to {100 * level:g} %" for level in numbers["levels"]]
    body = []
    for group in numbers["groups"]:
        for run in group["runs"]:
            cells = [
                group["label"],
                str(run["seed"]),
                interval(
                    None
                    if run["success"] is None
                    else {"value": run["success"], "ci95": run["success_ci95"]}
                ),
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
    return _table([*heads, "folder"], body)


def _shown(value: Any) -> str:
    return "-" if value is None else str(value)


def _table(heads: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    def cells(tag: str, row: Sequence[str]) -> str:
        return "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in row)

    lines = "".join(f"<tr>{cells('td', row)}</tr>" for row in body)
    head = f"<thead><tr>{cells('th', heads)}</tr></thead>"
    return f'<div class="wide"><table>{head}<tbody>{lines}</tbody></table></div>'
