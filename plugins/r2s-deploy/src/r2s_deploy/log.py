"""Recorded states of a robot, as CSV.

A line for each moment: `time` (s), for each joint its name (rad) and, if known, `NAME_velocity`
(rad/s); `finger1`, `finger2` and `finger1_velocity`, `finger2_velocity`; `object_x`, `object_y`,
`object_z`, `object_qw`, `object_qx`, `object_qy`, `object_qz`; `goal_x`, `goal_y`, `goal_z`; and
`NAME_target` (rad) and `finger_target`, what was commanded. Only time and joints are required.
Columns with other names are ignored, unless a `Naming` says what they are.
"""

from __future__ import annotations

import csv
import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from r2s_deploy.errors import DeployError
from r2s_deploy.naming import (
    FINGER_TARGET,
    FINGERS,
    GOAL,
    OBJECT,
    Naming,
    lead,
    listed,
    target,
    velocity,
)

Array = np.ndarray
_LONGEST = 10_000_000  # lines
_LONGEST_S, _LONGEST_GAP_S = 3600.0, 60.0
_USUAL_STEP_S = (1e-5, 1.0)
_FASTEST = 20.0  # rad/s, which no arm's joint reaches
_LENGTH_TOLERANCE = 0.01  # of a quaternion


@dataclasses.dataclass(frozen=True)
class Log:
    """T moments. time [T], s; angles and velocities [T, n]; fingers and finger_velocities [T, 2].

    None where the file has none: object [T, 7], goal [T, 3], targets [T, n], finger_target [T].
    images: [T, H, W, C] by the policy's names. object_age [T]: s, how old the object's pose was by
    then; None: it is of then. notes: sentences for who reads what is made of it. lacks: how to name
    what it has not, to end an error with.
    """

    time: Array
    angles: Array
    velocities: Array
    fingers: Array
    finger_velocities: Array
    object: Array | None = None
    goal: Array | None = None
    targets: Array | None = None
    finger_target: Array | None = None
    object_age: Array | None = None
    images: Mapping[str, Array] | None = None
    notes: tuple[str, ...] = ()
    lacks: str = ""

    def __len__(self) -> int:
        return len(self.time)


def write_csv(path: Path, log: Log, joints: Sequence[str]) -> None:
    """Write a log; joints: the names of the arm's."""
    columns = {
        "time": log.time,
        **_named(joints, log.angles),
        **_named([velocity(name) for name in joints], log.velocities),
        **_named(FINGERS, log.fingers),
        **_named([velocity(name) for name in FINGERS], log.finger_velocities),
    }
    if log.object is not None:
        columns |= _named(OBJECT, log.object)
    if log.goal is not None:
        columns |= _named(GOAL, log.goal)
    if log.targets is not None:
        columns |= _named([target(name) for name in joints], log.targets)
    if log.finger_target is not None:
        columns[FINGER_TARGET] = log.finger_target
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        rows = zip(*columns.values(), strict=True)
        writer.writerows([f"{x:.9g}" for x in row] for row in rows)


def _named(names: Sequence[str], values: Array) -> dict[str, Array]:
    return dict(zip(names, values.T, strict=True))


def read_csv(path: Path, joints: Sequence[str], naming: Naming | None = None) -> Log:
    """Read a log of an arm with these joints; naming: what else they may be called.

    Velocities that are not there are differences of the angles; fingers that are not there are 0.
    Raises `DeployError`, with the line, for what is no log.
    """
    return of_columns(_columns(path), naming or Naming(tuple(joints)), str(path))


def of_columns(columns: Mapping[str, Array], naming: Naming, where: str) -> Log:
    """The log in columns [T] by the names of a recording; raises as `read_csv`.

    Where a recording says by how much each joint's last target led its angle, targets follow.
    """
    names = naming.find(columns, where)
    if "time" not in names:
        raise DeployError(f"{where} has no column time; it has {listed(columns)}")
    found = {column: columns[name] for column, name in names.items()}
    time, joints = found["time"], naming.joints
    if len(time) < 2 or not (np.diff(time) > 0).all():
        raise DeployError(
            f"{where}: time must rise from line to line, and there must be two or more"
        )
    check_time(time, where)
    angles = _some(found, joints)
    assert angles is not None
    velocities = _some(found, [velocity(name) for name in joints])
    if velocities is not None:
        check_speeds(velocities, joints, where)
    fingers = _some(found, FINGERS)
    finger_velocities = _some(found, [velocity(name) for name in FINGERS])
    targets = _some(found, [target(name) for name in joints])
    leads = _some(found, [lead(name) for name in joints])
    if targets is None and leads is not None:
        targets = np.concatenate([(angles + leads)[1:], (angles + leads)[-1:]])
    return Log(
        time=time,
        angles=angles,
        velocities=rate(angles, time) if velocities is None else velocities,
        fingers=np.zeros((len(time), 2)) if fingers is None else fingers,
        finger_velocities=_finger_rate(fingers, finger_velocities, time),
        object=_poses(_some(found, OBJECT), time, where),
        goal=_some(found, GOAL),
        targets=targets,
        finger_target=found.get(FINGER_TARGET),
        notes=(*naming.told(names), *missing(velocities is not None, fingers is not None)),
    )


def check_time(time: Array, where: str) -> None:
    """Raises `DeployError` for times [T], which rise, that are hardly seconds of one recording."""
    steps = np.diff(time)
    at = int(steps.argmax())
    step, (least, most) = float(np.median(steps)), _USUAL_STEP_S
    if not least <= step <= most:
        raise DeployError(
            f"{where}: its moments are {step:.3g} s apart, if time is in seconds; it must be, and "
            f"{least:g} to {most:g} s are read: divide the times of another unit"
        )
    if steps[at] > _LONGEST_GAP_S:
        raise DeployError(
            f"{where}: nothing is recorded for {steps[at]:.3g} s after {time[at]:.10g} s; time "
            f"must be in seconds, and a gap may have {_LONGEST_GAP_S:g} s: cut the log there"
        )
    if time[-1] - time[0] > _LONGEST_S:
        raise DeployError(
            f"{where}: it has {time[-1] - time[0]:.4g} s; time must be in seconds, and a log may "
            f"have {_LONGEST_S:g} s: cut it"
        )


def check_speeds(velocities: Array, joints: Sequence[str], where: str) -> None:
    """Raises `DeployError` for recorded velocities [T, n] that are not in rad/s."""
    fastest = np.abs(velocities).max(axis=0)
    if fastest.max() > _FASTEST:
        i = int(fastest.argmax())
        raise DeployError(
            f"{where}: {joints[i]} has a velocity of up to {fastest[i]:.3g}, which no arm's joint "
            "reaches in rad/s; divide degrees/s by 57.3"
        )


def _poses(poses: Array | None, time: Array, where: str) -> Array | None:
    """Of the object [T, 7], with quaternions of length 1."""
    if poses is None:
        return None
    with np.errstate(over="ignore"):
        length = np.linalg.norm(poses[:, 3:], axis=1)
    off = np.abs(length - 1.0)
    if off.max() > _LENGTH_TOLERANCE:
        i = int(off.argmax())
        raise DeployError(
            f"{where}: at {time[i]:.10g} s the object's quaternion has length {length[i]:.3g}; it "
            "must be 1"
        )
    return np.hstack([poses[:, :3], poses[:, 3:] / length[:, None]])


def missing(has_velocities: bool, has_fingers: bool) -> tuple[str, ...]:
    """What is said of a recording without these."""
    return (
        *("it has no velocities: they are differences of the angles",) * (not has_velocities),
        *("it has no fingers: they are taken to be at 0 all the time",) * (not has_fingers),
    )


def rate(values: Array, time: Array) -> Array:
    """Of change, by differences, [T, k]."""
    return np.asarray(np.gradient(values, time, axis=0))


def _finger_rate(fingers: Array | None, velocities: Array | None, time: Array) -> Array:
    if fingers is None:
        return np.zeros((len(time), 2))
    return rate(fingers, time) if velocities is None else velocities


def _columns(path: Path) -> dict[str, Array]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # Excel marks byte order
            reader = csv.reader(file)
            names = [name.strip() for name in next(reader, [])]
            if len(set(names)) != len(names) or not names:
                raise DeployError(f"{path}: the first line must name the columns, none twice")
            rows = []
            for row in reader:
                rows.append(_row(path, reader.line_num, row, len(names)))
                if len(rows) > _LONGEST:
                    raise DeployError(f"{path} has more than {_LONGEST:,} lines")
    except OSError as error:
        raise DeployError(f"{path} cannot be read: {error.strerror}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise DeployError(f"{path} is not a CSV file: {error}") from error
    values = np.array(rows, float).reshape(-1, len(names))
    return dict(zip(names, values.T, strict=True))


def _row(path: Path, line: int, row: Sequence[str], size: int) -> list[float]:
    if len(row) != size:
        raise DeployError(f"{path}, line {line}: {len(row)} values for {size} columns")
    try:
        values = [float(text) for text in row]
    except ValueError:
        values = [math.nan]
    if not all(map(math.isfinite, values)):
        raise DeployError(f"{path}, line {line}: every value must be a finite number")
    return values


def _some(columns: Mapping[str, Array], names: Sequence[str]) -> Array | None:
    """The columns of these names [T, k]; None where one is missing."""
    if not all(name in columns for name in names):
        return None
    return np.stack([columns[name] for name in names], axis=1)
