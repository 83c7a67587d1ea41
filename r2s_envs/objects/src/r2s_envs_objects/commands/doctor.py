"""`r2s object check`: what is wrong with a scan, and what repairing it does; changes nothing."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import TYPE_CHECKING, Any

from r2s_core.errors import AssetError, ConfigError
from r2s_core.gripper import Gripper
from r2s_core.system.text import printable
from r2s_envs_objects.guard import sandbox
from r2s_envs_objects.options import ObjectOptions, on_command_line
from r2s_envs_objects.scan.source import locate, read_bytes

if TYPE_CHECKING:
    from r2s_envs_objects.asset import Finding, Floats, Ints


def main(args: argparse.Namespace) -> int:
    """Print the report; 0 where nothing is worse than a note, else 1."""
    if args.mass is not None and not args.mass > 0.0:
        raise ConfigError(f"--mass {args.mass:g}: must be above 0; give the mass in kg")
    options = ObjectOptions(
        units=args.units,
        up=args.up,
        scale=args.scale,
        max_filled=args.max_filled,
        mass=args.mass,
        material=args.material,
        robot=args.robot,
    )
    try:
        report = check(args.scan, options)
    except AssetError as error:
        if not args.json:
            raise
        refused = on_command_line(str(error))
        report = {"file": printable(args.scan), "verdict": "refused", "refused": refused}
    text = json.dumps(report, indent=2) if args.json else "\n".join(_lines(report))
    print(printable(on_command_line(text), lines=True))
    return 0 if report["verdict"] == "sound" else 1


def check(source: str, options: ObjectOptions) -> dict[str, Any]:
    """The report on a scan as plain data; AssetError if it is refused. Writes nothing."""
    from r2s_envs_objects.behaviour.grasp import gripper_of  # heavy

    path, label = locate(source)
    arguments = {
        "suffix": path.suffix.lower(),
        "label": label,
        "options": dataclasses.asdict(options),
        "gripper": dataclasses.asdict(gripper_of(options.robot)),
    }
    target = "r2s_envs_objects.commands.doctor:examine"
    answer = sandbox.call(target, read_bytes(path), arguments, label)
    report = json.loads(answer["report"].tobytes())
    worst = any(finding["severity"] == "warning" for finding in report["findings"])
    return {"file": label, "verdict": "warnings" if worst else "sound", **report}


def examine(
    data: bytes, suffix: str, label: str, options: dict[str, Any], gripper: dict[str, Any]
) -> dict[str, Any]:
    """The report as `sandbox` expects it: its JSON as bytes."""
    import numpy as np  # heavy: only where the work is done

    from r2s_envs_objects.behaviour.grasp import payload_findings
    from r2s_envs_objects.preparation.solid import solidify

    solid = solidify(data, suffix, label, ObjectOptions(**options))
    spans = Gripper(**gripper)
    findings = solid.findings + payload_findings(solid.mass, spans)
    findings += _width_findings(solid.vertices, solid.faces, spans)
    report = {
        "units": solid.unit,
        "size_m": np.ptp(solid.vertices, axis=0).tolist(),
        "volume_m3": solid.volume,
        "mass_kg": solid.mass,
        "mass_range_kg": solid.mass_range,
        "inertia_kgm2": solid.inertia.tolist(),
        "faces": {"before": solid.was_faces, "after": solid.full_faces},
        "watertight": {"before": solid.was_watertight, "after": solid.watertight},
        "findings": [dataclasses.asdict(f) for f in findings],
    }
    return {"report": np.frombuffer(json.dumps(report).encode(), np.uint8)}


def _width_findings(vertices: Floats, faces: Ints, gripper: Gripper) -> list[Finding]:
    """Warnings about a scan, in metres, z up, that is wide for the gripper."""
    from r2s_envs_objects.asset import Finding
    from r2s_envs_objects.behaviour.antipodal import graspability
    from r2s_envs_objects.behaviour.grasp import narrowest_grasp

    width = narrowest_grasp(vertices, faces, gripper).width
    if width <= gripper.widest:
        return []
    what = f"too wide for the {gripper} at its centre of mass: from above it "
    what += f"spans {width * 1000:.0f} mm at its narrowest (limit {gripper.widest * 1000:.0f}), "
    if share := graspability(vertices, faces, gripper).share:
        what += f"but {share:.1%} of the sampled grasps fit elsewhere, as on a rim or a handle"
        return [Finding(what, code="wide")]
    what += "and no grasp elsewhere was found; set `scale`, or `force` to use it all the same"
    return [Finding(what, "warning", code="too-wide")]


def _lines(report: dict[str, Any]) -> list[str]:
    count = sum(finding["severity"] == "warning" for finding in report["findings"])
    head = "nothing worse than a note" if not count else f"{count} warning{'s' * (count > 1)}"
    rows = [("SEVERITY", "REPAIRED", "MOVED", "VOLUME", "FOUND")]
    rows += [_row(finding) for finding in report["findings"]]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    table = [
        "  " + "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[4]])
        for row in rows
    ]
    size = " x ".join(f"{1000 * side:.3g}" for side in report["size_m"])
    low, high = report["mass_range_kg"]
    closed = {True: "yes", False: "no"}
    before, after = (closed[report["watertight"][k]] for k in ("before", "after"))
    faces = report["faces"]
    return [
        f"{report['file']}: {head}",
        *table,
        f"  size        {size} mm (the file is in {report['units']})",
        f"  volume      {report['volume_m3'] * 1e6:.4g} cm3",
        f"  mass        {report['mass_kg']:.3g} kg, expected {low:.3g} to {high:.3g}",
        f"  watertight  {before}, repaired: {after}",
        f"  faces       {faces['before']}, repaired: {faces['after']}",
    ]


def _row(finding: dict[str, Any]) -> tuple[str, ...]:
    moved = f"{1000 * finding['moved']:.2g} mm" if finding["moved"] else "-"
    change = finding["volume_change"]
    volume = f"{change:+.2%}" if abs(change) >= 5e-5 else "-"
    repaired = "yes" if finding["repaired"] else "-"
    return finding["severity"], repaired, moved, volume, finding["what"]
