"""What a user reads while a run works and when it ends."""

import io
import math

import pytest
from rich.console import Console

from r2s_core.system.progress import TrainingProgress, count, duration, print_result


def console(terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=120, highlight=False)


def text(screen: Console) -> str:
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


METRICS = {"episode/success": 0.915, "episode/return": 12.25}


def test_a_log_gets_plain_lines(monkeypatch):
    clock = iter(range(0, 1000, 4))
    monkeypatch.setattr("time.monotonic", lambda: float(next(clock)))
    screen = console(terminal=False)
    with TrainingProgress(1_000_000, 0, screen) as progress:
        for i in range(1, 7):
            progress.update(8192 * i, 10_000.0, METRICS)
    lines = text(screen).splitlines()
    assert "\x1b" not in text(screen)
    # "compiling", the first update at once, then every third (the clock ticks 4 s), and the last.
    assert [line.split("/")[0] for line in lines[1:]] == ["8.19k", "32.8k", "49.2k"]
    assert "8.19k/1M steps" in lines[1]
    assert "10k/s" in lines[1]
    assert "success 91.5 %" in lines[1]
    assert "return 12.25" in lines[1]
    assert "1:39 left" in lines[1]


def test_a_terminal_gets_a_bar():
    screen = console(terminal=True)
    with TrainingProgress(1000, 0, screen) as progress:
        progress.update(500, 100.0, METRICS)
        progress.note("a note")
    assert "━" in text(screen)
    assert "500/1k" in text(screen)
    assert "a note" in text(screen)


def test_what_is_not_known_yet_is_not_shown():
    screen = console(terminal=False)
    with TrainingProgress(1000, 0, screen) as progress:
        progress.update(500, math.nan, {"episode/success": math.nan})
    assert "success" not in text(screen)
    assert "left" not in text(screen)
    assert "500/1k steps" in text(screen)


@pytest.mark.parametrize(
    ("number", "shown"), [(0, "0"), (999, "999"), (8192, "8.19k"), (1e6, "1M"), (999_900, "1M")]
)
def test_count(number, shown):
    assert count(number) == shown


def test_duration():
    assert duration(75.4) == "1:15"
    assert duration(3675) == "1:01:15"


def test_the_final_table_says_what_matters():
    screen = console(terminal=False)
    print_result(
        {
            "name": "quickstart",
            "success_rate": 0.9717,
            "success_ci95": [0.96, 0.98],
            "task": {"headline": {"precise": "success within 1 cm"}},
            "headline_rates": {"precise": 0.95},
            "stage_rates": {"reached": 1.0, "grasped": 0.99},
            "episodes": 1024,
            "env_steps": 1_000_448,
            "wall_clock_s": 93.21,
            "train_steps_per_second": 10733.2,
            "backend": "mujoco",
            "files": {"report": "runs/quickstart/report.html"},
        },
        screen,
    )
    shown = text(screen)
    for part in ("97.2 %", "96.0 to 98.0 %", "95.0 %", "1,024", "1,000,448", "93.2 s", "10,733"):
        assert part in shown
    assert "runs/quickstart/report.html" in shown
