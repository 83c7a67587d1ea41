"""Lines over time as SVG, for pages that load nothing."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Iterable, Mapping

import numpy as np

Array = np.ndarray
_COLOURS = ("#1f5fa8", "#d2691e", "#2e8b57", "#8b3a62", "#6a5acd", "#808000", "#b22222", "#20808d")
_LEVEL, _MARK, _FRAME = "#999", "#b22222", "#ddd"
_WIDTHS, _HEIGHT, _LEFT, _BELOW = (420, 1000), 150, 46, 18
_NEAR = 0.35  # of the range of values: a level that is so near is shown
_COLUMNS = 500  # of a line, with its least and greatest value each


@dataclasses.dataclass(frozen=True, eq=False)
class Chart:
    """lines: values [K] by name. levels: horizontal lines, shown where values come near. marked
    [K]: moments that are marked below the lines. from_zero: the axis begins at 0."""

    title: str
    lines: Mapping[str, Array]
    levels: tuple[float, ...] = ()
    marked: Array | None = None
    from_zero: bool = False
    wide: bool = False

    def svg(self, time: Array) -> str:
        """The figure, over time [K], s."""
        width = _WIDTHS[self.wide]
        low, high, levels = self._range()
        bottom = _HEIGHT - _BELOW

        def across(x: Array) -> Array:
            return _LEFT + (x - time[0]) / max(time[-1] - time[0], 1e-9) * (width - _LEFT - 1)

        def down(y: Array) -> Array:
            return 6 + (high - y) / (high - low) * (bottom - 12)

        drawn = [
            f'<rect x="{_LEFT}" y="1" width="{width - _LEFT - 1}" height="{bottom - 1}" '
            f'fill="none" stroke="{_FRAME}"/>'
        ]
        drawn += [
            f'<line x1="{_LEFT}" x2="{width - 1}" y1="{y:.1f}" y2="{y:.1f}" '
            f'stroke="{_LEVEL}" stroke-dasharray="5 3"/>'
            for y in down(np.array(levels))
        ]
        if self.marked is not None:
            drawn += [
                f'<rect x="{across(time[a]):.1f}" y="{bottom - 4}" height="4" '
                f'width="{max(across(time[b]) - across(time[a]), 1.5):.1f}" fill="{_MARK}"/>'
                for a, b in _runs(self.marked)
            ]
        for values, colour in zip(self.lines.values(), _COLOURS, strict=False):
            x, y = _thinned(time, values)
            points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(across(x), down(y), strict=True))
            drawn.append(
                f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.4"/>'
            )
        marks = (
            f'<text x="{_LEFT - 4}" y="12" text-anchor="end">{_text(high)}</text>'
            f'<text x="{_LEFT - 4}" y="{bottom - 3}" text-anchor="end">{_text(low)}</text>'
            f'<text x="{_LEFT}" y="{_HEIGHT - 5}">{_text(time[0])} s</text>'
            f'<text x="{width - 1}" y="{_HEIGHT - 5}" text-anchor="end">{_text(time[-1])} s</text>'
        )
        return (
            f"<figure><figcaption>{html.escape(self.title)}</figcaption>"
            f'<svg viewBox="0 0 {width} {_HEIGHT}" role="img">{"".join(drawn)}{marks}</svg>'
            "</figure>"
        )

    def _range(self) -> tuple[float, float, list[float]]:
        """The least and greatest value that is shown, and the levels between."""
        low = min(float(y.min()) for y in self.lines.values())
        high = max(float(y.max()) for y in self.lines.values())
        low = min(low, 0.0) if self.from_zero else low
        if high - low < 1e-9:
            low, high = (low, low + 1.0) if self.from_zero else (low - 0.5, high + 0.5)
        room = _NEAR * (high - low)
        levels = [x for x in self.levels if low - room < x < high + room]
        return min([low, *levels]), max([high, *levels]), levels


def legend(names: Iterable[str], level: str = "", mark: str = "") -> str:
    """What colours mean; level and mark: what those of `Chart` are."""
    shown = [("&#9472;", c, name) for name, c in zip(names, _COLOURS, strict=False)]
    shown += [("- -", _LEVEL, level)] * bool(level) + [("&#9644;", _MARK, mark)] * bool(mark)
    parts = (
        f'<span><b style="color:{colour}">{sign}</b> {html.escape(name)}</span>'
        for sign, colour, name in shown
    )
    return f'<p class="legend">{" ".join(parts)}</p>'


def _runs(so: Array) -> list[tuple[int, int]]:
    """First and last index of each run of what is true [K]."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], so.astype(int), [0]])))
    return [(int(a), int(b) - 1) for a, b in edges.reshape(-1, 2)]


def _thinned(x: Array, y: Array) -> tuple[Array, Array]:
    """Of a long line, the least and the greatest value of each column, in their order."""
    if len(x) <= 4 * _COLUMNS:
        return x, y
    kept = []
    for part in np.array_split(np.arange(len(x)), _COLUMNS):
        kept += sorted({int(part[y[part].argmin()]), int(part[y[part].argmax()])})
    return x[kept], y[kept]


def _text(value: float) -> str:
    return "0" if abs(value) < 1e-12 else f"{value:.3g}"
