"""An object as plain arrays, for files without pickle, and back with all checks."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from r2s_core.system import documents, files
from r2s_core.system.text import printable
from r2s_envs_objects.asset import Finding, GraspPose, ObjectAsset, RestingPose
from r2s_envs_objects.options import DEFAULT_ROBOT
from r2s_envs_objects.store.sound import require_sound

_Pair = tuple[float, float]
_Pose = tuple[float, tuple[float, float, float, float], float]
_Grasp = tuple[tuple[float, float, float], float, float, float]


@dataclasses.dataclass(frozen=True)
class _Meta:
    """The fields of an asset that are not arrays, as stored in its file."""

    name: str
    source: str
    content_hash: str
    mass: float
    friction: float
    volume: float
    grasp_width: float
    grasp_yaw: float
    grasp_height: float
    grasp_offset: float
    iou: float
    surface_p95: float
    grasp_across: float
    grasp_share: float
    graspable: bool | None
    forced: bool
    mass_range: _Pair
    friction_range: _Pair
    resting_qpos: _Pose
    resting_poses: tuple[_Pose, ...]
    grasps: tuple[_Grasp, ...]
    findings: tuple[Finding, ...]
    robot: str = DEFAULT_ROBOT


_ARRAYS = ("visual_vertices", "visual_faces", "com", "inertia", "size", "scan_to_body")
_RANGES = ("mass_range", "friction_range")
_LISTS = ("resting_qpos", "resting_poses", "grasps", "findings")
_PLAIN = tuple(
    field.name for field in dataclasses.fields(_Meta) if field.name not in (*_RANGES, *_LISTS)
)


def to_arrays(asset: ObjectAsset) -> dict[str, Any]:
    """The asset as plain arrays."""
    arrays: dict[str, Any] = {name: getattr(asset, name) for name in _ARRAYS}
    arrays |= {f"piece_{i:03d}": piece for i, piece in enumerate(asset.pieces)}
    meta: dict[str, Any] = {name: getattr(asset, name) for name in _PLAIN}
    meta |= {name: list(getattr(asset, name)) for name in _RANGES}
    meta["source"] = printable(asset.source)
    meta["resting_qpos"] = list(asset.resting_qpos)
    meta["resting_poses"] = [list(pose) for pose in asset.resting_poses]
    meta["grasps"] = [list(grasp) for grasp in asset.grasps]
    meta["findings"] = [dataclasses.asdict(f) for f in asset.findings]
    arrays["meta"] = np.frombuffer(json.dumps(files.strict(meta)).encode(), np.uint8)
    return arrays


def from_arrays(arrays: Mapping[str, np.ndarray]) -> ObjectAsset:
    """The inverse of `to_arrays`; KeyError, ValueError or R2SError on anything else."""
    meta = documents.parse(_Meta, files.parse_json(arrays["meta"].tobytes().decode()), "meta")
    return require_sound(
        ObjectAsset(
            **{name: arrays[name] for name in _ARRAYS},
            **{name: getattr(meta, name) for name in (*_PLAIN, *_RANGES)},
            pieces=tuple(arrays[k] for k in sorted(arrays) if k.startswith("piece_")),
            findings=meta.findings,
            resting_qpos=RestingPose(*meta.resting_qpos),
            resting_poses=tuple(RestingPose(*pose) for pose in meta.resting_poses),
            grasps=tuple(GraspPose(*grasp) for grasp in meta.grasps),
        )
    )
