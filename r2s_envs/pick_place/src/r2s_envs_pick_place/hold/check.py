"""The check `hold` of an object's certificate: can a robot hold it? Found by `r2s_envs_objects`
through the entry-point group `r2s.object_checks`.
"""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np

from r2s_core.errors import R2SError
from r2s_core.rendering import render
from r2s_core.robot import Robot
from r2s_envs_objects import GraspPose, ObjectAsset
from r2s_envs_objects.certificate.checks import CheckResult
from r2s_envs_pick_place.hold import instrument as hold
from r2s_envs_pick_place.scene import build as scene
from r2s_envs_pick_place.scene.pick_object import PickObject

SECONDS = 5.0  # of holding still, after the shake
APPROACH = 0.10  # m from above
SHAKE = hold.Shake()
MOST_SLIP = 0.003  # m, slip in the hand during that time
MOST_TRIED = 8
_WIDTH, _HEIGHT, _CAMERA = 480, 360, "hold"


def check(asset: ObjectAsset, robot: Robot, pictures: bool = True) -> CheckResult:
    """Try the object's best grasps; passed if one of them holds it through shake and hold."""
    shape, widest = PickObject.from_asset(asset).shape, robot.gripper.widest
    options = scene.SceneOptions(robot=robot)
    model = scene.build_scene([shape], options).compile()
    poses = _poses(asset, shape, robot)
    if not poses:
        span = f"it spans {asset.grasp_width * 1000:.0f} mm over its centre of mass, and "
        return CheckResult(
            False,
            f"not graspable: {span if asset.grasp_width > widest else ''}no grasp from above fits "
            f"the {robot.gripper}",
        )
    reports = []
    for pose in poses:
        # After the best few, the others are a last resort.
        if len(reports) < MOST_TRIED or not any(map(_good, reports)):
            grasp = _in_world(pose, asset.resting_qpos.height, robot)
            reports.append(hold.hold(model, robot, grasp, SECONDS, SHAKE, APPROACH))
    best = min(reports, key=lambda report: (not _good(report), not report.held, report.slip))
    held = sum(map(_good, reports))
    own_held = asset.grasp_width <= widest and _good(reports[0])
    better = poses[reports.index(best)]._replace(width=best.opening)
    return CheckResult(
        passed=held > 0,
        summary=_summary(best, held, len(reports)),
        details={"robot": robot.name, "gripper": robot.gripper.name, **_details(best, reports)},
        pictures=_filmed(model, shape, options, best.grasp) if pictures else (),
        grasp=better if held and not own_held else None,
    )


def _poses(asset: ObjectAsset, shape: scene.SceneObject, robot: Robot) -> list[GraspPose]:
    """The grasps to try: the asset's, best first, then those across its narrow sections."""
    poses = list(asset.grasps)
    if asset.grasp_width <= robot.gripper.widest:  # the one that training uses
        cos, sin = np.cos(asset.grasp_yaw), np.sin(asset.grasp_yaw)
        along, across = asset.grasp_offset, asset.grasp_across
        x, y = along * cos - across * sin, along * sin + across * cos
        position = (float(x), float(y), asset.grasp_height)
        poses.insert(0, GraspPose(position, asset.grasp_yaw, asset.grasp_width, 1.0))
    height = asset.resting_qpos.height
    return poses + [_in_body(grasp, height, robot) for grasp in hold.candidate_grasps(shape, robot)]


def _in_world(pose: GraspPose, height: float, robot: Robot) -> hold.Grasp:
    (x, y, z), (middle_x, middle_y) = pose.position, robot.workspace
    # The hold measures yaw with the opposite sign; half a turn leaves a parallel gripper the same.
    yaw = (np.pi / 2 - pose.yaw) % np.pi - np.pi / 2
    return hold.Grasp((middle_x + x, middle_y + y, z + height), float(yaw))


def _in_body(grasp: hold.Grasp, height: float, robot: Robot) -> GraspPose:
    (x, y, z), (middle_x, middle_y) = grasp.position, robot.workspace
    return GraspPose((x - middle_x, y - middle_y, z - height), float(-grasp.yaw % np.pi), 0.0, 0.0)


def _good(report: hold.HoldReport) -> bool:
    return report.held and report.slip <= MOST_SLIP


def _summary(best: hold.HoldReport, held: int, tried: int) -> str:
    swing = f"shaken by {best.shake_amplitude * 1000:.0f} mm at {SHAKE.frequency:g} Hz"
    if held:
        return (
            f"held for {SECONDS:g} s after being lifted and {swing}, by {held} of {tried} grasps; "
            f"with the best it slipped {best.slip * 1000:.1f} mm"
        )
    if best.held:
        return (
            f"not held still: with the best of {tried} grasps it slipped {best.slip * 1000:.1f} "
            f"mm in {SECONDS:g} s (limit {MOST_SLIP * 1000:g})"
        )
    grasps = "the only grasp that fits" if tried == 1 else f"each of {tried} grasps"
    return f"dropped with {grasps}: not held through lift, shake and {SECONDS:g} s"


def _details(best: hold.HoldReport, reports: list[hold.HoldReport]) -> dict:
    """Plain values, SI units; positions in the world of the scene."""
    return {
        "grasps_tried": len(reports),
        "grasps_held": sum(map(_good, reports)),
        "seconds": SECONDS,
        "slip_limit_m": MOST_SLIP,
        "shake": dataclasses.asdict(SHAKE),
        "best": dataclasses.asdict(best),
    }


def _filmed(
    model: mujoco.MjModel,
    shape: scene.SceneObject,
    options: scene.SceneOptions,
    grasp: hold.Grasp,
) -> tuple[tuple[str, bytes], ...]:
    """Pictures of the trial with a grasp; none where this machine cannot render."""
    moments: list[tuple[str, np.ndarray]] = []
    hold.hold(
        model,
        options.robot,
        grasp,
        SECONDS,
        SHAKE,
        APPROACH,
        lambda caption, qpos: moments.append((caption, qpos)),
    )
    try:
        frames = render.render_frames(
            _spec(shape, options).compile(),
            np.stack([qpos for _, qpos in moments]),
            width=_WIDTH,
            height=_HEIGHT,
            camera=_CAMERA,
            shadows=True,
        )
    except R2SError:  # the caller reports why there are no pictures
        return ()
    captions = [caption for caption, _ in moments]
    return tuple(zip(captions, map(render.encode_png, frames), strict=True))


def _spec(shape: scene.SceneObject, options: scene.SceneOptions) -> mujoco.MjSpec:
    """The scene for pictures, with a camera near enough to see the fingertips."""
    spec = scene.render_spec([shape], options)
    place, target = np.array([1.15, -0.62, 0.42]), np.array([*options.robot.workspace, 0.19])
    backward = (place - target) / np.linalg.norm(place - target)
    right = np.cross([0.0, 0.0, 1.0], backward)
    right /= np.linalg.norm(right)
    axes = [*right, *np.cross(backward, right)]
    spec.worldbody.add_camera(name=_CAMERA, pos=place, xyaxes=axes, fovy=24.0)
    return spec
