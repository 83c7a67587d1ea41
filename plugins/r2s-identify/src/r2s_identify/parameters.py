"""The unknown numbers of an arm, and how they enter its model."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence

import mujoco
import numpy as np
from mujoco import sysid

from r2s_identify.arm import Arm

Array = np.ndarray
#: Kinds with a number for each joint, those first that are held first where the log cannot tell.
OF_JOINTS = ("joint_damping", "armature", "servo_damping", "friction", "stiffness")
UNITS = {
    "joint_damping": "N m s/rad",
    "armature": "kg m^2",
    "servo_damping": "N m s/rad",
    "friction": "N m",
    "stiffness": "N m/rad",
    "payload": "kg",
    "gravity_error": "1",
    "delay": "s",
}
MAX_DELAY = 0.1  # s


@dataclasses.dataclass(frozen=True)
class Unknown:
    """One number. joint: its index; None: of the whole arm.

    scale: the half-width of an interval, in the number's unit, that is too wide to be of use: what
    is known no better than this is not told. The fit is done in multiples of it.
    low, high: bounds of the fit.
    """

    kind: str
    joint: int | None
    name: str
    nominal: float
    scale: float
    low: float
    high: float

    @property
    def unit(self) -> str:
        """SI."""
        return UNITS[self.kind]


def unknowns_of(arm: Arm, fitted: Sequence[int]) -> list[Unknown]:
    """The numbers of the joints `fitted`, the payload, gravity's error and the delay."""
    model, found = arm.model, []
    nominal = {
        "joint_damping": model.dof_damping[arm.dofs],
        "armature": model.dof_armature[arm.dofs],
        "servo_damping": -model.actuator_biasprm[arm.servos, 2],
        "friction": model.dof_frictionloss[arm.dofs],
        "stiffness": model.actuator_gainprm[arm.servos, 0],
    }
    for kind in OF_JOINTS:
        for i in fitted:
            value, torque = float(nominal[kind][i]), float(arm.max_torque[i])
            scale = 0.05 * torque if kind == "friction" else 0.5 * value
            low, high = 0.1 * value, 5.0 * value
            if kind == "friction":
                low, high = 0.0, 0.3 * torque
            elif kind in ("joint_damping", "armature"):
                # Rotors are a small part of what the scene has as armature; see `Arm.rotor`.
                low, high = 0.02 * value, 20.0 * value
            name = f"{kind}.{arm.joints[i]}"
            found.append(Unknown(kind, i, name, value, scale, low, high))
    # Below 0: a hand lighter than the model's. It also keeps an empty hand away from a bound, where
    # the fit would stall and its interval be one-sided.
    found.append(Unknown("payload", None, "payload", 0.0, 0.25, -0.5, max(arm.max_payload, 1.0)))
    # The share of its own weight that the arm does not compensate; below 0: too much.
    found.append(Unknown("gravity_error", None, "gravity_error", 0.0, 0.01, -0.2, 1.0))
    found.append(Unknown("delay", None, "delay", 0.0, 0.005, -0.01, MAX_DELAY))
    return found


def dictionary(unknowns: Sequence[Unknown], x: Array, held: Sequence[int]) -> sysid.ParameterDict:
    """For `mujoco.sysid`: values `x` in multiples of `Unknown.scale`; those in `held` frozen."""
    found = sysid.ParameterDict()
    for i, (each, value) in enumerate(zip(unknowns, x, strict=True)):
        bounds = each.low / each.scale, each.high / each.scale
        found.add(sysid.Parameter(each.name, float(value), *bounds, frozen=i in held))
    return found


def values(params: sysid.ParameterDict, unknowns: Sequence[Unknown]) -> dict[str, float]:
    """In SI units, by name."""
    return {each.name: float(params[each.name].value[0]) * each.scale for each in unknowns}


def modelled(arm: Arm, unknowns: Sequence[Unknown], given: dict[str, float]) -> mujoco.MjModel:
    """The arm's model with these values.

    They are written into a copy of the compiled model, not into an MjSpec by `Parameter.modifier`:
    compiling takes ten times as long as copying. `mj_setConst` then derives what depends on them.
    """
    model = copy.copy(arm.model)
    for each in unknowns:
        value = given[each.name]
        if each.kind == "payload":
            model.body_mass[arm.load] = value
        if each.kind == "gravity_error":
            model.body_gravcomp[model.body_gravcomp > 0.0] = 1.0 - value
        if each.joint is None:
            continue
        dof, servo = arm.dofs[each.joint], arm.servos[each.joint]
        if each.kind == "joint_damping":
            model.dof_damping[dof] = value
        elif each.kind == "armature":
            model.dof_armature[dof] = value
        elif each.kind == "friction":
            model.dof_frictionloss[dof] = value
        elif each.kind == "servo_damping":
            model.actuator_biasprm[servo, 2] = -value
        elif each.kind == "stiffness":
            model.actuator_gainprm[servo, 0] = value
            model.actuator_biasprm[servo, 1] = -value
    mujoco.mj_setConst(model, mujoco.MjData(model))
    return model
