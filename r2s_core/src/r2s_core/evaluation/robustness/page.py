"""The heat map of a policy's robustness, as a page that stands alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from r2s_core.pages import Card, Command, command_line, write_page

_SCALE = 50.0  # points of success lost at which a cell has its full colour
_WEAK = 5.0  # points lost from which on a row is worth doing something about
_LEGEND = (-5, 0, 5, 15, 30, 50)  # points lost
_RANDOMIZATION = "randomization."


@dataclasses.dataclass(frozen=True)
class Cell:
    """One case. style: its colour. change: points against the unperturbed success, with its sign
    and, in `interval`, with its 95 % interval. played: the episodes and the success's own interval.
    """

    label: str
    rate: str
    change: str
    interval: str
    style: str
    played: str


@dataclasses.dataclass(frozen=True)
class Row:
    """A perturbation in its strengths; where it is weak, `advice` says what to do in training, and
    `missing` names the randomizers that were not trained with.
    """

    name: str
    cells: Sequence[Cell]
    missing: Sequence[str] = ()
    advice: str = ""


def write_heat_map(path: Path, result: Mapping[str, Any], run: object) -> None:
    """Write what `measure_robustness` found as HTML; run: the run's folder, as it is typed."""
    nominal = result["nominal_success"]
    rows = list(_rows(result, nominal))
    facts = {
        "title": f"How robust is {result['name']}?",
        "subtitle": list(_subtitle(result)),
        "cards": _cards(result),
        "rows": rows,
        "columns": max(len(row.cells) for row in rows),
        "legend": [(_signed(-lost), _colour(lost)) for lost in _LEGEND],
        "notes": [*not_played(result["cases"]), *_failed(result["cases"])],
        "episodes": f"{result['episodes']:,}",
        "commands": list(_commands(rows, run)),
    }
    write_page(path, "robustness.html", facts)


def _subtitle(result: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if result["object"]:
        yield "object", result["object"]
    yield "algorithm", result["algorithm"]
    yield "trained with", ", ".join(result["trained_with"]) or "nothing randomized"
    yield "seed", str(result["seed"])
    yield "episodes", f"{result['episodes']:,} of each case"
    yield "measured", result["finished_at"][:16].replace("T", " ")


def _cards(result: Mapping[str, Any]) -> list[Card]:
    worst, nominal = result["worst"], result["nominal_success"]
    lost = _points(nominal - result["mean_success"])
    paired = _signed_bounds(result["mean_difference_ci95"])
    return [
        Card(
            _percent(result["mean_success"]),
            f"mean over {result['played']} perturbed cases",
            f"{_interval(result['mean_success_ci95'])}; {_signed(-lost)} points ({paired})",
            _state(lost),
        ),
        Card(_percent(nominal), "unperturbed", _interval(result["nominal_success_ci95"])),
        Card(
            _percent(worst["success_rate"]),
            "the worst case",
            f"{worst['perturbation']} {worst['label']}".strip(),
            _state(_points(nominal - worst["success_rate"])),
        ),
    ]


def _state(lost: float) -> Any:
    return "good" if lost < _WEAK else "amber" if lost < 30 else "bad"


def _rows(result: Mapping[str, Any], nominal: float) -> Iterator[Row]:
    """A row for each perturbation, the one with the worst case first."""
    by_name: dict[str, list[Mapping[str, Any]]] = {}
    for row in result["cases"][1:]:
        if "success_rate" in row:
            by_name.setdefault(row["perturbation"], []).append(row)
    worst = {name: min(row["success_rate"] for row in own) for name, own in by_name.items()}
    for name in sorted(by_name, key=worst.__getitem__):
        weak = _points(nominal - worst[name]) >= _WEAK
        advice = _advice(by_name[name], result["trained_with"]) if weak else ((), "")
        yield Row(name, [_cell(row, nominal) for row in by_name[name]], *advice)


def _cell(row: Mapping[str, Any], nominal: float) -> Cell:
    lost = _points(nominal - row["success_rate"])
    return Cell(
        label=row["label"],
        rate=_percent(row["success_rate"]),
        change=_signed(-lost),
        interval=_signed_bounds(row["difference_ci95"]),
        style=_colour(lost),
        played=f"{row['episodes']:,} episodes; success {_interval(row['success_ci95'])}",
    )


def _advice(
    cases: Sequence[Mapping[str, Any]], trained_with: Sequence[str]
) -> tuple[list[str], str]:
    """(randomizers that training lacks, what to do), from the keys that the cases change."""
    keys = dict.fromkeys(
        change.partition("=")[0] for case in cases for change in case.get("changes", ())
    )
    names = [key.removeprefix(_RANDOMIZATION) for key in keys if key.startswith(_RANDOMIZATION)]
    missing = [name for name in names if name not in trained_with]
    if missing:
        return missing, "try"
    if names:
        return [], f"trained with {', '.join(names)}: widen the range or train longer"
    if any(key.startswith("environment.objects") for key in keys):
        return [], "train on more objects (environment.objects)"
    if any(key.startswith(("environment.physics", "backend")) for key in keys):
        return [], "the simulation itself: what does the policy rely on?"
    return [], ""


def _commands(rows: Sequence[Row], run: object) -> Iterator[Command]:
    for name in [name for row in rows for name in row.missing][:1]:
        yield Command(
            f"The options of {name}, the first to try",
            command_line("r2s", "info", f"randomizer:{name}"),
        )
    yield Command(
        "Measure again, with perturbations of your own",
        command_line("r2s", "eval", run, "--robustness", "--grid", "my_grid.yaml"),
    )


def not_played(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What was not played and why; a line for each reason."""
    by_reason: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        if "not_played" in row:
            labels = by_reason.setdefault(row["not_played"], {})
            labels.setdefault(row["perturbation"], []).append(row["label"])
    return [
        "Not played: "
        + "; ".join(f"{name} {', '.join(own)}".strip() for name, own in labels.items())
        + f": {reason}"
        for reason, labels in by_reason.items()
    ]


def _failed(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Where success says as much of the physics as of the policy."""
    return [
        f"{row['perturbation']} {row['label']}: the physics failed in "
        f"{row['diverged_episodes']:,} of {row['episodes']:,} episodes, which count as failures"
        for row in rows
        if row.get("diverged_episodes")
    ]


def _colour(lost: float) -> str:
    """Losses and gains in two hues over the panel, so that it does for light and dark pages."""
    hue = "--loss" if lost > 0 else "--gain"
    return f"background: rgb(var({hue}) / {min(abs(lost) / _SCALE, 1.0) * 0.75:.2f})"


def _points(share: float) -> float:
    return 100.0 * share


def _signed(points: float) -> str:
    return "±0" if abs(points) < 0.05 else f"{points:+.1f}".replace("-", "\N{MINUS SIGN}")


def _signed_bounds(bounds: Sequence[float]) -> str:
    return " to ".join(_signed(_points(bound)) for bound in bounds)


def _percent(rate: float) -> str:
    return f"{100 * rate:.1f} %"


def _interval(bounds: Sequence[float]) -> str:
    return f"95 % interval {_bounds(bounds)} %"


def _bounds(bounds: Sequence[float]) -> str:
    return f"{100 * bounds[0]:.1f} to {100 * bounds[1]:.1f}"
