"""Recorded states of a robot, as CSV.

A line for each moment: `time` (s), for each joint its name (rad) and, if known, `NAME_velocity`
(rad/s); `finger1`, `finger2` and `finger1_velocity`, `finger2_velocity`; `object_x`, `object_y`,
`object_z`, `object_qw`, `object_qx`, `object_qy`, `object_qz`; `goal_x`, `goal_y`, `goal_z`; and
`NAME_target` (rad) and `finger_target`, what was commanded. Only time and joints are required.
"""

from __future__ import annotations

import csv
import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from r2s_deploy.errors import DeployError

Array = np.ndarray
_LONGEST = 10_000_000  # lines
OBJECT = tuple(f"object_{part}" for part in ("x", "y", "z", "qw", "qx", "qy", "qz"))
GOAL = ("goal_x", "goal_y", "goal_z")
FINGERS = ("finger1", "finger2")


@dataclasses.dataclass(frozen=True)
class Log:
    """T moments. time [T], s; angles and velocities [T, n]; fingers and finger_velocities [T, 2].

    None where the file has none: object [T, 7], goal [T, 3], targets [T, n], finger_target [T].
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

    def __len__(self) -> int:
        return len(self.time)


def write_csv(path: Path, log: Log, joints: Sequence[str]) -> None:
    """Write a log; joints: the names of the arm's."""
    columns = {
        "time": log.time,
        **_named(joints, log.angles),
        **_named([f"{name}_velocity" for name in joints], log.velocities),
        **_named(FINGERS, log.fingers),
        **_named([f"{name}_velocity" for name in FINGERS], log.finger_velocities),
    }
    if log.object is not None:
        columns |= _named(OBJECT, log.object)
    if log.goal is not None:
        columns |= _named(GOAL, log.goal)
    if log.targets is not None:
        columns |= _named([f"{name}_target" for name in joints], log.targets)
    if log.finger_target is not None:
        columns["finger_target"] = log.finger_target
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        rows = zip(*columns.values(), strict=True)
        writer.writerows([f"{x:.9g}" for x in row] for row in rows)


def _named(names: Sequence[str], values: Array) -> dict[str, Array]:
    return dict(zip(names, values.T, strict=True))


def read_csv(path: Path, joints: Sequence[str]) -> Log:
    """Read a log of an arm with these joints.

    Velocities that are not there are differences of the angles; fingers that are not there are 0.
    Raises `DeployError`, with the line, for what is no log.
    """
    columns = _columns(path)
    missing = [name for name in ("time", *joints) if name not in columns]
    if missing:
        raise DeployError(
            f"{path} has no column {missing[0]}; it needs time and the joints {', '.join(joints)}"
        )
    time = columns["time"]
    if len(time) < 2 or not (np.diff(time) > 0).all():
        raise DeployError(
            f"{path}: time must rise from line to line, and there must be two or more"
        )
    angles = _some(columns, joints)
    assert angles is not None
    velocities = _some(columns, [f"{name}_velocity" for name in joints])
    fingers = _some(columns, FINGERS)
    fingers = np.zeros((len(time), 2)) if fingers is None else fingers
    finger_velocities = _some(columns, [f"{name}_velocity" for name in FINGERS])
    return Log(
        time=time,
        angles=angles,
        velocities=_rate(angles, time) if velocities is None else velocities,
        fingers=fingers,
        finger_velocities=_rate(fingers, time) if finger_velocities is None else finger_velocities,
        object=_some(columns, OBJECT),
        goal=_some(columns, GOAL),
        targets=_some(columns, [f"{name}_target" for name in joints]),
        finger_target=columns.get("finger_target"),
    )


def _rate(values: Array, time: Array) -> Array:
    """Of change, by differences, [T, k]."""
    return np.asarray(np.gradient(values, time, axis=0))


def _columns(path: Path) -> dict[str, Array]:
    try:
        with path.open(newline="") as file:
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


def _some(columns: dict[str, Array], names: Sequence[str]) -> Array | None:
    """The columns of these names [T, k]; None where one is missing."""
    if not all(name in columns for name in names):
        return None
    return np.stack([columns[name] for name in names], axis=1)
