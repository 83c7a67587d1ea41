"""Convex pieces for collision."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import fast_simplification
import numpy as np

from r2s_envs_objects.asset import Finding, Floats, Ints
from r2s_envs_objects.hull import hull_volume, reduce_hull
from r2s_envs_objects.options import ObjectOptions

COLLISION_FACES = 4000
CONCAVITY = 0.008  # m, how deep a dent a piece may bridge
TIMEOUT = 120.0  # s


def decimate(vertices: Floats, faces: Ints, max_faces: int) -> tuple[Floats, Ints]:
    """A mesh with at most about max_faces faces; it may lose its watertightness."""
    if len(faces) <= max_faces:
        return vertices, faces
    centre, unit = vertices.mean(axis=0), float(np.ptp(vertices, axis=0).max())
    points, triangles = fast_simplification.simplify(
        ((vertices - centre) / unit).astype(np.float32),
        faces.astype(np.int32),
        target_count=max_faces,
    )
    return points.astype(np.float64) * unit + centre, triangles.astype(np.int64)


def convex_pieces(
    vertices: Floats, faces: Ints, volume: float, options: ObjectOptions
) -> tuple[tuple[Floats, ...], list[Finding]]:
    """Hull vertices [k, 3] of each convex piece of a closed mesh in metres.

    One hull where it is hardly larger than the object, else CoACD in a process of its own; where
    that fails, one hull and a finding that says so.
    """
    excess = hull_volume(vertices) / volume - 1.0
    if options.max_pieces == 1 or excess <= options.hull_excess:
        what = f"one convex hull, {excess:+.1%} of the volume"
        return (reduce_hull(vertices, options.max_hull_vertices),), [Finding(what)]
    try:
        parts = _coacd(*decimate(vertices, faces, COLLISION_FACES), options.max_pieces)
    except (subprocess.SubprocessError, OSError, ValueError, KeyError) as error:
        cause = "timed out" if isinstance(error, subprocess.TimeoutExpired) else "failed"
        what = f"the decomposition {cause}: one convex hull instead, {excess:+.0%} of the volume"
        return (reduce_hull(vertices, options.max_hull_vertices),), [Finding(what, "warning")]
    pieces = tuple(reduce_hull(part, options.max_hull_vertices) for part in parts)
    total = sum(hull_volume(piece) for piece in pieces)
    severity = "warning" if abs(total / volume - 1.0) > 0.25 else "info"
    what = f"{len(pieces)} convex pieces, {total / volume - 1.0:+.1%} of the volume"
    return pieces, [Finding(what, severity)]


def _coacd(vertices: Floats, faces: Ints, max_pieces: int) -> list[Floats]:
    """CoACD's parts, as their vertices; it runs apart because native code may crash or hang."""
    with tempfile.TemporaryDirectory(prefix="r2s-coacd-") as folder:
        source, result = Path(folder) / "in.npz", Path(folder) / "out.npz"
        np.savez(source, vertices=vertices, faces=faces, options=[max_pieces, CONCAVITY])
        subprocess.run(
            [sys.executable, "-m", "r2s_envs_objects.coacd_worker", source, result],
            check=True,
            timeout=TIMEOUT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        with np.load(result, allow_pickle=False) as file:
            parts = [file[name] for name in sorted(file.files)]
    if not parts:
        raise ValueError("no parts")
    return parts
