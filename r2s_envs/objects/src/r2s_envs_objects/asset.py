"""What a simulation-ready object is."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Severity = Literal["info", "warning"]


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something that was found in a scan, and what was done about it.

    repaired: True if the asset no longer has it.
    moved: how far the repair moved the surface, m: the Hausdorff distance between the surfaces
    before and after it; 0 where it did not.
    volume_change: of the enclosed volume by the repair, relative: 0.01 is 1 % more.
    code: what kind of finding, for programs: a slug such as "holes" or "units".
    """

    what: str
    severity: Severity = "info"
    repaired: bool = False
    moved: float = 0.0
    volume_change: float = 0.0
    code: str = "note"


class RestingPose(NamedTuple):
    """A stable pose on the plane z = 0: height of the body origin in m, quaternion (w, x, y, z).

    probability: the share of random drops that end in it.
    """

    height: float
    quat: tuple[float, float, float, float]
    probability: float = 1.0


class GraspPose(NamedTuple):
    """A grasp from straight above of the object in its resting pose, for a parallel gripper.

    position [3]: m, body frame, midway between the contacts. yaw: rad in [0, pi), about z from the
    body's x axis to the direction of closing. width: m between the contacts. score: 0 to 1, how
    squarely the pads meet the surface and how near the centre of mass.
    """

    position: tuple[float, float, float]
    yaw: float
    width: float
    score: float


@dataclasses.dataclass(frozen=True, eq=False)
class ObjectAsset:
    """A scanned object, ready for simulation; SI units.

    The body frame has its origin at the centre of mass, so the body's position is the centre of
    mass, and is turned so that the object rests on z = 0 with the identity quaternion.
    """

    name: str
    source: str  # what `load_object` was given
    content_hash: str  # SHA-256 of the file and of all options that shape the asset
    visual_vertices: Floats  # [n, 3] m, body frame
    visual_faces: Ints  # [m, 3]
    pieces: tuple[Floats, ...]  # convex collision pieces: hull vertices [k, 3] m, body frame
    mass: float  # kg
    com: Floats  # [3] m, body frame; zero
    inertia: Floats  # [3, 3] kg m2 about the centre of mass, body axes
    mass_range: tuple[float, float]  # kg, what to expect of such a thing
    friction: float
    friction_range: tuple[float, float]
    size: Floats  # [3] m, axis-aligned extents in the resting pose
    volume: float  # m3 of the closed scan
    resting_qpos: RestingPose
    grasp_width: float  # m, opening that a vertical grasp at grasp_yaw, grasp_height must span
    grasp_yaw: float  # rad about z, direction of closing against the body's x axis, in [0, pi)
    grasp_height: float  # m, height of the pads above the body origin for that grasp
    grasp_offset: float  # m along grasp_yaw, from the body origin to the middle of the grasp
    scan_to_body: Floats  # [4, 4] file coordinates -> body frame, unit scale included
    iou: float  # volume of the pieces' union with the scan: intersection over union, 0 to 1
    surface_p95: float  # m, 95th percentile of the distance between their surfaces, both ways
    findings: tuple[Finding, ...]
    resting_poses: tuple[RestingPose, ...] = ()  # seen stable in simulation, most probable first
    grasps: tuple[GraspPose, ...] = ()  # from above, best first
    grasp_share: float = 0.0  # of sampled grasps, those that close in force closure from above
    grasp_across: float = 0.0  # m from the body origin to that middle, at +90 degrees to grasp_yaw
    graspable: bool | None = None  # whether the gripper held it when tried; None: not tried
    forced: bool = False  # may be trained on although it cannot be grasped

    def replace(self, **changes: Any) -> ObjectAsset:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def to_arrays(self) -> dict[str, Any]:
        """The asset as plain arrays, for a file without pickle."""
        arrays: dict[str, Any] = {name: getattr(self, name) for name in _ARRAYS}
        arrays |= {f"piece_{i:03d}": piece for i, piece in enumerate(self.pieces)}
        meta: dict[str, Any] = {name: getattr(self, name) for name in _PLAIN}
        meta |= {name: list(getattr(self, name)) for name in _RANGES}
        meta["resting_qpos"] = list(self.resting_qpos)
        meta["resting_poses"] = [list(pose) for pose in self.resting_poses]
        meta["grasps"] = [list(grasp) for grasp in self.grasps]
        meta["findings"] = [dataclasses.asdict(f) for f in self.findings]
        arrays["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> ObjectAsset:
        """The inverse of `to_arrays`; KeyError, ValueError or TypeError on anything else."""
        meta = json.loads(arrays["meta"].tobytes())
        return cls(
            **{name: arrays[name] for name in _ARRAYS},
            **{name: meta[name] for name in _PLAIN},
            mass_range=_range(*meta["mass_range"]),
            friction_range=_range(*meta["friction_range"]),
            pieces=tuple(arrays[k] for k in sorted(arrays) if k.startswith("piece_")),
            resting_qpos=_resting_pose(*meta["resting_qpos"]),
            findings=tuple(Finding(**f) for f in meta["findings"]),
            resting_poses=tuple(_resting_pose(*pose) for pose in meta["resting_poses"]),
            grasps=tuple(GraspPose(tuple(p), *rest) for p, *rest in meta["grasps"]),
        )


def _resting_pose(height: float, quat: list[float], probability: float) -> RestingPose:
    w, x, y, z = quat
    return RestingPose(height, (w, x, y, z), probability)


def _range(low: float, high: float) -> tuple[float, float]:
    return low, high


_ARRAYS = ("visual_vertices", "visual_faces", "com", "inertia", "size", "scan_to_body")
_PLAIN = (
    "name",
    "source",
    "content_hash",
    "mass",
    "friction",
    "volume",
    "grasp_width",
    "grasp_yaw",
    "grasp_height",
    "grasp_offset",
    "iou",
    "surface_p95",
    "grasp_across",
    "grasp_share",
    "graspable",
    "forced",
)
_RANGES = ("mass_range", "friction_range")
