"""`certificate.html`: what was made of a scan and what was tried with it, in one file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r2s_core.pages import Card, Command, Line, Shot, State, Table, command_line, write_page
from r2s_envs_objects.certificate.checks import HOLD
from r2s_envs_objects.object_folder import LUMP

if TYPE_CHECKING:
    from r2s_envs_objects.certificate.certify import Certificate

_SECTIONS = {"object": "From the scan to simulation (squares of 2 cm)", HOLD: "Held by the robot"}


def write_certificate(path: Path, certificate: Certificate, folder: object) -> None:
    """Write the page of a certificate to `path`; the file needs no other.

    folder: the object's, as it is named in a configuration.
    """
    facts = certificate.facts
    page = {
        "title": f"{facts['name']}: {facts['verdict']}",
        "subtitle": [("from", facts["source"])],
        "verdict": list(_verdict(facts)),
        "train": list(_commands(facts, folder)),
        "notes": certificate.notes,
        "cards": list(_cards(facts)),
        "turntable": certificate.turntable,
        "sections": _sections(certificate.pictures),
        "findings": [_finding(finding) for finding in facts["findings"]],
        "details": list(_details(facts)),
    }
    write_page(path, "certificate.html", page, package="r2s_envs_objects.certificate")


def _verdict(facts: Mapping[str, Any]) -> Iterator[Line]:
    """What passed and what did not, a sentence each."""
    if facts["problem"]:
        yield Line("bad", facts["problem"])
    else:
        ready = "simulation-ready: repaired, compiles, and lies still on a table"
        yield Line("amber" if facts["reservations"] else "good", ready)
    for reservation in facts["reservations"]:
        yield Line("amber", reservation)
    lump = any(LUMP in text for text in facts["reservations"])
    for finding in facts["findings"]:
        if finding["severity"] == "warning" and not (lump and finding["code"] == "pieces"):
            yield Line("amber", finding["what"])
    barely = any(text.startswith("barely") for text in facts["reservations"])
    states: dict[bool | None, State] = {True: "good", False: "bad", None: "open"}
    for name, result in facts.get("checks", {}).items():
        state = "amber" if result["passed"] and barely else states[result["passed"]]
        yield Line(state, f"{name}: {result['summary']}")
    if facts["passed"] and not facts["checks"]:
        yield Line("open", "hold: not tried, no gripper is installed (r2s-envs-pick-place)")
    if facts["graspable"] is False:
        refused = "training on it is refused unless forced"
        forced = "training is allowed because it was forced"
        yield Line("open", forced if facts["forced"] else refused)


def _commands(facts: Mapping[str, Any], folder: object) -> Iterator[Command]:
    """How to use what has passed."""
    if not facts["passed"] or (facts["graspable"] is False and not facts["forced"]):
        return
    objects = f"environment.objects=[{folder}]"
    name = f"name={Path(str(folder)).name}"
    yield Command(
        "The quickstart's training with this object",
        command_line("r2s", "run", "quickstart", objects, name),
    )
    if HOLD in facts["checks"]:
        yield Command(
            "It and the robot, for MuJoCo's own viewer",
            command_line("r2s", "scene", folder, "-o", "scene.xml"),
        )


def _cards(facts: Mapping[str, Any]) -> Iterator[Card]:
    if facts["verdict"] == "refused":
        return
    yield from _grasp_cards(facts)
    overlap = "overlap unknown" if facts["iou"] is None else f"overlap {facts['iou']:.2f}"
    off = facts["surface_p95_m"]
    remark = overlap if off is None else f"{overlap}, 95 % within {off * 1000:.1f} mm"
    if facts["volume_error"] is not None:
        remark += f", volume {facts['volume_error']:+.0%}"
    lump = any(LUMP in text for text in facts["reservations"])
    yield Card(str(facts["pieces"]), "convex pieces", remark, "amber" if lump else "good")
    size = " \N{MULTIPLICATION SIGN} ".join(f"{1000 * side:.0f}" for side in facts["size_m"])
    yield Card(size, "mm", f"the file is in {facts['units']}")
    low, high = facts["mass_range_kg"]
    yield Card(f"{facts['mass_kg']:.3g} kg", "mass", f"expected {low:.2g} to {high:.2g} kg")
    yield Card(f"{facts['volume_m3'] * 1e6:.4g} cm³", "volume", "of the closed scan")
    if facts["cost_ratio"] is not None:
        yield Card(f"{facts['cost_ratio']:.2f}", "speed", "physics steps/s, a box of its size is 1")


def _grasp_cards(facts: Mapping[str, Any]) -> Iterator[Card]:
    hold: Mapping[str, Any] = facts["checks"].get(HOLD, {})
    state: State | None
    if hold.get("grasps_tried"):
        held, tried = hold["grasps_held"], hold["grasps_tried"]
        barely = any(text.startswith("barely") for text in facts["reservations"])
        state = "bad" if not held else "amber" if barely else "good"
        yield Card(f"{held} of {tried}", "grasps held", "lifted, shaken, held still", state)
    remark = f"in force closure: {_grade(facts)}"
    state = "amber" if facts["grasp_class"] in ("poor", "none") else None
    yield Card(f"{facts['grasp_share']:.1%}", "grasps from above", remark, state)


def _grade(facts: Mapping[str, Any]) -> str:
    return {"good": "good", "hard": "hard to grasp", "poor": "hardly any", "none": "none"}[
        facts["grasp_class"]
    ]


def _sections(pictures: Sequence[tuple[str, str, bytes]]) -> list[tuple[str, list[Shot]]]:
    sections: dict[str, list[Shot]] = {}
    for section, caption, png in pictures:
        sections.setdefault(section, []).append(Shot(caption, png))
    return [(_SECTIONS.get(name, name), shots) for name, shots in sections.items()]


def _finding(finding: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "what": finding["what"],
        "warning": finding["severity"] == "warning",
        "repaired": "yes" if finding["repaired"] else "",
        "moved": _moved(finding["moved"]),
        "volume": _change(finding["volume_change"]),
    }


def _moved(metres: float | None) -> str:
    return f"{1000 * metres:.2g} mm" if metres else ""


def _change(share: float | None) -> str:
    return f"{share:+.2%}" if share and abs(share) >= 5e-5 else ""


def _details(facts: Mapping[str, Any]) -> Iterable[Table]:
    if facts["verdict"] != "refused":
        yield Table("Physics", list(_physics(facts).items()))
        yield Table("Resting poses", list(_poses(facts["resting_poses"]).items()))
        yield Table("Best grasps from above", list(_grasps(facts["grasps"]).items()))
    seconds = {
        name: f"{value:.2f} s" if isinstance(value, float) else value
        for name, value in facts["timings_s"].items()
    }
    yield Table("Seconds", list(seconds.items()))
    yield Table("Versions", list(facts["versions"].items()))


def _physics(facts: Mapping[str, Any]) -> dict[str, Any]:
    diagonal = ", ".join(f"{facts['inertia'][i][i]:.3g}" for i in range(3))
    settles = facts["settles"] or {}
    (low, high), gripper = facts["friction_range"], facts["gripper"]
    return {
        "inertia xx, yy, zz": f"{diagonal} kg m²",
        "gripper": f"{gripper['name']} of {facts['robot']}, {1000 * gripper['opening']:.0f} mm",
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
