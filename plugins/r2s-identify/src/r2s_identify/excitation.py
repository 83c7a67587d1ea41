"""Motion that tells what an arm is: a sum of sines for each joint, within limits, checked.

Finite Fourier series are the usual choice (Swevers et al. 1997, "Optimal robot excitation and
identification"): they are smooth, periodic, and their band is known.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import mujoco
import numpy as np

from r2s_core.errors import R2SError
from r2s_identify.arm import Arm

Array = np.ndarray
ACCELERATION = 10.0  # rad/s^2, of a Franka arm
_BAND = (0.12, 5.0)  # Hz
_SINES = 8  # of each joint
_RAMP = 1.0  # s, from rest and back to it, or a fifth of a short motion
SHORTEST = 2.0  # s
_WIDEST = 0.5  # rad, from the centre
_MARGIN = 0.05  # rad, to the limits of the joints
_SPEED, _TORQUE = 0.6, 0.4  # shares of the limits
_CLEAR, _APART = 0.10, 0.20  # m: between links that are further apart than the second at the centre
_ABOVE = 0.12  # m, of everything that moves above the table, where it is higher at the centre
_LINES = 0.02  # s between the moments that are checked


@dataclasses.dataclass(frozen=True)
class Excitation:
    """time [T], s; targets [T, n], rad, from rest at the arm's centre and back."""

    time: Array
    targets: Array


def excitation(
    arm: Arm, seconds: float, dt: float, joints: Sequence[int], seed: int = 0
) -> Excitation:
    """Targets that move `joints`; the others stay at the arm's centre.

    Raises `R2SError` where no such motion keeps the limits.
    """
    if seconds < SHORTEST:
        raise R2SError(f"an excitation of {seconds:g} s is too short; give {SHORTEST:g} or more")
    time = dt * np.arange(round(seconds / dt))
    random = np.random.default_rng(seed)
    shapes = np.zeros((len(time), arm.size))
    for place, joint in enumerate(joints):
        shapes[:, joint] = _shape(time, seconds, (place + 0.5) / len(joints), random)
    size = np.array([_size(arm, i, shapes[:, i], dt) for i in range(arm.size)])
    why = None
    for share in 0.85 ** np.arange(16):
        found = Excitation(time, arm.centre + share * size * shapes)
        if (why := objection(arm, found)) is None:
            return found
    raise R2SError(f"there is no room to move the {arm.name} about its home: {why}")


def _shape(time: Array, seconds: float, offset: float, random: np.random.Generator) -> Array:
    """Sines that share the band evenly, larger where they are slower; at rest at both ends."""
    low, high = _BAND
    base = 1.0 / seconds
    places = (np.arange(_SINES) + offset) / _SINES
    frequencies = np.maximum(1, np.round(low * (high / low) ** places / base)) * base
    phases = random.uniform(0.0, 2.0 * np.pi, _SINES)
    sines = np.sin(2.0 * np.pi * frequencies * time[:, None] + phases) / frequencies**0.9
    ramp = np.clip(np.minimum(time, time[-1] - time) / min(_RAMP, seconds / 5.0), 0.0, 1.0)
    return sines.sum(axis=1) * ramp**3 * (10.0 - 15.0 * ramp + 6.0 * ramp**2)


def _size(arm: Arm, joint: int, shape: Array, dt: float) -> float:
    """The largest factor on a joint's motion that keeps the joint's own limits."""
    largest = float(np.abs(shape).max())
    if not largest:
        return 0.0
    room = min(arm.centre[joint] - arm.low[joint], arm.high[joint] - arm.centre[joint]) - _MARGIN
    speed = np.gradient(shape, dt)
    limits = (
        min(room, _WIDEST) / largest,
        _SPEED * arm.max_speed[joint] / float(np.abs(speed).max()),
        ACCELERATION / float(np.abs(np.gradient(speed, dt)).max()),
    )
    return max(0.0, min(limits))


def objection(arm: Arm, given: Excitation) -> str | None:
    """Why an arm must not be sent along these targets; None: it may.

    Checked of the targets: limits of position, speed, acceleration and torque; the table; the links
    among themselves, as straight lines between their joints.
    """
    dt = float(given.time[1] - given.time[0])
    speed = np.gradient(given.targets, dt, axis=0)
    acceleration = np.gradient(speed, dt, axis=0)
    for i, name in enumerate(arm.joints):
        path = given.targets[:, i]
        if path.min() < arm.low[i] or path.max() > arm.high[i]:
            return f"{name} would leave its limits, {arm.low[i]:.3f} to {arm.high[i]:.3f} rad"
        if np.abs(speed[:, i]).max() > arm.max_speed[i]:
            return f"{name} would be faster than its limit, {arm.max_speed[i]:.2f} rad/s"
        if np.abs(acceleration[:, i]).max() > 1.01 * ACCELERATION:
            return f"{name} would accelerate by more than {ACCELERATION:g} rad/s^2"
    data = mujoco.MjData(arm.model)
    data.qpos[:] = arm.rest(arm.centre)
    usual = _clearance(arm, data)
    for row in range(0, len(given.time), max(1, round(_LINES / dt))):
        data.qpos[arm.qpos] = given.targets[row]
        data.qvel[arm.dofs], data.qacc[arm.dofs] = speed[row], acceleration[row]
        mujoco.mj_inverse(arm.model, data)
        torque = np.abs(data.qfrc_inverse[arm.dofs]) / arm.max_torque
        if torque.max() > _TORQUE:
            name = arm.joints[int(torque.argmax())]
            return f"{name} would need more than {100 * _TORQUE:.0f} % of its torque"
        if why := _too_close(arm, _clearance(arm, data), usual):
            return why
    return None


def _clearance(arm: Arm, data: mujoco.MjData) -> tuple[Array, Array]:
    """Distances between links [k, k], and the height of each link's end [k], m."""
    mujoco.mj_kinematics(arm.model, data)
    bodies = arm.model.jnt_bodyid[arm.model.actuator_trnid[arm.servos, 0]]
    ends = np.concatenate([np.zeros((1, 3)), data.xpos[bodies], data.xpos[[arm.load]]])
    count = len(ends) - 1
    away = np.full((count, count), np.inf)
    for i in range(count):
        for j in range(i + 2, count):
            away[i, j] = _between(ends[i], ends[i + 1], ends[j], ends[j + 1])
    return away, ends[1:, 2]


def _between(a: Array, b: Array, c: Array, d: Array) -> float:
    """The distance between two segments, m, on a grid of points: too large by 1 cm at most."""
    share = np.linspace(0.0, 1.0, 17)[:, None]
    first, second = a + share * (b - a), c + share * (d - c)
    return float(np.linalg.norm(first[:, None] - second[None], axis=-1).min())


def _too_close(arm: Arm, now: tuple[Array, Array], usual: tuple[Array, Array]) -> str | None:
    near = (usual[0] > _APART) & (now[0] < _CLEAR)
    if np.isfinite(now[0]).any() and near.any():
        i, j = np.argwhere(near)[0]
        names = ("the base", *arm.joints, "the grip")
        return f"the link before {names[i + 1]} would come close to that before {names[j + 1]}"
    if ((usual[1] > _ABOVE) & (now[1] < _ABOVE)).any():
        return f"it would come within {100 * _ABOVE:.0f} cm of the table"
    return None
