"""The numbers of compare.json as tables: on the terminal and in Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from r2s_core.system.console import stdout_console
from r2s_core.system.progress import count, percent

Numbers = Mapping[str, Any]
#: A difference counts where chance alone would separate so few runs less often than this.
_SIGNIFICANCE = 0.05


def rows(group: Numbers, levels: Sequence[float]) -> dict[str, str]:
    """The tables' cells for one group: name of the column -> text."""
    training = group["training_s"]
    cells = {
        "runs": str(len(group["runs"])),
        "success, IQM (95 % interval)": interval(
            (group["success"] or {}).get("interquartile_mean")
        ),
        "worst seed": _worst(group["worst"]),
        "training, median (max)": f"{training['median']:,.0f} s ({training['max']:,.0f})",
        "steps": count(group["env_steps"]),
        "steps/s": f"{group['steps_per_second']:,.0f}",
    }
    for level in levels:
        name, hits = f"{100 * level:g} %", group["reached"][f"{level:g}"]
        cells[f"time to {name}"] = reached(hits, "seconds")
        cells[f"steps to {name}"] = reached(hits, "steps")
    return cells


def interval(estimate: Numbers | None) -> str:
    """{value, ci95} -> "96.5 % (95.2 to 97.0)"."""
    if estimate is None:
        return "-"
    text = percent(estimate["value"])
    if estimate["ci95"] is None:
        return text
    low, high = estimate["ci95"]
    return f"{text} ({100 * low:.1f} to {100 * high:.1f})"


def reached(hits: Numbers, unit: str) -> str:
    """ "62 s (55 to 80)" where all runs reached it, else "3 of 5: ...".

    "not reached": by none of them; "-": not measured.
    """
    if not hits["of"]:
        return "-"
    if not hits["runs"]:
        return "not reached"

    def number(value: float) -> str:
        return f"{value:,.0f}" if unit == "seconds" else count(value)

    suffix = " s" if unit == "seconds" else ""
    values = hits[unit]
    spread = f"({number(values['low'])} to {number(values['high'])})"
    few = "" if hits["runs"] == hits["of"] else f"{hits['runs']} of {hits['of']}: "
    if values["median"] is None:  # most runs never reached it, so there is no median
        return f"{few}{spread[1:-1]}{suffix}"
    return f"{few}{number(values['median'])}{suffix} {spread}"


def improvement(row: Numbers) -> tuple[str, str]:
    """("a over b", "81 % (60 to 95)")."""
    estimate = {"value": row["probability"], "ci95": row["ci95"]}
    return f"{row['a']} over {row['b']}", interval(estimate)


def verdict(numbers: Numbers) -> str:
    """One sentence: which configuration ends best, or why the runs cannot tell.

    One is better than another where the 95 % interval of the probability of improvement excludes
    50 %, and there are enough runs: n and m runs of equal configurations are separated completely
    with probability 2 / C(n + m, n), which is 1/3 for two and two.
    """
    evaluated = [group for group in numbers["groups"] if group["success"]]
    if not evaluated:
        return "No run was evaluated, so success cannot be compared."
    evaluated.sort(key=lambda group: -group["success"]["interquartile_mean"]["value"])
    best, others = evaluated[0], evaluated[1:]
    reached = percent(best["success"]["interquartile_mean"]["value"])
    runs = len(best["runs"])
    if not others:
        return f"{best['label']} succeeds in {reached} ({_runs(runs)}); nothing to compare it with."
    beaten = [other["label"] for other in others if _better(numbers, best, other)]
    unclear = [other["label"] for other in others if other["label"] not in beaten]
    if not beaten:
        few = min(len(group["runs"]) for group in evaluated)
        equal = len({len(group["runs"]) for group in evaluated}) == 1
        subject = f"{_runs(few)} of each" if equal else "So few runs"
        return (
            f"{subject[0].upper()}{subject[1:]} cannot tell {best['label']} ({reached}) and "
            f"{_listed(unclear)} apart."
        )
    rest = f"; whether it is better than {_listed(unclear)} remains open" if unclear else ""
    return f"{best['label']} ({reached}) ends better than {_listed(beaten)}{rest}."


def _better(numbers: Numbers, best: Numbers, other: Numbers) -> bool:
    n, m = len(best["runs"]), len(other["runs"])
    if 2 / math.comb(n + m, n) >= _SIGNIFICANCE:
        return False
    for row in numbers["improvement"]:
        if {row["a"], row["b"]} == {best["label"], other["label"]} and row["ci95"]:
            low, high = row["ci95"]
            return low > 0.5 if row["a"] == best["label"] else high < 0.5
    return False


def _runs(number: int) -> str:
    words = ("no runs", "one run", "two runs", "three runs", "four runs")
    return words[number] if number < len(words) else f"{number} runs"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def markdown(numbers: Numbers) -> str:
    """Everything that the terminal shows, as Markdown."""
    groups = numbers["groups"]
    cells = [rows(group, numbers["levels"]) for group in groups]
    parts = [
        verdict(numbers),
        _markdown_table(
            ["", *cells[0]],
            [[group["label"], *row.values()] for group, row in zip(groups, cells, strict=True)],
        ),
        *captions(numbers),
    ]
    over = numbers["by_algorithm"]
    if over:
        table = [[name, *map(interval, final.values())] for name, final in _finals(over)]
        heads = [f"over {over['tasks']} tasks", "IQM (95 % interval)", "median", "mean"]
        parts.append(_markdown_table(heads, table))
    pairs = [*numbers["improvement"], *(over["improvement"] if over else [])]
    if pairs:
        parts.append(
            _markdown_table(
                ["probability of improvement", "(95 % interval)"], map(improvement, pairs)
            )
        )
    parts += [f"* {note}" for note in numbers["notes"]]
    return "\n\n".join(parts).replace("<", "&lt;") + "\n"  # names are data, not HTML


def captions(numbers: Numbers) -> list[str]:
    """Sentences on how to read the numbers."""
    return [
        "Success: of each run's final evaluation of the deterministic policy. IQM: interquartile "
        "mean over runs; intervals: stratified percentile bootstrap over runs, "
        f"{numbers['resamples']:,} resamples, too narrow with few runs.",
        "Time and steps to success: median over the runs (range over those that reached it); a run "
        "that never did counts as later than any other. Training time includes compilation. "
        + numbers["meaning"][numbers["source"]],
    ]


def print_comparison(numbers: Numbers, console: Console | None = None) -> None:
    """Print the table, a column for each group, and the notes on it."""
    console = console or stdout_console()
    groups = numbers["groups"]
    table = Table(title="comparison", title_justify="left")
    table.add_column(style="bold")
    for group in groups:
        table.add_column(group["label"], overflow="fold")
    cells = [rows(group, numbers["levels"]) for group in groups]
    for name in cells[0]:
        table.add_row(name, *(row[name] for row in cells))
    console.print(table)
    over = numbers["by_algorithm"]
    for name, final in _finals(over) if over else ():
        estimate = interval(final["interquartile_mean"])
        console.print(f"{name}, over {over['tasks']} tasks: {estimate}")
    for row in [*numbers["improvement"], *(over["improvement"] if over else [])]:
        console.print("probability of improvement, {}: {}".format(*improvement(row)))
    for text in (
        f"success while training: {numbers['source']}",
        *numbers["notes"],
        verdict(numbers),
    ):
        console.print(text)


def _finals(over: Numbers) -> list[tuple[str, Numbers]]:
    return list(over["algorithms"].items())


def _worst(worst: Numbers | None) -> str:
    return "-" if worst is None else f"{percent(worst['success'])} (seed {worst['seed']})"


def _markdown_table(head: Sequence[str], body: Any) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(x.replace('|', '/') for x in line)} |" for line in lines)
