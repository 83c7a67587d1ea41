"""How far a recording is."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from r2s_core.system.progress import percent

_PLAIN_INTERVAL_S = 10.0


class RecordingProgress:
    """A live bar on a terminal, a line every ten seconds elsewhere; a context manager."""

    def __init__(self, total: int, console: Console) -> None:
        self._total, self._console = total, console
        self._last_line = time.monotonic()
        self._bar: Progress | None = None
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("[bold]recording[/]"),
                BarColumn(bar_width=14),
                TextColumn("{task.fields[line]}", markup=False),
                console=console,
            )
            self._task = self._bar.add_task("recording", total=total, line="")

    def __enter__(self) -> RecordingProgress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, kept: int, played: int, succeeded: int) -> None:
        """Episodes so far; of those played, so many succeeded."""
        share = percent(succeeded / max(played, 1))
        line = f"{kept:,}/{self._total:,} episodes  {share} of {played:,} played succeeded"
        if self._bar is not None:
            self._bar.update(self._task, completed=kept, line=line)
        elif time.monotonic() - self._last_line > _PLAIN_INTERVAL_S:
            self._last_line = time.monotonic()
            self._console.print(line)
