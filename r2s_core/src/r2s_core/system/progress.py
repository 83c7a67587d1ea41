"""A run's progress on the screen, and the table of results at its end."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Table
from rich.text import Text

from r2s_core.system.console import stderr_console, stdout_console

_PLAIN_INTERVAL_S = 10.0


class TrainingProgress:
    """A live bar on a terminal, a line every ten seconds elsewhere (logs, CI).

    Use as a context manager around training.
    """

    def __init__(self, total_steps: int, start_step: int, console: Console | None = None) -> None:
        self.console = console or stderr_console()
        self._total, self._step, self._start = total_steps, start_step, start_step
        self._last_line = time.monotonic()
        self._pending = ""  # the newest line, if not printed yet
        self._bar: Progress | None = None
        if self.console.is_terminal:
            self._bar = Progress(
                TextColumn("[bold]training[/]"),
                BarColumn(bar_width=14),
                _Line(),
                console=self.console,
                refresh_per_second=4,
            )
            self._task = self._bar.add_task(
                "training",
                total=total_steps,
                completed=start_step,
                line="compiling …" if start_step < total_steps else "done",
            )

    def __enter__(self) -> TrainingProgress:
        if self._bar is not None:
            self._bar.start()
        elif self._start < self._total:
            self.note(f"training for {count(self._total)} steps; compiling ...")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif self._pending:  # the last line shows where training ended
            self.note(self._pending)

    def update(self, step: int, steps_per_second: float, metrics: Mapping[str, float]) -> None:
        """Show the progress of training.

        step: environment steps so far; steps_per_second: NaN where it is not known yet;
        metrics: `episode/success` and `episode/return` are shown if present.
        """
        # The most important first: a narrow terminal cuts the rest.
        parts = [f"{count(step)}/{count(self._total)} steps"]
        if steps_per_second > 0:
            left = max(self._total - step, 0) / steps_per_second
            parts += [f"{count(steps_per_second)}/s", f"{duration(left)} left"]
        if math.isfinite(success := metrics.get("episode/success", math.nan)):
            parts.append(f"success {100 * success:.1f} %")
        if math.isfinite(episode_return := metrics.get("episode/return", math.nan)):
            parts.append(f"return {episode_return:.2f}")
        if self._bar is not None:
            self._bar.update(self._task, completed=step, line="  ".join(parts))
        now, first = time.monotonic(), self._step == self._start
        self._step, self._pending = step, "  ".join(parts)
        if self._bar is None and (first or now - self._last_line > _PLAIN_INTERVAL_S):
            self._last_line = now
            self.note(self._pending)
            self._pending = ""

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        self.console.print(text)


class _Line(ProgressColumn):
    """The numbers behind the bar; cut rather than wrapped on a narrow terminal."""

    def render(self, task: Task) -> Text:
        return Text(str(task.fields.get("line", "")), no_wrap=True, overflow="ellipsis")


def count(number: float) -> str:
    """1_234_567 -> "1.23M"."""
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size * 0.9995:
            return f"{number / size:.3g}{suffix}"
    return f"{number:.0f}"


def duration(seconds: float) -> str:
    """75.4 -> "1:15"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def percent(rate: float | None, digits: int = 1) -> str:
    """0.953 -> "95.3 %"; nothing measured -> "-"."""
    return "-" if rate is None or not math.isfinite(rate) else f"{100 * rate:.{digits}f} %"


def points(difference: float, bounds: Sequence[float]) -> str:
    """0.012, (-0.003, 0.027) -> "+1.2 points (-0.3 to +2.7)"."""
    low, high = (100 * bound for bound in bounds)
    return f"{100 * difference:+.1f} points ({low:+.1f} to {high:+.1f})"


def auxiliary_error(auxiliary: Mapping[str, Any]) -> str:
    """The error of what a network predicts besides, `result.json`'s "auxiliary": in mm where all
    of it are positions, else in the numbers' own units."""
    error = auxiliary["error"]
    lengths = auxiliary["names"] and all("position" in name for name in auxiliary["names"])
    return f"{1000 * error:.3g} mm" if lengths else f"{error:.3g}"


def result_rows(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The table at the end of a run or an evaluation, from `result.json`'s keys."""
    rows = []
    if result.get("episodes"):
        low, high = result["success_ci95"]
        interval = f"{100 * low:.1f} to {100 * high:.1f} %"
        rows.append(("success", f"{percent(result['success_rate'])}  (95 % interval {interval})"))
        if other := result.get("stochastic"):
            apart = points(other["difference"], other["difference_ci95"])
            rows.append(("success, stochastic", f"{percent(other['success_rate'])}  ({apart})"))
        for metric, rate in result.get("headline_rates", {}).items():
            rows.append((result["task"]["headline"][metric], percent(rate)))
        for name, rate in result.get("stage_rates", {}).items():
            rows.append((name, percent(rate)))
        if times := result.get("time_to_success_s"):
            spread = f"80 % between {times['p10']:.2f} and {times['p90']:.2f} s"
            rows.append(("time to success", f"{times['median']:.2f} s in the median, {spread}"))
        rows.append(("episodes", f"{result['episodes']:,}"))
        if result.get("diverged_episodes"):
            rows.append(("physics diverged", f"in {result['diverged_episodes']:,} of them"))
        rows += _failure_rows(result)
        rows += _object_rows(result)
    if result.get("env_steps"):
        rows.append(("environment steps", f"{result['env_steps']:,}"))
        rows.append(("training time", f"{result['wall_clock_s']:.1f} s, compilation included"))
        rows.append(("training steps/s", f"{result['train_steps_per_second']:,.0f}"))
    if result.get("auxiliary"):
        rows.append(("auxiliary error", auxiliary_error(result["auxiliary"])))
    rows.append(("backend", str(result.get("backend"))))
    rows += [(name, str(path)) for name, path in result.get("files", {}).items()]
    return rows


def _failure_rows(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Each kind of failure: how often it happened, and how far these episodes came."""
    rows = []
    for kind, number in result.get("failures", {}).items():
        stages = result.get("failures_by_stage", {}).get(kind, {})
        came = ", ".join(f"{stage} {count:,}" for stage, count in stages.items())
        share = percent(number / result["episodes"])
        rows.append((f"  {kind}", f"{number:,}  ({share})" + (f"; got to: {came}" if came else "")))
    return [("failures", f"{sum(result['failures'].values()):,}"), *rows] if rows else []


def _object_rows(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Success by object, the worst first, where there are several."""
    rows = []
    if result.get("held_out_episodes"):
        low, high = result["held_out_success_ci95"]
        text = (
            f"{percent(result['held_out_success_rate'])}  ({100 * low:.1f} to {100 * high:.1f} %)"
        )
        rows.append(("success, objects not trained on", text))
    if result.get("objects"):
        rows.append(("success by object", "the worst first"))
    for row in result.get("objects", ()):
        low, high = row["success_ci95"]
        text = f"{percent(row['success_rate'])}  ({100 * low:.1f} to {100 * high:.1f} %)"
        text += ", not trained on" if row["held_out"] else ""
        kinds = ", ".join(f"{kind} {n:,}" for kind, n in row.get("failures", {}).items())
        rows.append((f"  {row['name']}", text + (f"; {kinds}" if kinds else "")))
    return rows


def print_result(result: Mapping[str, Any], console: Console | None = None) -> None:
    """Print `result_rows` under the run's name."""
    console = console or stdout_console()
    table = Table(title=str(result.get("name", "")), show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in result_rows(result):
        table.add_row(name, value)
    console.print(table)
