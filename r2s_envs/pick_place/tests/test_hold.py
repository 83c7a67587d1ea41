"""The hold test, on the shipped settings: a grip neither creeps nor sinks into what it holds."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import mujoco
import numpy as np
import pytest

from r2s_envs_pick_place.hold import instrument as hold
from r2s_envs_pick_place.scene import build as scene
from r2s_envs_robots.panda.robot import panda

PANDA = panda()
CENTRE_X = PANDA.workspace[0]
_SCANS = Path(__file__).parents[4] / "shared" / "scans" / "clean"
_MAX = 1e-3  # m, slip in 5 s and penetration


def _good(report: hold.HoldReport) -> bool:
    return report.held and report.slip < _MAX and report.penetration < _MAX


def _hull(name: str, vertices: np.ndarray, mass: float) -> scene.SceneObject:
    """The convex hull of a scan, at rest as scanned, as a homogeneous solid of a given mass."""
    trimesh = pytest.importorskip("trimesh")
    hull = trimesh.Trimesh(vertices=vertices).convex_hull
    hull.apply_translation((*-hull.centroid[:2], -hull.bounds[0, 2]))
    hull.density = mass / hull.volume
    return scene.SceneObject(
        name, mass, hull.moment_inertia, tuple(hull.center_mass), pieces=(np.array(hull.vertices),)
    )


@pytest.mark.parametrize("yaw", [0.0, 0.1, 0.3])
def test_a_box_of_200_g_is_held_still(yaw):
    box = scene.box_object((0.02, 0.02, 0.03), mass=0.2)
    model = scene.build_scene([box]).compile()
    report = hold.hold(model, PANDA, hold.Grasp((CENTRE_X, 0.0, 0.03), yaw))
    assert report.held
    assert report.slip < _MAX
    assert report.penetration < _MAX
    assert report.tilt < 0.05
    assert report.finger_overlap < _MAX
    assert 5.0 < report.force < 20.0


def test_light_and_heavy_boxes_sink_alike():
    reports = []
    for mass in (0.03, 0.1, 0.4):
        model = scene.build_scene([scene.box_object((0.02, 0.02, 0.03), mass)]).compile()
        reports.append(hold.hold(model, PANDA, hold.Grasp((CENTRE_X, 0.0, 0.03))))
    assert all(map(_good, reports)), reports
    depths = [report.penetration for report in reports]
    assert max(depths) < 1.3 * min(depths)


def test_a_bottle_shaped_mesh_of_200_g_is_held_still():
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    noise = np.random.default_rng(0).normal(0.0, 3e-4, (4, 40))
    rings = ((0.029, 0.0), (0.031, 0.06), (0.027, 0.12), (0.012, 0.16))
    vertices = [
        ((r + e) * np.cos(a), (r + e) * 0.7 * np.sin(a), z)
        for (r, z), ring in zip(rings, noise, strict=True)
        for a, e in zip(angles, ring, strict=True)
    ]
    report = hold.best_hold(_hull("bottle", np.array(vertices), 0.2))
    assert _good(report), report


@pytest.mark.skipif(not _SCANS.is_dir(), reason="no real scans in ../shared/scans/clean")
@pytest.mark.parametrize(
    "file",
    ["ycb_mustard_bottle.obj", "ycb_foam_brick.stl", "ycb_banana.ply", "ycb_tomato_soup_can.stl"],
)
def test_real_scans_of_200_g_are_held_still(file):
    trimesh = pytest.importorskip("trimesh")
    scan = trimesh.load(_SCANS / file, force="mesh")
    report = hold.best_hold(_hull(file, scan.vertices, 0.2))
    assert _good(report), report


def test_the_instrument_sees_a_drop():
    slick = scene.box_object((0.02, 0.02, 0.03), mass=0.2, friction=0.05)
    model = scene.build_scene([slick]).compile()
    assert not hold.hold(model, PANDA, hold.Grasp((CENTRE_X, 0.0, 0.03)), seconds=1.0).held


def test_the_instrument_sees_a_grasp_of_nothing():
    model = scene.build_scene([scene.box_object()]).compile()
    report = hold.hold(model, PANDA, hold.Grasp((CENTRE_X, 0.15, 0.03)), seconds=0.5)
    assert not report.held
    assert report.force == 0.0


def test_the_instrument_sees_pads_sinking_in():
    options = scene.SceneOptions(contact_stiffness=4e3)
    model = scene.build_scene([scene.box_object(mass=0.2)], options).compile()
    report = hold.hold(model, PANDA, hold.Grasp((CENTRE_X, 0.0, 0.03)), seconds=1.0)
    assert report.penetration > 1.5 * _MAX


def test_the_instrument_sees_creep():
    """With a tenth of the friction's stiffness, the box creeps: the shipped one is not luck."""
    options = scene.SceneOptions(impratio=1.0)
    model = scene.build_scene([scene.box_object(mass=0.2)], options).compile()
    assert hold.hold(model, PANDA, hold.Grasp((CENTRE_X, 0.0, 0.03))).slip > _MAX


def test_candidates_close_across_the_narrow_side_and_fit_the_gripper():
    plank = scene.box_object((0.10, 0.02, 0.03), mass=0.1)
    grasps = hold.candidate_grasps(plank, PANDA)
    assert grasps
    for grasp in grasps:
        assert abs(np.sin(grasp.yaw)) == pytest.approx(1.0, abs=0.05)  # along world y
        assert 0.0 < grasp.position[2] < 0.06
        np.testing.assert_allclose(grasp.position[:2], (CENTRE_X, 0.0), atol=2e-3)
    assert hold.candidate_grasps(scene.box_object((0.05, 0.05, 0.03)), PANDA) == []


def test_an_object_with_an_off_centre_mass_is_grasped_there():
    plank = dataclasses.replace(scene.box_object((0.10, 0.02, 0.03)), com=(0.05, 0.0, 0.0))
    for grasp in hold.candidate_grasps(plank, PANDA):
        assert grasp.position[0] == pytest.approx(CENTRE_X + 0.05, abs=2e-3)


def _rod(radius: float, length: float, mass: float) -> scene.SceneObject:
    """A cylinder that lies along x, of one convex piece."""
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    ring = np.stack([0 * turn, radius * np.cos(turn), radius * np.sin(turn)], axis=1)
    ends = np.array([length / 2, 0.0, 0.0])
    across = mass * (3 * radius**2 + length**2) / 12
    inertia = np.diag([mass * radius**2 / 2, across, across])
    return scene.SceneObject(
        "rod", mass, inertia, pieces=(np.concatenate([ring - ends, ring + ends]),)
    )


@pytest.mark.parametrize("diameter", [0.009, 0.012])
def test_a_thin_rod_that_lies_is_held_through_the_shake(diameter):
    """The pads touch it above its axis: once they flicker, it is squeezed out downwards."""
    rod = _rod(diameter / 2, 0.12, mass=0.008)
    model = scene.build_scene([rod]).compile()
    grasp = hold.Grasp((CENTRE_X, 0.0, PANDA.gripper.pad_below_grip), np.pi / 2)
    report = hold.hold(model, PANDA, grasp, seconds=0.5, shake=hold.Shake(), approach=0.1)
    assert report.held, report
    assert report.shake_slip < 0.003, report


def test_damping_as_inertia_moves_the_arm_as_implicit_integration_does():
    model = scene.build_scene([scene.box_object()]).compile()
    implicit = copy.copy(model)
    implicit.opt.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    damping = model.dof_damping[:9] - model.actuator_biasprm[:, 2]
    implicit.dof_armature[:9] -= model.opt.timestep * damping
    assert (implicit.dof_armature[:9] > 0.0).all()
    paths = []
    for each in (model, implicit):
        data = mujoco.MjData(each)
        mujoco.mj_resetDataKeyframe(each, data, 0)
        for step in range(60):
            data.ctrl[:7] = PANDA.home + 0.05 * np.sin(step / 10 + np.arange(7))
            mujoco.mj_step(each, data)
        paths.append(data.qpos[:9].copy())
    np.testing.assert_allclose(paths[0], paths[1], atol=1e-5)
    assert np.abs(paths[0][:7] - PANDA.home).max() > 0.01
