"""Messages of ROS 2 and of Foxglove's JSON, by their shape, into plain numbers.

A message is what `mcap_ros2` makes of CDR (objects with fields) or `json` of JSON (mappings), with
the same names.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from r2s_deploy.errors import DeployError

_NANO = 1e-9
_LENGTH_TOLERANCE = 0.01  # of a quaternion
_MOST_POINTS = 100_000  # of a trajectory


class JointNumbers(NamedTuple):
    """Names, and as many angles; velocities likewise, or none."""

    names: tuple[str, ...]
    angles: tuple[float, ...]
    velocities: tuple[float, ...]


def get(message: Any, *path: str) -> Any:
    """A field in a field in a message; None where there is none."""
    for name in path:
        if isinstance(message, Mapping):
            message = message.get(name)
        else:
            message = getattr(message, name, None)
    return message


def stamp(message: Any) -> float | None:
    """When it was measured, s on its sender's clock; None where it does not say."""
    for path in (("header", "stamp"), ("timestamp",)):
        found = get(message, *path)
        sec, nano = get(found, "sec"), get(found, "nanosec")
        nano = get(found, "nsec") if nano is None else nano
        if _is_number(sec) and _is_number(nano) and (sec or nano):
            sec, nano = _numbers((sec, nano), "stamp's numbers")
            return sec + _NANO * nano
    return None


def frame(message: Any) -> str:
    """The name of the frame that its numbers are in; empty where it does not say."""
    found = get(message, "header", "frame_id") or get(message, "frame_id")
    return found.strip("/") if isinstance(found, str) else ""


def joint_state(message: Any) -> JointNumbers:
    """Of a sensor_msgs/JointState."""
    names, angles, velocities = (get(message, key) for key in ("name", "position", "velocity"))
    if not _is_list(names) or not all(isinstance(name, str) for name in names):
        raise DeployError("it has no list of joint names, as a JointState does")
    found = _numbers(angles, "positions")
    if len(found) != len(names):
        raise DeployError(f"it has {len(names)} names and {len(found)} positions")
    speeds = () if not velocities else _numbers(velocities, "velocities")
    return JointNumbers(tuple(names), found, speeds if len(speeds) == len(found) else ())


def position(message: Any) -> tuple[float, float, float]:
    """m, of a PointStamped, PoseStamped, TransformStamped, Point or Pose."""
    held = _pose(message)
    for place in (get(message, "point"), get(held, "position"), get(held, "translation"), message):
        found = tuple(get(place, axis) for axis in "xyz")
        if None not in found:
            x, y, z = _numbers(found, "coordinates")
            return x, y, z
    raise DeployError("it has no position, as a PoseStamped or PointStamped does")


def pose(message: Any) -> tuple[float, ...]:
    """Position, m, and quaternion w, x, y, z, of a PoseStamped, TransformStamped or Pose."""
    held, place = _pose(message), position(message)
    turn = get(held, "orientation") or get(held, "rotation")
    found = tuple(get(turn, part) for part in "wxyz")
    if None in found:
        raise DeployError("it has no orientation, as a PoseStamped does")
    quaternion = _numbers(found, "orientation")
    length = math.hypot(*quaternion)
    if abs(length - 1.0) > _LENGTH_TOLERANCE:
        raise DeployError(f"its quaternion has length {length:.3g}; it must be 1")
    return (*place, *(part / length for part in quaternion))


def targets(message: Any) -> Iterator[tuple[float, JointNumbers]]:
    """What is commanded: s after the message, and angles, of a JointState, a JointTrajectory (each
    point from when the one before should be reached) or an array without names."""
    points, numbers = get(message, "points"), get(message, "data")
    if _is_list(points):
        names = get(message, "joint_names")
        if not _is_list(names) or len(points) > _MOST_POINTS:
            raise DeployError("it is no trajectory of joints")
        since = 0.0
        for point in points:
            yield since, joint_state({"name": names, "position": get(point, "positions")})
            after = get(point, "time_from_start")
            sec, nano = _numbers((get(after, "sec"), get(after, "nanosec")), "time_from_start")
            since = sec + _NANO * nano
    elif _is_list(numbers):
        yield 0.0, JointNumbers((), _numbers(numbers, "data"), ())
    else:
        yield 0.0, joint_state(message)


def _pose(message: Any) -> Any:
    """The part with position and orientation."""
    held = get(message, "pose") or get(message, "transform") or message
    return get(held, "pose") or held  # of a PoseWithCovariance


def _numbers(values: Any, what: str) -> tuple[float, ...]:
    if not _is_list(values) or not all(map(_is_number, values)):
        raise DeployError(f"its {what} are not numbers")
    try:
        found = tuple(map(float, values))
    except OverflowError:  # a whole number of hundreds of digits
        found = (math.inf,)
    if not all(map(math.isfinite, found)):
        raise DeployError(f"its {what} are not finite")
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple) or type(value).__name__ in ("array", "ndarray")
