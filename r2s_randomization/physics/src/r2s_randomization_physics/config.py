"""Options of the randomizers of physics; imports nothing heavy.

Names are patterns as in a shell: `link*` is every body whose name starts so.
"""

from __future__ import annotations

import dataclasses

from r2s_core.plugin import option
from r2s_core.ranges import Drawn, check_factors, check_from_zero, check_range

Range = tuple[float, float]
Names = tuple[str, ...]
_ALL: Names = ("*",)


@dataclasses.dataclass(frozen=True)
class MassConfig(Drawn):
    """Options of `mass`."""

    bodies: Names = option(_ALL, "bodies, by name or pattern")
    factor: Range = option((0.8, 1.25), "factor on mass and inertia")

    def __post_init__(self) -> None:
        check_factors(factor=self.factor)


@dataclasses.dataclass(frozen=True)
class InertiaConfig(Drawn):
    """Options of `inertia`."""

    bodies: Names = option(_ALL, "bodies, by name or pattern")
    stretch: Range = option(
        (0.8, 1.25),
        "factor on the mean square distance of the mass along each principal axis",
    )

    def __post_init__(self) -> None:
        check_factors(stretch=self.stretch)


@dataclasses.dataclass(frozen=True)
class CenterOfMassConfig(Drawn):
    """Options of `center_of_mass`."""

    bodies: Names = option(_ALL, "bodies, by name or pattern")
    shift: float = option(0.01, "m, largest shift along each of the body's axes", minimum=0.0)

    def __post_init__(self) -> None:
        check_from_zero(self, "shift")


@dataclasses.dataclass(frozen=True)
class FrictionConfig(Drawn):
    """Options of `friction`."""

    geoms: Names = option(_ALL, "geoms, by name or pattern")
    slide: Range = option((0.7, 1.3), "factor on sliding friction")
    spin: Range = option((1.0, 1.0), "factor on torsional friction")
    roll: Range = option((1.0, 1.0), "factor on rolling friction")
    shared: bool = option(True, "one draw for all geoms of a world, rather than one for each")

    def __post_init__(self) -> None:
        check_factors(slide=self.slide, spin=self.spin, roll=self.roll)


@dataclasses.dataclass(frozen=True)
class ContactSoftnessConfig(Drawn):
    """Options of `contact_softness`."""

    geoms: Names = option(_ALL, "geoms, by name or pattern")
    time_constant: Range = option((1.0, 1.5), "factor on solref's time constant; longer is softer")
    damping_ratio: Range = option(
        (0.7, 1.0), "factor on solref's damping ratio; below 1 contacts bounce"
    )
    give: Range = option((0.5, 2.0), "factor on 1 - impedance (solimp): how far a contact yields")
    shared: bool = option(True, "one draw for all geoms of a world, rather than one for each")

    def __post_init__(self) -> None:
        check_factors(
            time_constant=self.time_constant, damping_ratio=self.damping_ratio, give=self.give
        )


@dataclasses.dataclass(frozen=True)
class JointDampingConfig(Drawn):
    """Options of `joint_damping`."""

    joints: Names = option(_ALL, "joints, by name or pattern")
    factor: Range = option((0.7, 1.3), "factor on the joints' damping")

    def __post_init__(self) -> None:
        check_factors(factor=self.factor)


@dataclasses.dataclass(frozen=True)
class JointFrictionConfig(Drawn):
    """Options of `joint_friction`."""

    joints: Names = option(_ALL, "joints, by name or pattern")
    friction: Range = option((0.0, 0.2), "dry friction, in N m or N, added to the joints' own")

    def __post_init__(self) -> None:
        check_range(friction=self.friction)
        check_from_zero(self, "friction")
        if self.friction[0] < 0:
            raise ValueError(f"friction is {list(self.friction)}; it cannot be below 0")


@dataclasses.dataclass(frozen=True)
class ArmatureConfig(Drawn):
    """Options of `armature`."""

    joints: Names = option(_ALL, "joints, by name or pattern")
    factor: Range = option((0.8, 1.25), "factor on the joints' armature (reflected rotor inertia)")

    def __post_init__(self) -> None:
        check_factors(factor=self.factor)


@dataclasses.dataclass(frozen=True)
class ActuatorGainConfig(Drawn):
    """Options of `actuator_gain`."""

    actuators: Names = option(_ALL, "position servos, by name or pattern")
    stiffness: Range = option((0.9, 1.1), "factor on the servos' position gain")
    damping: Range = option((0.9, 1.1), "factor on the servos' velocity gain")

    def __post_init__(self) -> None:
        check_factors(stiffness=self.stiffness, damping=self.damping)


@dataclasses.dataclass(frozen=True)
class ActuatorForceConfig(Drawn):
    """Options of `actuator_force`."""

    actuators: Names = option(_ALL, "actuators, by name or pattern")
    factor: Range = option((0.8, 1.0), "factor on the largest force")

    def __post_init__(self) -> None:
        check_factors(factor=self.factor)


@dataclasses.dataclass(frozen=True)
class GravityConfig(Drawn):
    """Options of `gravity`."""

    factor: Range = option((0.98, 1.02), "factor on its strength")
    tilt: float = option(
        1.0, "degrees, largest tilt off the vertical: a table that is not level", minimum=0.0
    )

    def __post_init__(self) -> None:
        check_factors(factor=self.factor)


@dataclasses.dataclass(frozen=True)
class PushConfig(Drawn):
    """Options of `push`."""

    bodies: Names = option(_ALL, "bodies that are pushed, each on its own, by name or pattern")
    force: Range = option((0.0, 1.0), "N, in any direction, at the centre of mass")
    duration: float = option(0.1, "s that a push lasts", above=0.0)
    interval: Range = option((1.0, 3.0), "s from one push's start to the next one's")

    def __post_init__(self) -> None:
        check_range(force=self.force, interval=self.interval)
        check_from_zero(self, "force")
        if self.force[0] < 0:
            raise ValueError(f"force is {list(self.force)}; it cannot be below 0")
        if self.interval[0] < self.duration:
            raise ValueError(
                f"interval is {list(self.interval)} s; pushes of {self.duration:g} s would overlap"
            )
