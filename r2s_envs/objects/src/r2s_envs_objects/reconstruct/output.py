"""Writes the mesh, and beside it a JSON sidecar that records how it was made."""

from __future__ import annotations

import dataclasses
import os.path
from pathlib import Path
from typing import Any

import numpy as np
import trimesh

from r2s_core.errors import AssetError, R2SError
from r2s_core.system import files
from r2s_envs_objects.asset import Floats
from r2s_envs_objects.reconstruct.pipeline import Reconstruction

VERSION = 1
SUFFIXES = (".ply", ".stl", ".obj")
MAX_SIDECAR_BYTES = 2**20


def centred(result: Reconstruction) -> tuple[Floats, Floats]:
    """Vertices [n, 3] with the footprint's centre and support plane at 0; the transform [4, 4]."""
    low, high = result.vertices.min(axis=0), result.vertices.max(axis=0)
    move = np.eye(4)
    move[:3, 3] = [-(low[0] + high[0]) / 2, -(low[1] + high[1]) / 2, -result.support]
    return result.vertices + move[:3, 3], move


def check(path: Path) -> None:
    """AssetError unless a mesh and its sidecar can be written and overwrite only our own files."""
    if path.suffix.lower() not in SUFFIXES:
        raise AssetError(f"{path}: a mesh is written as {', '.join(SUFFIXES)}; choose one of them")
    sidecar = path.with_suffix(".json")
    ours = _record(sidecar)
    if os.path.lexists(sidecar) and ours is None:
        raise AssetError(
            f"{sidecar}: exists and is not the record of a mesh, which {path.name} would write "
            "there; choose another name with -o"
        )
    if os.path.lexists(path) and (ours is None or ours["mesh"] != path.name):
        raise AssetError(
            f"{path}: exists, and {sidecar.name} does not say that it was reconstructed; remove it "
            "or choose another name with -o"
        )


def _record(sidecar: Path) -> dict[str, Any] | None:
    """The sidecar that `write` left, if there is one."""
    what = "the record of a mesh"
    try:
        record = files.read_json(sidecar, limit=MAX_SIDECAR_BYTES, what=what)
    except R2SError:
        return None
    known = isinstance(record, dict) and {"mesh", "source", "source_to_mesh"} <= set(record)
    return record if known else None


def write(
    path: Path,
    result: Reconstruction,
    to_metres: Floats,
    unit: float,
    source: Path,
    resolution: int,
) -> dict[str, Any]:
    """Write mesh and sidecar atomically; return the sidecar's content.

    Raises AssetError as `check` does, and if the path cannot be written to.

    to_metres [4, 4]: from the file's coordinates to those of `result`. unit: metres per unit of
    the file.
    """
    check(path)
    vertices, move = centred(result)
    mesh = trimesh.Trimesh(vertices, result.faces, process=False)
    record = {
        "version": VERSION,
        "source": str(source),
        "mesh": path.name,
        "kind": result.kind,
        "units": "m",
        "source_metres_per_unit": unit,
        "source_to_mesh": (move @ to_metres).tolist(),
        "support_plane_z": 0.0,
        "up": "z",
        "points": result.points,
        "requested_cells": resolution,
        "resolution_m": result.resolution,
        "extents_m": np.ptp(vertices, axis=0).tolist(),
        "volume_m3": result.volume,
        "median_fit_m": result.fit,
        "unseen_share": result.unseen,
        "faces": len(result.faces),
        "watertight": True,  # checked by `reconstruct`
        "findings": [dataclasses.asdict(finding) for finding in result.findings],
    }
    content = mesh.export(file_type=path.suffix[1:].lower())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_bytes(path, content if isinstance(content, bytes) else str(content).encode())
        files.write_json(path.with_suffix(".json"), record)
    except (OSError, R2SError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise AssetError(
            f"{path}: cannot be written ({reason}); choose another place with -o"
        ) from None
    return record
