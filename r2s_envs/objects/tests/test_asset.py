"""Mass, inertia, units, collision pieces, resting pose and grasp of shapes with known answers."""

from __future__ import annotations

import sys

import mujoco
import numpy as np
import pytest
import trimesh
from scipy.spatial import ConvexHull

from r2s_core.errors import AssetError
from r2s_envs_objects import ObjectOptions, load_object
from r2s_envs_objects.behaviour.grasp import gripper_of
from r2s_envs_objects.behaviour.rest import drop_model
from r2s_envs_objects.mesh import decompose
from r2s_envs_objects.mesh.hull import hull_volume, reduce_hull
from r2s_envs_objects.preparation.pipeline import prepare


def whats(asset):
    return " / ".join(f.what for f in asset.findings)


def test_mass_and_inertia_of_a_box(box, save):
    asset = load_object(save(box), ObjectOptions(mass=0.3))
    x, y, z = 0.04, 0.06, 0.05
    expected = 0.3 / 12 * np.diag([y * y + z * z, x * x + z * z, x * x + y * y])
    np.testing.assert_allclose(asset.inertia, expected, rtol=1e-5, atol=1e-12)
    assert asset.mass == 0.3
    assert load_object(save(box)).mass == pytest.approx(400 * x * y * z, rel=1e-5)


def test_the_body_frame_is_at_the_centre_of_mass_and_scan_to_body_leads_there(box, save):
    asset = load_object(save(box))
    low, high = asset.visual_vertices.min(0), asset.visual_vertices.max(0)
    np.testing.assert_allclose(low + high, 0.0, atol=1e-6)
    scan = np.c_[box.vertices, np.ones(8)] @ asset.scan_to_body.T
    np.testing.assert_allclose(
        np.sort(scan[:, :3], 0), np.sort(asset.visual_vertices, 0), atol=1e-6
    )


def test_an_implausible_density_is_refused(box, save):
    with pytest.raises(AssetError, match="kg/m3, outside 20 to 20000"):
        load_object(save(box), ObjectOptions(mass=50.0))


def test_a_material_sets_density_and_friction_and_what_is_given_wins(box, save):
    volume = 0.04 * 0.06 * 0.05
    foam = load_object(save(box), ObjectOptions(material="foam"))
    assert foam.mass == pytest.approx(100 * volume, rel=1e-5)
    assert foam.mass_range == pytest.approx((25 * volume, 250 * volume), rel=1e-5)
    assert (foam.friction, foam.friction_range) == (0.8, (0.5, 1.1))
    dense = load_object(save(box), ObjectOptions(material="foam", density=300.0, friction=0.4))
    assert dense.mass == pytest.approx(300 * volume, rel=1e-5)
    assert dense.mass_range[1] == pytest.approx(dense.mass)
    assert dense.friction == 0.4
    weighed = load_object(save(box), ObjectOptions(material="foam", mass=0.02))
    assert weighed.mass == 0.02
    assert weighed.mass_range == pytest.approx((0.018, 0.022))
    unknown = load_object(save(box))
    assert unknown.friction == 1.0
    assert unknown.mass_range[0] < unknown.mass < unknown.mass_range[1]


def test_the_fidelity_of_the_pieces_is_a_number(ell, save):
    two = load_object(save(ell))
    assert two.iou > 0.97
    assert two.surface_p95 < 0.0005
    one = load_object(save(ell), ObjectOptions(max_pieces=1))
    # The hull of the L adds a triangle of 60 x 60 mm to its 28 cm2: 28 / 46.
    assert one.iou == pytest.approx(28 / 46, rel=0.01)
    assert one.surface_p95 > 0.01
    (note,) = [f for f in one.findings if f.code == "pieces"]
    assert note.severity == "warning"
    assert note.volume_change == pytest.approx(46 / 28 - 1, rel=0.01)


@pytest.mark.parametrize(
    ("factor", "options", "said"),
    [
        (1.0, ObjectOptions(), ""),
        (1000.0, ObjectOptions(), "taken as millimetres"),
        (1000.0, ObjectOptions(units="mm"), ""),
        (100.0, ObjectOptions(units="cm"), ""),
        (1 / 0.0254, ObjectOptions(units="inch"), ""),
        (2.0, ObjectOptions(scale=0.5), ""),
    ],
)
def test_units(box, save, factor, options, said):
    asset = load_object(save(box.apply_scale(factor)), options)
    np.testing.assert_allclose(asset.size, [0.04, 0.06, 0.05], rtol=1e-5)
    assert said in whats(asset)


@pytest.mark.parametrize(
    ("factor", "units", "why"),
    [
        (
            100.0,
            "auto",
            r"may be mm \(6 mm long\), cm \(60 mm long\) or inch \(152 mm",
        ),
        (1e-3, "auto", "outside 0.005 to 1 m"),
        (1e6, "auto", "implausible in millimetres"),
        (1000.0, "m", "read as m it is 60 m long"),
    ],
)
def test_ambiguous_or_absurd_sizes_are_refused(box, save, factor, units, why):
    with pytest.raises(AssetError, match=why):
        load_object(save(box.apply_scale(factor)), ObjectOptions(units=units))


@pytest.mark.parametrize("up", ["z", "y", "x", "-z", "-y", "-x"])
def test_the_up_axis(up, save):
    cone = trimesh.creation.cone(radius=0.03, height=0.06)  # along +z, on its base
    axis, sign = "xyz".index(up[-1]), -1.0 if up.startswith("-") else 1.0
    target = np.zeros(3)
    target[axis] = sign
    turned = cone.apply_transform(trimesh.geometry.align_vectors([0, 0, 1], target))
    asset = load_object(save(turned), ObjectOptions(up=up))
    assert asset.size[2] == pytest.approx(0.06, rel=1e-3)
    assert asset.resting_qpos.height == pytest.approx(0.015, abs=3e-4)  # a quarter of its height


def test_a_convex_shape_is_one_hull_and_an_l_is_not(sphere, ell, save):
    assert len(load_object(save(sphere)).pieces) == 1
    asset = load_object(save(ell))
    assert len(asset.pieces) == 2
    assert sum(hull_volume(p) for p in asset.pieces) == pytest.approx(ell.volume, rel=0.02)
    single = load_object(save(ell), ObjectOptions(max_pieces=1))
    assert len(single.pieces) == 1
    # The inertia is that of the solid, not of its pieces.
    np.testing.assert_allclose(single.inertia, asset.inertia, atol=1e-3 * asset.inertia.max())


@pytest.mark.parametrize("count", [16, 32, 64])
def test_reduced_hulls_keep_within_the_budget_and_near_the_surface(count):
    shape = trimesh.creation.capsule(height=0.06, radius=0.02, count=[40, 40]).vertices
    reduced = reduce_hull(shape, count)
    assert len(reduced) <= count
    equations = ConvexHull(reduced).equations
    missing = (shape @ equations[:, :3].T + equations[:, 3]).max()
    full = ConvexHull(shape).equations
    excess = (reduced @ full[:, :3].T + full[:, 3]).max()
    assert max(missing, excess) < {16: 0.006, 32: 0.003, 64: 0.0015}[count]
    assert hull_volume(reduced) == pytest.approx(hull_volume(shape), rel=3.5 / count)


@pytest.mark.parametrize("failure", ["timeout", "crash"])
def test_a_failed_decomposition_falls_back_to_one_hull(ell, monkeypatch, failure):
    if failure == "timeout":
        monkeypatch.setattr(decompose, "TIMEOUT", 0.001)
    else:
        monkeypatch.setattr(sys, "executable", "/bin/false")
    data, hand = ell.export(file_type="ply"), gripper_of("panda")
    asset = prepare(data, ".ply", "ell", ObjectOptions(), hand, "")
    assert len(asset.pieces) == 1
    expected = "timed out" if failure == "timeout" else "failed"
    assert f"decomposition {expected}: one convex hull instead" in whats(asset)


def test_it_rests_where_it_says_without_moving(ell, save):
    asset = load_object(save(ell))
    model = drop_model(asset.pieces, asset.mass, asset.inertia)
    data = mujoco.MjData(model)
    data.qpos[:] = [0, 0, asset.resting_qpos.height, *asset.resting_qpos.quat]
    mujoco.mj_step(model, data, nstep=1000)
    assert np.linalg.norm(data.qpos[:2]) < 2e-4
    assert abs(data.qpos[2] - asset.resting_qpos.height) < 2e-4
    assert 2 * np.linalg.norm(data.qpos[4:7]) < 0.01
    assert np.abs(data.qvel).max() < 0.01


def test_what_cannot_stand_lies_down_and_says_so(save):
    stick = trimesh.creation.cylinder(radius=0.01, height=0.12, sections=24)
    leaning = stick.apply_transform(trimesh.transformations.rotation_matrix(0.5, [1, 0, 0]))
    asset = load_object(save(leaning))
    assert asset.resting_qpos.height == pytest.approx(0.01, abs=5e-4)
    assert "does not stand as it was scanned" in whats(asset)


@pytest.mark.parametrize("turn", [0.0, 0.4, 1.3, 2.8])
def test_the_grasp_is_across_the_narrow_side(box, save, turn):
    box.apply_transform(trimesh.transformations.rotation_matrix(turn, [0, 0, 1]))
    asset = load_object(save(box))
    assert asset.grasp_width == pytest.approx(0.04, abs=0.0012)
    error = (asset.grasp_yaw - turn + np.pi / 2) % np.pi - np.pi / 2
    assert abs(error) < np.radians(1.5)
    assert asset.grasp_height == 0.0
    assert abs(asset.grasp_offset) < 5e-4


def test_tall_objects_are_held_near_the_top_clear_of_the_palm(save):
    tall = trimesh.creation.box((0.04, 0.05, 0.16))
    assert load_object(save(tall)).grasp_height == pytest.approx(0.08 - 0.035, abs=1e-3)


def test_an_object_too_wide_is_refused_unless_forced(save):
    block = save(trimesh.creation.box((0.09, 0.09, 0.09)))
    for _ in range(2):  # the second time from the cache
        with pytest.raises(AssetError, match=r"too wide for the 80 mm gripper.*spans 90 mm"):
            load_object(block)
    assert load_object(block, ObjectOptions(force=True)).grasp_width == pytest.approx(0.09)
