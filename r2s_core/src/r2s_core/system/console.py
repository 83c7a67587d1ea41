"""The terminal: a console that prints strings literally."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from r2s_core.system.text import printable

_NARROWEST = 60  # columns


class PlainConsole(Console):
    """Prints strings literally: no markup (`[/red]`), emoji (`:duck:`) or control sequences (ESC).

    Names, paths and messages come from users, files and plugins. For styled text, pass `style=` or
    a `rich.text.Text`.
    """

    def render_str(self, text: str, **options: Any) -> Text:
        """See `rich.console.Console`; all strings that are printed pass through here."""
        options |= {"markup": False, "emoji": False}
        return super().render_str(printable(text, lines=True), **options)


def stderr_console() -> Console:
    """For progress and notes, so that stdout stays for results."""
    return PlainConsole(stderr=True, highlight=False, soft_wrap=True)


def stdout_console() -> Console:
    """For results; a minimum width keeps columns on narrow terminals."""
    console = PlainConsole(highlight=False, soft_wrap=True)
    console.width = max(console.width, _NARROWEST)
    return console
