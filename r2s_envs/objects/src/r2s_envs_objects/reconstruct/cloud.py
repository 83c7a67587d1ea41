"""A point cloud, and the viewpoint of each point where it is known."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from r2s_core.errors import AssetError
from r2s_envs_objects.asset import Finding, Floats
from r2s_envs_objects.scan.resolution import resolution_findings

MAX_POINTS = 5_000_000
#: The least number of points for a surface.
MIN_POINTS = 100
LARGEST_COORDINATE = 1e9


@dataclasses.dataclass(frozen=True, eq=False)
class PointCloud:
    """points [n, 3]; normals [n, 3] outward and of unit length, or None.

    viewpoints [n, 3]: where each point was seen from, or None; seen: these are known, as for depth
    images, rather than only claimed by a file. The unit is the file's until `transformed` to
    metres. findings: what was found along the way.
    """

    points: Floats
    normals: Floats | None = None
    viewpoints: Floats | None = None
    findings: tuple[Finding, ...] = ()
    seen: bool = False

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, chosen: NDArray[np.bool_] | NDArray[np.intp] | slice) -> PointCloud:
        """Some of the points, by mask or index."""
        return dataclasses.replace(
            self,
            points=self.points[chosen],
            normals=None if self.normals is None else self.normals[chosen],
            viewpoints=None if self.viewpoints is None else self.viewpoints[chosen],
        )

    def noting(self, *findings: Finding) -> PointCloud:
        """The same points, with more findings."""
        return dataclasses.replace(self, findings=(*self.findings, *findings))

    def to_arrays(self) -> dict[str, Any]:
        """As plain arrays, for another process."""
        named = {name: getattr(self, name) for name in ("points", "normals", "viewpoints")}
        findings = json.dumps([dataclasses.asdict(finding) for finding in self.findings])
        arrays: dict[str, Any] = {name: x for name, x in named.items() if x is not None}
        encoded = np.frombuffer(findings.encode(), np.uint8)
        return arrays | {"findings": encoded, "seen": np.array(self.seen)}

    @staticmethod
    def from_arrays(arrays: dict[str, Any]) -> PointCloud:
        """The inverse of `to_arrays`."""
        findings = json.loads(arrays["findings"].tobytes())
        return PointCloud(
            arrays["points"],
            arrays.get("normals"),
            arrays.get("viewpoints"),
            tuple(Finding(**finding) for finding in findings),
            bool(arrays["seen"]),
        )

    def transformed(self, transform: Floats) -> PointCloud:
        """Transformed by [4, 4], whose linear part is a rotation times a uniform scale."""
        linear, shift = transform[:3, :3], transform[:3, 3]
        turn = linear / np.cbrt(np.linalg.det(linear))
        return dataclasses.replace(
            self,
            points=self.points @ linear.T + shift,
            normals=None if self.normals is None else self.normals @ turn.T,
            viewpoints=None if self.viewpoints is None else self.viewpoints @ linear.T + shift,
        )


def check_count(points: int, label: str) -> None:
    """AssetError if a header claims more points than the limit, or too few for a surface."""
    if points > MAX_POINTS:
        raise AssetError(
            f"{label}: claims {points} points, over the limit of {MAX_POINTS}; thin the cloud out"
        )
    if points < MIN_POINTS:
        raise AssetError(
            f"{label}: claims {points} points, too few for a surface (at least {MIN_POINTS}); "
            "scan the object again"
        )


def check_room(claimed: int, available: int, label: str, what: str) -> None:
    """AssetError if the `available` bytes are fewer than the `claimed` ones."""
    if claimed > available:
        raise AssetError(
            f"{label}: its header claims {what}, but only {available} bytes follow: truncated or "
            "damaged; copy or export it again"
        )


def stacked(columns: dict[str, NDArray[Any]], names: tuple[str, ...]) -> Floats | None:
    """Three columns [n] as one array [n, 3]; None where one is missing."""
    if not set(names) <= set(columns):
        return None
    with np.errstate(invalid="ignore"):  # signalling NaNs of damaged files
        return np.stack([columns[name].astype(np.float64) for name in names], axis=1)


def finite_cloud(
    points: Floats, normals: Floats | None, viewpoints: Floats | None, label: str
) -> PointCloud:
    """A cloud of the finite points; organised clouds have NaN where the sensor saw nothing.

    Normals are all dropped if some are not finite or not near unit length.
    """
    kept = (np.abs(points) < LARGEST_COORDINATE).all(axis=1)
    findings: list[Finding] = []
    if lost := int((~kept).sum()):
        findings.append(Finding(f"{lost} of {len(points)} points without a position: dropped"))
    if kept.sum() < MIN_POINTS:
        raise AssetError(
            f"{label}: only {int(kept.sum())} of {len(points)} points have a finite position; at "
            f"least {MIN_POINTS} are needed, so scan the object again"
        )
    if normals is not None:
        normals = normals[kept]
        length = np.linalg.norm(normals, axis=1, keepdims=True)
        if np.isfinite(length).all() and (length > 1e-6).all():
            normals = normals / length
        else:
            normals = None
            findings.append(Finding("the file's normals are incomplete: estimated instead"))
    viewpoints = None if viewpoints is None else viewpoints[kept]
    findings += resolution_findings(points[kept], label)
    return PointCloud(points[kept], normals, viewpoints, tuple(findings))
