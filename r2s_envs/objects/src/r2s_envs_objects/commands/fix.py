"""`r2s object fix`: a scan in, a certified object out."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from r2s_core.record.folder import shown
from r2s_core.system import files
from r2s_core.system.text import printable
from r2s_envs_objects.certificate.certify import certify
from r2s_envs_objects.certificate.page import write_certificate
from r2s_envs_objects.names import object_name
from r2s_envs_objects.object_folder import (
    CERTIFICATE,
    PAGE,
    RANGES,
    check_place,
    made_of,
    put,
    unwritable,
    workplace,
)
from r2s_envs_objects.options import ObjectOptions, on_command_line
from r2s_envs_objects.scan.source import absolute, locate, require_readable

LIBRARY = Path("outputs/reconstructed_objects")  # the default output folder


def main(args: argparse.Namespace) -> int:
    """Prepare, certify and write the object; 0 if it is ready for simulation, else 1."""
    folder = args.output or LIBRARY / default_name(args.scan)
    earlier = made_of(folder)
    facts = fix(args.scan, options_of(args), folder, pictures=args.pictures)
    if args.json:
        print(json.dumps(facts | {"folder": str(folder), "earlier": earlier}))
    else:
        print(printable(on_command_line("\n".join(_lines(facts, folder, earlier))), lines=True))
    return 0 if facts["passed"] else 1


def options_of(args: argparse.Namespace) -> ObjectOptions:
    """The options given by the arguments of `cli.shaping`."""
    return ObjectOptions(
        units=args.units,
        up=args.up,
        scale=args.scale,
        max_filled=args.max_filled,
        mass=getattr(args, "mass", None),
        material=args.material,
        density=args.density,
        max_pieces=args.max_pieces,
        max_hull_vertices=args.max_hull_vertices,
        robot=args.robot,
        force=args.force,
    )


def default_name(source: str) -> str:
    """The name of a scan's object."""
    return object_name(locate(source)[0])


def fix(source: str, options: ObjectOptions, folder: Path, pictures: bool = True) -> dict[str, Any]:
    """Write the object of a scan into `folder`, replacing an earlier one; return its certificate.

    A reader sees either the earlier object or the complete new one; other files in the folder are
    kept. A refused scan leaves a certificate that says so, but never replaces an object.
    AssetError if there is no scan to read, or the folder holds anything else or is unwritable.
    """
    folder = absolute(folder)
    check_place(folder)
    require_readable(source)
    try:
        with workplace(folder) as work:
            certificate = certify(source, options, work, pictures)
            facts = certificate.facts
            if facts["verdict"] == "refused" and made_of(folder) is not None:
                return facts
            files.write_json(work / CERTIFICATE, facts)
            if facts["verdict"] != "refused":
                files.write_json(work / RANGES, _ranges(facts))
            write_certificate(work / PAGE, certificate, shown(folder))
            put(work, folder)
    except OSError as error:
        raise unwritable(folder, error) from error
    return facts


def _ranges(facts: dict[str, Any]) -> dict[str, Any]:
    """The ranges within which a randomizer may vary this object; also in asset.npz."""
    keys = ("name", "mass_kg", "mass_range_kg", "friction", "friction_range")
    return {key: facts[key] for key in keys}


def _gripper(facts: dict[str, Any]) -> str:
    """Whose gripper all of this is about."""
    gripper = facts["gripper"]
    return f"{gripper['name']} of {facts['robot']}, opens {gripper['opening'] * 1000:.0f} mm"


def _lines(facts: dict[str, Any], folder: Path, earlier: str | None) -> list[str]:
    """The printed report; earlier: the scan of the object that the folder held before."""
    if facts["verdict"] == "refused":
        kept = f"  {folder} still holds the object made of {earlier}"
        written = f"  certificate  {folder / PAGE}"
        return [f"refused: {facts['problem']}", kept if earlier else written]
    size = " x ".join(f"{1000 * side:.3g}" for side in facts["size_m"])
    low, high = facts["mass_range_kg"]
    lying = sum(pose["probability"] for pose in facts["resting_poses"])
    warned = [f["what"] for f in facts["findings"] if f["severity"] == "warning"]
    overlap = "unknown" if facts["iou"] is None else f"{facts['iou']:.2f}"
    off = "" if facts["volume_error"] is None else f", volume {facts['volume_error']:+.0%}"
    lines = [
        f"{facts['name']}: {facts['verdict']}",
        *([f"  problem      {facts['problem']}"] if facts["problem"] else []),
        *(f"  but          {reservation}" for reservation in facts["reservations"]),
        *(f"  warning      {what}" for what in warned),
        f"  size         {size} mm (the file is in {facts['units']})",
        f"  mass         {facts['mass_kg']:.3g} kg, expected {low:.3g} to {high:.3g}",
        f"  pieces       {facts['pieces']}, overlap with the scan {overlap}{off}, "
        f"speed {facts['cost_ratio']} of a box's",
        f"  rests        in {len(facts['resting_poses'])} poses, {lying:.0%} of drops",
        f"  grasps       {facts['grasp_share']:.1%} of those sampled close from above "
        f"({facts['grasp_class']})",
        f"  gripper      {_gripper(facts)}",
    ]
    for name, result in facts["checks"].items():
        lines.append(f"  {name:<12} {result['summary']}")
    if not facts["checks"]:
        lines.append("  hold         not tried: no gripper is installed (r2s-envs-pick-place)")
    if facts["graspable"] is False and not facts["forced"]:
        lines.append("  training     refused unless forced: --force here, force: true in the YAML")
    if earlier:
        lines.append(f"  replaces     the object made of {earlier}")
    return [*lines, f"  written to   {folder}", f"  certificate  {folder / PAGE}"]
