"""Mass properties of a closed mesh."""

from __future__ import annotations

import numpy as np

from r2s_core.errors import AssetError
from r2s_envs_objects.asset import Finding, Floats, Ints
from r2s_envs_objects.materials import WEIGHED, density_of, implausible
from r2s_envs_objects.options import ObjectOptions


def volume_integrals(vertices: Floats, faces: Ints) -> tuple[float, Floats, Floats]:
    """Signed volume, centroid [3] and unit-density inertia [3, 3] about the centroid.

    vertices [n, 3], faces [m, 3], closed and consistently wound. Sums over the tetrahedra that
    each face spans with the mean vertex, which keeps cancellation errors small.
    """
    origin = vertices.mean(axis=0)
    a, b, c = (vertices[faces[:, i]] - origin for i in range(3))
    tetra = np.einsum("ij,ij->i", a, np.cross(b, c)) / 6.0
    volume = float(tetra.sum())
    total = a + b + c
    first = np.einsum("i,ij->j", tetra, total) / 4.0
    # The second moment of a tetrahedron with one corner at the origin is V/20 (sum xx' + ss').
    second = sum(np.einsum("i,ij,ik->jk", tetra, p, p) for p in (a, b, c, total)) / 20.0
    if volume == 0.0:
        return 0.0, origin, np.zeros((3, 3))
    centroid = first / volume
    second = second - volume * np.outer(centroid, centroid)
    inertia = np.trace(second) * np.eye(3) - second
    return volume, origin + centroid, inertia


def mass_of(
    volume: float, options: ObjectOptions, label: str
) -> tuple[float, tuple[float, float], list[Finding]]:
    """The mass in kg and its plausible range, for a closed scan with a volume in m3.

    The user's mass if given (its density must be plausible), else from density or material.
    """
    density, (low, high) = density_of(options.material, options.density)
    if options.mass is None:
        mass, expected = volume * density, (volume * low, volume * high)
        known = options.material or options.density is not None
        of = f" ({options.material})" if options.material else "" if known else " (a guess)"
        what = f"mass {mass:.3g} kg from a density of {density:g} kg/m3{of}, taken solid"
        findings = [Finding(what, code="mass-from-density")]
    else:
        mass = options.mass
        expected = (mass * (1.0 - WEIGHED), mass * (1.0 + WEIGHED))
        findings = []
        check_density(mass, volume, label)
    return mass, expected, findings


def check_density(mass: float, volume: float, label: str) -> None:
    """AssetError unless the mass, kg, and volume, m3, are plausible for a household object."""
    if why := implausible(mass, volume):
        raise AssetError(f"{label}: a mass of {why}; check `mass` and `units`")


def check_inertia(inertia: Floats, label: str) -> None:
    """AssetError unless the inertia [3, 3] is positive and obeys the triangle inequality."""
    low, mid, high = np.linalg.eigvalsh(inertia)
    if not (low > 0.0 and low + mid >= high * (1.0 - 1e-9)):
        raise AssetError(
            f"{label}: its inertia {low:.3g}, {mid:.3g}, {high:.3g} kg m2 is impossible, so the "
            "surface is not a sound solid; scan it again"
        )
