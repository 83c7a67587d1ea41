"""Damage is repaired and reported, and what cannot be repaired is refused."""

from __future__ import annotations

import numpy as np
import pytest

from r2s_core.errors import AssetError
from r2s_envs_objects.inertia import volume_integrals
from r2s_envs_objects.repair import close_surface
from r2s_envs_objects.topology import boundary_loops


def repair(vertices, faces):
    """(volume, findings' texts) of the repaired surface, which is closed."""
    vertices, faces, findings = close_surface(
        np.asarray(vertices, float), np.asarray(faces, int), "scan"
    )
    assert not boundary_loops(faces)
    return volume_integrals(vertices, faces)[0], " / ".join(f.what for f in findings)


def together(a, b):
    """Two meshes as one: vertices, faces."""
    return np.concatenate([a.vertices, b.vertices]), np.concatenate(
        [a.faces, b.faces + len(a.vertices)]
    )


def test_a_sound_mesh_is_left_alone(sphere):
    volume, findings = repair(sphere.vertices, sphere.faces)
    assert volume == pytest.approx(sphere.volume, rel=1e-9)
    assert findings == ""


def test_inside_out_is_turned(sphere):
    volume, findings = repair(sphere.vertices, sphere.faces[:, ::-1])
    assert volume == pytest.approx(sphere.volume, rel=1e-9)
    assert findings == "inside out: turned"


def test_mixed_winding_and_duplicates(sphere):
    faces = np.array(sphere.faces)
    faces[::3] = faces[::3, ::-1]
    faces = np.concatenate([faces, faces[:50], faces[50:60, ::-1], [[5, 5, 9]]])
    volume, findings = repair(sphere.vertices, faces)
    assert volume == pytest.approx(sphere.volume, rel=1e-9)
    assert "60 duplicate faces dropped" in findings
    assert "1 degenerate face dropped" in findings
    assert "wound against their neighbours" in findings


def test_holes_are_closed(sphere):
    centres = sphere.triangles_center
    open_ = (centres[:, 2] < 0.023) & (centres[:, 0] < 0.0235)
    lone = open_.copy()
    lone[np.flatnonzero(open_)[100]] = False  # one triangle missing
    volume, findings = repair(sphere.vertices, sphere.faces[lone])
    assert volume == pytest.approx(sphere.volume, rel=0.03)
    assert "3 holes closed" in findings


def test_half_a_surface_is_refused(sphere):
    with pytest.raises(AssetError, match=r"would invent 3\d% of the surface"):
        repair(sphere.vertices, sphere.faces[sphere.triangles_center[:, 2] < 0.008])


def test_floaters_and_flaps_are_dropped(sphere):
    rng = np.random.default_rng(0)
    vertices, faces = [np.array(sphere.vertices)], [np.array(sphere.faces)]
    for _ in range(5):
        corner = rng.uniform(0.03, 0.05, 3)
        faces.append(np.array([[0, 1, 2]]) + sum(map(len, vertices)))
        vertices.append(corner + rng.uniform(0, 0.002, (3, 3)))
    a, b = sphere.faces[0, :2]
    faces.append(np.array([[a, b, sum(map(len, vertices))]]))  # a flap on an edge of the body
    vertices.append(np.array([[0.0, 0.0, 0.04]]))
    volume, findings = repair(np.concatenate(vertices), np.concatenate(faces))
    assert volume == pytest.approx(sphere.volume, rel=1e-9)
    assert "6 stray parts dropped" in findings


def test_two_objects_are_refused(sphere):
    other = sphere.copy().apply_translation((0.06, 0, 0))
    with pytest.raises(AssetError, match="several objects: 50% of the surface"):
        repair(*together(sphere, other))


def test_the_inside_of_a_container_is_taken_as_solid(sphere):
    inner = sphere.copy().apply_scale(0.9)
    inner.invert()
    volume, findings = repair(*together(sphere, inner))
    assert volume == pytest.approx(sphere.volume, rel=1e-9)
    assert "taken as solid" in findings


@pytest.mark.parametrize("tilt", [0.0, 0.6])
def test_sheets_are_refused(tilt):
    grid = np.stack(np.meshgrid(*[np.linspace(0, 0.1, 9)] * 2), -1).reshape(-1, 2)
    vertices = np.c_[grid, tilt * grid[:, 0]]
    i = np.arange(72)[np.arange(72) % 9 != 8]
    faces = np.concatenate([np.c_[i, i + 1, i + 10], np.c_[i, i + 10, i + 9]])
    with pytest.raises(AssetError, match=r"without volume|would invent"):
        repair(vertices, faces)


def test_a_closed_but_flat_surface_is_refused(box):
    flat = box.copy().apply_scale((1.0, 1.0, 1e-6))
    with pytest.raises(AssetError, match="without volume"):
        close_surface(np.array(flat.vertices), np.array(flat.faces), "scan")
