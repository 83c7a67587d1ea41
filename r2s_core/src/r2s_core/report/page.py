"""Lays out `report.html` from what a run measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from markupsafe import Markup

from r2s_core.evaluation.intervals import wilson_interval
from r2s_core.pages import Card, Command, Film, Strip, Table, command_line, write_page
from r2s_core.pages.charts import Mark, bar_chart, interval_chart, line_chart
from r2s_core.record.folder import shown
from r2s_core.record.history import EVALUATED, History
from r2s_core.rendering.pictures import Pictures
from r2s_core.report.failures import failure_tables
from r2s_core.report.task_box import reads_box, task_box
from r2s_core.system.progress import count, duration, percent, points
from r2s_core.task_info import failure_name

_Titled = TypeVar("_Titled", Strip, Film)
#: Of a task that does not say.
_SUCCESS = "as the task's own `success` counts it when the episode ends"
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
    run_dir: Path,
    result: Mapping[str, Any],
    history: History,
    config: Mapping[str, Any],
    contract: Mapping[str, Any] | None = None,
    pictures: Pictures | None = None,
) -> Path:
    """Write `report.html` into a run's folder; returns its path.

    Args:
      result: what result.json holds.
      history: the training's metrics.
      config: the resolved configuration as plain values.
      contract: of the saved policy (`r2s_core.policy.contract`).
      pictures: what was drawn of the policy.
    """
    pictures, task = pictures or Pictures(), result["task"]
    facts = {
        "title": f"{result['name']}: {config['environment']['use']}",
        "subtitle": _subtitle(result, config),
        "notes": pictures.notes,
        "success": (task["success"] or _SUCCESS) if result.get("episodes") else None,
        "cards": list(_cards(result)),
        "video": _read(pictures.video),
        "portraits": [
            (name or result.get("object") or "", png) for name, png in pictures.portraits
        ],
        "beside": pictures.beside,
        "task": task_box(result, config, contract),
        "reads": reads_box(result, contract),
        "evaluation": list(_evaluation(result)),
        "failures": failure_tables(result),
        "strips": _with_counts(pictures.strips, result),
        "films": _with_counts(pictures.films, result),
        "looks": pictures.looks,
        "training": list(_training(result, history)),
        "commands": list(_commands(run_dir, result, config)),
        "details": list(_details(result)),
        "config": yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True),
    }
    return write_page(run_dir / "report.html", "report.html", facts)


def _read(video: Path | None) -> bytes | None:
    return video.read_bytes() if video is not None else None


def _subtitle(result: Mapping[str, Any], config: Mapping[str, Any]) -> list[tuple[str, Any]]:
    parts = [
        ("robot", result.get("robot")),
        ("object", result.get("object")),
        ("algorithm", config["algorithm"]),
        ("learned from", result.get("learned_from")),
        ("backend", result["backend"]),
        ("seed", result["seed"]),
        ("finished", (result.get("finished_at") or "")[:16].replace("T", " ") or None),
    ]
    return [(name, value) for name, value in parts if value is not None]


def _cards(result: Mapping[str, Any]) -> list[Card]:
    cards = []
    if result.get("episodes"):
        low, high = result["success_ci95"]
        interval = f"95 % interval {100 * low:.1f} to {100 * high:.1f} %"
        state = "good" if low >= 0.9 else "amber" if high >= 0.5 else "bad"
        cards.append(Card(percent(result["success_rate"]), "success", interval, state))
        episodes = f"{result['episodes']:,}"
        cards.append(Card(episodes, "fresh episodes", "of the deterministic policy"))
        if other := result.get("stochastic"):
            apart = points(other["difference"], other["difference_ci95"])
            cards.append(Card(percent(other["success_rate"]), "stochastic policy", apart))
        if times := result.get("time_to_success_s"):
            spread = f"median; 80 % between {times['p10']:.2f} and {times['p90']:.2f} s"
            cards.append(Card(f"{times['median']:.2f} s", "time to success", spread))
    speed = f"{count(result['train_steps_per_second'])} steps/s"
    cards.append(Card(count(result["env_steps"]), "training steps", speed))
    compiled = f"minutes:seconds; {result['compile_s']:.0f} s of it compiling"
    cards.append(Card(duration(result["wall_clock_s"]), "training time", compiled))
    return cards


def _evaluation(result: Mapping[str, Any]) -> list[tuple[str, Markup]]:
    """(title, chart) of the final evaluation."""
    episodes = result.get("episodes")
    if not episodes:
        return []
    rows = [
        (name, rate, *wilson_interval(round(rate * episodes), episodes))
        for name, rate in _rates(result)
    ]
    charts = [("How far the episodes came, with 95 % intervals", interval_chart(rows, "rates"))]
    if result.get("objects"):
        title = "Success by object, the worst first"
        charts.append((title, interval_chart(_by_object(result), "objects")))
    failures = result.get("failures", {})
    if failures:
        title = f"What the {sum(failures.values()):,} failed episodes came to"
        charts.append((title, bar_chart(list(failures.items()), "failures")))
    return charts


def _rates(result: Mapping[str, Any]) -> list[tuple[str, float]]:
    """(name, rate) of how far episodes came, in the order in which they come there."""
    names, rates = result["task"]["headline"], result.get("headline_rates", {})
    return [
        *result.get("stage_rates", {}).items(),
        ("success", result["success_rate"]),
        *((names[metric], rate) for metric, rate in rates.items()),
    ]


def _by_object(result: Mapping[str, Any]) -> list[tuple[str, float, float, float]]:
    return [
        (
            row["name"] + (" (not trained on)" if row["held_out"] else ""),
            row["success_rate"],
            *row["success_ci95"],
        )
        for row in result["objects"]
    ]


def _with_counts(strips: Sequence[_Titled], result: Mapping[str, Any]) -> list[_Titled]:
    """Each kind of failure with how often it happened."""
    titled = []
    for strip in strips:
        number = result.get("failures", {}).get(strip.title.removeprefix("failure: "))
        more = f" ({number:,} of {result['episodes']:,} episodes)" if number else ""
        titled.append(strip._replace(title=strip.title + more))
    return titled


def _training(result: Mapping[str, Any], history: History) -> list[tuple[str, Markup]]:
    names = [*result["task"]["stages"], "success"]
    stages = {name: history.column(f"episode/{name}") for name in names}
    stages = {name: points for name, points in stages.items() if points}
    terms = sorted({k for row in history.rows for k in row if k.startswith("reward/")})
    rewards = {term.removeprefix("reward/"): history.column(term) for term in terms}
    evaluated = {"success": history.column(EVALUATED)}
    marks = []
    if result.get("episodes"):
        rate, (low, high) = result["success_rate"], result["success_ci95"]
        marks = [Mark("final evaluation", result["env_steps"], rate, low, high, "success")]
    charts = [
        ("Training episodes, by stage", line_chart(stages, percent=True, marks=marks)),
        ("Success of the deterministic policy", line_chart(evaluated, percent=True, marks=marks)),
        ("Return per episode", line_chart({"return": history.column("episode/return")})),
        ("Reward terms per step, unweighted", line_chart(rewards)),
    ]
    charts += [
        (title, line_chart({name: history.column(name)}, log=log))
        for name, (title, log) in _LEARNING.items()
    ]
    return [(title, chart) for title, chart in charts if chart]


def _commands(run_dir: Path, result: Mapping[str, Any], config: Mapping[str, Any]) -> list[Command]:
    """What one does next with a run, as it is typed in the folder where it was made."""
    run, yaml_file = shown(run_dir), shown(run_dir / "config.yaml")
    steps = f"training.total_timesteps={2 * max(result['env_steps'], 1)}"
    other = next(s for s in (1, 0) if s != result["seed"])
    commands = [
        Command(
            "Measure what it tolerates: other masses, late actions, wrong readings",
            command_line("r2s", "eval", run, "--robustness"),
        ),
        Command("Train on", command_line("r2s", "run", yaml_file, "--resume", steps)),
        Command(
            "Train it again with another seed, then compare the two",
            command_line(
                "r2s", "run", yaml_file, f"seed={other}", "--output", f"{run}-seed-{other}"
            )
            + "\n"
            + command_line("r2s", "compare", run, f"{run}-seed-{other}"),
        ),
    ]
    return commands if result.get("episodes") else commands[1:]


def _details(result: Mapping[str, Any]) -> list[Table]:
    """What is not told above, with units."""
    dt = result.get("control_dt_s")
    length = result.get("mean_length")
    numbers = {
        "training stopped by": result.get("stopped_by"),
        "training episodes": result.get("training_episodes"),
        "worlds that diverged in training": result.get("diverged_in_training"),
        "episodes that diverged in evaluation": result.get("diverged_episodes"),
        "mean return": result.get("mean_return"),
        "mean episode length": None
        if length is None
        else f"{length:.1f} control steps" + (f" ({length * dt:.2f} s)" if dt else ""),
        "set-up": _seconds(result.get("setup_s")),
        "compiling": _seconds(result.get("compile_s")),
        "evaluation": _seconds(result.get("evaluation_s")),
    }
    task = result["task"]
    told = {*task["stages"], *task["headline"], *task.get("failures", ())}
    means = {
        name.replace("_", " "): value
        for name, value in result.get("metrics", {}).items()
        if name not in told and failure_name(name) not in told
    }
    tables = (numbers, means, result.get("hardware", {}), result.get("versions", {}))
    titles = ("Numbers", "The task's metrics, mean at an episode's end", "Machine", "Versions")
    return [
        Table(title, [(k.replace("_", " "), _shown(v)) for k, v in rows.items() if v is not None])
        for title, rows in zip(titles, tables, strict=True)
    ]


def _seconds(value: float | None) -> str | None:
    return None if value is None else f"{value:.1f} s"


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
