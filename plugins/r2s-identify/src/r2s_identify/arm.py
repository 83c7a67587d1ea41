"""The arm that is to be identified: the robot of a configuration, alone in its world."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from r2s_core import registry
from r2s_core.config import RunConfig, load_config
from r2s_core.env.build import with_physics
from r2s_core.errors import R2SError
from r2s_core.types import HasDeployment, SceneSpec, Task

Array = np.ndarray
LOAD = "identified_load"  # the body that carries the payload
TIMESTEP = 0.001  # s, at most


@dataclasses.dataclass(frozen=True, eq=False)
class Arm:
    """An arm of n joints with its gripper.

    model: the robot alone, with the body `LOAD` of no mass at its grip, and the scene's servos and
      joints. It is integrated as the scene is (explicitly).
    qpos, dofs, servos [n]: the indices of the arm's joints; fingers [2]: of the gripper's servos.
    opened: qpos [nq] with the gripper open. finger_targets: to close and to open it.
    load: the index of `LOAD`.
    low, high [n], rad; max_speed [n], rad/s; max_torque [n], N m; centre [n], rad: a posture with
      room around it.
    rotor [n]: the armature, kg m^2, without the damping that training's integrator adds to it.
    masses: kg, of the configuration's objects by name. max_payload: kg.
    """

    config: RunConfig
    spec: mujoco.MjSpec
    model: mujoco.MjModel
    joints: tuple[str, ...]
    qpos: Array
    dofs: Array
    servos: Array
    fingers: Array
    opened: Array
    finger_targets: tuple[float, float]
    load: int
    low: Array
    high: Array
    max_speed: Array
    max_torque: Array
    centre: Array
    rotor: Array
    masses: dict[str, float]
    max_payload: float
    name: str

    @property
    def size(self) -> int:
        """n."""
        return len(self.joints)

    def rest(self, angles: Array) -> Array:
        """qpos [nq] with the arm at `angles` [n] and the gripper open."""
        qpos = self.opened.copy()
        qpos[self.qpos] = angles
        return qpos


def arm_of(path: str | Path, timestep: float = TIMESTEP) -> Arm:
    """The arm of the configuration `path`, a YAML file or the name of a sample.

    Raises `R2SError` where its task does not say what its robot is.
    """
    config = load_config(path, to_train=False)
    use = config.environment
    task: Task[Any] = registry.build("environment", use.use, use.options)
    scene = with_physics(task.scene(), use.engine.physics)
    if not isinstance(task, HasDeployment):
        raise R2SError(
            f"{path}: the task {use.use} does not say what its robot is; give it a method "
            "`deployment` (r2s_core.types.HasDeployment)."
        )
    facts = task.deployment()
    masses = {each["name"]: float(each["mass"]) for each in facts.objects}
    return _arm(config, facts.robot, scene, masses, timestep)


def _arm(
    config: RunConfig, facts: Any, scene: SceneSpec, masses: dict[str, float], timestep: float
) -> Arm:
    robot = registry.build_robot(facts["name"])
    spec = robot.spec()
    grip = spec.site(robot.grip)
    load = grip.parent.add_body(name=LOAD, pos=grip.pos)
    load.explicitinertial = True
    load.mass, load.inertia = 1e-9, (1e-9,) * 3
    spec.option.integrator = scene.model.opt.integrator
    spec.option.disableflags = scene.model.opt.disableflags
    spec.option.gravity = scene.model.opt.gravity
    spec.option.timestep = timestep
    # Dry friction is solved for exactly, since the results are differentiated.
    spec.option.tolerance, spec.option.iterations = 1e-12, 20
    joints = tuple(facts["joints"]["names"])
    for name in joints:
        spec.add_sensor(
            name=f"{name}_angle",
            type=mujoco.mjtSensor.mjSENS_JOINTPOS,
            objtype=mujoco.mjtObj.mjOBJ_JOINT,
            objname=name,
        )
    for name in (*joints, *robot.finger_joints):
        joint, given = spec.joint(name), scene.model.joint(name)
        joint.armature = float(given.armature[0])
    model = spec.compile()
    arm = [model.joint(name) for name in joints]
    dofs = np.array([joint.dofadr[0] for joint in arm])
    servos = np.array([model.actuator(name).id for name in joints])
    return Arm(
        config=config,
        spec=spec,
        model=model,
        joints=joints,
        qpos=np.array([joint.qposadr[0] for joint in arm]),
        dofs=dofs,
        servos=servos,
        fingers=np.array([model.actuator(name).id for name in robot.finger_joints]),
        opened=robot.qpos(model, robot.home),
        finger_targets=robot.finger_targets,
        load=model.body(LOAD).id,
        low=np.array(facts["joints"]["low"]),
        high=np.array(facts["joints"]["high"]),
        max_speed=np.array(facts["joints"]["max_speed"]),
        max_torque=np.array(facts["servos"]["max_torque"]),
        centre=np.array(facts["joints"]["home"]),
        rotor=_rotor(scene, joints),
        masses=masses,
        max_payload=float(facts["gripper"]["payload"]),
        name=facts["name"],
    )


def _rotor(scene: SceneSpec, joints: tuple[str, ...]) -> Array:
    """What a randomizer of armature sees: see `r2s_core.env.servo_damping`."""
    model = scene.model
    dofs = [model.joint(name).dofadr[0] for name in joints]
    euler = model.opt.integrator == mujoco.mjtIntegrator.mjINT_EULER
    if scene.implicit_damping is None or not euler:
        return model.dof_armature[dofs].copy()
    implicit = model.opt.timestep * np.asarray(scene.implicit_damping)[dofs]
    return model.dof_armature[dofs] - implicit
