"""The builders, named as the plugins are."""

from __future__ import annotations

import mujoco
import numpy as np

from r2s_core.draw import choose
from r2s_core.errors import ConfigError
from r2s_core.ranges import Drawn
from r2s_core.types import RandomizerContext
from r2s_randomization_physics import config
from r2s_randomization_physics.bodies import CenterOfMass, Gravity, Inertia, Push
from r2s_randomization_physics.scale import Change, ModelChange

_FIRST, _SECOND, _THIRD = slice(0, 1), slice(1, 2), slice(2, 3)
_BOTH = slice(0, 2)


def mass(options: config.MassConfig, context: RandomizerContext) -> ModelChange:
    """Density: mass and inertia by one factor, which keeps the inertia physical."""
    rows = choose(context.model, "body", options.bodies, "bodies")
    fields = [("body_mass", None), ("body_inertia", slice(0, 3))]
    return _change([Change(fields, rows, options.factor)], options)


def inertia(options: config.InertiaConfig, context: RandomizerContext) -> Inertia:
    """The second moments along the principal axes, each by a factor of its own."""
    return Inertia(choose(context.model, "body", options.bodies, "bodies"), options)


def center_of_mass(options: config.CenterOfMassConfig, context: RandomizerContext) -> CenterOfMass:
    """The centre of mass in the body; the inertia about it is unchanged."""
    return CenterOfMass(choose(context.model, "body", options.bodies, "bodies"), options)


def friction(options: config.FrictionConfig, context: RandomizerContext) -> ModelChange:
    """Geom friction. Of two geoms in contact MuJoCo takes the greater."""
    rows = choose(context.model, "geom", options.geoms, "geoms")
    columns = ((options.slide, _FIRST), (options.spin, _SECOND), (options.roll, _THIRD))
    changes = [Change([("geom_friction", column)], rows, bounds) for bounds, column in columns]
    return _change(changes, options)


def contact_softness(
    options: config.ContactSoftnessConfig, context: RandomizerContext
) -> ModelChange:
    """solref and solimp of geoms. MuJoCo mixes those of two geoms in contact."""
    model = context.model
    rows = choose(model, "geom", options.geoms, "geoms")
    if (model.geom_solref[rows] <= 0).any():
        raise ConfigError(
            "contact_softness: a chosen geom's solref is in the format (-stiffness, -damping), "
            "which has no time constant; choose other geoms"
        )
    changes = [
        Change([("geom_solref", _FIRST)], rows, options.time_constant),
        Change([("geom_solref", _SECOND)], rows, options.damping_ratio),
        Change([("geom_solimp", _BOTH)], rows, options.give, how="give"),
    ]
    return _change(changes, options)


def joint_damping(options: config.JointDampingConfig, context: RandomizerContext) -> ModelChange:
    """Damping of joints, N m s/rad or N s/m."""
    rows = _dofs(context.model, options.joints)
    return _change([Change([("dof_damping", None)], rows, options.factor)], options)


def joint_friction(options: config.JointFrictionConfig, context: RandomizerContext) -> ModelChange:
    """Dry friction of joints, N m or N."""
    rows = _dofs(context.model, options.joints)
    change = Change([("dof_frictionloss", None)], rows, options.friction, how="add")
    return _change([change], options)


def armature(options: config.ArmatureConfig, context: RandomizerContext) -> ModelChange:
    """Rotor inertia, kg m^2 or kg."""
    rows = _dofs(context.model, options.joints)
    return _change([Change([("dof_armature", None)], rows, options.factor)], options)


def actuator_gain(options: config.ActuatorGainConfig, context: RandomizerContext) -> ModelChange:
    """Position servos: force = kp (target - position) - kv velocity."""
    model = context.model
    rows = choose(model, "actuator", options.actuators, "actuators")
    servo = np.isclose(model.actuator_gainprm[rows, 0], -model.actuator_biasprm[rows, 1])
    affine = model.actuator_biastype[rows] == mujoco.mjtBias.mjBIAS_AFFINE
    if not (servo & affine).all():
        name = model.actuator(int(rows[~(servo & affine)][0])).name
        raise ConfigError(
            f"actuator_gain: the actuator {name} is not a position servo and has no such gains; "
            "choose others with `actuators`"
        )
    stiffness = [("actuator_gainprm", _FIRST), ("actuator_biasprm", _SECOND)]
    changes = [
        Change(stiffness, rows, options.stiffness),
        Change([("actuator_biasprm", _THIRD)], rows, options.damping),
    ]
    return _change(changes, options)


def actuator_force(options: config.ActuatorForceConfig, context: RandomizerContext) -> ModelChange:
    """Limits of the actuators' forces, N or N m."""
    model = context.model
    rows = choose(model, "actuator", options.actuators, "actuators")
    limited = model.actuator_forcelimited[rows] > 0
    if not limited.all():
        name = model.actuator(int(rows[~limited][0])).name
        raise ConfigError(
            f"actuator_force: the actuator {name} has no forcerange to vary; choose others with "
            "`actuators`"
        )
    fields = [("actuator_forcerange", slice(0, 2))]
    return _change([Change(fields, rows, options.factor)], options)


def gravity(options: config.GravityConfig, context: RandomizerContext) -> Gravity:
    """Gravity, m/s^2."""
    if not np.linalg.norm(context.model.opt.gravity) > 0:
        raise ConfigError("the scene has no gravity to vary; leave this randomizer out")
    return Gravity(options)


def push(options: config.PushConfig, context: RandomizerContext) -> Push:
    """Forces on bodies at random times."""
    rows = choose(context.model, "body", options.bodies, "bodies")
    return Push(rows, options, context.control_dt)


def _change(changes: list[Change], options: Drawn) -> ModelChange:
    made = ModelChange(changes, options.distribution, options.shared)
    if not made.writes:
        raise ConfigError("every range of this randomizer is a single value that changes nothing")
    return made


def _dofs(model: mujoco.MjModel, joints: tuple[str, ...]) -> np.ndarray:
    """The degrees of freedom of joints; free joints are skipped."""
    rows = choose(model, "joint", joints, "joints")
    rows = rows[model.jnt_type[rows] != mujoco.mjtJoint.mjJNT_FREE]
    if not len(rows):
        raise ConfigError(f"joints: {', '.join(joints)} matches only free joints; name others")
    return np.flatnonzero(np.isin(model.dof_jntid, rows))
