"""What the Panda looks like, for pictures only: nothing here takes part in the physics."""

from __future__ import annotations

import dataclasses

import mujoco

VISUAL_GROUP = 2  # drawn by default, as is every group below 3

#: Material: rgba, specular, shininess.
_MATERIALS = {
    "panda_white": ((0.93, 0.94, 0.95, 1.0), 0.5, 0.6),
    "panda_grey": ((0.78, 0.80, 0.82, 1.0), 0.4, 0.5),
    "panda_dark": ((0.13, 0.14, 0.15, 1.0), 0.3, 0.4),
    "panda_rubber": ((0.06, 0.06, 0.07, 1.0), 0.1, 0.1),
    "panda_blue": ((0.04, 0.54, 0.78, 1.0), 0.5, 0.5),
}


@dataclasses.dataclass(frozen=True)
class _Shape:
    """One primitive in a body's frame, m.

    kind: capsule, cylinder, ellipsoid or box. Capsules and cylinders run from `a` to `b` with
    radius size[0]; ellipsoids and boxes are centred on `a` with half axes `size`.
    """

    body: str
    kind: str
    material: str
    a: tuple[float, float, float]
    size: tuple[float, ...]
    b: tuple[float, float, float] | None = None


def _rod(body, material, a, b, radius) -> _Shape:
    return _Shape(body, "capsule", material, a, (radius,), b)


def _disc(body, material, a, b, radius) -> _Shape:
    return _Shape(body, "cylinder", material, a, (radius,), b)


def _egg(body, material, centre, half_axes) -> _Shape:
    return _Shape(body, "ellipsoid", material, centre, half_axes)


def _box(body, material, centre, half_axes) -> _Shape:
    return _Shape(body, "box", material, centre, half_axes)


_SHAPES: tuple[_Shape, ...] = (
    # Base: a foot with its connector block behind, a collar, and the turning joint's seam.
    _box("link0", "panda_dark", (-0.03, 0, 0.006), (0.105, 0.095, 0.006)),
    _egg("link0", "panda_white", (-0.03, 0, 0.03), (0.105, 0.092, 0.075)),
    _disc("link0", "panda_white", (0, 0, 0.02), (0, 0, 0.128), 0.071),
    _box("link0", "panda_grey", (-0.095, 0, 0.045), (0.04, 0.05, 0.033)),
    _box("link0", "panda_dark", (-0.134, 0, 0.045), (0.003, 0.04, 0.024)),
    _disc("link0", "panda_dark", (0, 0, 0.126), (0, 0, 0.142), 0.066),
    # Shoulder: a column that swells into the horizontal joint 2.
    _disc("link1", "panda_white", (0, 0, -0.191), (0, 0, -0.06), 0.064),
    _egg("link1", "panda_white", (0, 0.0, -0.055), (0.066, 0.07, 0.09)),
    _disc("link1", "panda_white", (0, -0.062, 0), (0, 0.062, 0), 0.062),
    _disc("link1", "panda_dark", (0, -0.072, 0), (0, 0.072, 0), 0.057),
    _disc("link1", "panda_white", (0, -0.078, 0), (0, 0.078, 0), 0.05),
    # Upper arm: from joint 2 up to the turning joint 3.
    _rod("link2", "panda_white", (0, 0, 0), (0, -0.07, 0), 0.064),
    _disc("link2", "panda_white", (0, -0.05, 0), (0, -0.118, 0), 0.063),
    _disc("link2", "panda_dark", (0, -0.116, 0), (0, -0.130, 0), 0.058),
    _disc("link3", "panda_white", (0, 0, -0.188), (0, 0, -0.085), 0.063),
    _egg("link3", "panda_white", (0.02, 0, -0.075), (0.075, 0.066, 0.07)),
    # Elbow: offset forward, about the horizontal joint 4.
    _rod("link3", "panda_white", (0.025, 0.0, -0.06), (0.0825, 0.0, -0.005), 0.052),
    _disc("link3", "panda_white", (0.0825, -0.056, 0), (0.0825, 0.056, 0), 0.054),
    _disc("link3", "panda_dark", (0.0825, -0.066, 0), (0.0825, 0.066, 0), 0.05),
    _disc("link3", "panda_white", (0.0825, -0.072, 0), (0.0825, 0.072, 0), 0.043),
    _rod("link4", "panda_white", (0, 0, 0), (-0.06, 0.055, 0), 0.052),
    _egg("link4", "panda_white", (-0.0665, 0.07, 0), (0.07, 0.06, 0.064)),
    _disc("link4", "panda_white", (-0.0825, 0.06, 0), (-0.0825, 0.124, 0), 0.061),
    _disc("link4", "panda_dark", (-0.0825, 0.122, 0), (-0.0825, 0.136, 0), 0.056),
    # Forearm: a barrel that tapers towards the wrist, with its cable duct beside it.
    _disc("link5", "panda_white", (0, 0, -0.25), (0, 0, -0.19), 0.06),
    _egg("link5", "panda_white", (0, 0.012, -0.18), (0.06, 0.066, 0.075)),
    _rod("link5", "panda_white", (0, 0.035, -0.19), (0, 0.062, -0.055), 0.042),
    _rod("link5", "panda_white", (0, 0.062, -0.1), (0, 0.052, -0.02), 0.045),
    _egg("link5", "panda_white", (0, 0.045, -0.015), (0.052, 0.05, 0.055)),
    _disc("link5", "panda_dark", (0, 0.01, 0), (0, 0.055, 0), 0.047),
    # Wrist: joint 6 is horizontal; a bridge carries the turning flange at its front.
    _disc("link6", "panda_white", (0, 0, -0.045), (0, 0, 0.045), 0.049),
    _disc("link6", "panda_dark", (0, 0, 0.043), (0, 0, 0.053), 0.044),
    _egg("link6", "panda_white", (0.035, 0.0, 0.0), (0.075, 0.052, 0.05)),
    _rod("link6", "panda_white", (0.03, 0, 0), (0.088, 0, 0), 0.047),
    _disc("link6", "panda_white", (0.088, 0.05, 0), (0.088, -0.03, 0), 0.05),
    _disc("link6", "panda_blue", (0.088, 0.05, 0), (0.088, 0.056, 0), 0.028),
    _disc("link7", "panda_dark", (0, 0, 0.03), (0, 0, 0.044), 0.046),
    _disc("link7", "panda_white", (0, 0, 0.044), (0, 0, 0.09), 0.045),
    _rod("link7", "panda_white", (0.02, 0.02, 0.07), (0.048, 0.048, 0.07), 0.021),
    _disc("link7", "panda_dark", (0, 0, 0.09), (0, 0, 0.107), 0.032),
    # Hand and fingers.
    _box("hand", "panda_white", (0, 0, 0.03), (0.026, 0.075, 0.03)),
    _disc("hand", "panda_white", (0, -0.075, 0), (0, -0.075, 0.06), 0.026),
    _disc("hand", "panda_white", (0, 0.075, 0), (0, 0.075, 0.06), 0.026),
    _box("hand", "panda_dark", (0, 0, 0.062), (0.02, 0.092, 0.004)),
    _disc("hand", "panda_dark", (0, 0, -0.003), (0, 0, 0.004), 0.034),
    _box("hand", "panda_blue", (-0.0262, 0, 0.03), (0.0005, 0.012, 0.004)),
    *(
        shape
        for body in ("left_finger", "right_finger")
        for shape in (
            _box(body, "panda_grey", (0, 0.016, 0.011), (0.0105, 0.011, 0.011)),
            _box(body, "panda_grey", (0, 0.0165, 0.031), (0.009, 0.006, 0.012)),
            _box(body, "panda_grey", (0, 0.011, 0.0455), (0.009, 0.006, 0.0085)),
            _box(body, "panda_rubber", (0, 0.0035, 0.0445), (0.0085, 0.0035, 0.0085)),
        )
    ),
)

_KINDS = {
    "capsule": mujoco.mjtGeom.mjGEOM_CAPSULE,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "ellipsoid": mujoco.mjtGeom.mjGEOM_ELLIPSOID,
    "box": mujoco.mjtGeom.mjGEOM_BOX,
}


def add_visuals(spec: mujoco.MjSpec) -> None:
    """Dress the robot that `panda.add_panda` put into `spec`, with primitives."""
    for name, (rgba, specular, shininess) in _MATERIALS.items():
        spec.add_material(name=name, rgba=rgba, specular=specular, shininess=shininess)
    for shape in _SHAPES:
        place = {"pos": shape.a} if shape.b is None else {"fromto": (*shape.a, *shape.b)}
        spec.body(shape.body).add_geom(
            type=_KINDS[shape.kind],
            size=(*shape.size, 0.0, 0.0)[:3],
            material=shape.material,
            **place,
            **NOT_PHYSICAL,
        )


#: What makes a geom a mere picture.
NOT_PHYSICAL = {"contype": 0, "conaffinity": 0, "mass": 0.0, "group": VISUAL_GROUP}
