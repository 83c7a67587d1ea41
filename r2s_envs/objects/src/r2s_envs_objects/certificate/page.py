"""`certificate.html`: what was made of a scan and what was tried with it, in one file."""

from __future__ import annotations

import base64
import importlib.resources
import string
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from r2s_core.system import files
from r2s_core.system.text import printable

if TYPE_CHECKING:
    from r2s_envs_objects.certificate.certify import Certificate

_SECTIONS = {"object": "From the scan to simulation (squares of 2 cm)", "hold": "Held by the robot"}


def write_page(path: Path, certificate: Certificate) -> None:
    """Write the page of a certificate to `path`; the file needs no other."""
    facts = certificate.facts
    template = importlib.resources.files("r2s_envs_objects.certificate").joinpath("page.html")
    page = string.Template(template.read_text(encoding="utf-8")).substitute(
        title=_text(f"{facts['name']}: {facts['verdict']}"),
        subtitle=f"<b>from</b> {_text(facts['source'])}",
        verdict="".join(_verdict(facts)),
        notes="".join(f'<p class="note">{_text(note)}</p>' for note in certificate.notes),
        cards="".join(_card(*card) for card in _cards(facts)),
        pictures=_pictures(certificate.pictures),
        findings=_findings(facts),
        details="".join(_table(title, rows) for title, rows in _details(facts)),
    )
    files.write_text(path, page)


def _verdict(facts: Mapping[str, Any]) -> Iterable[str]:
    """What passed and what did not, a sentence each."""
    if facts["problem"]:
        yield _line(False, facts["problem"])
    else:
        yield _line(True, "simulation-ready: repaired, compiles, and lies still on a table")
    for reservation in facts["reservations"]:
        yield _line("amber", reservation)
    barely = any(text.startswith("barely") for text in facts["reservations"])
    for name, result in facts.get("checks", {}).items():
        passed = "amber" if result["passed"] and barely else result["passed"]
        yield _line(passed, f"{name}: {result['summary']}")
    if facts["passed"] and not facts["checks"]:
        yield _line(None, "hold: not tried, no gripper is installed (r2s-envs-pick-place)")
    if facts["graspable"] is False:
        refused = "training on it goes on: it was forced" if facts["forced"] else (
            "training on it is refused unless forced"
        )  # fmt: skip
        yield _line(None, refused)


def _line(passed: bool | Literal["amber"] | None, sentence: str) -> str:
    """A sentence of the verdict; passed: "amber" for what holds with a reservation."""
    marks = {True: ("✓", "good"), False: ("✗", "bad"), None: ("\N{EN DASH}", "open")}
    mark, css = ("!", "amber") if isinstance(passed, str) else marks[passed]
    return f'<p class="verdict {css}"><span>{mark}</span> {_text(sentence)}</p>'


def _cards(facts: Mapping[str, Any]) -> Iterable[tuple[str, str, str]]:
    """(number, name, remark) of the headline numbers."""
    if facts["verdict"] == "refused":
        return
    size = " \N{MULTIPLICATION SIGN} ".join(  # with spaces, to be broken at
        f"{1000 * side:.0f}" for side in facts["size_m"]
    )
    yield size, "mm", f"the file is in {facts['units']}"
    low, high = facts["mass_range_kg"]
    yield f"{facts['mass_kg']:.3g} kg", "mass", f"expected {low:.2g} to {high:.2g} kg"
    yield f"{facts['volume_m3'] * 1e6:.4g} cm³", "volume", "of the closed scan"
    overlap = "overlap unknown" if facts["iou"] is None else f"overlap {facts['iou']:.2f}"
    off = facts["surface_p95_m"]
    remark = overlap if off is None else f"{overlap}, 95 % within {off * 1000:.1f} mm"
    if facts["volume_error"] is not None:
        remark += f", volume {facts['volume_error']:+.0%}"
    yield str(facts["pieces"]), "convex pieces", remark
    if facts["cost_ratio"] is not None:
        yield f"{facts['cost_ratio']:.2f}", "speed", "physics steps/s, a box of its size is 1"
    yield f"{facts['grasp_share']:.1%}", "grasps from above", f"in force closure: {_grade(facts)}"


def _grade(facts: Mapping[str, Any]) -> str:
    return {"good": "good", "hard": "hard to grasp", "poor": "hardly any", "none": "none"}[
        facts["grasp_class"]
    ]


def _card(number: str, name: str, remark: str) -> str:
    return (
        f'<div class="card"><div class="number">{_text(number)}</div>'
        f'<div class="name">{_text(name)}</div><div class="remark">{_text(remark)}</div></div>'
    )


def _pictures(pictures: Sequence[tuple[str, str, bytes]]) -> str:
    sections: dict[str, list[str]] = {}
    for section, caption, png in pictures:
        sections.setdefault(section, []).append(
            f'<figure class="frame"><img alt="{_text(caption)}" '
            f'src="data:image/png;base64,{base64.b64encode(png).decode()}"/>'
            f"<figcaption>{_text(caption)}</figcaption></figure>"
        )
    return "".join(
        f'<h2>{_text(_SECTIONS.get(name, name))}</h2><div class="frames">{"".join(shots)}</div>'
        for name, shots in sections.items()
    )


def _findings(facts: Mapping[str, Any]) -> str:
    if facts["verdict"] == "refused":
        return ""
    head = "<tr><th>found</th><th>severity</th><th>repaired</th><th>moved</th><th>volume</th></tr>"
    rows = "".join(
        f"<tr{_css(finding)}><td>{_text(finding['what'])}</td>"
        f"<td>{_text(finding['severity'])}</td><td>{'yes' if finding['repaired'] else ''}</td>"
        f"<td>{_moved(finding['moved'])}</td><td>{_change(finding['volume_change'])}</td></tr>"
        for finding in facts["findings"]
    )
    return f"<h2>Findings</h2><table>{head}{rows}</table>"


def _css(finding: Mapping[str, Any]) -> str:
    """Only severities that we know reach the page outside of text."""
    return ' class="warning"' if finding["severity"] == "warning" else ""


def _text(value: object) -> str:
    """Whatever comes from files, for a page: shown, and never obeyed."""
    return escape(printable(value, lines=True))


def _moved(metres: float | None) -> str:
    return f"{1000 * metres:.2g} mm" if metres else ""


def _change(share: float | None) -> str:
    return f"{share:+.2%}" if share and abs(share) >= 5e-5 else ""


def _details(facts: Mapping[str, Any]) -> Iterable[tuple[str, Mapping[str, Any]]]:
    if facts["verdict"] != "refused":
        yield "Physics", _physics(facts)
        yield "Resting poses", _poses(facts["resting_poses"])
        yield "Best grasps from above", _grasps(facts["grasps"])
    yield "Seconds", facts["timings_s"]
    yield "Versions", facts["versions"]


def _physics(facts: Mapping[str, Any]) -> dict[str, Any]:
    diagonal = ", ".join(f"{facts['inertia'][i][i]:.3g}" for i in range(3))
    settles = facts["settles"] or {}
    low, high = facts["friction_range"]
    return {
        "inertia xx, yy, zz": f"{diagonal} kg m²",
        "friction": f"{facts['friction']:g}, expected {low:g} to {high:g}",
        "vertices of the pieces": ", ".join(map(str, facts["hull_vertices"])),
        "jitter at rest": f"{1000 * settles.get('jitter_m', float('nan')):.2g} mm in 0.25 s",
        "sinks at rest": f"{1000 * settles.get('sunk_m', float('nan')):.2g} mm",
        "content": facts["content_hash"][:16],
        "asset.npz": facts["asset_sha256"][:16],
    }


def _poses(poses: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    return {
        f"{pose['probability']:.1%} of drops": f"origin {1000 * pose['height']:.1f} mm high, "
        f"quaternion {' '.join(f'{q:.3f}' for q in pose['quat'])}"
        for pose in poses
    }


def _grasps(grasps: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    return {
        f"{i}": f"{1000 * grasp['width']:.0f} mm wide, "
        f"at {', '.join(f'{round(1000 * x)}' for x in grasp['position'])} mm, "
        f"yaw {57.29578 * grasp['yaw']:.0f}°, score {grasp['score']:.2f}"
        for i, grasp in enumerate(grasps, start=1)
    }


def _table(title: str, rows: Mapping[str, Any]) -> str:
    body = "".join(
        f"<tr><th>{_text(name)}</th><td>{_text(value)}</td></tr>" for name, value in rows.items()
    )
    return f"<div><h3>{_text(title)}</h3><table>{body}</table></div>" if body else ""
