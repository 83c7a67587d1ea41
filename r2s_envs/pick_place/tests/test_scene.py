"""The scene: what collides, what is sensed, and that dressing it changes nothing that moves."""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np
import pytest

from r2s_core.config import PhysicsConfig
from r2s_core.env.build import with_physics
from r2s_core.errors import AssetError
from r2s_core.robot import COLLISION_GROUP
from r2s_envs_pick_place.config import PickPlaceConfig
from r2s_envs_pick_place.scene import build as scene
from r2s_envs_pick_place.scene import pick_object
from r2s_envs_pick_place.task.pick_place import PickPlace
from r2s_envs_robots.panda.robot import panda

PANDA = panda()


def _bottle(mass: float = 0.2, visual: bool = False) -> scene.SceneObject:
    """A round bottle 5 cm across and 16 cm tall with a narrower neck, its origin at its foot."""
    angles = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    rings = [(0.025, 0.0), (0.025, 0.11), (0.012, 0.14), (0.012, 0.16)]
    vertices = np.array([(r * np.cos(a), r * np.sin(a), z) for r, z in rings for a in angles])
    inertia = np.diag([mass * 0.0024, mass * 0.0024, mass * 0.0003])
    shape = None
    if visual:
        shape = vertices, np.array([(0, i, i + 1) for i in range(1, 60)])  # open: as scans may be
    return scene.SceneObject(
        "bottle", mass, inertia, (0.001, 0.0, 0.07), pieces=(vertices,), visual=shape
    )


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return scene.build_scene([scene.box_object()]).compile()


def _at_home(model: mujoco.MjModel) -> mujoco.MjData:
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, 0)
    return data


def _run(model: mujoco.MjModel, data: mujoco.MjData, seconds: float) -> None:
    end = data.time + seconds
    while data.time < end:
        mujoco.mj_step(model, data)


def test_control_runs_at_48_ms_and_qpos_ends_with_the_object(model):
    options = scene.SceneOptions()
    assert options.timestep * options.substeps == pytest.approx(0.048)
    assert (model.nq, model.nv, model.nu) == (16, 15, 9)
    assert model.joint(scene.OBJECT_JOINT).qposadr[0] == 9


@pytest.mark.parametrize("thing", [scene.box_object(), _bottle()], ids=["box", "mesh"])
def test_an_object_at_home_rests_on_the_table(thing):
    model = scene.build_scene([thing]).compile()
    data = _at_home(model)
    start = data.qpos[9:].copy()
    _run(model, data, 2.0)
    np.testing.assert_allclose(data.qpos[9:12], start[:3], atol=5e-4)
    assert data.sensor(scene.TABLE_CONTACT).data[0] > 0
    assert data.sensor(scene.LEFT_PAD_CONTACT).data[0] == 0


def test_the_body_has_the_given_inertia():
    thing = dataclasses.replace(
        _bottle(), inertia=np.array([[5e-4, 1e-5, 0], [1e-5, 4e-4, 2e-5], [0, 2e-5, 3e-4]])
    )
    model = scene.build_scene([thing]).compile()
    body = model.body(scene.OBJECT_BODY)
    rotation = np.empty(9)
    mujoco.mju_quat2Mat(rotation, body.iquat)
    rotation = rotation.reshape(3, 3)
    np.testing.assert_allclose(
        rotation @ np.diag(body.inertia) @ rotation.T, thing.inertia, atol=1e-12
    )
    np.testing.assert_allclose(body.ipos, thing.com)
    assert body.mass == pytest.approx(thing.mass)


def test_a_squeezed_object_is_felt_by_both_pads_along_the_closing_axis(model):
    data = _at_home(model)
    data.ctrl[7:] = PANDA.finger_targets[0]
    while data.time < 0.5:  # hold the object between the closing fingers
        data.qpos[9:12] = data.site("grip").xpos if data.time else (0.5545, 0.0, 0.5216)
        data.qvel[9:] = 0.0
        mujoco.mj_step(model, data)
    closing = data.site("grip").xmat.reshape(3, 3)[:, 1]
    for name in (scene.LEFT_PAD_CONTACT, scene.RIGHT_PAD_CONTACT):
        found, normal_force, normal = np.split(data.sensor(name).data[[0, 1, 4, 5, 6]], [1, 2])
        assert found[0] > 0
        assert 5.0 < normal_force[0] < 20.0
        assert abs(normal @ closing) > 0.95


def test_the_arm_pushes_the_object_and_stops_at_the_table(model):
    data = _at_home(model)
    data.ctrl[1] = 1.2  # bow to the table
    _run(model, data, 2.0)
    grip = data.site("grip").xpos
    assert grip[2] > 0.0
    assert np.isfinite(data.qpos).all()
    assert np.abs(data.qvel[:7]).max() < 1.0


def test_friction_is_the_objects_own():
    """On a table tilted by 20 degrees, a box slides only where friction is under 0.36."""
    for friction, slides in ((0.3, True), (0.45, False)):
        spec = scene.build_scene([scene.box_object((0.03, 0.03, 0.01), friction=friction)])
        spec.option.gravity = (0.0, 9.81 * np.sin(np.radians(20)), -9.81 * np.cos(np.radians(20)))
        model = spec.compile()
        data = _at_home(model)
        _run(model, data, 1.0)
        moved = abs(data.qpos[10])
        assert (moved > 0.05) if slides else (moved < 0.005), (friction, moved)


@pytest.mark.parametrize(
    "thing", [scene.box_object(), _bottle(), _bottle(visual=True)], ids=["box", "hull", "scan"]
)
def test_dressing_changes_nothing_that_moves(thing):
    lean = scene.build_scene([thing]).compile()
    dressed = scene.render_spec([thing]).compile()
    assert dressed.ngeom > lean.ngeom + 40
    qpos, other = _at_home(lean), _at_home(dressed)
    for data, model in ((qpos, lean), (other, dressed)):
        data.ctrl[:] = PANDA.ctrl(PANDA.home, closed=False) + 0.1
        _run(model, data, 0.5)
    np.testing.assert_allclose(other.qpos, qpos.qpos, atol=1e-9)


def test_pictures_show_the_object_and_not_the_collision_shapes():
    dressed = scene.render_spec([_bottle(visual=True)]).compile()
    body = dressed.body(scene.OBJECT_BODY).id
    groups = {
        int(group)
        for group, owner in zip(dressed.geom_group, dressed.geom_bodyid, strict=True)
        if owner == body
    }
    assert groups == {COLLISION_GROUP, 2}
    assert [dressed.camera(i).name for i in range(dressed.ncam)] == ["front", "side", "portrait"]
    assert dressed.body("goal_marker").mocapid[0] == 0


@pytest.mark.parametrize("count", [0, 2])
def test_refuses_anything_but_one_object(count):
    with pytest.raises(AssetError, match="exactly one object"):
        scene.build_scene([scene.box_object()] * count)


def test_refuses_an_object_without_a_shape():
    with pytest.raises(AssetError, match="'ghost' needs either convex pieces or a box"):
        scene.SceneObject("ghost", 0.1, np.eye(3) * 1e-4)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"mass": -0.1}, "a mass of -0.1 kg"),
        ({"mass": 0.0}, "a mass of 0 kg"),
        ({"mass": 1e-20}, "which cannot be simulated; is its mass, its unit or its scale wrong"),
        ({"inertia": -np.eye(3)}, "a moment of inertia of -1 kg"),
        ({"friction": -1.0}, "a friction of -1"),
        ({"mass": np.nan}, "a number that is not finite"),
        ({"box": (0.02, np.inf, 0.02)}, "a number that is not finite"),
    ],
)
def test_an_object_that_no_physics_can_step_is_refused_by_name(changes, complaint):
    with pytest.raises(AssetError, match=f"object 'box' has .*{complaint}"):
        dataclasses.replace(scene.box_object(), **changes)


@pytest.mark.parametrize(
    ("physics", "tolerance"),
    [
        (PhysicsConfig(integrator="implicitfast"), 1e-6),  # the same step, by another way
        (PhysicsConfig(timestep_factor=0.5), 3e-4),
        (PhysicsConfig(timestep_factor=0.1), 3e-4),
    ],
)
def test_the_arm_moves_alike_however_its_damping_is_integrated(physics, tolerance):
    task = PickPlace(PickPlaceConfig(), pick_object.box())
    moved = [_turned(task.scene()), _turned(with_physics(task.scene(), physics))]
    np.testing.assert_allclose(moved[0], moved[1], atol=tolerance)


def _turned(scene):
    """The arm's joints, rad, half a second after they were asked to turn by 0.05 rad."""
    data = mujoco.MjData(scene.model)
    mujoco.mj_resetDataKeyframe(scene.model, data, 0)
    data.ctrl[:] = data.qpos[:9]
    data.ctrl[:7] += 0.05
    mujoco.mj_step(scene.model, data, nstep=10 * scene.substeps)
    assert data.time == pytest.approx(10 * scene.control_dt)
    return data.qpos[:7].copy()


def test_variants_keep_their_own_constants_under_another_timestep():
    things = [pick_object.box(), pick_object.box(mass=0.3)]
    scene = PickPlace(PickPlaceConfig(), *things).scene()
    finer = with_physics(scene, PhysicsConfig(timestep_factor=0.5))
    assert finer.variants is not None
    for k in range(2):
        alone = with_physics(scene.of_variant(k), PhysicsConfig(timestep_factor=0.5)).model
        chosen = finer.of_variant(k).model
        np.testing.assert_allclose(chosen.dof_invweight0, alone.dof_invweight0, rtol=1e-9)
        np.testing.assert_allclose(chosen.body_mass, alone.body_mass)
