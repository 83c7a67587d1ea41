"""Lays out `report.html` from what a run measured."""

from __future__ import annotations

import base64
import importlib.resources
import string
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import yaml

from r2s_core.evaluation.intervals import wilson_interval
from r2s_core.record.history import EVALUATED, History
from r2s_core.report.charts import bar_chart, interval_chart, line_chart
from r2s_core.system import files
from r2s_core.system.progress import count, duration, percent

_STAGES = {
    "episode/success": "success",
    "episode/reached": "reached",
    "episode/grasped": "grasped",
    "episode/lifted": "lifted",
}
#: Other curves worth a chart: column -> (title, logarithmic).
_LEARNING = {
    "kl": ("KL divergence per update", True),
    "learning_rate": ("Learning rate", True),
    "action_std": ("Exploration: standard deviation of the action", False),
    "entropy": ("Entropy of the policy", False),
    "explained_variance": ("Explained variance of the critic", False),
    "steps_per_second": ("Environment steps per second", False),
}


def write_report(
    path: Path,
    result: Mapping[str, Any],
    history: History,
    config: Mapping[str, Any],
    frames: Sequence[tuple[str, bytes]] = (),
    notes: Sequence[str] = (),
) -> Path:
    """Write the report to `path`.

    Args:
      result: what result.json holds.
      history: the training's metrics.
      config: the resolved configuration as plain values.
      frames: (caption, PNG bytes) of the final policy.
      notes: lines that a reader should know, e.g. why there are no pictures.
    """
    facts = {
        "title": escape(f"{result['name']}: {config['environment']['use']}"),
        "subtitle": _subtitle(result, config),
        "notes": "".join(f'<p class="note">{escape(note)}</p>' for note in notes),
        "cards": "".join(_card(*card) for card in _cards(result)),
        "evaluation": _evaluation(result),
        "frames": _frames(frames),
        "training": _training(history),
        "details": _details(result),
        "config": escape(yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)),
    }
    return fill("page.html", path, facts)


def fill(template: str, path: Path, facts: Mapping[str, str]) -> Path:
    """Write a page of this package with the common style and `facts`, which are HTML."""
    folder = importlib.resources.files("r2s_core.report")
    style, page = (
        folder.joinpath(name).read_text(encoding="utf-8") for name in ("style.css", template)
    )
    text = string.Template(page).substitute(facts, style=style)
    files.write_text(path, text)
    return path


def _subtitle(result: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    parts = [
        ("object", result.get("object")),
        ("algorithm", config["algorithm"]),
        ("backend", result["backend"]),
        ("seed", result["seed"]),
        ("finished", (result.get("finished_at") or "")[:16].replace("T", " ") or None),
    ]
    known = (f"<b>{key}</b> {escape(str(value))}" for key, value in parts if value is not None)
    return " &nbsp;·&nbsp; ".join(known)


def _cards(result: Mapping[str, Any]) -> Iterable[tuple[str, str, str]]:
    """(number, name, remark) of the headline numbers."""
    if result.get("episodes"):
        low, high = result["success_ci95"]
        interval = f"95 % interval {100 * low:.1f} to {100 * high:.1f} %"
        yield percent(result["success_rate"]), "success", interval
        if result.get("success_rate_2p5cm") is not None:
            yield percent(result["success_rate_2p5cm"]), "within 2.5 cm", "of the goal"
        yield f"{result['episodes']:,}", "fresh episodes", "deterministic policy"
    remark = f"{count(result['train_steps_per_second'])} steps/s"
    yield count(result["env_steps"]), "training steps", remark
    compiled = f"{result['compile_s']:.0f} s of it compiling"
    yield duration(result["wall_clock_s"]), "training time", compiled


def _card(number: str, name: str, remark: str) -> str:
    return (
        f'<div class="card"><div class="number">{escape(number)}</div>'
        f'<div class="name">{escape(name)}</div><div class="remark">{escape(remark)}</div></div>'
    )


def _evaluation(result: Mapping[str, Any]) -> str:
    episodes = result.get("episodes")
    if not episodes:
        return '<p class="note">This run was not evaluated (evaluation.episodes is 0).</p>'
    rates = {"success": result["success_rate"]}
    if result.get("success_rate_2p5cm") is not None:
        rates["within 2.5 cm"] = result["success_rate_2p5cm"]
    rates |= result.get("stage_rates", {})
    rows = [
        (name, rate, *wilson_interval(round(rate * episodes), episodes))
        for name, rate in rates.items()
    ]
    figures = [figure("Rates with 95 % intervals", interval_chart(rows, "rates"))]
    if result.get("objects"):
        figures.append(figure("Success by object, the worst first", _object_chart(result)))
    failures = result.get("failures", {})
    failed = sum(failures.values())
    if failed:
        title = f"What the {failed} failed episodes came to"
        figures.append(figure(title, bar_chart(list(failures.items()), "failures")))
    else:
        figures.append("<figure><figcaption>No episode failed</figcaption></figure>")
    return f'<div class="grid2">{"".join(figures)}</div>'


def _object_chart(result: Mapping[str, Any]) -> str:
    rows = [
        (
            row["name"] + (" (not trained on)" if row["held_out"] else ""),
            row["success_rate"],
            *row["success_ci95"],
        )
        for row in result["objects"]
    ]
    return interval_chart(rows, "objects")


def _training(history: History) -> str:
    stages = {name: history.column(column) for column, name in _STAGES.items()}
    stages = {name: points for name, points in stages.items() if points}
    terms = sorted({k for row in history.rows for k in row if k.startswith("reward/")})
    rewards = {term.removeprefix("reward/"): history.column(term) for term in terms}
    evaluated = {"success": history.column(EVALUATED)}
    charts = [
        ("Training episodes that reach each stage", line_chart(stages, percent=True)),
        ("Success of the deterministic policy", line_chart(evaluated, percent=True)),
        ("Return per episode", line_chart({"return": history.column("episode/return")})),
        ("Reward terms per step, unweighted", line_chart(rewards)),
    ]
    charts += [
        (title, line_chart({name: history.column(name)}, log=log))
        for name, (title, log) in _LEARNING.items()
    ]
    figures = "".join(figure(title, chart) for title, chart in charts if chart)
    if not figures:
        return '<p class="note">Nothing was trained.</p>'
    return f'<div class="grid2">{figures}</div>'


def figure(title: str, chart: str) -> str:
    """A chart under its title."""
    return f"<figure><figcaption>{escape(title)}</figcaption>{chart}</figure>"


def _frames(frames: Sequence[tuple[str, bytes]]) -> str:
    if not frames:
        return ""
    pictures = "".join(
        f'<figure class="frame"><img alt="{escape(caption)}" '
        f'src="data:image/png;base64,{base64.b64encode(png).decode()}"/>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
        for caption, png in frames
    )
    return f'<h2>The policy at work</h2><div class="frames">{pictures}</div>'


def _details(result: Mapping[str, Any]) -> str:
    numbers = {
        "stopped by": result.get("stopped_by"),
        "training episodes": result.get("training_episodes"),
        "diverged worlds in training": result.get("diverged_in_training"),
        "diverged episodes in evaluation": result.get("diverged_episodes"),
        "mean return": result.get("mean_return"),
        "mean episode length": result.get("mean_length"),
        "set-up": _seconds(result.get("setup_s")),
        "compiling": _seconds(result.get("compile_s")),
        "evaluation": _seconds(result.get("evaluation_s")),
        **{f"mean {k.replace('_', ' ')}": v for k, v in result.get("metrics", {}).items()},
    }
    tables = (numbers, result.get("hardware", {}), result.get("versions", {}))
    titles = ("Numbers", "Machine", "Versions")
    return "".join(_table(t, rows) for t, rows in zip(titles, tables, strict=True))


def _seconds(value: float | None) -> str | None:
    return None if value is None else f"{value:.1f} s"


def _table(title: str, rows: Mapping[str, Any]) -> str:
    body = "".join(
        f"<tr><th>{escape(str(name).replace('_', ' '))}</th><td>{escape(_shown(value))}</td></tr>"
        for name, value in rows.items()
        if value is not None
    )
    return f"<div><h3>{escape(title)}</h3><table>{body}</table></div>"


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
