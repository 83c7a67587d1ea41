"""What is left on disk: a mesh, and beside it a JSON file that says how it came about."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import trimesh

from r2s_core.errors import AssetError
from r2s_envs_objects.asset import Floats
from r2s_envs_objects.reconstruct.pipeline import Reconstruction

VERSION = 1
SUFFIXES = (".ply", ".stl", ".obj")


def centred(result: Reconstruction) -> tuple[Floats, Floats]:
    """Vertices [n, 3], the footprint's centre and the support plane at 0; and the move [4, 4]."""
    low, high = result.vertices.min(axis=0), result.vertices.max(axis=0)
    move = np.eye(4)
    move[:3, 3] = [-(low[0] + high[0]) / 2, -(low[1] + high[1]) / 2, -result.support]
    return result.vertices + move[:3, 3], move


def write(
    path: Path,
    result: Reconstruction,
    to_metres: Floats,
    unit: float,
    source: Path,
    resolution: int,
) -> dict[str, Any]:
    """Write mesh and sidecar; the sidecar's content. A reader sees whole files or none.

    to_metres [4, 4]: from the file's coordinates to those of `result`. unit: metres per unit of
    the file.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise AssetError(f"{path}: a mesh is written as {', '.join(SUFFIXES)}; choose one of them")
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
        "watertight": True,  # or it would not have come this far
        "findings": [dataclasses.asdict(finding) for finding in result.findings],
    }
    content = mesh.export(file_type=path.suffix[1:].lower())
    _replace(path, content if isinstance(content, bytes) else str(content).encode())
    _replace(path.with_suffix(".json"), (json.dumps(record, indent=1) + "\n").encode())
    return record


def _replace(path: Path, content: bytes) -> None:
    partial = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
            partial = Path(file.name)
            file.write(content)
        partial.chmod(0o666 & ~_umask())
        partial.replace(path)
    except OSError as error:
        if partial is not None:
            partial.unlink(missing_ok=True)
        raise AssetError(
            f"{path}: cannot be written ({error.strerror}); choose another place with -o"
        ) from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
