"""A simulation-ready object, and the findings about its scan."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from r2s_envs_objects.options import DEFAULT_ROBOT

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Severity = Literal["info", "warning"]


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something that was found in a scan, and what was done about it.

    repaired: True if the asset no longer has the defect.
    moved: how far the repair moved the surface, m: the Hausdorff distance between the surfaces
    before and after it; 0 where it did not move.
    volume_change: relative change of the enclosed volume by the repair: 0.01 is 1 % more.
    code: the kind of finding, for programs: a slug such as "holes" or "units".
    """

    what: str
    severity: Severity = "info"
    repaired: bool = False
    moved: float = 0.0
    volume_change: float = 0.0
    code: str = "note"


class RestingPose(NamedTuple):
    """A stable pose on the plane z = 0: height of the body origin in m, quaternion (w, x, y, z).

    probability: the fraction of random drops that end in it.
    """

    height: float
    quat: tuple[float, float, float, float]
    probability: float = 1.0


class GraspPose(NamedTuple):
    """A vertical grasp of the object in its resting pose, for a parallel gripper.

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
    mass_range: tuple[float, float]  # kg, plausible for such an object
    friction: float
    friction_range: tuple[float, float]
    size: Floats  # [3] m, axis-aligned extents in the resting pose
    volume: float  # m3 of the closed scan
    resting_qpos: RestingPose
    grasp_width: float  # m, opening that a vertical grasp at grasp_yaw, grasp_height must span
    grasp_yaw: float  # rad about z, from the body's x axis to the closing direction, in [0, pi)
    grasp_height: float  # m, height of the pads above the body origin for that grasp
    grasp_offset: float  # m along grasp_yaw, from the body origin to the middle of the grasp
    scan_to_body: Floats  # [4, 4] file coordinates -> body frame, unit scale included
    iou: float  # intersection over union of the pieces' union with the scan, by volume, 0 to 1
    surface_p95: float  # m, 95th percentile of the distance between their surfaces, both ways
    findings: tuple[Finding, ...]
    resting_poses: tuple[RestingPose, ...] = ()  # seen stable in simulation, most probable first
    grasps: tuple[GraspPose, ...] = ()  # from above, best first
    grasp_share: float = 0.0  # fraction of sampled grasps from above that are in force closure
    grasp_across: float = 0.0  # m from the body origin to that middle, at +90 degrees to grasp_yaw
    graspable: bool | None = None  # whether the gripper held it in the hold test; None: not tested
    robot: str = DEFAULT_ROBOT  # whose gripper the grasps are for
    forced: bool = False  # may be trained on although it cannot be grasped

    def replace(self, **changes: Any) -> ObjectAsset:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)
