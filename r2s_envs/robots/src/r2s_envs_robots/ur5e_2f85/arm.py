"""The UR5e, built in MjSpec from the kinematics and inertias that Universal Robots publishes.

Geometry here is what physics needs: few primitives, chosen for speed. Looks are in `looks`.
"""

from __future__ import annotations

import mujoco
import numpy as np

from r2s_envs_robots.parts import Link, add_capsule, add_chain, set_inertia

_QUARTER = np.pi / 2
#: Denavit-Hartenberg a (m), d (m) and alpha (rad) of each joint.
_DH = (
    (0.0, 0.1625, _QUARTER),
    (-0.425, 0.0, 0.0),
    (-0.3922, 0.0, 0.0),
    (0.0, 0.1333, _QUARTER),
    (0.0, 0.0997, -_QUARTER),
    (0.0, 0.0996, 0.0),
)
#: Mass, kg, and centre of mass, m, of each link in its Denavit-Hartenberg frame.
_MASSES = (
    (3.761, (0.0, -0.02561, 0.00193)),
    (8.058, (0.2125, 0.0, 0.11336)),
    (2.846, (0.15, 0.0, 0.0265)),
    (1.37, (0.0, -0.0018, 0.01634)),
    (1.3, (0.0, 0.0018, 0.01634)),
    (0.365, (0.0, 0.0, -0.001159)),
)
#: Inertia xx yy zz xy xz yz about the centre of mass, axes of that frame, kg m^2.
_INERTIAS = (
    (0.0070021, 0.00648091, 0.00657286, 7.3e-7, -1.053e-5, 4.9994e-4),
    (0.01505885, 0.33388086, 0.33247207, -5.4e-5, 5.63e-6, -1.81e-6),
    (0.00399632, 0.07879254, 0.0784851, -1.365e-5, 0.00137272, -6.6e-6),
    (0.00165491, 0.00135962, 0.00126279, -2.82e-6, -4.38e-6, 1.0157e-4),
    (0.00135617, 0.00127827, 0.00096614, -2.74e-6, 4.44e-6, -5.048e-5),
    (1.8694e-4, 1.8908e-4, 2.5756e-4, 6e-8, -1.7e-7, -9.2e-7),
)
#: About each joint in the ready posture, armature included, kg m^2.
_APPARENT_INERTIAS = (1.34, 2.62, 1.25, 0.154, 0.127, 0.101)
_LIMITS = (2 * np.pi, 2 * np.pi, np.pi, 2 * np.pi, 2 * np.pi, 2 * np.pi)
_TORQUES = (150.0, 150.0, 150.0, 28.0, 28.0, 28.0)
_SPEED = np.pi  # rad/s, of every joint
_BASE_MASS, _BASE_INERTIA = 4.0, (0.0044, 0.0044, 0.0072, 0.0, 0.0, 0.0)

#: (link, end, end, radius) of the collision capsules, link frames, m. What is nearer to the base
#: has none: with the elbow up it cannot reach the table.
_CAPSULES: tuple[tuple[str, tuple[float, ...], tuple[float, ...], float], ...] = (
    ("link4", (0.0, 0.0, -0.05), (0.0, -0.03, 0.0), 0.045),
    ("link5", (0.0, 0.0, 0.0), (0.0, 0.05, 0.0), 0.045),
    ("link6", (0.0, 0.0, -0.03), (0.0, 0.0, -0.005), 0.038),
)


def _about_x(angle: float) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, cos, -sin], [0.0, sin, cos]])


def _link(index: int) -> Link:
    """Its frame stands where its Denavit-Hartenberg frame would, before a and alpha are gone."""
    a, _, alpha = _DH[index]
    before_a, before_alpha = (_DH[index - 1][0], _DH[index - 1][2]) if index else (0.0, 0.0)
    pos = np.array([before_a, 0.0, 0.0]) + _about_x(before_alpha) @ [0.0, 0.0, _DH[index][1]]
    turn, (mass, com) = _about_x(alpha), _MASSES[index]
    xx, yy, zz, xy, xz, yz = _INERTIAS[index]
    inertia = turn @ np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]) @ turn.T
    limit = _LIMITS[index]
    return Link(
        pos=tuple(pos),
        quat=(np.cos(before_alpha / 2), np.sin(before_alpha / 2), 0.0, 0.0),
        limits=(-limit, limit),
        mass=mass,
        com=tuple(np.array([a, 0.0, 0.0]) + turn @ com),
        inertia=tuple(inertia[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]),
        apparent_inertia=_APPARENT_INERTIAS[index],
        max_torque=_TORQUES[index],
        max_speed=_SPEED,
    )


#: link1 .. link6. The servos are designed as those of the Panda.
LINKS = tuple(_link(index) for index in range(6))


def add_ur5e(spec: mujoco.MjSpec) -> mujoco.MjsBody:
    """Add the arm to `spec`, its base at the world's origin; the body of its flange, z outward.

    Bodies link0..link6; joints and actuators joint1..6. At joint angles of zero the arm is
    stretched along x: Universal Robots' base frame is turned by half a turn.
    """
    spec.compiler.degree = False
    base = spec.worldbody.add_body(name="link0", quat=(0.0, 0.0, 0.0, 1.0), gravcomp=1)
    set_inertia(base, _BASE_MASS, (0.0, 0.0, 0.0), _BASE_INERTIA)
    flange = add_chain(spec, base, LINKS)
    for name, start, end, radius in _CAPSULES:
        add_capsule(spec.body(name), start, end, radius)
    return flange
