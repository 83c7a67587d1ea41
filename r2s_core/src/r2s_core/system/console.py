"""The terminal: one kind of console, on which a string is only ever text."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from r2s_core.system.text import printable

_NARROWEST = 60  # columns


class PlainConsole(Console):
    """Shows strings as they are: `[/red]` is no markup, `:duck:` no emoji, ESC no control sequence.

    Names, paths and messages come from users, files and plugins. Whoever wants a style passes it
    beside the text (`style=`) or makes a `rich.text.Text`.
    """

    def render_str(self, text: str, **options: Any) -> Text:
        """See `rich.console.Console`; everything that is printed as a string comes through here."""
        options |= {"markup": False, "emoji": False}
        return super().render_str(printable(text, lines=True), **options)


def stderr_console() -> Console:
    """For progress and notes, so that stdout stays for results."""
    return PlainConsole(stderr=True, highlight=False, soft_wrap=True)


def stdout_console() -> Console:
    """For results, of which none is left out where a terminal is too narrow for them."""
    console = PlainConsole(highlight=False, soft_wrap=True)
    console.width = max(console.width, _NARROWEST)
    return console
