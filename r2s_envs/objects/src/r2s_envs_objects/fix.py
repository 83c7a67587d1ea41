"""`r2s object fix`: a scan in, a certified object out."""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from r2s_core.errors import AssetError
from r2s_envs_objects.certificate import write_page
from r2s_envs_objects.certify import certify
from r2s_envs_objects.options import ObjectOptions
from r2s_envs_objects.source import locate

LIBRARY = Path("outputs/reconstructed_objects")  # where objects go unless another place is named
CERTIFICATE, PAGE, RANGES = "certificate.json", "certificate.html", "ranges.json"


def main(args: argparse.Namespace) -> int:
    """Prepare, certify and write the object; 0 if it is ready for simulation, else 1."""
    folder = args.output or LIBRARY / default_name(args.scan)
    facts = fix(args.scan, options_of(args), folder, pictures=args.pictures)
    print("\n".join(_lines(facts, folder)))
    return 0 if facts["passed"] else 1


def options_of(args: argparse.Namespace) -> ObjectOptions:
    """What the arguments of `cli.shaping` say."""
    return ObjectOptions(
        units=args.units,
        up=args.up,
        scale=args.scale,
        mass=getattr(args, "mass", None),
        material=args.material,
        density=args.density,
        max_pieces=args.max_pieces,
        max_hull_vertices=args.max_hull_vertices,
        force=args.force,
    )


def default_name(source: str) -> str:
    """What the object of a scan is called."""
    return locate(source)[0].stem or "object"


def fix(source: str, options: ObjectOptions, folder: Path, pictures: bool = True) -> dict[str, Any]:
    """Write the object of a scan into `folder`, in place of an earlier one; its certificate.

    AssetError where the folder holds anything else. A reader sees the earlier object or the new
    one, whole.
    """
    folder = folder.expanduser().resolve()
    with _replacing(folder) as partial:
        certificate = certify(source, options, partial, pictures)
        facts = certificate.facts
        (partial / CERTIFICATE).write_text(_json(facts), encoding="utf-8")
        if facts["verdict"] != "refused":
            (partial / RANGES).write_text(_json(_ranges(facts)), encoding="utf-8")
        write_page(partial / PAGE, certificate)
    return facts


@contextmanager
def _replacing(folder: Path) -> Iterator[Path]:
    """A new folder to be filled, which then takes the place of `folder`."""
    foreign = folder.exists() and not (folder / CERTIFICATE).is_file()
    if foreign and (not folder.is_dir() or any(folder.iterdir())):
        raise AssetError(f"{folder}: holds something else than an object; name another with -o")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    except OSError as error:
        raise AssetError(
            f"{folder}: cannot be written ({error.strerror}); name another place with -o"
        ) from None
    try:
        (work / "new").mkdir()
        yield work / "new"
        if folder.exists():
            folder.rename(work / "old")
        try:
            (work / "new").rename(folder)
        except OSError:
            if (work / "old").exists():
                (work / "old").rename(folder)
            raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _ranges(facts: dict[str, Any]) -> dict[str, Any]:
    """What a randomizer may vary of this object; the same is in asset.npz."""
    keys = ("name", "mass_kg", "mass_range_kg", "friction", "friction_range")
    return {key: facts[key] for key in keys}


def _json(values: dict[str, Any]) -> str:
    return json.dumps(values, indent=2, allow_nan=False) + "\n"


def _lines(facts: dict[str, Any], folder: Path) -> list[str]:
    if facts["verdict"] == "refused":
        return [f"refused: {facts['problem']}", f"  certificate  {folder / PAGE}"]
    size = " x ".join(f"{1000 * side:.3g}" for side in facts["size_m"])
    low, high = facts["mass_range_kg"]
    lying = sum(pose["probability"] for pose in facts["resting_poses"])
    warned = [f["what"] for f in facts["findings"] if f["severity"] == "warning"]
    overlap = "unknown" if facts["iou"] is None else f"{facts['iou']:.2f}"
    lines = [
        f"{facts['name']}: {facts['verdict']}",
        *([f"  problem      {facts['problem']}"] if facts["problem"] else []),
        *(f"  warning      {what}" for what in warned),
        f"  size         {size} mm (the file is in {facts['units']})",
        f"  mass         {facts['mass_kg']:.3g} kg, expected {low:.3g} to {high:.3g}",
        f"  pieces       {facts['pieces']}, overlap with the scan {overlap}, "
        f"speed {facts['cost_ratio']} of a box's",
        f"  lies         in {len(facts['resting_poses'])} ways, {lying:.0%} of drops",
        f"  grasps       {facts['grasp_share']:.1%} of those sampled close from above "
        f"({facts['grasp_class']})",
    ]
    for name, result in facts["checks"].items():
        lines.append(f"  {name:<12} {result['summary']}")
    if not facts["checks"]:
        lines.append("  hold         not tried: no gripper is installed (r2s-envs-pick-place)")
    if facts["graspable"] is False and not facts["forced"]:
        lines.append("  training     on it is refused, unless --force here or `force` there")
    return [*lines, f"  written to   {folder}", f"  certificate  {folder / PAGE}"]
