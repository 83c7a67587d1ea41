"""Damage is repaired and reported, and what cannot be repaired is refused."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from r2s_core.errors import AssetError
from r2s_envs_objects.mesh.decompose import decimate
from r2s_envs_objects.mesh.inertia import volume_integrals
from r2s_envs_objects.mesh.repair import close_surface
from r2s_envs_objects.mesh.table import without_table
from r2s_envs_objects.mesh.topology import boundary_loops


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
    with pytest.raises(AssetError, match=r"would add 3\d% of the surface"):
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
    assert "treated as solid" in findings


@pytest.mark.parametrize("tilt", [0.0, 0.6])
def test_sheets_are_refused(tilt):
    grid = np.stack(np.meshgrid(*[np.linspace(0, 0.1, 9)] * 2), -1).reshape(-1, 2)
    vertices = np.c_[grid, tilt * grid[:, 0]]
    i = np.arange(72)[np.arange(72) % 9 != 8]
    faces = np.concatenate([np.c_[i, i + 1, i + 10], np.c_[i, i + 10, i + 9]])
    with pytest.raises(AssetError, match=r"without volume|would add"):
        repair(vertices, faces)


def test_a_closed_but_flat_surface_is_refused(box):
    flat = box.copy().apply_scale((1.0, 1.0, 1e-6))
    with pytest.raises(AssetError, match="without volume"):
        close_surface(np.array(flat.vertices), np.array(flat.faces), "scan")


def test_two_equal_parts_are_two_objects(box):
    other = box.copy().apply_translation((0.5, 0, 0))
    with pytest.raises(AssetError, match="several objects: 50% of the surface"):
        repair(*together(box, other))


def test_objects_with_a_common_wall_are_told_to_touch(box):
    other = box.copy().apply_translation((0.04, 0, 0))
    with pytest.raises(AssetError, match="several objects, which touch"):
        repair(*together(box, other))


def test_a_seam_all_around_is_said(sphere, ell):
    other = sphere.copy().apply_translation((0.048, 0, 0))
    fused = trimesh.boolean.union([sphere, other], engine="manifold")
    volume, findings = repair(fused.vertices, fused.faces)
    assert volume == pytest.approx(fused.volume, rel=1e-6)
    assert "may be two objects that touch" in findings
    assert "between 50% and 50% of its surface" in findings
    assert repair(ell.vertices, ell.faces)[1] == ""  # its inward edge ends at its caps


def patch(width: float, hole: trimesh.Trimesh | None = None, n: int = 24) -> trimesh.Trimesh:
    """A square of table at z = 0, n x n quads, without those whose middle is under `hole`."""
    line = np.linspace(-width / 2, width / 2, n + 1)
    grid = np.stack(np.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2)
    i = (np.arange(n)[:, None] * (n + 1) + np.arange(n)).ravel()
    faces = np.concatenate([np.c_[i, i + n + 1, i + n + 2], np.c_[i, i + n + 2, i + 1]])
    mesh = trimesh.Trimesh(np.c_[grid, np.zeros(len(grid))], faces, process=False)
    if hole is not None:
        low, high = hole.bounds
        inside = (mesh.triangles_center >= low) & (mesh.triangles_center <= high)
        mesh.update_faces(~inside[:, :2].all(axis=1))
    return mesh


@pytest.fixture
def standing():
    """A box of 50 x 50 x 80 mm on z = 0, and the same without its underside."""
    whole = trimesh.creation.box((0.05, 0.05, 0.08)).apply_translation((0, 0, 0.04))
    open_ = whole.copy()
    open_.update_faces(whole.triangles_center[:, 2] > 1e-6)
    return whole, open_


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("what", ["open, on a patch", "open, patch cut out", "closed, on a patch"])
def test_a_patch_of_table_is_cut_off(standing, what, turned):
    whole, open_ = standing
    table = patch(0.3, whole if "cut out" in what else None)
    vertices, faces = together(table, whole if "closed" in what else open_)
    if turned:
        vertices = vertices @ trimesh.transformations.rotation_matrix(1.0, [1, 2, 3])[:3, :3].T
    volume, findings = repair(vertices, faces)
    assert volume == pytest.approx(whole.volume, rel=1e-6)
    assert "stands on a patch of table" in findings


def test_a_patch_that_is_one_surface_with_the_object_and_rough(standing):
    n = 60
    mesh = patch(0.3, n=n)
    vertices = np.array(mesh.vertices)
    bump = (np.abs(vertices[:, :2]) < 0.026).all(axis=1)
    vertices[bump, 2] = 0.08
    vertices[~bump, 2] += np.random.default_rng(0).uniform(-0.0005, 0.0005, int((~bump).sum()))
    volume, findings = repair(vertices, mesh.faces)
    frustum = 0.08 / 3.0 * (0.05**2 + 0.06**2 + 0.05 * 0.06)  # its sides lean by one square
    assert volume == pytest.approx(frustum, rel=0.03)
    assert "stands on a patch of table" in findings


def test_what_is_no_table_stays(sphere, standing):
    open_ = sphere.copy()
    open_.update_faces(sphere.triangles_center[:, 2] > -0.02)
    assert "table" not in repair(open_.vertices, open_.faces)[1]
    # A brim no wider than half of what it is on, and a rim that looks away from what it bears.
    brim = together(patch(0.06, standing[0]), standing[1])
    assert "table" not in without(brim)
    assert "table" not in without((brim[0], brim[1][:, ::-1]))
    assert "table" not in without(together(patch(0.3), standing[0].copy().apply_scale([1, 1, 0.1])))


def without(mesh) -> str:
    return " ".join(finding.code for finding in without_table(*mesh)[1])


def test_fans_of_slivers_do_not_spoil_what_is_thinned_out():
    """Each pole of a sphere of 600 meridians is a fan that no edge collapse can thin out."""
    ball = trimesh.creation.uv_sphere(0.04, count=[100, 600])
    vertices, faces = decimate(np.array(ball.vertices), np.array(ball.faces), 2000)
    assert len(faces) < 0.2 * len(ball.faces)
    assert volume_integrals(vertices, faces)[0] == pytest.approx(ball.volume, rel=0.01)
    assert np.ptp(vertices, axis=0) == pytest.approx([0.08] * 3, rel=0.01)
