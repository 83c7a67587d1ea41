"""The page about a shadow run: one HTML file that loads nothing."""

from __future__ import annotations

import html
from pathlib import Path

import numpy as np

from r2s_deploy.bundle import Bundle
from r2s_deploy.charts import Chart, legend
from r2s_deploy.errors import DeployError
from r2s_deploy.shadow import Shadow
from r2s_deploy.watch import Guard

Array = np.ndarray
_SHOWN = 8  # numbers that are least like training
_GAP_PERIODS = 2.0  # of control steps, without anything from the joints
_TOLD_AGE_S = 0.005  # what is measured more often than that needs no chart
_HEAD = (
    '<!doctype html><html lang="en"><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width"><title>shadow run</title>'
)
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff; margin: 2rem auto;
  max-width: 64rem; padding: 0 1rem; }
table { border-collapse: collapse; } tr { border-bottom: 1px solid #eee; }
td, th { padding: .3rem 1rem .3rem 0; text-align: left; vertical-align: top; }
th { font-weight: 600; white-space: nowrap; } .stop { color: #b22222; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr));
  gap: 1rem 1.5rem; } .charts.wide { grid-template-columns: 1fr; }
figure { margin: 0; } figcaption { font-size: 13px; } svg { width: 100%; height: auto; }
svg text { font: 10px system-ui, sans-serif; fill: #555; } .legend { font-size: 13px; }
.legend span { margin-right: 1.2em; white-space: nowrap; }
"""


def check_place(path: Path) -> None:
    """Raises `DeployError` unless a page may be written here: there is nothing, or such a page."""
    try:
        if not path.parent.is_dir():
            raise DeployError(f"{path} cannot be written: there is no folder {path.parent}")
        if not path.exists():
            return
        if path.is_file():
            with path.open("rb") as file:
                if file.read(len(_HEAD)) == _HEAD.encode():
                    return
    except OSError as error:
        raise DeployError(f"{path} cannot be written: {error.strerror}") from error
    raise DeployError(f"{path} exists, and is no page of a shadow run; name another file")


def write(path: Path, text: str) -> None:
    """Write a page; raises `DeployError`."""
    check_place(path)
    try:
        path.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise DeployError(f"{path} cannot be written: {error.strerror}") from error


def page(bundle: Bundle, shadow: Shadow, source: str) -> str:
    """The page's text."""
    rows = "".join(
        f"<tr><th>{html.escape(label)}</th><td{_class(label, text)}>{html.escape(text)}</td></tr>"
        for label, text in summary(bundle, shadow)
    )
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in shadow.notes)
    parts = [
        _HEAD,
        f"<style>{_STYLE}</style><h1>Shadow run</h1>",
        f"<p>{html.escape(bundle.path.name)} on {html.escape(source)}: what the policy would have ",
        f"done; nothing moved.</p><table>{rows}</table>",
        f"<h2>The recording</h2><ul>{notes}</ul>" if notes else "",
        *_joints(bundle, shadow),
        *_familiarity(bundle, shadow),
        *_section("Actions", [Chart(n, {n: shadow.actions[:, i]}) for i, n in _actions(bundle)]),
        *_timing(bundle, shadow),
        "</html>\n",
    ]
    return "".join(part if isinstance(part, str) else part.svg(shadow.time) for part in parts)


def summary(bundle: Bundle, shadow: Shadow) -> list[tuple[str, str]]:
    """What matters, as labels and texts."""
    ms, fast = 1000 * shadow.decide_s, shadow.speed > 1.0
    worst = int(shadow.unfamiliar.max(axis=0).argmax())
    p50, p90, p99 = np.quantile(ms, [0.5, 0.9, 0.99])
    seconds = len(shadow.time) / bundle.rate
    found = [
        ("control steps", f"{len(shadow.time):,}, {bundle.rate:g} a second, {seconds:.1f} s"),
        (
            "a robot would have stopped",
            "nowhere"
            if shadow.stopped is None
            else f"at {shadow.stopped[0]:.2f} s: {shadow.stopped[1]}",
        ),
        ("targets at a joint's limit", _where(bundle, shadow, shadow.at_limit)),
        ("targets faster than a joint", _where(bundle, shadow, fast)),
        (
            "least like training",
            f"{bundle.numbers[worst].name}, {shadow.unfamiliar[:, worst].max():.1f} standard "
            "deviations",
        ),
        (
            "time to decide",
            f"median {p50:.2f} ms, 90 % within {p90:.2f} ms, 99 % within {p99:.2f} ms, at most "
            f"{ms.max():.2f} ms of {1000 / bundle.rate:.0f}",
        ),
    ]
    late = shadow.state_age > _GAP_PERIODS / bundle.rate
    if late.any():
        gap = f"{shadow.state_age.max():.2f} s at most, from {shadow.time[late.argmax()]:.2f} s"
        found.append(("no joints for a while", gap))
    if shadow.object_age is not None and shadow.object_age.max() > _TOLD_AGE_S:
        oldest = f"{shadow.object_age.max():.2f} s old at most"
        if stale := int((shadow.object_age > Guard.stale_s).sum()):
            steps = f"{stale} control step{'s' * (stale != 1)}"
            oldest += f"; older than {Guard.stale_s:g} s in {steps}, where a robot stops"
        found.append(("the object's pose", oldest))
    if shadow.apart is not None:
        found.append(("difference from the logged targets", f"{shadow.apart:.4f} rad at most"))
    return found


def _class(label: str, text: str) -> str:
    stops = label == "a robot would have stopped" and text != "nowhere"
    return ' class="stop"' if stops else ""


def _where(bundle: Bundle, shadow: Shadow, so: Array) -> str:
    """In how many control steps of each joint something is so [K, n], and when first."""
    told = [
        f"{name} in {so[:, i].mean():.0%} of control steps, first at "
        f"{shadow.time[so[:, i].argmax()]:.2f} s"
        for i, name in enumerate(bundle.robot["joints"]["names"])
        if so[:, i].any()
    ]
    return "; ".join(told) or "none"


def _actions(bundle: Bundle) -> list[tuple[int, str]]:
    return list(enumerate(bundle.actions))


def _section(title: str, charts: list[Chart], said: str = "", *, wide: bool = False) -> list:
    kind = "charts wide" if wide else "charts"
    return [f'<h2>{title}</h2>{said}<div class="{kind}">', *charts, "</div>"]


def _joints(bundle: Bundle, shadow: Shadow) -> list:
    arm = bundle.law.arm
    lines = {"where it was": shadow.angles, "where the policy would have sent it": shadow.targets}
    if shadow.commanded is not None:
        lines["where it was sent"] = shadow.commanded
    said = legend(lines, "its limits", "beyond a limit of angle or speed")
    charts = [
        Chart(
            f"{name}, rad",
            {label: values[:, i] for label, values in lines.items()},
            levels=(float(arm.low[i]), float(arm.high[i])),
            marked=shadow.at_limit[:, i] | (shadow.speed[:, i] > 1.0),
        )
        for i, name in enumerate(bundle.robot["joints"]["names"])
    ]
    return _section("Joints", charts, said)


def _familiarity(bundle: Bundle, shadow: Shadow) -> list:
    worst = np.argsort(-shadow.unfamiliar.max(axis=0))[:_SHOWN]
    lines = {bundle.numbers[i].name: shadow.unfamiliar[:, i] for i in worst}
    chart = Chart(
        "standard deviations from what the policy read in training, of the numbers that were "
        "farthest",
        lines,
        levels=(Guard.unfamiliar,),
        from_zero=True,
        wide=True,
    )
    return _section("Familiarity", [chart], legend(lines, "where a robot stops"), wide=True)


def _timing(bundle: Bundle, shadow: Shadow) -> list:
    charts = [Chart("time to decide, ms", {"": 1000 * shadow.decide_s}, from_zero=True)]
    if shadow.state_age.max() > _TOLD_AGE_S:
        ages = {"": 1000 * shadow.state_age}
        charts.append(Chart("age of the joints' state, ms", ages, from_zero=True))
    if shadow.object_age is not None and shadow.object_age.max() > _TOLD_AGE_S:
        ages, stale = {"": shadow.object_age}, (Guard.stale_s,)
        charts.append(Chart("age of the object's pose, s", ages, levels=stale, from_zero=True))
    return _section("Timing", charts)
