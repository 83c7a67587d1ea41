"""What the macros of `templates/macros.html` draw."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

#: Good, good with a reservation, bad, and not known.
State = Literal["good", "amber", "bad", "open"]


class Card(NamedTuple):
    """A headline number with its name and a remark; state: None leaves it uncoloured."""

    number: str
    name: str
    remark: str = ""
    state: State | None = None


class Line(NamedTuple):
    """A sentence of a verdict."""

    state: State
    text: str


class Command(NamedTuple):
    """Something to do next, and the command line that does it."""

    what: str
    line: str


class Shot(NamedTuple):
    """A picture under its caption; state: a tick, a cross, or nothing beside the caption."""

    caption: str
    png: bytes
    state: State | None = None


class Strip(NamedTuple):
    """Pictures of one episode in the order of time."""

    title: str
    state: State
    shots: Sequence[Shot]


class Film(NamedTuple):
    """Small images of one episode in the order of time, drawn pixel by pixel; reels: (what it is
    of, its images), one after the other."""

    title: str
    state: State
    reels: Sequence[tuple[str, Sequence[Shot]]]


class Table(NamedTuple):
    """heads: of the columns, may be empty. rows: cells, the first of each row is its name."""

    title: str
    rows: Sequence[Sequence[Any]]
    heads: Sequence[str] = ()


def command_line(*words: object) -> str:
    """A command as it is typed in a shell, whatever its words hold."""
    return shlex.join(str(word) for word in words)
