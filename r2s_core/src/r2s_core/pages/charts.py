"""Small SVG charts as markup: no library, no script, colours from the page's style sheet."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup, escape

from r2s_core.system.text import printable

Points = Sequence[tuple[float, float]]

_WIDTH, _HEIGHT = 440, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 12, 16, 34
_MOST_POINTS = 400
_LONG_NAME = 20  # characters
#: Of series, groups and their keys; `.c0` and on in the style sheet.
COLOURS = 6


class Mark(NamedTuple):
    """A measured point beside the curves: a rate with its interval, in the colour of `series`."""

    name: str
    x: float
    rate: float
    low: float
    high: float
    series: str


def line_chart(
    series: Mapping[str, Points],
    *,
    percent: bool = False,
    log: bool = False,
    label: str = "",
    marks: Sequence[Mark] = (),
) -> Markup:
    """Curves over environment steps: each as measured (faint) and smoothed (strong).

    percent: y runs from 0 to 1 and reads as per cent. log: logarithmic y, positive values only.
    label: what the chart shows, for readers that cannot see it. marks: with `percent` only; where
    a mark's series has no curve, it is left out.
    """
    series = {
        name: [(x, y) for x, y in points if not log or y > 0] for name, points in series.items()
    }
    everything = [point for points in series.values() for point in points]
    if not everything:
        return Markup("")
    x_high = max([x for x, _ in everything] + [mark.x for mark in marks]) or 1.0
    scale = _Scale.of([y for _, y in everything], percent, log)
    parts = [*scale.grid(), *_x_axis(x_high)]
    for i, points in enumerate(series.values()):
        raw, smooth = _thin(points), _thin(_smoothed(points, log))
        for css, line in (("raw", raw), ("line", smooth)):
            path = _path(line, x_high, scale)
            parts.append(f'<polyline class="{css} {_colour(i)}" points="{path}"/>')
    names, keys = list(series), list(range(len(series)))
    for mark in marks:
        if mark.series in names[: len(series)]:
            parts += _mark(mark, names.index(mark.series), x_high, scale)
            keys.append(names.index(mark.series))
            names.append(mark.name)
    legend, rows = _legend(names, keys) if len(names) > 1 else ([], 0)
    return _svg(_WIDTH, _HEIGHT + 18 * rows, label, [*parts, *legend])


def band_chart(
    series: Mapping[str, Sequence[Sequence[float]]], *, x_label: str, label: str = ""
) -> Markup:
    """Rates with a band around each: rows of (x, middle, low, high), drawn as they are."""
    x_high = max((row[0] for rows in series.values() for row in rows), default=0.0)
    if not x_high:
        return Markup("")
    scale = _Scale.of([], percent=True, log=False)
    bands, lines = [], []
    for i, rows in enumerate(series.values()):
        middle, low, high = ([(row[0], row[k]) for row in rows] for k in (1, 2, 3))
        around = _path([*low, *reversed(high)], x_high, scale)
        bands.append(f'<polygon class="band {_colour(i)}" points="{around}"/>')
        path = _path(middle, x_high, scale)
        lines.append(f'<polyline class="line {_colour(i)}" points="{path}"/>')
    legend, rows = _legend(list(series), range(len(series)))
    parts = [*scale.grid(), *_x_axis(x_high, x_label), *bands, *lines, *legend]
    return _svg(_WIDTH, _HEIGHT + 18 * rows, label, parts)


def interval_chart(
    rows: Sequence[tuple[str, float, float, float]],
    label: str = "",
    colours: Sequence[int] | None = None,
) -> Markup:
    """Rates with their intervals: (name, rate, low, high).

    The axis ends at 100 % and starts at the round number below the lowest interval, so that
    the intervals can be seen; it says so by its ticks. Long names stand above their intervals.
    colours: the number of each row's; by default all have the first.
    """
    right, longest = 76, max((len(name) for name, *_ in rows), default=0)
    above = longest > _LONG_NAME
    row_height, left = (44, 14) if above else (30, max(90, 7 * longest + 24))
    height = row_height * len(rows) + 30
    lowest = min((low for _, _, low, _ in rows), default=0.0)
    start = next(s for s in (0.9, 0.8, 0.5, 0.0) if lowest >= s)

    def x(rate: float) -> float:
        return left + (_WIDTH - left - right) * (rate - start) / (1 - start)

    parts = []
    for i in range(5):
        tick = start + (1 - start) * i / 4
        parts.append(_line("grid", x(tick), 4, x(tick), height - 22))
        parts.append(_text(x(tick), height - 6, f"{100 * tick:g} %", "middle"))
    for i, (name, rate, low, high) in enumerate(rows):
        y = row_height * (i + 1) - 10
        colour = _colour(colours[i] if colours else 0)
        if above:
            parts.append(_text(left - 4, y - 14, name, "start", "label"))
        else:
            parts.append(_text(left - 12, y + 4, name, "end", "label"))
        parts.append(_line(f"whisker {colour}", x(low), y, x(high), y))
        parts += [_line(f"whisker {colour}", x(end), y - 5, x(end), y + 5) for end in (low, high)]
        parts.append(f'<circle class="dot {colour}" cx="{x(rate):.1f}" cy="{y}" r="4.5"/>')
        parts.append(_text(_WIDTH - right + 16, y + 4, f"{100 * rate:.1f} %", "start", "label"))
    return _svg(_WIDTH, height, label, parts)


def bar_chart(rows: Sequence[tuple[str, int]], label: str = "") -> Markup:
    """Horizontal bars of counts, each with its number."""
    left, row_height, right = 190, 26, 50
    most = max((number for _, number in rows), default=0) or 1
    parts = []
    for i, (name, number) in enumerate(rows):
        y = row_height * i + 8
        width = (_WIDTH - left - right) * number / most
        parts.append(_text(left - 10, y + 13, name, "end", "label"))
        parts.append(
            f'<rect class="bar c1" x="{left}" y="{y}" rx="2" width="{width:.1f}" height="16"/>'
        )
        parts.append(_text(left + width + 8, y + 13, f"{number}", "start", "label"))
    return _svg(_WIDTH, row_height * len(rows) + 10, label, parts)


class _Scale:
    """The y axis: limits, ticks and where a value lies."""

    def __init__(self, low: float, high: float, ticks: list[float], percent: bool, log: bool):
        self.low, self.high, self.ticks, self.percent, self.log = low, high, ticks, percent, log

    @classmethod
    def of(cls, values: list[float], percent: bool, log: bool) -> _Scale:
        if percent:
            return cls(0.0, 1.0, [0, 0.25, 0.5, 0.75, 1], percent, log)
        if log:
            low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
            high = max(high, low + 1)
            stride = math.ceil((high - low) / 5)
            return cls(low, high, [10.0**e for e in range(low, high + 1, stride)], percent, log)
        ticks = nice_ticks(min(values), max(values))
        return cls(ticks[0], ticks[-1], ticks, percent, log)

    def y(self, value: float) -> float:
        at = math.log10(value) if self.log else value
        share = (at - self.low) / (self.high - self.low)
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * share

    def grid(self) -> list[str]:
        parts = []
        for tick in self.ticks:
            y = self.y(tick)
            parts.append(_line("grid", _LEFT, y, _WIDTH - _RIGHT, y))
            shown = f"{100 * tick:.0f} %" if self.percent else compact(tick)
            parts.append(_text(_LEFT - 8, y + 4, shown, "end"))
        return parts


def nice_ticks(low: float, high: float, target: int = 5) -> list[float]:
    """Round numbers that enclose [low, high], about `target` of them."""
    if not high > low:
        margin = abs(high) * 0.5 or 1.0
        low, high = low - margin, high + margin
    raw = (high - low) / target
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def compact(number: float) -> str:
    """Axis labels: 250000 -> "250k", 1e-5 -> "1e-05"."""
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return f"{number / size:g}{suffix}"
    return f"{number:g}"


def _smoothed(points: Points, log: bool) -> list[tuple[float, float]]:
    """A centred mean over a twentieth of the curve: unlike an exponential one it does not lag."""
    values = [math.log(y) if log else y for _, y in points]
    sums = [0.0, *itertools.accumulate(values)]
    reach, smooth = len(points) // 40, []
    for i, (x, _) in enumerate(points):
        near = min(reach, i, len(points) - 1 - i)  # symmetric, so that the ends do not lean
        mean = (sums[i + near + 1] - sums[i - near]) / (2 * near + 1)
        smooth.append((x, math.exp(mean) if log else mean))
    return smooth


def _thin(points: Points) -> list[tuple[float, float]]:
    stride = max(1, math.ceil(len(points) / _MOST_POINTS))
    kept = list(points[::stride])
    return kept if not points or kept[-1] == points[-1] else [*kept, points[-1]]


def _path(points: Points, x_high: float, scale: _Scale) -> str:
    return " ".join(f"{_x(x, x_high):.1f},{scale.y(y):.1f}" for x, y in points)


def _x(step: float, x_high: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * step / x_high


def _x_axis(x_high: float, label: str = "environment steps") -> list[str]:
    ticks = [tick for tick in nice_ticks(0, x_high) if tick <= x_high]
    y = _HEIGHT - _BOTTOM
    parts = [_line("axis", _LEFT, y, _WIDTH - _RIGHT, y)]
    parts += [_text(_x(tick, x_high), y + 16, compact(tick), "middle") for tick in ticks]
    return [*parts, _text(_WIDTH - _RIGHT, y + 30, label, "end")]


def _mark(mark: Mark, number: int, x_high: float, scale: _Scale) -> list[str]:
    x, colour = _x(mark.x, x_high), _colour(number)
    return [
        _line(f"whisker {colour}", x, scale.y(mark.low), x, scale.y(mark.high)),
        f'<circle class="dot {colour}" cx="{x:.1f}" cy="{scale.y(mark.rate):.1f}" r="5"/>',
    ]


def _colour(number: int) -> str:
    return f"c{number % COLOURS}"


def _legend(names: Sequence[str], colours: Sequence[int]) -> tuple[list[str], int]:
    """Keys and names under the chart, in as many rows as they need; past the curves, of marks."""
    parts, x, row = [], float(_LEFT), 0
    for i, (name, number) in enumerate(zip(names, colours, strict=True)):
        width = 34 + 6.4 * len(name)
        if x > _LEFT and x + width > _WIDTH:
            x, row = float(_LEFT), row + 1
        y = _HEIGHT + 10 + 18 * row
        radius = 5 if number in colours[:i] else 2  # a mark's key is round
        key = f'x="{x:.1f}" y="{y - 9}" width="10" height="10" rx="{radius}"'
        parts.append(f'<rect class="{_colour(number)}" {key}/>')
        parts.append(_text(x + 15, y, name, "start", "label"))
        x += width
    return parts, row + 1


def _line(css: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{css}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, content: str, anchor: str, css: str = "tick") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text class="{css}" {place}>{escape(printable(content))}</text>'


def _svg(width: float, height: float, label: str, parts: Sequence[str]) -> Markup:
    return Markup(
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(printable(label))}">'
        f"{''.join(parts)}</svg>"
    )
