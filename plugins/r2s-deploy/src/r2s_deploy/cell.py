"""A robot's cell as a TOML file: which robot, how the object is found, and which cameras there are.

    robot = "simulated:scene.xml"   # KIND:ADDRESS
    [robot_options]                 # of that kind
    latency = 5
    [object]
    name = "duck"                   # where the bundle knows several
    pose = "tags"                   # or "entered", or "tracker" (of the simulated robot)
    camera = "top"
    upright_deg = 20.0
    [[object.tags]]
    id = 3
    size_mm = 40.0
    position = [0.0, 0.0, 0.05]     # of the tag in the object's frame, m
    quaternion = [1.0, 0.0, 0.0, 0.0]
    [cameras.top]                   # under a name of the bundle's, it is what the policy sees with
    device = 0                      # OpenCV's number, or a file; "simulated": the simulated robot's
    lens = "top_lens.json"          # of `python -m r2s_deploy.pose calibrate`
    place = "top_place.json"        # of `... place` or `... hand-eye`
    [guard]                         # when to stop: fields of `r2s_deploy.watch.Guard`
    reach_m = 0.4

Files are looked for beside the cell's own.
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from r2s_deploy.documents import Fields
from r2s_deploy.errors import BundleError, DeployError
from r2s_deploy.transform import Transform
from r2s_deploy.watch import Guard

_LIMIT = 1 << 20  # bytes
_POSES = ("entered", "tags", "tracker")
SIMULATED = "simulated"


@dataclasses.dataclass(frozen=True, eq=False)
class TagAt:
    """A tag on the object. in_object: its pose in the object's frame."""

    id: int
    size_m: float
    in_object: Transform


@dataclasses.dataclass(frozen=True, eq=False)
class CameraAt:
    """device: a number, a file, or "simulated". lens, place: files that calibration wrote; None:
    of a simulated camera, which is where training's was."""

    device: int | str
    lens: Path | None
    place: Path | None


@dataclasses.dataclass(frozen=True, eq=False)
class ThingAt:
    """The object. pose: how it is known: see `_POSES`. entered: its pose, where it was entered.
    camera, tags, upright_deg: of tags. name: among the bundle's; None: its only one."""

    pose: str = "entered"
    name: str | None = None
    entered: Transform | None = None
    camera: str = ""
    tags: tuple[TagAt, ...] = ()
    upright_deg: float | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Cell:
    """kind, address, options: of the robot. cameras: by name. guard: when to stop."""

    kind: str
    address: str
    options: Mapping[str, Any]
    thing: ThingAt
    cameras: Mapping[str, CameraAt]
    guard: Guard


def load(path: Path) -> Cell:
    """Raises `DeployError` where the file is missing or says what it may not."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DeployError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > _LIMIT:
        raise DeployError(f"{path} has more than {_LIMIT:,} bytes, which no cell's file has")
    try:
        values = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise DeployError(f"{path} is not TOML: {error}") from error
    try:
        return _cell(Fields(values, str(path)), path.parent)
    except BundleError as error:
        raise DeployError(str(error)) from error


def _cell(fields: Fields, folder: Path) -> Cell:
    fields.only("robot", "robot_options", "object", "cameras", "guard")
    kind, colon, address = fields.text("robot").partition(":")
    if not colon or not kind or not address:
        raise BundleError(f"{fields.where}: robot must be KIND:ADDRESS, as in simulated:scene.xml")
    if kind == SIMULATED:
        address = str(folder / address)
    cameras = fields.fields("cameras") if "cameras" in fields else Fields({}, "cameras")
    found = {name: _camera(cameras.fields(name), folder) for name in cameras}
    thing = _thing(fields.fields("object")) if "object" in fields else ThingAt()
    if thing.pose == "tags" and thing.camera not in found:
        raise BundleError(f"{fields.where}: object: there is no camera {thing.camera!r}")
    if thing.pose == "tracker" and kind != SIMULATED:
        raise BundleError(
            f"{fields.where}: object: pose: tracker is the simulated robot's; "
            "give tags, or enter the pose"
        )
    options = dict(fields.fields("robot_options")) if "robot_options" in fields else {}
    guard = _guard(fields.fields("guard")) if "guard" in fields else Guard()
    return Cell(kind, address, options, thing, found, guard)


def _guard(fields: Fields) -> Guard:
    known = {field.name: field.default for field in dataclasses.fields(Guard)}
    fields.only(*known)
    given: dict[str, Any] = {}
    for name in fields:
        least = -math.inf if name == "table_m" else 0.0
        whole = isinstance(known[name], int)
        given[name] = fields.whole(name) if whole else fields.number(name, above=least)
    return Guard(**given)


def _thing(fields: Fields) -> ThingAt:
    fields.only("name", "pose", "position", "quaternion", "camera", "tags", "upright_deg")
    pose, name = fields.one_of("pose", _POSES), fields.text("name") if "name" in fields else None
    entered = _pose(fields) if "position" in fields else None
    if pose != "tags":
        return ThingAt(pose, name, entered)
    tags = tuple(_tag(row) for row in fields.rows("tags"))
    if not tags:
        raise BundleError(f"{fields.where}: tags is empty")
    upright = None
    if "upright_deg" in fields:
        upright = fields.number("upright_deg", above=0.0, most=90.0)
    return ThingAt(pose, name, entered, fields.text("camera"), tags, upright)


def _tag(fields: Fields) -> TagAt:
    fields.only("id", "size_mm", "position", "quaternion")
    size = 1e-3 * fields.number("size_mm", above=0.0, most=1e4)
    return TagAt(fields.whole("id"), size, _pose(fields))


def _pose(fields: Fields) -> Transform:
    turned = fields.numbers("quaternion", 4) if "quaternion" in fields else (1.0, 0.0, 0.0, 0.0)
    try:
        return Transform.of(fields.numbers("position", 3), turned)
    except BundleError:
        raise
    except DeployError as error:
        raise BundleError(f"{fields.where}: {error}") from error


def _camera(fields: Fields, folder: Path) -> CameraAt:
    fields.only("device", "lens", "place")
    device = fields["device"]
    if not isinstance(device, int | str) or isinstance(device, bool):
        raise BundleError(f"{fields.where}: device is {device!r}, not a number or a file")
    if device == SIMULATED:
        return CameraAt(device, None, None)
    if isinstance(device, str) and (folder / device).is_file():
        device = str(folder / device)
    return CameraAt(device, *(folder / fields.text(key) for key in ("lens", "place")))
