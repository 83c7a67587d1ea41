"""The simulated robot: `python -m r2s_deploy.simulated.server SCENE.xml`.

It prints the port on 127.0.0.1 on which it listens, serves one client, and ends when that leaves.
The client connects twice: to the robot, and to what sees it (the object's pose, images), so that
drawing an image holds no cycle up. A cycle is 1 ms of physics. What a real robot does that training
did not is an option: targets that act late, measurements with noise, gravity that is not wholly
compensated, other servos, joints and loads than its model says. Options of joints take a number for
each of the arm's, or one for all.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from r2s_deploy.simulated import sight
from r2s_deploy.simulated.protocol import Line

TIMESTEP = 0.001  # s
_CLIENT_S = 30.0  # until it connects
#: What the two connections may ask for.
_MOVED, _SEEN = ("describe", "reset", "read", "cycle", "stop"), ("object", "image")
#: Option, its neutral value, and what it means.
_OF_JOINTS = (
    ("stiffness", 1.0, "factor on the servos' position gain"),
    ("servo-damping", 1.0, "factor on the servos' velocity gain"),
    ("joint-damping", 1.0, "factor on the joints' own damping"),
    ("armature", 1.0, "factor on the joints' armature"),
    ("friction", 0.0, "dry friction added to the joints', N m"),
)


class World:
    """The physics of a scene with one robot and one free object."""

    def __init__(self, scene: Path, options: argparse.Namespace) -> None:
        spec, cameras = mujoco.MjSpec.from_file(str(scene)), json.loads(options.cameras)
        sight.add(spec, cameras)
        if options.payload:
            _load(spec, options.payload)
        self.model = spec.compile()
        self.model.opt.timestep = TIMESTEP
        self.data = mujoco.MjData(self.model)
        self._options, self._random = options, np.random.default_rng(options.seed)
        names = [self.model.actuator(i).name for i in range(self.model.nu)]
        joints = [self.model.joint(name) for name in names]
        self._qpos = np.array([joint.qposadr[0] for joint in joints])
        self._qvel = np.array([joint.dofadr[0] for joint in joints])
        free = np.flatnonzero(self.model.jnt_type == mujoco.mjtJoint.mjJNT_FREE)
        if len(free) != 1:
            raise SystemExit(f"{scene} has {len(free)} free bodies; it must have one, the object")
        self._object = int(self.model.jnt_qposadr[free[0]])
        body = int(self.model.jnt_bodyid[free[0]])
        if options.object_mass:
            ratio = options.object_mass / self.model.body_mass[body]
            self.model.body_mass[body] *= ratio
            self.model.body_inertia[body] *= ratio
        compensated = self.model.body_gravcomp > 0
        self.model.body_gravcomp[compensated] = 1.0 - options.gravity_error
        _hide(self.model, options, self._qvel[:-2])
        mujoco.mj_setConst(self.model, self.data)
        self._sight = sight.Sight(self.model, cameras, options.image_latency)
        self._late: collections.deque[np.ndarray] = collections.deque()
        self.reset({})

    def reset(self, request: dict[str, Any]) -> dict[str, Any]:
        """The keyframe `home`, with other `angles` [n] and `object` [7], where these are given."""
        mujoco.mj_resetDataKeyframe(self.model, self.data, 0)
        arm = len(self._qpos) - 2
        if "angles" in request:
            self.data.qpos[self._qpos[:arm]] = request["angles"]
        if "object" in request:
            self.data.qpos[self._object : self._object + 7] = request["object"]
        self.data.qvel[:] = 0.0
        self.data.ctrl[:] = self.data.qpos[self._qpos]
        self._late.clear()
        mujoco.mj_forward(self.model, self.data)
        self._sight.reset()
        self._sight.remember(self.data.qpos)
        return self.read({})

    def read(self, request: dict[str, Any]) -> dict[str, Any]:
        """What the robot measures."""
        qpos, qvel = self.data.qpos[self._qpos], self.data.qvel[self._qvel]
        noise = self._random.normal(size=(2, len(qpos)))
        arm = np.arange(len(qpos)) < len(qpos) - 2
        options = self._options
        qpos = qpos + np.where(arm, options.angle_noise, options.finger_noise) * noise[0]
        qvel = qvel + np.where(arm, options.velocity_noise, options.finger_noise) * noise[1]
        if options.quantum > 0.0:  # an encoder's
            qpos = np.where(arm, options.quantum * np.round(qpos / options.quantum), qpos)
        return {"time": self.data.time, "qpos": qpos.tolist(), "qvel": qvel.tolist()}

    def cycle(self, request: dict[str, Any]) -> dict[str, Any]:
        """One cycle under the targets `ctrl` [n + 2]; these act `latency` cycles later."""
        ctrl = np.array(request["ctrl"], float)
        if ctrl.shape != (self.model.nu,) or not np.isfinite(ctrl).all():
            return {"error": f"ctrl must be {self.model.nu} finite numbers"}
        self._late.append(ctrl)
        if len(self._late) > self._options.latency:
            self.data.ctrl[:] = self._late.popleft()
        mujoco.mj_step(self.model, self.data)
        self._sight.remember(self.data.qpos)
        return self.read(request)

    def object(self, request: dict[str, Any]) -> dict[str, Any]:
        """Where the object truly is: what a tracker would measure, before its errors."""
        return {"pose": self._sight.newest()[self._object : self._object + 7].tolist()}

    def image(self, request: dict[str, Any]) -> dict[str, Any]:
        """What the camera `camera` sees."""
        return self._sight.image(str(request.get("camera")))

    def stop(self, request: dict[str, Any]) -> dict[str, Any]:
        """Hold."""
        self._late.clear()
        self.data.ctrl[:-2] = self.data.qpos[self._qpos[:-2]]
        return {}

    def describe(self, request: dict[str, Any]) -> dict[str, Any]:
        """What the robot is."""
        names = [self.model.actuator(i).name for i in range(self.model.nu)]
        return {"joints": names[:-2], "cycle": TIMESTEP}


def _load(spec: mujoco.MjSpec, mass: float) -> None:
    """A point mass, kg, at the site `grip`, whose weight nothing compensates."""
    grip = spec.site("grip")
    if grip is None:
        raise SystemExit("the scene has no site `grip`, where --payload would hang")
    load = grip.parent.add_body(name="payload", pos=grip.pos)
    load.explicitinertial = True
    load.mass, load.inertia = mass, (1e-6,) * 3


def _hide(model: mujoco.MjModel, options: argparse.Namespace, dofs: np.ndarray) -> None:
    """Change what the arm's servos, first of all actuators, and its joints, `dofs`, are."""
    count = len(dofs)

    def of_joints(name: str) -> np.ndarray:
        values = getattr(options, name)
        if len(values) not in (1, count):
            raise SystemExit(
                f"--{name.replace('_', '-')} takes 1 number or {count}, not {len(values)}"
            )
        return np.broadcast_to(values, count)

    model.actuator_gainprm[:count, 0] *= of_joints("stiffness")
    model.actuator_biasprm[:count, 1] *= of_joints("stiffness")
    model.actuator_biasprm[:count, 2] *= of_joints("servo_damping")
    model.dof_damping[dofs] *= of_joints("joint_damping")
    model.dof_armature[dofs] *= of_joints("armature")
    model.dof_frictionloss[dofs] += of_joints("friction")


def main() -> None:
    """Serve one client."""
    parser = argparse.ArgumentParser(description="a robot in MuJoCo behind a local socket")
    parser.add_argument("scene", type=Path, help="an MJCF file, as `r2s scene` writes it")
    parser.add_argument("--latency", type=int, default=0, help="cycles until a target acts")
    parser.add_argument("--angle-noise", type=float, default=0.0, help="of the joints, rad")
    parser.add_argument("--velocity-noise", type=float, default=0.0, help="of the joints, rad/s")
    parser.add_argument("--finger-noise", type=float, default=0.0, help="m, and m/s")
    parser.add_argument("--gravity-error", type=float, default=0.0, help="share left uncompensated")
    parser.add_argument("--cameras", default="{}", help="as JSON, see r2s_deploy.simulated.sight")
    parser.add_argument("--image-latency", type=int, default=0, help="cycles until one is seen")
    parser.add_argument("--object-mass", type=float, default=0.0, help="kg; default: the scene's")
    parser.add_argument("--payload", type=float, default=0.0, help="kg, at the site `grip`")
    parser.add_argument("--quantum", type=float, default=0.0, help="of the joints' encoders, rad")
    for name, neutral, what in _OF_JOINTS:
        parser.add_argument(f"--{name}", type=float, nargs="+", default=[neutral], help=what)
    parser.add_argument("--real-time", action="store_true", help="a cycle takes 1 ms")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    world = World(options.scene, options)
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)
        server.settimeout(_CLIENT_S)
        try:
            robot, _ = server.accept()
            seeing, _ = server.accept()
        except TimeoutError:  # of a client that is gone
            raise SystemExit("nobody connected") from None
    sees = threading.Thread(target=_serve, args=(world, Line(seeing), _SEEN, False), daemon=True)
    sees.start()
    with contextlib.suppress(OSError):  # the client was killed
        _serve(world, Line(robot), _MOVED, options.real_time)


def _serve(world: World, line: Line, known: tuple[str, ...], real_time: bool) -> None:
    """Answer until the client leaves."""
    due = time.monotonic()
    while (request := line.receive()) is not None:
        what = request.get("do")
        if what not in known:
            line.send({"error": f"there is no request {what!r}; there are {', '.join(known)}"})
            continue
        answer = getattr(world, what)(request)
        if real_time and what == "cycle":
            due = max(due + TIMESTEP, time.monotonic())
            while (left := due - time.monotonic()) > 0:
                time.sleep(max(left - 2e-4, 0.0))
        line.send(answer)


if __name__ == "__main__":
    main()
