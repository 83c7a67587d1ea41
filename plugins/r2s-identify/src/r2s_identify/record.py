"""Records a log from the simulated robot, whose parameters are drawn and kept to itself."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from r2s_core import registry
from r2s_core.errors import R2SError
from r2s_deploy.log import Log
from r2s_deploy.robot import RobotError
from r2s_deploy.simulated import SimulatedRobot
from r2s_identify.arm import Arm
from r2s_identify.excitation import Excitation

Array = np.ndarray


@dataclasses.dataclass(frozen=True)
class Noise:
    """Of the measurement: standard deviations, rad and rad/s; of the encoders, rad."""

    angle: float = 1e-4
    velocity: float = 1e-2
    quantum: float = 2e-4


@dataclasses.dataclass(frozen=True)
class Hidden:
    """What the simulated robot is.

    latency: cycles until targets act. stiffness, servo_damping, joint_damping, armature [n]:
    factors on the scene's values. friction [n], N m. payload: kg, at the grip. gravity_error: the
    share of the arm's weight that is not compensated.
    """

    latency: int
    stiffness: Array
    servo_damping: Array
    joint_damping: Array
    armature: Array
    friction: Array
    payload: float
    gravity_error: float

    def options(self) -> list[str]:
        """Of `r2s_deploy.simulated.server`."""
        found = [f"--latency={self.latency}", f"--payload={self.payload!r}"]
        found.append(f"--gravity-error={self.gravity_error!r}")
        for name in ("stiffness", "servo_damping", "joint_damping", "armature", "friction"):
            found += [f"--{name.replace('_', '-')}", *map(repr, map(float, getattr(self, name)))]
        return found

    def values(self, arm: Arm, cycle_s: float) -> dict[str, float]:
        """In SI units, by the names of `r2s_identify.parameters`."""
        model = arm.model
        of_joints = {
            "stiffness": self.stiffness * model.actuator_gainprm[arm.servos, 0],
            "servo_damping": self.servo_damping * -model.actuator_biasprm[arm.servos, 2],
            "joint_damping": self.joint_damping * model.dof_damping[arm.dofs],
            "armature": self.armature * model.dof_armature[arm.dofs],
            "friction": self.friction + model.dof_frictionloss[arm.dofs],
        }
        found = {"delay": self.latency * cycle_s, "payload": self.payload}
        found["gravity_error"] = self.gravity_error
        for kind, numbers in of_joints.items():
            for name, number in zip(arm.joints, numbers, strict=True):
                found[f"{kind}.{name}"] = float(number)
        return found


def write_scene(arm: Arm, path: Path) -> Path:
    """A scene with the arm, as `r2s scene` writes it, at `path`, which is returned.

    What lies on its table does not matter: nothing comes near it.
    """
    command = registry.get("command", "scene")
    parser = argparse.ArgumentParser()
    assert command.plugin.configure is not None
    command.plugin.configure(parser)
    args = parser.parse_args(["sample:duck", "-o", str(path), "--robot", arm.name])
    with contextlib.redirect_stdout(io.StringIO()):
        registry.load_target(command)(args)
    return path


def drawn(arm: Arm, seed: int, joints: Sequence[int], payload: float | None = None) -> Hidden:
    """Unknowns of the joints in `joints`; the others are as the scene has them.

    payload, kg: drawn where it is None.
    """
    random = np.random.default_rng(seed)
    chosen = np.isin(np.arange(arm.size), joints)

    def factors(low: float, high: float) -> Array:
        return np.where(chosen, random.uniform(low, high, arm.size), 1.0)

    latency = int(random.integers(0, 16))
    mass = float(random.uniform(0.0, 1.0))
    return Hidden(
        latency=latency,
        stiffness=factors(0.7, 1.4),
        servo_damping=factors(0.7, 1.4),
        joint_damping=factors(0.5, 2.0),
        armature=factors(0.7, 1.4),
        friction=np.where(chosen, random.uniform(0.005, 0.03, arm.size) * arm.max_torque, 0.0),
        payload=mass if payload is None else payload,
        gravity_error=float(random.uniform(0.0, 0.02)),
    )


def record(
    arm: Arm, scene: Path, given: Excitation, hidden: Hidden, noise: Noise, seed: int
) -> Log:
    """Drive the simulated robot along the targets; raises `R2SError`."""
    options = [f"--angle-noise={noise.angle}", f"--velocity-noise={noise.velocity}"]
    options += [f"--quantum={noise.quantum}", f"--seed={seed}", *hidden.options()]
    opened = arm.finger_targets[1]
    states = []
    try:
        with SimulatedRobot(scene, *options) as robot:
            if list(robot.joints) != list(arm.joints):
                raise R2SError(
                    f"{scene} has the joints {', '.join(robot.joints)}, and the {arm.name} has "
                    f"{', '.join(arm.joints)}; give the scene of this configuration"
                )
            state = robot.reset(arm.centre)
            start = state.time_s
            for targets in given.targets:
                states.append(state)
                state = robot.cycle(targets, opened)
    except RobotError as error:
        raise R2SError(str(error)) from error
    return Log(
        time=np.array([state.time_s for state in states]) - start,
        angles=np.array([state.angles for state in states]),
        velocities=np.array([state.velocities for state in states]),
        fingers=np.array([state.fingers for state in states]),
        finger_velocities=np.array([state.finger_velocities for state in states]),
        targets=given.targets,
        finger_target=np.full(len(states), opened),
    )
