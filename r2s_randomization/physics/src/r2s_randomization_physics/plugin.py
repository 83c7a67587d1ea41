"""Manifests; imports nothing heavy."""

from __future__ import annotations

from r2s_core.plugin import Plugin
from r2s_randomization_physics import config


def _randomizer(name: str, summary: str, options: type) -> Plugin:
    return Plugin(
        name=name,
        kind="randomizer",
        summary=summary,
        target=f"r2s_randomization_physics.build:{name}",
        config=options,
    )


MASS = _randomizer("mass", "mass of bodies, and inertia by the same factor", config.MassConfig)
INERTIA = _randomizer(
    "inertia", "distribution of the bodies' mass about its centre", config.InertiaConfig
)
CENTER_OF_MASS = _randomizer(
    "center_of_mass", "position of the bodies' centres of mass", config.CenterOfMassConfig
)
FRICTION = _randomizer("friction", "sliding, torsional and rolling friction", config.FrictionConfig)
CONTACT_SOFTNESS = _randomizer(
    "contact_softness", "how soft and how bouncy contacts are", config.ContactSoftnessConfig
)
JOINT_DAMPING = _randomizer("joint_damping", "damping of joints", config.JointDampingConfig)
JOINT_FRICTION = _randomizer("joint_friction", "dry friction of joints", config.JointFrictionConfig)
ARMATURE = _randomizer("armature", "reflected rotor inertia of joints", config.ArmatureConfig)
ACTUATOR_GAIN = _randomizer(
    "actuator_gain", "stiffness and damping of position servos", config.ActuatorGainConfig
)
ACTUATOR_FORCE = _randomizer(
    "actuator_force", "force limits of actuators", config.ActuatorForceConfig
)
GRAVITY = _randomizer("gravity", "gravity's strength and direction", config.GravityConfig)
PUSH = _randomizer("push", "pushes on bodies at random times", config.PushConfig)
