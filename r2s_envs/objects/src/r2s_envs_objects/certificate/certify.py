"""The certificate of an object: its properties, the tests, and whether it passed them."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import mujoco
import numpy as np

from r2s_core import device, registry
from r2s_core.errors import AssetError, R2SError
from r2s_core.gripper import Gripper
from r2s_core.rendering import render
from r2s_core.system import files
from r2s_core.system.text import printable
from r2s_envs_objects.asset import Floats, Ints, ObjectAsset
from r2s_envs_objects.behaviour.antipodal import grade
from r2s_envs_objects.behaviour.cost import cost_ratio
from r2s_envs_objects.behaviour.poses import Landing, drop
from r2s_envs_objects.behaviour.rest import STILL
from r2s_envs_objects.certificate import checks, portraits
from r2s_envs_objects.certificate.checks import CheckResult
from r2s_envs_objects.guard import sandbox
from r2s_envs_objects.mesh.decompose import MAX_VOLUME_ERROR, MIN_IOU, faithful
from r2s_envs_objects.names import display_name
from r2s_envs_objects.object_folder import ASSET, LUMP
from r2s_envs_objects.options import ObjectOptions
from r2s_envs_objects.preparation.loader import load_object
from r2s_envs_objects.scan.source import locate, read_bytes
from r2s_envs_objects.scan.units import METRES
from r2s_envs_objects.store import mjcf, prepared

FORMAT = 1  # of certificate.json
_PACKAGES = (
    "r2s-envs-objects", "r2s-envs-robots", "r2s-envs-pick-place", "mujoco", "numpy", "scipy",
    "trimesh", "coacd", "manifold3d", "fast-simplification",
)  # fmt: skip
FAIR = 0.5  # fraction of the grasps tried that must hold, or the object is "barely graspable"
_TILT = 2.0  # degrees, largest rotation when put down in its resting pose


class Certificate(NamedTuple):
    """facts: the content of certificate.json. pictures: (section, caption, PNG). notes: why some
    are missing. turntable: an MP4 of the collision pieces over the object, one revolution.
    """

    facts: dict[str, Any]
    pictures: list[tuple[str, str, bytes]]
    notes: list[str]
    turntable: bytes | None = None


def certify(
    source: str, options: ObjectOptions, folder: Path, pictures: bool = True
) -> Certificate:
    """Prepare a scan, test it, and write the object's files into the empty `folder`.

    options.robot: whose gripper tries to hold it. options.force: training is allowed although the
    gripper cannot hold it. A refused scan gets a certificate too, which says so.
    """
    seconds: dict[str, float] = {}
    robot = registry.build_robot(options.robot)
    try:
        with _timed(seconds, "prepare"):
            asset = load_object(source, dataclasses.replace(options, force=True))
    except AssetError as error:
        return _refusal(source, str(error), seconds)
    with _timed(seconds, "behaviour"):
        model, problem = _compiled(mjcf.write_model(folder, asset))
        landing = None
        if model is not None:
            landing = drop(model, asset.pieces, np.eye(3))
            problem = _misbehaviour(landing)
    drawable, notes = _can_draw() if pictures else (False, [])
    with _timed(seconds, "checks"):
        tried = checks.run_checks(asset, robot, drawable)
    with _timed(seconds, "cost"):
        cost = cost_ratio(asset) if model is not None else None
    asset = _as_tried(asset, tried.get(checks.HOLD), options.force)
    digest = prepared.write_asset(folder / ASSET, asset)
    with _timed(seconds, "pictures"):
        drawn, turntable = (
            _pictures(source, asset, robot.gripper, tried, notes) if drawable else ([], None)
        )
    facts = {
        **_verdict(asset, problem, tried.get(checks.HOLD)),
        **_facts(asset, options.scale),
        "robot": robot.name,
        "gripper": dataclasses.asdict(robot.gripper),
        "cost_ratio": None if cost is None else round(cost, 2),
        "settles": None if landing is None else _settling(landing),
        "checks": {name: _plain(result) for name, result in tried.items()},
        "asset_sha256": digest,
        "timings_s": {name: round(value, 2) for name, value in seconds.items()},
        "versions": device.versions(*_PACKAGES),
    }
    return Certificate(files.strict(facts), drawn, notes, turntable)


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    start = time.perf_counter()
    try:
        yield
    finally:
        seconds[name] = time.perf_counter() - start


def _refusal(source: str, sentence: str, seconds: dict[str, float]) -> Certificate:
    facts = {
        "format": FORMAT,
        "name": display_name(locate(source)[0]),
        "source": printable(source),
        "passed": False,
        "graspable": None,
        "problem": sentence,
        "verdict": "refused",
        "reservations": [],
        "findings": [],
        "timings_s": {name: round(value, 2) for name, value in seconds.items()},
        "versions": device.versions(*_PACKAGES),
    }
    return Certificate(facts, [], [])


def _compiled(path: Path) -> tuple[mujoco.MjModel | None, str | None]:
    """The model compiled from its file on disk, or why MuJoCo rejects it."""
    try:
        return mujoco.MjModel.from_xml_path(str(path)), None
    except ValueError as error:
        return None, f"MuJoCo does not compile it ({' '.join(str(error).split())}); scan it again"


def _misbehaviour(landing: Landing) -> str | None:
    """What is wrong with how it lies on a table, if anything."""
    tilt = _tilt(landing)
    if not landing.still:
        return (
            "does not come to rest on a table: still moving by "
            f"{landing.jitter * 1000:.2g} mm in a quarter of a second (limit {STILL * 1000:g}); "
            "it may be round, or its base uneven: give the up axis with --up"
        )
    if not landing.sound:
        return f"sinks {landing.sunk * 1000:.1f} mm into the table; check its mass and units"
    if tilt > _TILT:
        return f"tips by {tilt:.0f} degrees when put down in its resting pose; check --up"
    return None


def _tilt(landing: Landing) -> float:
    return math.degrees(math.acos(min(1.0, max(-1.0, float(landing.rotation[2, 2])))))


def _settling(landing: Landing) -> dict[str, Any]:
    return {
        "still": landing.still,
        "jitter_m": float(landing.jitter),
        "sunk_m": max(0.0, landing.sunk),
        "tilt_degrees": _tilt(landing),
    }


def _as_tried(asset: ObjectAsset, hold: CheckResult | None, forced: bool) -> ObjectAsset:
    """The asset with the result of the hold: whether it is graspable, and which other grasp held.

    A mug is too wide at its centre of mass, but can be held by its rim or handle.
    """
    asset = asset.replace(graspable=hold.passed if hold else None, forced=forced)
    if hold is None or hold.grasp is None:
        return asset
    (x, y, z), yaw, width, _ = hold.grasp
    return asset.replace(
        grasp_width=width,
        grasp_yaw=yaw,
        grasp_height=z,
        grasp_offset=float(x * np.cos(yaw) + y * np.sin(yaw)),
        grasp_across=float(y * np.cos(yaw) - x * np.sin(yaw)),
    )


def _verdict(asset: ObjectAsset, problem: str | None, hold: CheckResult | None) -> dict[str, Any]:
    lump, barely = _lump(asset), _barely(hold)
    words = {True: "and graspable", False: "but not graspable", None: "(no gripper has tried it)"}
    ready = f"simulation-ready {words[asset.graspable]}"
    if lump:
        ready = f"simulation-ready, but {LUMP} {words[asset.graspable].replace('but', 'and')}"
    if barely:
        ready = ready.replace("graspable", barely)
    return {
        "format": FORMAT,
        "name": asset.name,
        "source": printable(asset.source),
        "content_hash": asset.content_hash,
        "passed": problem is None,
        "graspable": asset.graspable,
        "forced": asset.forced,
        "problem": problem,
        "verdict": ready if problem is None else "not simulation-ready",
        "reservations": [text for text in (lump, barely) if text and problem is None],
    }


def _lump(asset: ObjectAsset) -> str | None:
    """Why its collision shape does not represent the object; None if it does."""
    error = volume_error(asset)
    if faithful(asset.iou, error or 0.0):
        return None
    count = len(asset.pieces)
    made = "one convex piece" if count == 1 else f"{count} convex pieces"
    return (
        f"{LUMP}: with {made} the overlap is {asset.iou:.2f} (at least {MIN_IOU:.2f} needed) and "
        f"the volume is off by {error or 0.0:+.0%} (limit {MAX_VOLUME_ERROR:.0%}); its walls are "
        "too thin or too curved for so few pieces, so do not rely on its hollows"
    )


def volume_error(asset: ObjectAsset) -> float | None:
    """Relative error of the collision pieces' total volume: 0.1 is 10 % more than the object's."""
    return next((f.volume_change for f in asset.findings if f.code == "pieces"), None)


def _barely(hold: CheckResult | None) -> str | None:
    """A reservation where fewer than `FAIR` of the grasps tried held."""
    if hold is None or not hold.passed or "grasps_tried" not in hold.details:
        return None
    held, tried = hold.details["grasps_held"], hold.details["grasps_tried"]
    return f"barely graspable: {held} of {tried} grasps held" if held < FAIR * tried else None


def _facts(asset: ObjectAsset, scale: float) -> dict[str, Any]:
    return {
        "findings": [dataclasses.asdict(finding) for finding in asset.findings],
        "units": _unit(asset.scan_to_body, scale),
        "size_m": asset.size.tolist(),
        "volume_m3": asset.volume,
        "mass_kg": asset.mass,
        "mass_range_kg": list(asset.mass_range),
        "inertia": asset.inertia.tolist(),
        "friction": asset.friction,
        "friction_range": list(asset.friction_range),
        "faces": len(asset.visual_faces),
        "pieces": len(asset.pieces),
        "hull_vertices": [len(piece) for piece in asset.pieces],
        "iou": asset.iou,
        "volume_error": volume_error(asset),
        "surface_p95_m": asset.surface_p95,
        "resting_poses": [pose._asdict() for pose in asset.resting_poses],
        "grasp_share": asset.grasp_share,
        "grasp_class": grade(asset.grasp_share),
        "grasps": [grasp._asdict() for grasp in asset.grasps],
        "scan_to_body": asset.scan_to_body.tolist(),
    }


def _unit(scan_to_body: Floats, scale: float) -> str:
    """The file's unit, before `scale` is applied."""
    factor = float(np.linalg.norm(scan_to_body[:3, 0]))
    for metres in (factor / scale, factor):  # a prepared object's factor includes its scale
        nearest = min(METRES, key=lambda unit: abs(math.log(METRES[unit] / metres)))
        if math.isclose(METRES[nearest], metres, rel_tol=1e-6):
            return nearest
    return f"units of {factor:.6g} m"


def _plain(result: CheckResult) -> dict[str, Any]:
    return {"passed": result.passed, "summary": result.summary, **result.details}


def _can_draw() -> tuple[bool, list[str]]:
    return (True, []) if render.probe_gl() else (False, [render.missing_gl_advice()])


def _pictures(
    source: str,
    asset: ObjectAsset,
    gripper: Gripper,
    tried: dict[str, CheckResult],
    notes: list[str],
) -> tuple[list[tuple[str, str, bytes]], bytes | None]:
    """The pictures, and the turntable."""
    drawn, turntable = [], None
    try:
        drawn = [("object", *shot) for shot in portraits.draw(asset, gripper, _raw_scan(source))]
        turntable = portraits.turntable(asset)
    except R2SError as error:
        notes.append(str(error))
    held = [(name, *shot) for name, result in tried.items() for shot in result.pictures]
    return drawn + held, turntable


def _raw_scan(source: str) -> tuple[Floats, Ints] | None:
    """The scan as it is in its file; None for an already prepared object."""
    if prepared.prepared_file(source):
        return None
    path, label = locate(source)
    arguments = {"suffix": path.suffix.lower(), "label": label}
    mesh = sandbox.call(
        "r2s_envs_objects.certificate.portraits:raw_scan", read_bytes(path), arguments, label
    )
    return mesh["vertices"], mesh["faces"]
