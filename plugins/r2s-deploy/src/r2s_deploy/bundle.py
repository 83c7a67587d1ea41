"""A bundle: one folder with everything that a robot needs to run a policy.

`contract.json` says what the policy reads and gives and names the SHA-256 of every other file:
`policy.onnx`, `robot.json`, `object.json`, `certificate.json`, `examples.npz`, recorded inputs with
their actions, and `leapp.yaml`. All of it is data: nothing in it is executed but the graph in
`policy.onnx`, by ONNX Runtime.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from r2s_deploy import documents, facts
from r2s_deploy.arm import Arm, Law
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
_LARGEST_NUMBER = 1e6  # that a policy reads, in its own unit
_LONGEST_HISTORY = 1000  # control steps
_FAR = 100.0  # m or rad, of where episodes start, and cameras are
_FARTHEST = 1000.0  # m, that depths reach
_SLOWEST, _FASTEST = 1.0, 200.0  # Hz


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
    if not _is_folder(path):
        raise BundleError(
            f"{str(path)[:200]} is not the folder of a bundle; `r2s export RUN -o FOLDER` writes "
            "one"
        )
    contract = documents.read(path / CONTRACT)
    where = str(path / CONTRACT)
    if contract.get("format") != FORMAT:
        found = ascii(contract.get("format"))[:60]
        raise BundleError(f"{where} is of the format {found}, and this program reads {FORMAT}")
    if contract.get("sha256") != documents.digest(contract):
        raise BundleError(f"{where} was changed since it was written (its SHA-256 differs)")
    fields = Fields(contract, where)
    _check_files(path, fields.fields("files"))
    robot, thing = documents.read(path / ROBOT), documents.read(path / OBJECT)
    facts.check_robot(Fields(robot, ROBOT))
    facts.check_objects(Fields(thing, OBJECT))
    arm = Arm.of(robot)
    names, low, high = _outputs(fields)
    facts.check_control(fields.fields("control"), arm.size, len(names))
    seen = fields.fields("cameras")
    cameras = {name: _camera(seen, name) for name in seen}
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
        rate=fields.number("control_rate_hz", least=_SLOWEST, most=_FASTEST),
        max_steps=fields.whole("max_episode_steps", least=1),
        law=Law(arm, contract["control"]),
        starts=None if fields["episode"] is None else _starts(fields.fields("episode")),
    )


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that is too long, or a folder above that may not be read
        return False


def _starts(episode: Fields) -> Starts:
    low, high, goal_low, goal_high = (
        np.array(episode.numbers_within(key, -_FAR, _FAR, 3), float)
        for key in ("object_low", "object_high", "goal_low", "goal_high")
    )
    if (low > high).any() or (goal_low > goal_high).any():
        raise BundleError(f"{CONTRACT}: episode: a lower bound is above its upper one")
    return Starts(
        low,
        high,
        episode.number("arm_noise", least=0.0, most=3.0),
        goal_low,
        goal_high,
        episode.number("radius", above=0.0, most=_FAR),
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


def _outputs(fields: Fields) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    rows = fields.rows("outputs")
    names = tuple(row.name("name") for row in rows)
    low, high = (
        np.array([row.number(key, least=-_FAR, most=_FAR) for row in rows])
        for key in ("low", "high")
    )
    if len(set(names)) != len(names) or not names or not (low < high).all():
        raise BundleError(f"{CONTRACT}: outputs need names, none twice, and low below high")
    return names, low, high


def _inputs(
    fields: Fields, arm: Arm, actions: int, cameras: Mapping[str, SeenBy]
) -> tuple[tuple[Number, ...], tuple[Image, ...], int]:
    numbers: list[Number] = []
    images: list[Image] = []
    history = 0
    rows = fields.rows("inputs")
    _check_names(f"{CONTRACT}: inputs", [row.name("name") for row in rows])
    for row in rows:
        name = row.name("name")
        shape = tuple(row.numbers("shape", None))
        if name == "policy":
            numbers = [_number(each, arm) for each in row.rows("numbers")]
            _check_names(f"{CONTRACT}: policy: numbers", [number.name for number in numbers])
            if shape != (len(numbers),):
                raise BundleError(f"{CONTRACT}: policy: {len(numbers)} numbers, and shape {shape}")
        elif name == _HISTORY:
            history = int(shape[0])
            if shape != (history, actions) or not 1 <= history <= _LONGEST_HISTORY:
                raise BundleError(f"{CONTRACT}: {_HISTORY}: shape {shape} for {actions} actions")
        else:
            images.append(_image(row, name, shape, cameras))
    return tuple(numbers), tuple(images), history


def _check_names(where: str, names: Sequence[str]) -> None:
    if twice := [name for i, name in enumerate(names) if name in names[:i]]:
        raise BundleError(f"{where}: {twice[0]} is there twice")


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
    if not name.strip():
        raise BundleError(f"{cameras.where}: a camera has no name")
    own = cameras.fields(name)
    width, height = own.numbers("size", 2)
    near, far = own.numbers_within("depth_range", 0.0, _FARTHEST, 2, above=0.0)
    if not all(type(side) is int and 1 <= side <= _LARGEST for side in (width, height)):
        raise BundleError(f"{CONTRACT}: cameras: {name}: size must be pixels up to {_LARGEST}")
    if not near < far:
        raise BundleError(f"{CONTRACT}: cameras: {name}: depth_range must rise")
    try:
        pose = Transform.of(
            own.numbers_within("position", -_FAR, _FAR, 3),
            own.numbers_within("quaternion", -2.0, 2.0, 4),
        )
    except DeployError as error:
        raise BundleError(f"{CONTRACT}: cameras: {name}: {error}") from error
    return SeenBy(
        mount=own.name("mount"),
        pose=pose @ OPENCV_IN_MUJOCO,
        field_of_view=own.number("field_of_view", above=0.99, most=170.0),
        size=(width, height),
        period=own.whole("period", least=1, most=10_000),
        depth_range=(near, far),
    )


def _number(row: Fields, arm: Arm) -> Number:
    quantity, name = row.one_of("quantity", tuple(QUANTITIES)), row.name("name")
    known, index, unit = QUANTITIES[quantity], row.whole("index"), row.text("unit")
    size = size_of(quantity, arm.size)
    if index >= size:
        raise BundleError(f"{CONTRACT}: {quantity} has {size} components, not {index + 1}")
    if unit != (computed := known.units[min(index, len(known.units) - 1)]) and (
        unit not in known.or_units
    ):
        raise BundleError(
            f"{CONTRACT}: {name} is said to be in {unit}, but this program computes {quantity} in "
            f"{computed}"
        )
    if (frame := row.text("frame")) != known.frame:
        raise BundleError(
            f"{CONTRACT}: {name} is said to be along the axes of {frame or 'nothing'}, "
            f"but this program computes {quantity} along those of {known.frame or 'nothing'}"
        )
    if (source := row.text("source")) != known.source:
        raise BundleError(
            f"{CONTRACT}: {name} is said to come from {source or 'nothing'}, but this program "
            f"computes {quantity} from {known.source}"
        )
    if (privileged := row["privileged"]) is not known.privileged:
        raise BundleError(
            f"{CONTRACT}: {name} is said to be "
            f"{'known to a simulator alone' if privileged else 'measured'}, which it is not"
        )
    if (estimate := row.text("estimate")) and estimate != known.estimate:
        raise BundleError(
            f"{CONTRACT}: {name} is said to be guessed from {estimate}, and this program guesses "
            f"{quantity} from {known.estimate or 'nothing'}"
        )
    return Number(
        name=name,
        quantity=quantity,
        index=index,
        unit=unit,
        frame=frame,
        source=source,
        privileged=known.privileged,
        estimate=estimate,
        mean=row.number("mean", least=-_LARGEST_NUMBER, most=_LARGEST_NUMBER),
        std=row.number("std", above=0.0, most=_LARGEST_NUMBER),
    )
