"""Where an object comes to rest when it is put down as it was scanned."""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np

from r2s_core.backends.silence import silenced
from r2s_envs_objects.asset import Floats

TIMESTEP = 0.002  # s
LONGEST = 6.0  # s; a can rolls for a while
WINDOW, STILL = 0.25, 1e-4  # at rest: within WINDOW s no point moved by more than STILL m
BASE_TOLERANCE = 0.0005  # m, unevenness of a base that is attributed to scanner noise


def drop_model(pieces: Sequence[Floats], mass: float, inertia: Floats) -> mujoco.MjModel:
    """A free body of convex pieces (vertices [k, 3], body frame at the centre of mass) on a floor.

    Rolling friction stands in for the roughness that stops real round objects.
    """
    spec = mujoco.MjSpec()
    spec.option.timestep = TIMESTEP
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    common = {"condim": 6, "friction": [1.0, 0.005, 0.001]}
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=[1, 1, 1], **common)
    body = spec.worldbody.add_body(name="object")
    body.add_freejoint()
    body.mass, body.ipos, body.explicitinertial = mass, np.zeros(3), True
    body.fullinertia = inertia[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]
    for i, piece in enumerate(pieces):
        spec.add_mesh(name=f"piece{i}", uservert=piece.astype(np.float32).ravel())
        body.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname=f"piece{i}", **common)
    return spec.compile()


@silenced()
def settle(pieces: Sequence[Floats], mass: float, inertia: Floats) -> tuple[Floats, bool]:
    """The rotation [3, 3] in which the object lies still on z = 0, and whether it came to rest.

    It starts upright, 1 mm above the floor.
    """
    model = drop_model(pieces, mass, inertia)
    data = mujoco.MjData(model)
    data.qpos[2] = 0.001 - min(piece[:, 2].min() for piece in pieces)
    radius = max(np.linalg.norm(piece, axis=1).max() for piece in pieces)
    still = 0
    for _ in range(int(LONGEST / WINDOW)):
        before = data.qpos.copy()
        mujoco.mj_step(model, data, nstep=int(WINDOW / TIMESTEP))
        turn = np.empty(3)
        mujoco.mju_subQuat(turn, data.qpos[3:7], before[3:7])
        moved = np.linalg.norm(data.qpos[:3] - before[:3]) + radius * np.linalg.norm(turn)
        still = still + 1 if moved < STILL else 0
        if still == 2:
            break
    rotation = np.empty(9)
    mujoco.mju_quat2Mat(rotation, data.qpos[3:7])
    return without_yaw(rotation.reshape(3, 3)), still == 2


def flatten_base(pieces: Sequence[Floats]) -> tuple[tuple[Floats, ...], float]:
    """The pieces, in their resting pose, with a flat base, and how far that moved a vertex, m.

    Scan noise leaves the object standing on three points with the rest just above the floor: in
    simulation it would rock forever.
    """
    floor = min(float(piece[:, 2].min()) for piece in pieces)
    flat, moved = [], 0.0
    for piece in pieces:
        piece = piece.copy()
        low = piece[:, 2] < floor + BASE_TOLERANCE
        moved = max(moved, float((piece[low, 2] - floor).max(initial=0.0)))
        piece[low, 2] = floor
        flat.append(piece)
    return tuple(flat), moved


def without_yaw(rotation: Floats) -> Floats:
    """The rotation without its turn about the vertical, so that the scan's heading is kept."""
    # Of x and y, the axis that stays more horizontal keeps its heading.
    axis = int(abs(rotation[2, 1]) < abs(rotation[2, 0]))
    heading = np.arctan2(rotation[1, axis], rotation[0, axis]) - axis * np.pi / 2
    c, s = np.cos(heading), np.sin(heading)
    return np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]]) @ rotation
