"""A file of where something was when images were taken: poses, or the arm's joint angles."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from r2s_deploy.arm import Arm
from r2s_deploy.errors import CalibrationError, DeployError
from r2s_deploy.transform import Transform, vector

_LARGEST = 4 * 2**20  # bytes
_IMAGE, _ANGLES = "image", "angles"
_POSITION, _QUATERNION = ("x", "y", "z"), ("qw", "qx", "qy", "qz")
_BEYOND_RAD = 0.1  # a joint's limits


def read_poses(
    path: Path, arm: Arm | None = None, joints: Sequence[str] = ()
) -> dict[str, Transform]:
    """Poses in the base's frame by the names of images, without their folders.

    A CSV file has the columns image, x, y, z (m), qw, qx, qy, qz, or image and the joints' names
    (rad); a JSON file has a list of mappings with image, position and quaternion (w, x, y, z), or
    image and angles, or a mapping of such by image. arm: turns angles into the grip's pose.

    Raises `CalibrationError` with the row that is not sound.
    """
    found: dict[str, Transform] = {}
    for where, row in _rows(path):
        try:
            name = row.get(_IMAGE)
            if not isinstance(name, str) or not name.strip():
                raise DeployError("it names no image")
            name = Path(name.strip()).name
            if name in found:
                raise DeployError(f"{name} is there twice")
            found[name] = _pose(row, arm, joints)
        except DeployError as error:
            raise CalibrationError(f"{path}, {where}: {error}") from None
    if not found:
        raise CalibrationError(f"{path} has no rows")
    return found


def _pose(row: Mapping[str, Any], arm: Arm | None, joints: Sequence[str]) -> Transform:
    if _ANGLES in row or (joints and all(joint in row for joint in joints)):
        if arm is None:
            raise DeployError("it has joint angles; give the bundle of this arm (--bundle)")
        values = row[_ANGLES] if _ANGLES in row else [row[joint] for joint in joints]
        angles = vector(values, arm.size, _ANGLES)
        beyond = np.maximum(arm.low - angles, angles - arm.high)
        if beyond.max() > _BEYOND_RAD:
            i = int(beyond.argmax())
            name = joints[i] if joints else f"joint {i + 1}"
            raise DeployError(
                f"{name} is at {angles[i]:g} rad, beyond its limits {arm.low[i]:g} to "
                f"{arm.high[i]:g}"
            )
        posture = arm.posture(angles)
        return Transform(posture.rotation, posture.position)
    if "position" in row and "quaternion" in row:
        return Transform.of(row["position"], row["quaternion"])
    if all(column in row for column in (*_POSITION, *_QUATERNION)):
        return Transform.of([row[c] for c in _POSITION], [row[c] for c in _QUATERNION])
    raise DeployError(
        f"it has no pose; it has {', '.join(map(str, row))[:200]}, and what is read is "
        f"{', '.join((*_POSITION, *_QUATERNION))}, or position and quaternion, or joint angles"
    )


def _rows(path: Path) -> list[tuple[str, Mapping[str, Any]]]:
    """Rows, and what to call each."""
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise CalibrationError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CalibrationError(f"{path} is no text") from None
    if len(data) > _LARGEST:
        raise CalibrationError(f"{path} has more than {_LARGEST:,} bytes")
    return _of_json(path, text) if text.lstrip()[:1] in ("{", "[") else _of_csv(path, text)


def _of_json(path: Path, text: str) -> list[tuple[str, Mapping[str, Any]]]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CalibrationError(f"{path} is not JSON: {error}") from None
    rows = list(found.values()) if isinstance(found, dict) else found
    if not all(isinstance(row, dict) for row in rows):
        raise CalibrationError(f"{path} is no list of mappings, one for each image")
    if isinstance(found, dict):
        rows = [{_IMAGE: name, **of} for name, of in found.items()]
    return [(f"row {i + 1}", row) for i, row in enumerate(rows)]


def _of_csv(path: Path, text: str) -> list[tuple[str, Mapping[str, Any]]]:
    try:
        reader = csv.DictReader(io.StringIO(text), skipinitialspace=True)
        rows = [(f"line {reader.line_num}", row) for row in reader]
    except csv.Error as error:
        raise CalibrationError(f"{path} is not a CSV file: {error}") from None
    return [(where, {k: _number(v) for k, v in row.items() if k}) for where, row in rows]


def _number(text: Any) -> Any:
    """The number in a cell, or what else is in it."""
    try:
        value = float(text)
    except (TypeError, ValueError):
        return text
    return value if math.isfinite(value) else text
