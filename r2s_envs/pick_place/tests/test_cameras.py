"""What a policy with cameras gets: a lean scene to see, two cameras, and what the robot feels."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from mujoco.batch import MODEL_FIELDS

from r2s_core import registry
from r2s_core.camera import Camera
from r2s_core.cameras.plugins import RaysConfig
from r2s_core.cameras.rays import Rays
from r2s_core.config import EngineConfig, load_config, load_mapping
from r2s_core.env.build import make_environment, make_randomizers
from r2s_core.env.camera_rig import seen_by
from r2s_core.evaluation.robustness.grid import read_grid
from r2s_core.registry import build_robot
from r2s_core.robot import COLLISION_GROUP, Slots
from r2s_core.types import SeenScene, View
from r2s_envs_objects import load_object
from r2s_envs_pick_place.config import PickPlaceConfig
from r2s_envs_pick_place.scene import build as scene
from r2s_envs_pick_place.scene import pick_object
from r2s_envs_pick_place.scene.cameras import default_cameras
from r2s_envs_pick_place.scene.pick_object import PickObject
from r2s_envs_pick_place.scene.stage import GOAL_MARKER
from r2s_envs_pick_place.task.pick_place import PickPlace

ROBOTS = ("panda", "ur5e_2f85")
SEEN = np.array([1, 1, 1, 0, 0, 0], np.uint8)  # the groups that renderers draw


def _objects() -> list[PickObject]:
    duck = PickObject.from_asset(load_object("sample:duck"))
    bottle = PickObject.from_asset(load_object("sample:bottle"))
    pieces = dataclasses.replace(
        bottle.shape, name="pieces", visual=None, pieces=bottle.shape.pieces
    )
    return [duck, bottle, bottle.scaled(0.7), dataclasses.replace(bottle, shape=pieces)]


@pytest.fixture(scope="module", params=ROBOTS)
def task(request) -> PickPlace:
    return PickPlace(PickPlaceConfig(robot=request.param), *_objects())


def _spec(task: PickPlace, variant: int) -> mujoco.MjSpec:
    build = task.scene().camera_spec
    assert build is not None
    return build(variant)


def _seen(task: PickPlace, variant: int = 0) -> mujoco.MjModel:
    return _spec(task, variant).compile()


def _at_ready(task: PickPlace, model: mujoco.MjModel) -> mujoco.MjData:
    """The robot ready, the object resting at the workspace's centre."""
    data = mujoco.MjData(model)
    data.qpos[:] = task.robot.qpos(model, task.robot.ready)
    first, rest = task.objects.members[0], model.joint(scene.OBJECT_JOINT).qposadr[0]
    data.qpos[rest : rest + 7] = (*task.robot.workspace, first.rest_height, *first.rest_quat)
    mujoco.mj_forward(model, data)
    return data


def test_the_seen_scene_moves_as_the_physics_does_and_is_lean(task):
    physics, seen = task.scene().model, _seen(task)
    for field in ("nq", "nv"):
        assert getattr(seen, field) == getattr(physics, field)
    assert [seen.joint(i).name for i in range(seen.njnt)] == [
        physics.joint(i).name for i in range(physics.njnt)
    ]
    np.testing.assert_array_equal(seen.jnt_qposadr, physics.jnt_qposadr)
    np.testing.assert_array_equal(seen.qpos0, physics.qpos0)
    a, b = (_at_ready(task, model) for model in (seen, physics))
    for body in ("hand", "left_finger", scene.OBJECT_BODY):
        np.testing.assert_allclose(a.body(body).xpos, b.body(body).xpos, atol=1e-9)
        np.testing.assert_allclose(a.body(body).xmat, b.body(body).xmat, atol=1e-9)
    assert ((seen.geom_group < COLLISION_GROUP) & (seen.geom_rgba[:, 3] > 0)).sum() <= 25
    assert seen.mesh_facenum.max() <= scene.SEEN_FACES
    assert not seen.mat_specular.any()
    assert not seen.mat_reflectance.any()
    assert not seen.light_castshadow.any()


def test_distractors_stand_on_the_table_around_the_objects_and_are_not_seen(task):
    seen = _seen(task)
    data = mujoco.MjData(seen)
    mujoco.mj_kinematics(seen, data)
    spare = [i for i in range(seen.nbody) if seen.body(i).name.startswith("distractor_")]
    assert len(spare) == 4
    reach = task.config.object_range + 0.05
    for body in spare:
        [geom] = np.flatnonzero(seen.geom_bodyid == body)
        assert seen.geom_rgba[geom, 3] == 0.0
        assert seen.geom_matid[geom] == -1
        assert seen.body_weldid[body] == 0
        centre, half = seen.geom_aabb[geom, :3] + data.geom_xpos[geom], seen.geom_aabb[geom, 3:]
        assert (centre - half)[2] == pytest.approx(0.0, abs=1e-6)
        away = np.abs(centre[:2] - task.robot.workspace) - half[:2]
        assert away.max() > reach


def test_lights_are_all_the_light_there_is(task):
    """So that randomized lights change all of it."""
    seen = _seen(task)
    assert not seen.vis.headlight.active
    assert (seen.light_ambient > 0).all()


def test_it_has_the_names_and_colours_of_pictures(task):
    build = task.scene().render_spec
    assert build is not None
    seen, decorated = _seen(task), build(0).compile()
    assert [seen.light(i).name for i in range(seen.nlight)] == ["key", "fill"]
    assert [decorated.light(i).name for i in range(decorated.nlight)] == ["key", "fill"]
    np.testing.assert_array_equal(seen.light_diffuse, decorated.light_diffuse)
    colours = [
        {m.material(i).name: m.material(i).rgba.tolist() for i in range(m.nmat)}
        for m in (seen, decorated)
    ]
    assert colours[0] == colours[1]
    assert seen.body_mocapid[seen.body(GOAL_MARKER).id] == 0
    assert seen.body(GOAL_MARKER).pos[2] < -0.1, "hidden below the table until it is moved"


def test_variants_are_seen_as_they_are_in_models_of_equal_sizes(task):
    models = [_seen(task, variant) for variant in range(len(task.objects))]
    sizes = [name for name in MODEL_FIELDS if not name.startswith("opt.")]
    for name in sizes:
        shapes = {np.shape(getattr(model, name)) for model in models}
        assert len(shapes) == 1, name
    assert len({model.nmeshvert for model in models}) == 1
    for model, member in zip(models, task.objects.members, strict=True):
        [drawn] = np.flatnonzero(model.geom_bodyid == model.body(scene.OBJECT_BODY).id)
        data = mujoco.MjData(model)
        data.qpos[:] = model.qpos0  # the object's frame is the world's
        mujoco.mj_kinematics(model, data)
        mesh = model.geom_dataid[drawn]
        first = model.mesh_vertadr[mesh]
        vertices = model.mesh_vert[first : first + model.mesh_vertnum[mesh]]
        placed = vertices @ data.geom_xmat[drawn].reshape(3, 3).T + data.geom_xpos[drawn]
        found = np.array([placed.min(axis=0), placed.max(axis=0)])
        np.testing.assert_allclose(found, member.shape.bounds, atol=0.004, err_msg=member.name)


def test_a_world_of_many_variants_sees_what_a_world_of_its_own_sees(task):
    """The duck is first; the bottle, which is larger, must not be cut to the duck's bounds."""
    seen = seen_by(EngineConfig(vision_enabled=True), task, task.scene())
    assert set(seen.tables) >= {"geom_dataid"}
    count = len(task.objects)
    qpos = np.tile(_at_ready(task, seen.model).qpos, (count, 1)).astype(np.float32)
    qpos[:, -5] = 0.2  # in the air, in full view of both cameras

    def images(model, fields, worlds):
        described = SeenScene(model, seen.cameras, frozenset(fields))
        rays = registry.build("renderer", "rays", described, worlds, RaysConfig())
        due = dict.fromkeys(seen.cameras, np.ones(worlds, bool))
        drawn = rays.render(qpos[:worlds], np.full((worlds, 1, 3), -2.0), fields, due)
        return {name: np.asarray(image) for name, image in drawn.items()}

    together = images(seen.model, seen.tables, count)
    for variant in range(count):
        alone = images(_with_cameras(task, variant), {}, 1)
        for name in seen.cameras:
            np.testing.assert_array_equal(together[name][variant], alone[name][0])
    assert (together["front"][0] != together["front"][1]).any()


def _with_cameras(task: PickPlace, variant: int) -> mujoco.MjModel:
    scene_of_one = dataclasses.replace(
        task.scene(), variants=None, camera_spec=lambda _: _spec(task, variant)
    )
    return seen_by(EngineConfig(vision_enabled=True), task, scene_of_one).model


def test_a_box_is_seen_as_a_box():
    task = PickPlace(PickPlaceConfig(), pick_object.box((0.02, 0.03, 0.04)))
    model = _seen(task)
    [drawn] = np.flatnonzero(model.geom_bodyid == model.body(scene.OBJECT_BODY).id)
    assert model.mesh_facenum[model.geom_dataid[drawn]] == 12
    np.testing.assert_allclose(np.sort(model.geom_aabb[drawn, 3:]), [0.02, 0.03, 0.04], atol=1e-6)


@pytest.fixture(scope="module")
def watched(task) -> tuple[mujoco.MjModel, mujoco.MjData]:
    model = _seen(task)
    return model, _at_ready(task, model)


def _pose(camera: Camera, data: mujoco.MjData) -> tuple[np.ndarray, np.ndarray]:
    """Where a camera is and its axes, as columns, in the world."""
    axes = np.empty(9)
    mujoco.mju_quat2Mat(axes, np.array(camera.quaternion))
    place, turn = np.array(camera.position), axes.reshape(3, 3)
    if camera.mount != "world":
        mount = data.site(camera.mount)
        frame = mount.xmat.reshape(3, 3)
        place, turn = mount.xpos + frame @ place, frame @ turn
    return place, turn


def _in_image(camera: Camera, data: mujoco.MjData, point) -> np.ndarray:
    """[2]: to the right and up in the image, from -1 to 1; beyond: outside."""
    place, turn = _pose(camera, data)
    right, up, backward = turn.T @ (point - place)
    assert backward < 0.0, "it is behind the camera"
    half = np.tan(np.radians(camera.field_of_view / 2))
    return np.array([right, up]) / -backward / half


def _first_hit(model: mujoco.MjModel, data: mujoco.MjData, camera: Camera, point) -> str:
    """The body that the camera sees where a point [3] is."""
    place, _ = _pose(camera, data)
    geom = np.zeros(1, np.int32)
    mujoco.mj_ray(model, data, place, point - place, SEEN, 1, -1, geom, None)
    return model.body(model.geom_bodyid[geom[0]]).name


def test_the_wrist_camera_sees_both_fingertips_and_what_is_between_them(task, watched):
    model, data = watched
    camera = task.info.cameras["wrist"]
    slots = Slots.of(model, task.robot)
    approach = data.site_xmat[slots.grip].reshape(3, 3)[:, 2]
    physics = task.scene().model
    for pad in task.robot.pads:
        body = physics.body(physics.geom(pad).bodyid[0]).name
        frame, centre = data.body(body).xmat.reshape(3, 3), physics.geom(pad).pos
        # Its outer end, which the finger itself does not hide.
        tip = data.body(body).xpos + frame @ centre + 0.8 * physics.geom(pad).size[0] * approach
        assert np.abs(_in_image(camera, data, tip)).max() < 0.95, pad
        assert _first_hit(model, data, camera, tip).split("_")[0] == body.split("_")[0]
    for ahead in (0.0, 0.05, 0.10):
        point = data.site_xpos[slots.grip] + ahead * approach
        assert np.abs(_in_image(camera, data, point)).max() < 0.9, ahead
    below = data.site_xpos[slots.grip] * (1.0, 1.0, 0.0)  # on the table
    for x, y in itertools.product((-0.12, 0.0, 0.12), repeat=2):
        right, up = _in_image(camera, data, np.add(below, (x, y, 0.0)))
        assert max(abs(right), abs(up)) < 1.0, "an object anywhere at the start is in view"


def test_the_front_camera_sees_where_objects_and_goals_are(task, watched):
    model, data = watched
    camera = task.info.cameras["front"]
    for x, y, z in itertools.product((-0.12, 0.12), (-0.12, 0.12), (0.0, 0.3)):
        corner = np.add((*task.robot.workspace, 0.0), (x, y, z))
        assert np.abs(_in_image(camera, data, corner)).max() < 1.0, (x, y, z)
    resting = data.body(scene.OBJECT_BODY).xpos
    assert _first_hit(model, data, camera, resting) == scene.OBJECT_BODY
    aside = np.add((*task.robot.workspace, 0.0), (0.0, 0.15, 0.0))
    assert _first_hit(model, data, camera, aside) == "world"  # the table


@pytest.mark.parametrize("name", ROBOTS)
def test_cameras_follow_the_robots_workspace_and_grip(name):
    robot = build_robot(name)
    moved = dataclasses.replace(robot, workspace=(0.6, 0.1))
    front, there = (default_cameras(r)["front"] for r in (robot, moved))
    np.testing.assert_allclose(np.subtract(there.position, front.position), (0.1, 0.1, 0.0))
    np.testing.assert_allclose(there.quaternion, front.quaternion)
    assert default_cameras(robot)["wrist"].mount == robot.grip


@pytest.fixture(scope="module")
def feeling(task) -> tuple[Any, Any]:
    """A task whose robot moves, and its view at one moment."""
    model = task.scene().model
    data = _at_ready(task, model)
    data.ctrl[:] = task.robot.ctrl(np.add(task.robot.ready, 0.05), closed=True)
    mujoco.mj_step(model, data, nstep=8)
    state, _, _ = task.init(jax.random.key(1), jnp.int32(0))
    names = task.scene().view_fields
    values = {name: jnp.asarray(getattr(data, name), jnp.float32) for name in names}
    values["site_xmat"] = values["site_xmat"].reshape(-1, 3, 3)
    return state, View.of(values)


def test_proprioception_names_the_robots_own_state(task, feeling):
    state, view = feeling
    names = task.info.observation_names["proprioception"]
    own = dict(zip(names, np.asarray(task.proprioception(state, view)), strict=True))
    slots, joints = task.arm.slots, range(1, len(task.robot.arm_joints) + 1)
    for i, axis in enumerate("xyz"):
        assert own[f"ee_position_{axis}"] == view.site_xpos[slots.grip][i]
        assert own[f"goal_{axis}"] == state.goal[i]
    angles, velocities = slots.arm(view.qpos), slots.arm_velocity(view.qvel)
    np.testing.assert_array_equal([own[f"joint{i}_angle"] for i in joints], angles)
    np.testing.assert_array_equal([own[f"joint{i}_velocity"] for i in joints], velocities)
    assert np.abs(velocities).min() > 1e-4, "the arm moves"
    np.testing.assert_allclose(
        [own[f"joint{i}_target_minus_angle"] for i in joints], slots.arm_targets(view.ctrl) - angles
    )
    fingers = [own["left_finger"], own["right_finger"]]
    np.testing.assert_array_equal(fingers, slots.fingers(view.qpos))
    moving = [own[f"{side}_finger_velocity"] for side in ("left", "right")]
    np.testing.assert_array_equal(moving, slots.finger_velocity(view.qvel))
    quaternion = [own[f"ee_quaternion_{a}"] for a in "wxyz"]
    np.testing.assert_allclose(np.abs(quaternion), np.abs(view.xquat[slots.hand]), atol=1e-7)
    flipped = dataclasses.replace(view, xquat=-view.xquat)
    np.testing.assert_array_equal(
        task.proprioception(state, flipped), task.proprioception(state, view)
    )


def test_proprioception_tells_nothing_of_the_object(task, feeling):
    """Whatever is not the robot's own is replaced by NaN: none of its numbers changes."""
    state, view = feeling
    slots, nan = task.arm.slots, jnp.nan
    qpos, qvel = jnp.full_like(view.qpos, nan), jnp.full_like(view.qvel, nan)
    for slot in (slots.arm, slots.fingers):
        qpos = slot.put(qpos, slot(view.qpos))
    for slot in (slots.arm_velocity, slots.finger_velocity):
        qvel = slot.put(qvel, slot(view.qvel))
    other = dataclasses.replace(
        view,
        qpos=qpos,
        qvel=qvel,
        xpos=jnp.full_like(view.xpos, nan),
        xquat=jnp.full_like(view.xquat, nan).at[slots.hand].set(view.xquat[slots.hand]),
        site_xpos=jnp.full_like(view.site_xpos, nan).at[slots.grip].set(view.site_xpos[slots.grip]),
        site_xmat=jnp.full_like(view.site_xmat, nan),
        sensordata=jnp.full_like(view.sensordata, nan),
    )
    hidden = jax.tree.map(lambda x: jnp.full_like(x, nan) if x.dtype == jnp.float32 else ~x, state)
    hidden = dataclasses.replace(hidden, goal=state.goal, variant=jnp.int32(2))
    told = np.asarray(task.proprioception(hidden, other))
    assert np.isfinite(told).all()
    np.testing.assert_array_equal(told, task.proprioception(state, view))


def test_proprioception_errs_as_the_joints_readings_do(task, feeling):
    state, view = feeling
    readings = dict(task.readings(state, view))
    readings["joint_angles"] = readings["joint_angles"] + 0.02
    names = task.info.observation_names["proprioception"]
    truth = task.proprioception(state, view)
    felt = task.proprioception(*task.perceived(state, view, readings))
    off = dict(zip(names, np.asarray(felt - truth), strict=True))
    assert off["joint2_angle"] == pytest.approx(0.02, abs=1e-6)
    assert off["joint2_target_minus_angle"] == pytest.approx(-0.02, abs=1e-6)
    moved = np.linalg.norm([off[f"ee_position_{axis}"] for axis in "xyz"])
    assert moved > 0.005, "the hand's position follows from the angles as measured"
    for name in ("joint2_velocity", "left_finger", "goal_x"):
        assert off[name] == 0.0


def test_in_the_engine_a_policy_that_sees_feels_what_is_read_and_its_cameras_see_the_truth():
    """Noise on the joints' angles reaches its numbers; colours and lights are varied by name."""
    randomization = {
        "noise": {"use": "sensor_noise", "readings": ["joint_angles"], "bias": 0.05},
        "colors": {"use": "visual_colors", "materials": ["object", "table"]},
        "lights": {"use": "visual_lights", "lights": ["key"]},
    }
    environment = {"use": "real2sim_pick_place", "num_parallel_envs": 3, "vision_enabled": True}
    environment |= {"renderer": "rays"}
    config = {"environment": environment, "algorithms": {"ppo": {}}}
    plain, varied = (
        make_environment(load_mapping(config | more), training=False)
        for more in ({}, {"randomization": randomization})
    )
    numbers, images = [], []
    for env in (plain, varied):
        state, obs = env.reset(jax.random.key(0))
        names = env.spec.observations["policy"].names
        angle = np.asarray(obs["policy"])[:, names.index("joint1_angle")]
        numbers.append(angle - np.asarray(state.physics.view.qpos)[:, 0])
        images.append(np.asarray(obs["front"], float))
    np.testing.assert_allclose(numbers[0], 0.0, atol=1e-6)
    assert (np.abs(numbers[1]) > 1e-4).all()
    table = [image[:, -1, 0] for image in images]  # the lowest row shows nothing else
    assert np.ptp(table[0], axis=0).max() == 0.0
    assert np.ptp(table[1], axis=0).max() > 5.0


def test_whatever_varies_by_name_in_the_sample_and_the_robustness_grid_is_there(task):
    """Materials, lights, cameras and distractors; for every robot but its own colours."""
    built, grid = task.scene(), task.info.perturbations
    assert grid is not None
    overrides = [case.overrides for case in read_grid(grid) if case.applies_to == "cameras"]
    assert len(overrides) >= 15
    sample = load_config("vision_randomized")
    seen = seen_by(sample.environment.engine, task, built)
    base = {"environment": {"vision_enabled": True}}
    varied = dict(sample.randomization)
    if task.robot.name != "panda":
        del varied["robot_colors"]
    configs = [dataclasses.replace(sample, randomization=varied)]
    configs += [load_mapping(base, given, to_train=False) for given in overrides]
    for config in configs:
        made = make_randomizers(config, task, built, seen)
        assert made.keys() == config.randomization.keys()
        drawn = frozenset().union(*(r.writes for r in made.values() if r.stage == "visual"))
        assert drawn <= Rays.variable
