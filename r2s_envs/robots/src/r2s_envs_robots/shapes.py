"""Primitives that dress a robot for pictures: nothing here takes part in the physics."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

import mujoco

from r2s_core.robot import NOT_PHYSICAL

#: Name -> rgba, specular, shininess.
Materials = Mapping[str, tuple[tuple[float, float, float, float], float, float]]


@dataclasses.dataclass(frozen=True)
class Shape:
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


def rod(body, material, a, b, radius) -> Shape:
    """A capsule from `a` to `b`."""
    return Shape(body, "capsule", material, a, (radius,), b)


def disc(body, material, a, b, radius) -> Shape:
    """A cylinder from `a` to `b`."""
    return Shape(body, "cylinder", material, a, (radius,), b)


def egg(body, material, centre, half_axes) -> Shape:
    """An ellipsoid."""
    return Shape(body, "ellipsoid", material, centre, half_axes)


def box(body, material, centre, half_axes) -> Shape:
    """A box."""
    return Shape(body, "box", material, centre, half_axes)


_KINDS = {
    "capsule": mujoco.mjtGeom.mjGEOM_CAPSULE,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "ellipsoid": mujoco.mjtGeom.mjGEOM_ELLIPSOID,
    "box": mujoco.mjtGeom.mjGEOM_BOX,
}


def dress(spec: mujoco.MjSpec, materials: Materials, shapes: Iterable[Shape]) -> None:
    """Add the shapes to the bodies of `spec` that they name."""
    for name, (rgba, specular, shininess) in materials.items():
        spec.add_material(name=name, rgba=rgba, specular=specular, shininess=shininess)
    for shape in shapes:
        place = {"pos": shape.a} if shape.b is None else {"fromto": (*shape.a, *shape.b)}
        spec.body(shape.body).add_geom(
            type=_KINDS[shape.kind],
            size=(*shape.size, 0.0, 0.0)[:3],
            material=shape.material,
            **place,
            **NOT_PHYSICAL,
        )
