"""A bundle: one folder with everything that a robot needs to run a policy.

`contract.json` says what the policy reads and gives and names the SHA-256 of every other file:
`policy.onnx`, `robot.json`, `object.json`, `certificate.json`, `examples.npz`, recorded inputs with
their actions, and `leapp.yaml`. All of it is data: nothing in it is executed but the graph in
`policy.onnx`, by ONNX Runtime.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from r2s_deploy import documents
from r2s_deploy.arm import LAWS, Arm, Law
from r2s_deploy.camera import OPENCV_IN_MUJOCO
from r2s_deploy.documents import Fields
from r2s_deploy.errors import BundleError, DeployError
from r2s_deploy.sensed import QUANTITIES, size_of
from r2s_deploy.transform import Transform

FORMAT = "r2s-bundle/1"
CONTRACT, POLICY, ROBOT = "contract.json", "policy.onnx", "robot.json"
OBJECT, CERTIFICATE, EXAMPLES = "object.json", "certificate.json", "examples.npz"
LEAPP = "leapp.yaml"  # for other programs: this one does not read it
FILES = (POLICY, ROBOT, OBJECT, CERTIFICATE, EXAMPLES, LEAPP)
_LIMIT = 1024 * 2**20  # bytes of a file
_HISTORY = "past_actions"
_LARGEST = 1024  # pixels of a side
#: Components and dtype of what a camera gives.
_CHANNELS = {"rgb": (3, "uint8"), "depth": (1, "uint16"), "segmentation": (1, "uint8")}
_LEAST_STD = 1e-3  # of a number, in its own unit
_CONSTANTS = (
    *("ee_step", "ee_yaw_step", "joint_step", "max_lead", "damping"),
    *("posture_gain", "gripper_threshold", "looks_open"),
)


@dataclasses.dataclass(frozen=True)
class Number:
    """One number that the policy reads: component `index` of `quantity`.

    mean, std: in training. privileged: only a simulator knows it; estimate: what it is guessed
    from.
    """

    name: str
    quantity: str
    index: int
    unit: str
    frame: str
    source: str
    privileged: bool
    estimate: str
    mean: float
    std: float


@dataclasses.dataclass(frozen=True)
class Image:
    """An image that the policy reads. camera: which one's; channel: "rgb", "depth" (mm along the
    viewing direction; 0: nothing, or out of range) or "segmentation"."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    camera: str
    channel: str


@dataclasses.dataclass(frozen=True, eq=False)
class SeenBy:
    """A camera of training: a pinhole without distortion.

    mount: "world", where the frame is the robot's base's, or what carries it, whose frame is the
    grip's. pose: in that frame, with the axes of `r2s_deploy.camera`. field_of_view: vertical,
    degrees. size: (width, height), pixels. period: control steps from image to image. depth_range:
    m.
    """

    mount: str
    pose: Transform
    field_of_view: float
    size: tuple[int, int]
    period: int
    depth_range: tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Starts:
    """Where episodes of training start and what they aim at, each drawn uniformly, see the
    contract's `episode`: x, y (m) and yaw (rad) of the object, how far the arm is off `ready`
    (rad), and the goal [3], m. An episode succeeds where the object stays within `radius`, m, of
    the goal in its last `steps` control steps."""

    object_low: np.ndarray
    object_high: np.ndarray
    arm_noise: float
    goal_low: np.ndarray
    goal_high: np.ndarray
    radius: float
    steps: int


@dataclasses.dataclass(frozen=True)
class Bundle:
    """A verified bundle.

    numbers: what the input `policy` has, in order. images: the other inputs, of `cameras`.
    history: how many past actions it reads, as the input `past_actions` [K, A], the newest first.
    low, high [A]: the bounds of the action. rate: control steps a second, Hz.
    """

    path: Path
    contract: Mapping[str, Any]
    robot: Mapping[str, Any]
    object: Mapping[str, Any]
    certificate: Mapping[str, Any]
    numbers: tuple[Number, ...]
    images: tuple[Image, ...]
    cameras: Mapping[str, SeenBy]
    history: int
    actions: tuple[str, ...]
    low: np.ndarray
    high: np.ndarray
    rate: float
    max_steps: int
    law: Law
    starts: Starts | None

    @property
    def privileged(self) -> tuple[str, ...]:
        """Names of the numbers that no robot measures."""
        return tuple(number.name for number in self.numbers if number.privileged)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Those of them that nothing is guessed from either."""
        return tuple(n.name for n in self.numbers if n.privileged and not n.estimate)

    @property
    def inputs(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """Shape, without the batch, and dtype of each input of the policy, by name."""
        found = {image.name: (image.shape, image.dtype) for image in self.images}
        if self.numbers:
            found["policy"] = (len(self.numbers),), "float32"
        if self.history:
            found[_HISTORY] = (self.history, len(self.actions)), "float32"
        return found

    def handled(self, name: str | None) -> Mapping[str, Any]:
        """The facts of the object of this name in `object.json`; None: of the only one.

        Raises `DeployError` where there is none of the name, or several and no name.
        """
        objects = {each["name"]: each for each in self.object["objects"]}
        if name is None and len(objects) == 1:
            return next(iter(objects.values()))
        if name not in objects:
            known = ", ".join(objects)
            raise DeployError(f"{self.path}: which object is handled? it knows {known}")
        return objects[name]

    def unfamiliar(self, numbers: np.ndarray) -> np.ndarray:
        """How many standard deviations of training the numbers [..., N] are off, [..., N]."""
        mean = np.array([number.mean for number in self.numbers])
        # A number that hardly varied in training has a deviation near 0.
        std = np.maximum([number.std for number in self.numbers], _LEAST_STD)
        return np.abs(numbers - mean) / std


def load(path: Path | str) -> Bundle:
    """The bundle in a folder, every file of it verified.

    Raises `BundleError` where a file is missing, was changed, or contradicts another.
    """
    path = Path(path)
    if not path.is_dir():
        raise BundleError(
            f"{path} is not the folder of a bundle; `r2s export RUN -o FOLDER` writes one"
        )
    contract = documents.read(path / CONTRACT)
    where = str(path / CONTRACT)
    if contract.get("format") != FORMAT:
        found = str(contract.get("format"))[:60]
        raise BundleError(f"{where} is of the format {found}, and this program reads {FORMAT}")
    if contract.get("sha256") != documents.digest(contract):
        raise BundleError(f"{where} was changed since it was written (its SHA-256 differs)")
    fields = Fields(contract, where)
    _check_files(path, fields.fields("files"))
    robot, thing = documents.read(path / ROBOT), documents.read(path / OBJECT)
    _check_robot(Fields(robot, ROBOT))
    _check_objects(Fields(thing, OBJECT))
    arm = Arm.of(robot)
    names, low, high = _outputs(fields)
    control = fields.fields("control")
    _check_control(control, arm, len(names))
    cameras = {name: _camera(fields.fields("cameras"), name) for name in contract["cameras"]}
    numbers, images, history = _inputs(fields, arm, len(names), cameras)
    return Bundle(
        path=path,
        contract=contract,
        robot=robot,
        object=thing,
        certificate=documents.read(path / CERTIFICATE),
        numbers=numbers,
        images=images,
        cameras=cameras,
        history=history,
        actions=names,
        low=low,
        high=high,
        rate=fields.number("control_rate_hz", above=0.0, most=1000.0),
        max_steps=fields.whole("max_episode_steps", least=1),
        law=Law(arm, contract["control"]),
        starts=None if fields["episode"] is None else _starts(fields.fields("episode")),
    )


def _starts(episode: Fields) -> Starts:
    low, high, goal_low, goal_high = (
        np.array(episode.numbers(key, 3), float)
        for key in ("object_low", "object_high", "goal_low", "goal_high")
    )
    if (low > high).any() or (goal_low > goal_high).any():
        raise BundleError(f"{CONTRACT}: episode: a lower bound is above its upper one")
    return Starts(
        low,
        high,
        episode.number("arm_noise", above=-1e-9, most=3.0),
        goal_low,
        goal_high,
        episode.number("radius", above=0.0),
        episode.whole("steps", least=1, most=10_000),
    )


def _check_files(path: Path, files: Fields) -> None:
    for name in FILES:
        data = documents.read_bytes(path / name, _LIMIT)
        if hashlib.sha256(data).hexdigest() != files.text(name):
            raise BundleError(
                f"{path / name} is not the file that {CONTRACT} describes (its SHA-256 differs): "
                "it is damaged or of another bundle; copy the whole bundle again"
            )


def _check_robot(robot: Fields) -> None:
    joints, chain, gripper = (robot.fields(key) for key in ("joints", "chain", "gripper"))
    count = len(joints.names("names"))
    for key in ("low", "high", "max_speed", "home", "ready"):
        joints.numbers(key, count)
    low, high = joints["low"], joints["high"]
    if not all(a < b for a, b in zip(low, high, strict=True)):
        raise BundleError("robot.json: joints: low must be below high for every joint")
    chain.numbers("offsets", count + 1, 3)
    chain.numbers("grip", 3)
    turns = np.array(chain.numbers("turns", count + 1, 4), float)
    if np.abs(np.linalg.norm(turns, axis=1) - 1.0).max() > 1e-4:
        raise BundleError("robot.json: chain: turns must be quaternions of length 1")
    for key in ("closed_target", "open_target"):
        gripper.number(key)
    gripper.number("opening", above=0.0)
    table = np.array(gripper.numbers("opening_of_fingers", None, 2), float)
    if len(table) < 2 or not (np.diff(table[:, 0]) > 0).all():
        raise BundleError("robot.json: gripper: opening_of_fingers must rise in its first numbers")


def _check_objects(objects: Fields) -> None:
    for each in objects.rows("objects"):
        each.text("name")
        for key in ("size", "grasp_point", "closing_direction"):
            each.numbers(key, 3)
        each.numbers("reach", None)
        each.numbers("rest_quaternion", 4)
        each.number("rest_height")
        each.number("mass", above=0.0)


def _check_control(control: Fields, arm: Arm, actions: int) -> None:
    law = control.one_of("law", tuple(LAWS))
    for key in _CONSTANTS:
        control.number(key, above=0.0, most=1e3)
    control.numbers("posture", arm.size)
    wanted = 5 if law == "ee_delta" else arm.size + 2
    if actions != wanted:
        raise BundleError(f"{CONTRACT}: the law {law} takes {wanted} numbers, not {actions}")


def _outputs(fields: Fields) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    rows = fields.rows("outputs")
    names = tuple(row.text("name") for row in rows)
    low, high = (np.array([row.number(key) for row in rows]) for key in ("low", "high"))
    if len(set(names)) != len(names) or not names or not (low < high).all():
        raise BundleError(f"{CONTRACT}: outputs need names, none twice, and low below high")
    return names, low, high


def _inputs(
    fields: Fields, arm: Arm, actions: int, cameras: Mapping[str, SeenBy]
) -> tuple[tuple[Number, ...], tuple[Image, ...], int]:
    numbers: list[Number] = []
    images: list[Image] = []
    history = 0
    for row in fields.rows("inputs"):
        name = row.text("name")
        shape = tuple(row.numbers("shape", None))
        if name == "policy":
            numbers = [_number(each, arm) for each in row.rows("numbers")]
            if shape != (len(numbers),):
                raise BundleError(f"{CONTRACT}: policy: {len(numbers)} numbers, and shape {shape}")
        elif name == _HISTORY:
            history = int(shape[0])
            if shape != (history, actions):
                raise BundleError(f"{CONTRACT}: {_HISTORY}: shape {shape} for {actions} actions")
        else:
            images.append(_image(row, name, shape, cameras))
    return tuple(numbers), tuple(images), history


def _image(row: Fields, name: str, shape: tuple[int, ...], cameras: Mapping[str, SeenBy]) -> Image:
    camera = row.one_of("camera", tuple(cameras))
    channel = {camera: "rgb"}.get(name, name.removeprefix(f"{camera}_"))
    if channel not in _CHANNELS:
        raise BundleError(f"{CONTRACT}: the image {name} is none of the camera {camera}'s")
    components, dtype = _CHANNELS[channel]
    width, height = cameras[camera].size
    if shape != (height, width, components) or row.text("dtype") != dtype:
        raise BundleError(
            f"{CONTRACT}: the image {name} is {row.text('dtype')}{list(shape)}, and its camera's "
            f"is {dtype}{[height, width, components]}"
        )
    return Image(name, shape, dtype, camera, channel)


def _camera(cameras: Fields, name: str) -> SeenBy:
    facts = cameras.fields(name)
    width, height = facts.numbers("size", 2)
    near, far = facts.numbers("depth_range", 2)
    if not all(type(side) is int and 1 <= side <= _LARGEST for side in (width, height)):
        raise BundleError(f"{CONTRACT}: cameras: {name}: size must be pixels up to {_LARGEST}")
    if not 0.0 < near < far:
        raise BundleError(f"{CONTRACT}: cameras: {name}: depth_range must rise from above 0")
    try:
        pose = Transform.of(facts.numbers("position", 3), facts.numbers("quaternion", 4))
    except DeployError as error:
        raise BundleError(f"{CONTRACT}: cameras: {name}: {error}") from error
    return SeenBy(
        mount=facts.text("mount"),
        pose=pose @ OPENCV_IN_MUJOCO,
        field_of_view=facts.number("field_of_view", above=0.99, most=170.0),
        size=(width, height),
        period=facts.whole("period", least=1, most=10_000),
        depth_range=(near, far),
    )


def _number(row: Fields, arm: Arm) -> Number:
    quantity = row.one_of("quantity", tuple(QUANTITIES))
    index, unit = row.whole("index"), row.text("unit")
    size, units = size_of(quantity, arm.size), QUANTITIES[quantity].units
    if index >= size:
        raise BundleError(f"{CONTRACT}: {quantity} has {size} components, not {index + 1}")
    if unit != units[min(index, len(units) - 1)] and unit not in QUANTITIES[quantity].or_units:
        raise BundleError(
            f"{CONTRACT}: {row.text('name')} is said to be in {unit}, but this program computes "
            f"{quantity} in {units[min(index, len(units) - 1)]}"
        )
    frame = row.text("frame")
    if frame != QUANTITIES[quantity].frame:
        raise BundleError(
            f"{CONTRACT}: {row.text('name')} is said to be along the axes of {frame or 'nothing'}, "
            f"but this program computes {quantity} along those of {QUANTITIES[quantity].frame}"
        )
    privileged = row["privileged"]
    if privileged is not QUANTITIES[quantity].privileged:
        raise BundleError(
            f"{CONTRACT}: {row.text('name')} is said to be "
            f"{'known to a simulator alone' if privileged else 'measured'}, which it is not"
        )
    return Number(
        name=row.text("name"),
        quantity=quantity,
        index=index,
        unit=unit,
        frame=frame,
        source=row.text("source"),
        privileged=bool(privileged),
        estimate=row.text("estimate"),
        mean=row.number("mean"),
        std=row.number("std", above=0.0),
    )
