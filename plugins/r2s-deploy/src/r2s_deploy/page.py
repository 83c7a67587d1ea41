"""The page about a shadow run: one HTML file that loads nothing."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np

from r2s_deploy.bundle import Bundle
from r2s_deploy.shadow import Shadow

Array = np.ndarray
_COLOURS = ("#1f5fa8", "#d2691e", "#2e8b57", "#8b3a62", "#6a5acd", "#808000", "#b22222", "#20808d")
_WIDTH, _HEIGHT, _EDGE = 420, 150, 34
_SHOWN = 8  # numbers that are least like training
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }
table { border-collapse: collapse; } td, th { padding: .2rem .8rem .2rem 0; text-align: left; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); gap: 1rem; }
figure { margin: 0; } figcaption { font-size: 13px; } svg { width: 100%; height: auto; }
svg text { font: 10px system-ui, sans-serif; fill: #555; }
"""


def page(bundle: Bundle, shadow: Shadow, source: str) -> str:
    """The page's text."""
    names = bundle.robot["joints"]["names"]
    joints = [
        chart(
            f"{name}: where it was, and where the policy would have sent it (rad)",
            shadow.time,
            {"was": shadow.angles[:, i], "policy": shadow.targets[:, i]},
        )
        for i, name in enumerate(names)
    ]
    actions = [
        chart(f"action {name}", shadow.time, {name: shadow.actions[:, i]})
        for i, name in enumerate(bundle.actions)
    ]
    worst = np.argsort(-shadow.unfamiliar.max(axis=0))[:_SHOWN]
    unlike = chart(
        "what the policy read: standard deviations from training",
        shadow.time,
        {bundle.numbers[i].name: shadow.unfamiliar[:, i] for i in worst},
    )
    rows = "".join(
        f"<tr><th>{html.escape(a)}</th><td>{html.escape(b)}</td></tr>"
        for a, b in summary(bundle, shadow)
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>shadow run</title>'
        f"<style>{_STYLE}</style><h1>Shadow run</h1>"
        f"<p>{html.escape(bundle.path.name)} on {html.escape(source)}: what the policy would have "
        f"done; nothing moved.</p><table>{rows}</table><h2>Joints</h2>"
        f'<div class="charts">{"".join(joints)}</div><h2>Familiarity</h2>'
        f'<div class="charts">{unlike}</div>'
        f'<h2>Actions</h2><div class="charts">{"".join(actions)}</div></html>\n'
    )


def summary(bundle: Bundle, shadow: Shadow) -> list[tuple[str, str]]:
    """What matters, as labels and texts."""
    names, ms = bundle.robot["joints"]["names"], 1000 * shadow.decide_s
    limits = [n for i, n in enumerate(names) if shadow.at_limit[:, i].any()]
    fast = [n for i, n in enumerate(names) if (shadow.speed[:, i] > 1.0).any()]
    worst = int(shadow.unfamiliar.max(axis=0).argmax())
    p50, p99 = np.quantile(ms, [0.5, 0.99])
    found = [
        ("control steps", f"{len(shadow.time):,}, {bundle.rate:g} a second"),
        ("targets at a joint's limit", ", ".join(limits) or "none"),
        ("targets faster than a joint", ", ".join(fast) or "none"),
        (
            "least like training",
            f"{bundle.numbers[worst].name}, {shadow.unfamiliar[:, worst].max():.1f} standard "
            "deviations",
        ),
        (
            "time to decide",
            f"median {p50:.2f} ms, 99 % within {p99:.2f} ms, at most {ms.max():.2f}",
        ),
    ]
    if shadow.apart is not None:
        found.append(("difference from the logged targets", f"{shadow.apart:.4f} rad at most"))
    return found


def chart(title: str, x: Array, lines: dict[str, Array]) -> str:
    """Lines over x as an SVG figure."""
    low = min(float(y.min()) for y in lines.values())
    high = max(float(y.max()) for y in lines.values())
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    across = _EDGE + (x - x[0]) / max(x[-1] - x[0], 1e-9) * (_WIDTH - _EDGE - 4)

    def path(y: Array, colour: str) -> str:
        down = 6 + (high - y) / (high - low) * (_HEIGHT - 24)
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(across, down, strict=True))
        return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.4"/>'

    drawn = "".join(path(y, c) for y, c in zip(lines.values(), _COLOURS, strict=False))
    marks = (
        f'<text x="0" y="12">{high:.3g}</text><text x="0" y="{_HEIGHT - 18}">{low:.3g}</text>'
        f'<text x="{_EDGE}" y="{_HEIGHT - 4}">{x[0]:.3g} s</text>'
        f'<text x="{_WIDTH - 4}" y="{_HEIGHT - 4}" text-anchor="end">{x[-1]:.3g} s</text>'
    )
    return (
        f"<figure><figcaption>{html.escape(title)}{_legend(list(lines))}</figcaption>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">{marks}{drawn}</svg></figure>'
    )


def _legend(names: Sequence[str]) -> str:
    if len(names) < 2:
        return ""
    parts = (
        f'<span style="color:{colour}">{html.escape(name)}</span>'
        for name, colour in zip(names, _COLOURS, strict=False)
    )
    return ": " + ", ".join(parts)
