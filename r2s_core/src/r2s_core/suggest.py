"""The "did you mean" of every message about an unknown name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`"; did you mean learning_rate?"`, or an empty string when nothing is close."""
    if len(name) > 100:  # no misspelling, and slow to compare
        return ""
    names = {other.casefold(): other for other in known}
    close = difflib.get_close_matches(name.casefold(), list(names), n=1, cutoff=0.6)
    return f"; did you mean {names[close[0]]}?" if close else ""
