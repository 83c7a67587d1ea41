"""Checks of an object by other packages, such as the hold test with a robot's gripper.

A package offers one through the entry-point group `r2s.object_checks`, "name = module:function":

    def function(asset: ObjectAsset, robot: Robot, pictures: bool) -> CheckResult

This package imports none of them.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
from typing import Any

from r2s_core.errors import R2SError
from r2s_core.robot import Robot
from r2s_envs_objects.asset import GraspPose, ObjectAsset

GROUP = "r2s.object_checks"
#: The check that answers whether a gripper can hold the object.
HOLD = "hold"


@dataclasses.dataclass(frozen=True)
class CheckResult:
    """The result of a check.

    passed: None if it could not run. summary: one sentence. details: plain values, for
    certificate.json. pictures: (caption, PNG bytes), if requested and the machine can render.
    grasp: one that held, where the asset's own (`grasp_*`) did not.
    """

    passed: bool | None
    summary: str
    details: dict[str, Any] = dataclasses.field(default_factory=dict)
    pictures: tuple[tuple[str, bytes], ...] = ()
    grasp: GraspPose | None = None


def run_checks(asset: ObjectAsset, robot: Robot, pictures: bool = True) -> dict[str, CheckResult]:
    """The result of every installed check, by name; one that raises does not affect the others."""
    return {point.name: _run(point, asset, robot, pictures) for point in installed()}


def installed() -> list[importlib.metadata.EntryPoint]:
    """The checks that are installed, by name; none is imported."""
    points = importlib.metadata.entry_points(group=GROUP)
    return sorted(points, key=lambda point: point.name)


def _run(
    point: importlib.metadata.EntryPoint, asset: ObjectAsset, robot: Robot, pictures: bool
) -> CheckResult:
    try:
        return point.load()(asset, robot, pictures)
    except R2SError as error:
        return CheckResult(None, str(error))
    except Exception as error:  # third-party code may raise anything
        owner = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
        cause = " ".join(f"{type(error).__name__}: {error}".split())
        return CheckResult(
            None, f"the check {point.name!r} of {owner} failed: {cause}; reinstall or report it"
        )
