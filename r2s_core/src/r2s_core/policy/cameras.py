"""The cameras of a policy's contract: in words, and how an environment's differ from them.

Imports neither JAX nor MuJoCo.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from r2s_core.camera import WORLD, Camera

_CHANNELS = {"rgb": "colour", "depth": "depth", "segmentation": "which body is seen"}
_NEAR = 1e-6  # m, degrees: below it nothing differs


def described(camera: Camera, rate: float) -> str:
    """Where a camera is and what it measures, for readers. rate: control steps per second, Hz."""
    width, height = camera.size
    channels = " and ".join(_CHANNELS[channel] for channel in camera.channels)
    every = "every control step" if camera.period == 1 else f"every {camera.period} control steps"
    parts = [
        f"{width} x {height} pixels of {channels}",
        f"field of view {camera.field_of_view:g} degrees from top to bottom",
        f"{_where(camera)}, looking along {_vector(_direction(camera.quaternion))}",
        f"an image {every} ({rate / camera.period:.3g} per second)",
    ]
    if "depth" in camera.channels:
        parts.append("depths from {:g} to {:g} m".format(*camera.depth_range))
    return "; ".join(parts)


def differences(trained: Mapping[str, Camera], found: Mapping[str, Camera]) -> list[str]:
    """A line for each camera of a policy that an environment has otherwise than in training.

    trained: of the policy's contract. found: the environment's. Those that it lacks are left out,
    as is what sizes and channels differ in, since a policy that reads them is refused.
    """
    pairs = ((name, camera, found[name]) for name, camera in trained.items() if name in found)
    told = ((name, ", ".join(_changes(before, now))) for name, before, now in pairs)
    return [f"the camera {name} is not as in training: {text}" for name, text in told if text]


def _changes(before: Camera, now: Camera) -> Iterator[str]:
    if now.mount != before.mount:  # positions in two frames say nothing of each other
        yield f"carried by {now.mount} instead of {before.mount}"
    else:
        moved = math.dist(now.position, before.position)
        if moved > _NEAR:
            yield f"moved by {1000 * moved:.3g} mm"
        turned = _angle(before.quaternion, now.quaternion)
        if turned > 1e-3:
            yield f"turned by {turned:.3g} degrees"
    if abs(now.field_of_view - before.field_of_view) > _NEAR:
        yield f"field of view {now.field_of_view:g} instead of {before.field_of_view:g} degrees"
    if now.period != before.period:
        yield f"an image every {now.period} control steps instead of {before.period}"
    if "depth" in before.channels and now.depth_range != before.depth_range:
        yield f"depths of {list(now.depth_range)} instead of {list(before.depth_range)} m"


def _where(camera: Camera) -> str:
    place = f"at {_vector(camera.position)} m"
    if camera.mount == WORLD:
        return f"fixed {place}"
    return f"carried by {camera.mount}, {place} in its frame"


def _direction(quaternion: Sequence[float]) -> np.ndarray:
    """Unit vector [3] along which a camera looks, in the frame of its pose: its negative z axis."""
    w, x, y, z = np.asarray(quaternion, float) / np.linalg.norm(quaternion)
    return -np.array([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)])


def _angle(a: Sequence[float], b: Sequence[float]) -> float:
    """Degrees between two orientations."""
    p, q = (np.asarray(x, float) / np.linalg.norm(x) for x in (a, b))
    apart = min(float(np.linalg.norm(p - q)), float(np.linalg.norm(p + q)))
    return math.degrees(4 * math.asin(min(apart / 2, 1.0)))  # exact for small angles too


def _vector(values: Sequence[float] | np.ndarray) -> str:
    return "(" + ", ".join(f"{round(float(x), 3) + 0.0:g}" for x in values) + ")"
