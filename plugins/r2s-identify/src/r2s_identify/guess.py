"""A first guess by linear regression on inverse dynamics: the delay first, then the rest.

In torques the model is linear in all but the delay (Atkeson, An and Hollerbach 1986). Noise of the
accelerations makes it biased, so it only starts the fit.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import mujoco
import numpy as np

from r2s_identify.arm import Arm
from r2s_identify.parameters import MAX_DELAY, Unknown
from r2s_identify.recording import Recording, smoothed

Array = np.ndarray
KINDS = ("stiffness", "servo_damping", "friction", "armature", "payload")
_APART = 0.004  # s between the moments that are used
_SMOOTH = 0.1  # s, of the filter of all signals
_SLOW = 0.02  # rad/s, below which dry friction is not full
_MOVES = 0.02  # rad/s, root mean square: what moves less is not guessed
_EDGE = 0.1  # s at both ends, where filtered derivatives are poor


def guess(arm: Arm, recording: Recording, unknowns: Sequence[Unknown]) -> Array:
    """Starting values, in multiples of `Unknown.scale`, within the bounds."""
    step = max(1, round(_APART / recording.dt))
    edge = max(1, round(_EDGE / recording.dt))
    late = round(MAX_DELAY / recording.dt)
    rows = np.arange(late + edge, len(recording) - edge, step)
    # One filter for angles and targets, so that it takes nothing from their difference.
    targets = smoothed(recording.targets, recording.dt, _SMOOTH)
    angles, velocity, acceleration = (
        smoothed(recording.angles, recording.dt, _SMOOTH, order)[rows] for order in range(3)
    )
    torque, load = _torques(arm, angles, velocity, acceleration)
    moves = np.sqrt((velocity**2).mean(axis=0)) > _MOVES
    solved: dict[str, float] = {}
    errors, joints = np.zeros(late + 1), []
    for i in sorted({each.joint for each in unknowns if each.joint is not None}):
        if not moves[i]:
            continue
        friction = np.tanh(velocity[:, i] / _SLOW)
        own = [-velocity[:, i], -friction, -acceleration[:, i], -load[:, i]]
        regressions = [
            np.stack([targets[rows - lag, i] - angles[:, i], *own], axis=1)
            for lag in range(late + 1)
        ]
        errors += [_solve(columns, torque[:, i])[1] for columns in regressions]
        joints.append((i, regressions))
    lag = int(np.argmin(errors)) if joints else 0
    loads = []
    for i, regressions in joints:
        own, variance = _drawn_to_nominal(i, regressions[lag], torque[:, i], unknowns)
        solved |= {f"{kind}.{arm.joints[i]}": own[kind] for kind in KINDS[:4]}
        loads.append((own["payload"], 1.0 / variance))
    if loads:
        masses, weights = np.array(loads).T
        solved["payload"] = float(masses @ weights / weights.sum())
    solved["delay"] = lag * recording.dt
    return np.array([_within(each, solved.get(each.name, each.nominal)) for each in unknowns])


def _within(each: Unknown, value: float) -> float:
    span = each.high - each.low
    return float(np.clip(value, each.low + 0.01 * span, each.high - 0.1 * span)) / each.scale


def _solve(columns: Array, torque: Array) -> tuple[Array, float]:
    """Coefficients, and the share of the torque's square that they leave."""
    solution = np.linalg.lstsq(columns, torque, rcond=1e-8)[0]
    left = torque - columns @ solution
    return solution, float(left @ left) / max(float(torque @ torque), 1e-12)


def _drawn_to_nominal(
    joint: int, columns: Array, torque: Array, unknowns: Sequence[Unknown]
) -> tuple[dict[str, float], float]:
    """Of one joint by kind, and the variance of the payload.

    Drawn to the nominal values as far as the torques leave it open: where a joint's links weigh
    little, twice all its numbers moves it in the same way.
    """
    own = {each.kind: each for each in unknowns if each.joint in (joint, None)}
    centre = np.array([own[kind].nominal for kind in KINDS])
    scale = np.array([own[kind].scale for kind in KINDS])
    left = torque - columns @ _solve(columns, torque)[0]
    noise = max(float(left.std()) * np.sqrt(_SMOOTH / _APART), 1e-9)  # one filter's width is one
    columns = np.concatenate([columns, np.diag(noise / scale)])
    solution = np.linalg.lstsq(columns, np.append(torque, noise * centre / scale), rcond=None)[0]
    variance = noise**2 * np.linalg.inv(columns.T @ columns)[-1, -1]
    return dict(zip(KINDS, map(float, solution), strict=True)), float(variance)


def _torques(arm: Arm, angles: Array, velocity: Array, acceleration: Array) -> tuple[Array, Array]:
    """For each of k moments, N m [k, n]: for the links' inertia, and what 1 kg at the grip adds."""
    bare = copy.copy(arm.model)
    bare.dof_armature[arm.dofs] = bare.dof_damping[arm.dofs] = 0.0
    bare.dof_frictionloss[arm.dofs] = 0.0
    loaded = copy.copy(bare)
    loaded.body_mass[arm.load] = 1.0
    found = []
    for model in (bare, loaded):
        mujoco.mj_setConst(model, mujoco.MjData(model))
        data = mujoco.MjData(model)
        data.qpos[:] = arm.rest(arm.centre)
        torques = np.empty(angles.shape)
        for k in range(len(angles)):
            data.qpos[arm.qpos], data.qvel[arm.dofs] = angles[k], velocity[k]
            data.qacc[arm.dofs] = acceleration[k]
            mujoco.mj_inverse(model, data)
            torques[k] = data.qfrc_inverse[arm.dofs]
        found.append(torques)
    return found[0], found[1] - found[0]
