"""`r2s object reconstruct`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from r2s_core.errors import AssetError
from r2s_core.system.text import printable
from r2s_envs_objects.asset import Finding, Floats
from r2s_envs_objects.reconstruct import output, source
from r2s_envs_objects.reconstruct.clean import thinned
from r2s_envs_objects.reconstruct.cloud import PointCloud
from r2s_envs_objects.reconstruct.pipeline import reconstruct
from r2s_envs_objects.reconstruct.plane import find_table, turn_to_z
from r2s_envs_objects.reconstruct.segment import FINEST, split_scene

SCENE_SHARE = 0.4  # fraction of the points in one plane below all others that suggests a table


def main(args: argparse.Namespace) -> int:
    """Reconstruct, write, and print the findings; returns the exit status."""
    path = args.source.expanduser()
    target = _target(path, args)  # checked first, so that no work is lost
    cloud, unit = source.read(path, args.units, args.mask, args.segment)
    to_metres = np.diag([unit, unit, unit, 1.0])
    up = np.eye(3)["xyz".index(args.up[-1])] * (-1.0 if args.up.startswith("-") else 1.0)
    if args.segment:
        return _scene(path, cloud, to_metres, up, args, target)
    turn = np.eye(4)
    turn[:3, :3] = turn_to_z(up)
    cloud = cloud.transformed(turn)
    if _looks_like_scene(cloud):
        what = "looks like objects on a table, reconstructed as one; --segment splits them"
        cloud = cloud.noting(Finding(what, "warning"))
    support = None if args.support is None else args.support * unit
    result = reconstruct(cloud, str(path), args.resolution, support)
    record = output.write(target, result, turn @ to_metres, unit, path, args.resolution)
    _print_table([(target, record)])
    _print_findings(record["findings"])
    return 0


def _target(path: Path, args: argparse.Namespace) -> Path:
    """The mesh to write, or with --segment the folder; AssetError if it must not be overwritten."""
    stem = path.resolve().stem
    if not args.segment:
        target = args.output or Path(f"{stem}_mesh.ply")
        if target.is_dir():
            target = target / f"{stem}.ply"
        if target.resolve() == path.resolve():
            raise AssetError(f"{target}: is the cloud itself; choose another file with -o")
        output.check(target)
        return target
    folder = args.output or Path(f"{stem}_objects")
    if folder.exists() and not folder.is_dir():
        raise AssetError(f"{folder}: is a file; --segment writes a folder, choose one with -o")
    if args.support is not None:
        raise AssetError("--support: --segment finds the table itself; leave one of them out")
    for found in sorted(folder.glob("object_*.*")):
        if found.suffix in (".ply", ".json"):
            output.check(found.with_suffix(".ply"))
    return folder


def _scene(
    path: Path,
    cloud: PointCloud,
    to_metres: Floats,
    up: Floats,
    args: argparse.Namespace,
    folder: Path,
) -> int:
    scene = split_scene(cloud, up, str(path))
    rows, problems = [], []
    for index, part in enumerate(scene.objects):
        target = folder / f"object_{index}.ply"
        try:
            result = reconstruct(part, f"{path} object {index}", args.resolution, support=0.0)
        except AssetError as error:
            problems.append(str(error))
            continue
        transform = scene.table.to_table @ to_metres
        record = output.write(
            target, result, transform, float(to_metres[0, 0]), path, args.resolution
        )
        rows.append((target, record))
    if not rows:
        raise AssetError("; ".join(problems))
    _print_table(rows)
    for finding in scene.findings:
        print(printable(f"  scene: {finding.what}"))
    for target, record in rows:
        _print_findings(record["findings"], f"{target.stem}: ")
    written = {target for target, _ in rows}
    if stale := [p.name for p in sorted(folder.glob("object_*.ply")) if p not in written]:
        problems.append(f"{folder}: {', '.join(stale)} are from an earlier scan; remove them")
    for problem in problems:
        print(printable(f"  warning: {problem}"), file=sys.stderr)
    return 0


def _looks_like_scene(cloud: PointCloud) -> bool:
    """Whether one plane holds many points, none are below it, and those above are less wide."""
    thin = thinned(cloud, max(FINEST, float(np.ptp(cloud.points, axis=0).max()) / 200.0))
    table = find_table(thin, np.array([0.0, 0.0, 1.0]))
    if table is None or table.share < SCENE_SHARE:
        return False
    points = thin.transformed(table.to_table).points
    above = points[points[:, 2] > table.clearance]
    under = (points[:, 2] < -2.0 * table.clearance).mean()
    if under > 0.03 or len(above) < 0.03 * len(points):
        return False
    table_size, size = np.ptp(table.outline, axis=0), np.ptp(above[:, :2], axis=0)
    return bool((table_size > 1.2 * size).all())


def _print_table(rows: list[tuple[Path, dict[str, Any]]]) -> None:
    print("mesh                         kind    points  size mm           volume cm3  unseen")
    for target, record in rows:
        size = " x ".join(f"{1000 * length:.0f}" for length in record["extents_m"])
        print(
            f"{printable(target):<28} {record['kind']:<6} {record['points']:>7}  {size:<17} "
            f"{1e6 * record['volume_m3']:>10.1f}  {record['unseen_share']:>6.0%}"
        )


def _print_findings(findings: list[dict[str, Any]], prefix: str = "") -> None:
    for finding in findings:
        mark = "warning: " if finding["severity"] == "warning" else ""
        print(printable(f"  {prefix}{mark}{finding['what']}"))
