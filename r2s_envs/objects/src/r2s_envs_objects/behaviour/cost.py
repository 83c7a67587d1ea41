"""The simulation cost of an object's collision pieces, relative to a box of its size."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

import mujoco
import numpy as np

from r2s_core.backends.silence import silenced
from r2s_envs_objects.asset import Floats, ObjectAsset

_STEPS, _TURNS = 1000, 6
_PAD_HALF_SIZES, _PAD_FORCE, _PAD_MASS = (0.005, 0.0085, 0.0085), 10.0, 0.1


@silenced()
def cost_ratio(asset: ObjectAsset) -> float:
    """Physics steps/s of the squeezed object over those of a box of its size: 1 is as fast.

    The two alternate, so that a busy host slows both, and the best turn of each counts. A few
    tenths remain random: the contacts that form differ from hull to hull.
    """
    scenes = [_squeezed(asset, asset.pieces), _squeezed(asset, None)]
    best = [np.inf, np.inf]
    for _ in range(_TURNS):
        for i, (model, data) in enumerate(scenes):
            start = cpu_seconds()
            mujoco.mj_step(model, data, nstep=_STEPS)
            best[i] = min(best[i], cpu_seconds() - start)
    return best[1] / best[0]


def cpu_seconds() -> float:
    """CPU time of this process and its finished children, which a busy host hardly affects."""
    return time.process_time() + os.times().children_user


def _squeezed(
    asset: ObjectAsset, pieces: Sequence[Floats] | None
) -> tuple[mujoco.MjModel, mujoco.MjData]:
    """A scene in which two pads have closed on the object; None: on a box of its size."""
    spec = mujoco.MjSpec()
    spec.option.timestep = 0.008
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone, spec.option.impratio = mujoco.mjtCone.mjCONE_ELLIPTIC, 10.0
    contact = {"condim": 4, "friction": [1.0, 0.02, 0.001]}
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=[1, 1, 1], **contact)
    body = spec.worldbody.add_body(pos=[0.0, 0.0, asset.resting_qpos.height])
    body.add_freejoint()
    body.mass, body.ipos, body.explicitinertial = asset.mass, np.zeros(3), True
    body.fullinertia = asset.inertia[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]
    if pieces is None:
        body.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=asset.size / 2, **contact)
    for i, piece in enumerate(pieces or ()):
        spec.add_mesh(name=f"{i}", uservert=piece.astype(np.float32).ravel())
        body.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname=f"{i}", **contact)
    for side in (-1.0, 1.0):
        _add_pad(spec, asset, side, contact)
    model = spec.compile()
    data = mujoco.MjData(model)
    data.ctrl[:] = 1.0
    mujoco.mj_step(model, data, nstep=300)
    return model, data


def _add_pad(spec: mujoco.MjSpec, asset: ObjectAsset, side: float, contact: dict) -> None:
    """A pad on one side of the object, pushed against it along the grasp's direction."""
    across = np.array([np.cos(asset.grasp_yaw), np.sin(asset.grasp_yaw), 0.0])
    height = asset.resting_qpos.height + asset.grasp_height
    start = side * across * (asset.size[:2].max() / 2 + 0.03) + [0.0, 0.0, height]
    turn = [np.cos(asset.grasp_yaw / 2), 0.0, 0.0, np.sin(asset.grasp_yaw / 2)]
    pad = spec.worldbody.add_body(pos=start, quat=turn)
    joint = pad.add_joint(type=mujoco.mjtJoint.mjJNT_SLIDE, axis=[1, 0, 0], damping=20.0)
    joint.name = f"pad{side}"
    pad.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=_PAD_HALF_SIZES, mass=_PAD_MASS, **contact)
    motor = spec.add_actuator(target=joint.name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
    motor.gainprm[0] = -_PAD_FORCE * side
