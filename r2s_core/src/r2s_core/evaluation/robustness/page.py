"""The heat map of a policy's robustness, as a page that stands alone."""

from __future__ import annotations

import html
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from r2s_core.system import files


def write_page(path: Path, result: Mapping[str, Any]) -> None:
    """Write what `measure_robustness` found as HTML."""
    report = resources.files("r2s_core.report")
    template = Template(
        resources.files("r2s_core.evaluation.robustness").joinpath("page.html").read_text("utf-8")
    )
    trained = ", ".join(result["trained_with"]) or "nothing randomized"
    page = template.substitute(
        title=html.escape(f"How robust is {result['name']}?"),
        style=report.joinpath("style.css").read_text("utf-8"),
        subtitle=html.escape(f"{result['algorithm']}, trained with {trained}"),
        cards=_cards(result),
        map=_map(result["cases"]),
        missing=_missing(result["cases"]) + _failed(result["cases"]),
    )
    files.write_text(path, page)


def _cards(result: Mapping[str, Any]) -> str:
    worst = result["worst"]
    cards = [
        (
            _percent(result["mean_success"]),
            f"mean over {result['played']} perturbed cases",
            _interval(result["mean_success_ci95"]),
        ),
        (
            _percent(result["nominal_success"]),
            "unperturbed",
            _interval(result["nominal_success_ci95"]),
        ),
        (
            _percent(worst["success_rate"]),
            "the worst case",
            f"{worst['perturbation']} {worst['label']}",
        ),
    ]
    return "".join(
        f'<div class="card"><div class="number">{number}</div><div class="name">{name}</div>'
        f'<div class="remark">{html.escape(remark)}</div></div>'
        for number, name, remark in cards
    )


def _map(rows: list[Mapping[str, Any]]) -> str:
    """A row for each perturbation, a cell for each of its cases."""
    by_name: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if "success_rate" in row:
            by_name.setdefault(row["perturbation"], []).append(row)
    lines = [
        f"<tr><th>{html.escape(name)}</th>{''.join(map(_cell, own))}</tr>"
        for name, own in by_name.items()
    ]
    return f'<table class="map">{"".join(lines)}</table>'


def _cell(row: Mapping[str, Any]) -> str:
    rate = row["success_rate"]
    # From red through yellow to green; half transparent, for light pages and dark ones.
    colour = f"hsl({120 * rate:.0f} 65% 45% / 0.55)"
    return (
        f'<td style="background: {colour}" title="{row["episodes"]:,} episodes">'
        f"{html.escape(row['label'])}<br><b>{_percent(rate)}</b><br>"
        f"<small>{_bounds(row['success_ci95'])}</small></td>"
    )


def _missing(rows: list[Mapping[str, Any]]) -> str:
    return "".join(
        f'<p class="note">Not played: {html.escape(row["perturbation"])} '
        f"{html.escape(row['label'])}: {html.escape(row['not_played'])}</p>"
        for row in rows
        if "not_played" in row
    )


def _failed(rows: list[Mapping[str, Any]]) -> str:
    """Where success says as much of the physics as of the policy."""
    return "".join(
        f'<p class="note">{html.escape(row["perturbation"])} {html.escape(row["label"])}: the '
        f"physics failed in {row['diverged_episodes']:,} of {row['episodes']:,} episodes, which "
        "count as failures</p>"
        for row in rows
        if row.get("diverged_episodes")
    )


def _percent(rate: float) -> str:
    return f"{100 * rate:.1f} %"


def _interval(bounds: list[float]) -> str:
    return f"{_bounds(bounds)} %, 95 % interval"


def _bounds(bounds: list[float]) -> str:
    return f"{100 * bounds[0]:.1f} to {100 * bounds[1]:.1f}"
