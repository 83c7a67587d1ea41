"""All poses in which an object rests on a table: found from its hull, verified in simulation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import mujoco
import numpy as np
from scipy.spatial import ConvexHull

from r2s_core.backends.silence import silenced
from r2s_envs_objects.asset import Floats, Ints, RestingPose
from r2s_envs_objects.behaviour.rest import STILL, TIMESTEP, WINDOW, drop_model, without_yaw

#: Poses whose up directions differ by less than this are the same.
SAME_UP = np.cos(np.radians(8.0))
LEAST_PROBABLE = 0.01
MOST_POSES = 12
SUNK = 1e-3  # m, largest penetration of a contact once the object lies still
_DROP = 0.002  # m above the table
_LONGEST = 4.0  # s


class Landing(NamedTuple):
    """How an object lay after it was put down.

    rotation [3, 3]: of the body. height: m, of its origin. still: it came to rest. jitter: m, the
    most that any of its points moved in the last quarter of a second. sunk: m, deepest contact.
    """

    rotation: Floats
    height: float
    still: bool
    jitter: float
    sunk: float

    @property
    def sound(self) -> bool:
        """Whether it settled, within the limits of jitter and sinking."""
        return self.still and self.jitter < STILL and self.sunk < SUNK


def resting_poses(
    pieces: Sequence[Floats], mass: float, inertia: Floats
) -> tuple[RestingPose, ...]:
    """The poses in which the object lies still on z = 0, the most probable first.

    pieces: hull vertices [k, 3] m about the centre of mass. Each pose that the hull allows is
    tried in simulation: one that tips over counts for the pose that it tips into, and one that
    sinks, jitters or never comes to rest is dropped.
    """
    model = drop_model(pieces, mass, inertia)
    found: list[tuple[Floats, float, float]] = []  # rotation, height, probability
    for up, probability in stable_directions(np.concatenate(pieces)):
        if probability < LEAST_PROBABLE or len(found) == MOST_POSES:
            continue
        landing = drop(model, pieces, _upright(up))
        if not landing.sound:
            continue
        for i, (rotation, height, share) in enumerate(found):
            if rotation[2] @ landing.rotation[2] > SAME_UP:
                found[i] = rotation, height, share + probability
                break
        else:
            found.append((landing.rotation, landing.height, probability))
    found.sort(key=lambda pose: -pose[2])
    return tuple(RestingPose(height, _quat(turn), share) for turn, height, share in found)


def stable_directions(points: Floats) -> list[tuple[Floats, float]]:
    """Body-frame directions [3] that can point up at rest, with their probabilities, sorted.

    points [n, 3] about the centre of mass. The object lands on a face of its hull with a
    probability proportional to the face's solid angle from the centre of mass; where the face does
    not support that centre, it rolls over the nearest edge to the next face, and so on.
    """
    hull = ConvexHull(points)
    normals, offsets = hull.equations[:, :3], -hull.equations[:, 3]
    faces, neighbours = hull.simplices.astype(np.int64), hull.neighbors.astype(np.int64)
    chance = _solid_angles(points[faces]) / (4.0 * np.pi)
    next_face = _rolls_to(points, faces, neighbours, normals, offsets)
    # Every roll lowers the centre of mass, so the sequence ends.
    for face in np.argsort(-offsets, kind="stable"):
        if next_face[face] != face:
            chance[next_face[face]] += chance[face]
            chance[face] = 0.0
    merged: list[tuple[Floats, float]] = []
    for face in np.argsort(-chance, kind="stable"):
        if chance[face] <= 0.0:
            break
        for i, (up, share) in enumerate(merged):
            if -up @ normals[face] > SAME_UP:
                merged[i] = up, share + float(chance[face])
                break
        else:
            merged.append((-normals[face], float(chance[face])))
    return sorted(merged, key=lambda pose: -pose[1])


def _rolls_to(
    points: Floats, faces: Ints, neighbours: Ints, normals: Floats, offsets: Floats
) -> Ints:
    """The face that the object rolls to from each face: the face itself where it is stable."""
    target = np.arange(len(faces))
    foot = normals * offsets[:, None]  # the centre of mass, projected on the face
    depth = np.zeros(len(faces))
    for k in range(3):  # neighbour k lies across the edge opposite corner k
        a, b, corner = (points[faces[:, (k + i) % 3]] for i in (1, 2, 0))
        outward = np.cross(b - a, normals)
        outward *= np.sign(np.einsum("ij,ij->i", outward, a - corner))[:, None]
        outward /= np.linalg.norm(outward, axis=1, keepdims=True)
        beyond = np.einsum("ij,ij->i", foot - a, outward)
        lower = offsets[neighbours[:, k]] < offsets - 1e-12
        worst = (beyond > np.maximum(depth, 1e-9)) & lower
        target[worst], depth[worst] = neighbours[worst, k], beyond[worst]
    return target


def _solid_angles(triangles: Floats) -> Floats:
    """Solid angle [m] of triangles [m, 3, 3] seen from the origin (van Oosterom, Strackee)."""
    a, b, c = (triangles[:, i] for i in range(3))
    la, lb, lc = (np.linalg.norm(x, axis=1) for x in (a, b, c))
    volume = np.abs(np.einsum("ij,ij->i", a, np.cross(b, c)))
    ab, bc, ca = (np.einsum("ij,ij->i", x, y) for x, y in ((a, b), (b, c), (c, a)))
    return 2.0 * np.arctan2(volume, la * lb * lc + ab * lc + bc * la + ca * lb)


@silenced()
def drop(model: mujoco.MjModel, pieces: Sequence[Floats], rotation: Floats) -> Landing:
    """Release the object in a pose, rotation [3, 3], 2 mm above z = 0, and see how it lands.

    model: of `drop_model`; its first seven qpos are the object's.
    """
    data = mujoco.MjData(model)
    data.qpos[3:7] = _quat(rotation)
    data.qpos[2] = _DROP - min(float((piece @ rotation[2]).min()) for piece in pieces)
    corners = np.concatenate(pieces)
    previous, jitter, still = _posed(data, corners), np.inf, 0
    for _ in range(int(_LONGEST / WINDOW)):
        mujoco.mj_step(model, data, nstep=int(WINDOW / TIMESTEP))
        current = _posed(data, corners)
        jitter = float(np.linalg.norm(current - previous, axis=1).max())
        previous, still = current, still + 1 if jitter < STILL else 0
        if still == 2:
            break
    sunk = max((-float(contact.dist) for contact in data.contact[: data.ncon]), default=0.0)
    turned = data.xmat[1].reshape(3, 3).copy()
    return Landing(without_yaw(turned), float(data.qpos[2]), still == 2, jitter, sunk)


def _posed(data: mujoco.MjData, corners: Floats) -> Floats:
    rotation = np.empty(9)
    mujoco.mju_quat2Mat(rotation, data.qpos[3:7])
    return corners @ rotation.reshape(3, 3).T + data.qpos[:3]


def _upright(up: Floats) -> Floats:
    """A rotation [3, 3] that takes the body's direction `up` to +z."""
    least = np.eye(3)[np.abs(up).argmin()]
    first = np.cross(least, up) / np.linalg.norm(np.cross(least, up))
    return without_yaw(np.stack([first, np.cross(up, first), up]))


def _quat(rotation: Floats) -> tuple[float, float, float, float]:
    quat = np.empty(4)
    mujoco.mju_mat2Quat(quat, np.ascontiguousarray(rotation).ravel())
    w, x, y, z = map(float, quat)
    return w, x, y, z
