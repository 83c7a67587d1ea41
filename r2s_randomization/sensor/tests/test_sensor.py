"""Readings and actions err, come late and stay away as they are told to."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage, stats

from r2s_core import registry
from r2s_core.backends.plugins import MujocoConfig
from r2s_core.config import load_mapping
from r2s_core.env import EngineOptions, VectorEnv
from r2s_core.env.build import wrap_task
from r2s_core.errors import ConfigError
from r2s_core.task_info import TaskInfo
from r2s_core.testing import build_randomizer, check_randomizer
from r2s_core.testing.tasks import CartTask, SeenCartTask
from r2s_core.types import Camera, View

LEVEL = jnp.float32(1.0)


class Sensed(CartTask):
    """The kit's cart, whose sensors are named."""

    def readings(self, task, view):
        return {
            "angle": view.qpos[1],
            "box_position": view.qpos[2:5],
            "box_quaternion": view.qpos[5:9],
        }

    def perceived(self, task, view, readings):
        r = readings
        qpos = [view.qpos[:1], r["angle"][None], r["box_position"], r["box_quaternion"]]
        return task, View(**{**vars(view), "qpos": jnp.concatenate(qpos)})

    def observe(self, task, view):
        return {"policy": view.qpos, "critic": view.qpos}


VALUES = {
    "angle": jnp.float32(0.3),
    "box_position": jnp.array([0.1, 0.2, 0.3]),
    "box_quaternion": jnp.array([0.6, 0.0, 0.8, 0.0]),
    "level": LEVEL,
}


def episodes(made, sequence, number=1, key=0, level=1.0):
    """What is read in some episodes whose values are those of a sequence, leaves [N, T, ...]."""

    @jax.jit
    @jax.vmap
    def one(key):
        keys = jax.random.split(key, 1 + len(sequence))
        given = [{**values, "level": np.float32(level)} for values in sequence]
        memory = made.begin(keys[0], given[0])
        given = jax.tree.map(lambda *x: np.stack(x), *given)
        step = lambda memory, now: made.step(memory, *now)  # noqa: E731
        return jax.lax.scan(step, memory, (keys[1:], given))[1]

    return one(jax.random.split(jax.random.key(key), number))


def fits(sample, distribution):
    return stats.kstest(np.asarray(sample, np.float64).ravel(), distribution.cdf).pvalue > 1e-3


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("sensor_noise", {"std": 0.01, "bias": 0.01}),
        ("sensor_delay", {"delay": [0.0, 0.1], "jitter": 0.01}),
        ("sensor_delay", {"delay": [1, 3], "jitter": 1, "unit": "steps"}),
        ("sensor_dropout", {"probability": 0.3}),
        ("sensor_quantization", {"resolution": 0.01}),
        ("action_noise", {"std": 0.1, "bias": 0.1}),
        ("action_delay", {"delay": [0.0, 0.1]}),
    ],
)
@pytest.mark.parametrize("task", [CartTask(), Sensed()])
def test_it_keeps_the_contract(name, options, task):
    check_randomizer(lambda context: build_randomizer(name, task, options), task)


@pytest.mark.parametrize(
    ("name", "options", "complaint"),
    [
        ("sensor_noise", {}, "both 0"),
        ("sensor_noise", {"std": -1}, "std"),
        ("sensor_noise", {"std": 1, "readings": ["box_positon"]}, "did you mean box_position"),
        ("sensor_delay", {"delay": [0.0, 0.0]}, "no delay"),
        ("sensor_delay", {"delay": [-0.1, 0.0]}, "cannot be below 0"),
        ("sensor_delay", {"delay": [0, 1.5], "unit": "steps"}, "whole"),
        ("sensor_dropout", {"probability": 0.0}, "probability"),
        ("action_noise", {"std": 0.1, "actions": ["gripper"]}, "no action component is called"),
    ],
)
def test_what_is_impossible_is_refused(name, options, complaint):
    with pytest.raises(ConfigError, match=complaint):
        build_randomizer(name, Sensed(), options)


def test_noise_is_new_at_each_step_and_a_bias_stays():
    made = build_randomizer("sensor_noise", Sensed(), {"std": 0.01, "bias": 0.03})
    read = episodes(made, [VALUES] * 20, number=500)
    error = np.asarray(read["box_position"] - VALUES["box_position"])  # [N, T, 3]
    bias = error.mean(axis=1)
    assert fits(bias, stats.norm(0, np.sqrt(0.03**2 + 0.01**2 / 20)))
    white = (error - bias[:, None]) / np.sqrt(19 / 20)
    assert fits(white[:, 3], stats.norm(0, 0.01))
    assert abs(np.corrcoef(error[:, 0, 0], error[:, 0, 1])[0, 1]) < 0.15
    np.testing.assert_allclose(episodes(made, [VALUES], level=0.0)["angle"], 0.3, atol=1e-7)


def test_an_orientation_errs_by_turning():
    made = build_randomizer("sensor_noise", Sensed(), {"std": 0.1, "readings": ["box_quaternion"]})
    read = np.asarray(episodes(made, [VALUES], number=4000)["box_quaternion"][:, 0])
    np.testing.assert_allclose(np.linalg.norm(read, axis=1), 1.0, atol=1e-5)
    angle = 2 * np.arccos(np.clip(np.abs(read @ np.asarray(VALUES["box_quaternion"])), 0, 1))
    assert fits(angle / 0.1, stats.chi(3))


def _moving(steps):
    return [VALUES | {"angle": jnp.float32(t)} for t in range(steps)]


@pytest.mark.parametrize("delay", [0.02, 0.05, 0.07])
def test_a_delay_shows_what_was_that_long_ago(delay):
    """Control steps of 20 ms; what lies between two is their mean by nearness."""
    made = build_randomizer(
        "sensor_delay", Sensed(), {"readings": ["angle"], "delay": [delay, delay]}
    )
    read = np.asarray(episodes(made, _moving(10))["angle"][0])
    np.testing.assert_allclose(read, np.maximum(np.arange(10) - delay / 0.02, 0.0), atol=1e-4)


def test_delays_differ_by_episode_and_jitter_by_step():
    made = build_randomizer(
        "sensor_delay", Sensed(), {"readings": ["angle"], "delay": [0.02, 0.06]}
    )
    late = 9 - np.asarray(episodes(made, _moving(10), number=2000)["angle"][:, -1])
    assert fits(late * 0.02, stats.uniform(0.02, 0.04))
    made = build_randomizer(
        "sensor_delay", Sensed(), {"readings": ["angle"], "delay": [0.03, 0.03], "jitter": 0.02}
    )
    late = np.arange(12) - np.asarray(episodes(made, _moving(12), number=1000)["angle"])
    assert fits(late[:, -1] * 0.02, stats.uniform(0.01, 0.04))
    assert abs(np.corrcoef(late[:, -1], late[:, -2])[0, 1]) < 0.12


def test_steps_are_whole_and_each_is_as_likely():
    options = {"readings": ["angle"], "delay": [1, 4], "unit": "steps"}
    made = build_randomizer("sensor_delay", Sensed(), options)
    late = 9 - np.asarray(episodes(made, _moving(10), number=2000)["angle"][:, -1])
    values, counts = np.unique(late, return_counts=True)
    assert values.tolist() == [1, 2, 3, 4]
    assert stats.chisquare(counts).pvalue > 1e-3
    made = build_randomizer("sensor_delay", Sensed(), options | {"delay": [3, 3], "jitter": 1})
    late = np.arange(12) - np.asarray(episodes(made, _moving(12), number=1000)["angle"])
    values, counts = np.unique(late[:, -1], return_counts=True)
    assert values.tolist() == [2, 3, 4]
    assert stats.chisquare(counts).pvalue > 1e-3
    assert abs(np.corrcoef(late[:, -1], late[:, -2])[0, 1]) < 0.12


def test_a_share_of_the_episodes_is_late_and_the_others_are_not():
    options = {"readings": ["angle"], "delay": [0.02, 0.06], "share": 0.3}
    made = build_randomizer("sensor_delay", Sensed(), options)
    late = 9 - np.asarray(episodes(made, _moving(10), number=4000)["angle"][:, -1])
    assert stats.binomtest(int((late > 0).sum()), 4000, 0.3).pvalue > 1e-3
    assert fits(late[late > 0] * 0.02, stats.uniform(0.02, 0.04))


def test_nor_do_the_others_jitter():
    options = {"readings": ["angle"], "delay": [0.0, 0.0], "jitter": 0.02, "share": 0.3}
    made = build_randomizer("sensor_delay", Sensed(), options)
    late = np.arange(10) - np.asarray(episodes(made, _moving(10), number=4000)["angle"])
    jitters = (late > 1e-4).any(-1)
    assert stats.binomtest(int(jitters.sum()), 4000, 0.3).pvalue > 1e-3
    assert np.abs(late[~jitters]).max() < 1e-5


def test_a_late_orientation_is_one():
    turning = [
        VALUES | {"box_quaternion": jnp.array([jnp.cos(t / 4), 0.0, jnp.sin(t / 4), 0.0])}
        for t in range(8)
    ]
    made = build_randomizer(
        "sensor_delay", Sensed(), {"readings": ["box_quaternion"], "delay": [0.03, 0.03]}
    )
    read = np.asarray(episodes(made, turning)["box_quaternion"][0, -1])
    np.testing.assert_allclose(read, [np.cos(5.5 / 4), 0, np.sin(5.5 / 4), 0], atol=1e-4)


def test_what_drops_out_is_held():
    made = build_randomizer("sensor_dropout", Sensed(), {"probability": 0.25})
    read = np.asarray(episodes(made, _moving(40), number=200)["angle"])
    held = read[:, 1:] == read[:, :-1]
    assert stats.binomtest(int(held.sum()), held.size, 0.25).pvalue > 1e-3
    news = ~held
    np.testing.assert_array_equal(read[:, 1:][news], np.tile(np.arange(1, 40), (200, 1))[news])


def test_readings_come_in_steps():
    made = build_randomizer("sensor_quantization", Sensed(), {"resolution": 0.1})
    ramp = [VALUES | {"angle": jnp.float32(0.01 * t)} for t in range(60)]
    read = np.asarray(episodes(made, ramp, number=300)["angle"])
    assert np.abs(read - 0.01 * np.arange(60)).max() <= 0.05 + 1e-5
    assert max(len(np.unique(row.round(4))) for row in read) <= 8
    assert fits((read[:, 0] + 0.05) / 0.1, stats.uniform(0, 1))  # where the steps lie


def test_action_noise_is_added_to_the_chosen_numbers():
    class Two(CartTask):
        action_low, action_high = -np.ones(2, np.float32), np.ones(2, np.float32)
        info = TaskInfo(action_names=("push", "other"))

    made = build_randomizer("action_noise", Two(), {"std": 0.2, "actions": ["push"]})
    values = {"action": jnp.zeros(2)}
    read = np.asarray(episodes(made, [values], number=4000)["action"][:, 0])
    assert fits(read[:, 0], stats.norm(0, 0.2))
    np.testing.assert_array_equal(read[:, 1], 0.0)


# Images.

CAMERAS = {
    "front": Camera((0.0, -2.0, 1.0), (0.9, 0.42, 0.0, 0.0), size=(8, 6), channels=("rgb", "depth"))
}
QUIET = {"noise": 0.0, "gain": 0.0, "exposure": [1.0, 1.0], "white_balance": 0.0, "blur": [0, 0]}


def of_images(name, **options):
    return build_randomizer(name, SeenCartTask(), options, CAMERAS)


def frames(levels, size=(6, 8)):
    """Images of one level each."""
    return [
        {
            "front": np.full((*size, 3), x, np.uint8),
            "front_depth": np.full((1, 1, 1), 300 + x, np.uint16),
        }
        for x in levels
    ]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("camera_noise", {"gain": 0.05, "blur": [0.0, 1.0]}),
        ("sensor_delay", {"delay": [0.0, 0.1], "images": ["front*"]}),
        ("sensor_dropout", {"probability": 0.3, "images": ["*"], "readings": ["*"]}),
    ],
)
def test_it_keeps_the_contract_with_images(name, options):
    task = SeenCartTask()
    check_randomizer(lambda _: build_randomizer(name, task, options, CAMERAS), task, CAMERAS)


@pytest.mark.parametrize("level", [0, 3, 128, 253, 255])
def test_an_image_s_noise_is_of_its_size_and_never_wraps(level):
    made = of_images("camera_noise", **QUIET | {"noise": 6.0})
    read = np.asarray(episodes(made, frames([level], (64, 64)))["front"]).astype(float)
    assert np.abs(read - level).max() <= 20
    if level == 128:
        assert read.std() == pytest.approx(6.0, rel=0.03)
        assert fits(
            (read.ravel()[:4000] - 128 + np.random.default_rng(0).random(4000) - 0.5) / 6,
            stats.norm(),
        )
        pixels = read[0, 0].reshape(-1, 3)
        assert np.abs(np.corrcoef(pixels.T) - np.eye(3)).max() < 0.06


def test_an_episode_has_an_exposure_and_each_image_a_gain():
    made = of_images("camera_noise", **QUIET | {"exposure": [0.5, 1.5]})
    read = np.asarray(episodes(made, frames([100, 100, 200]), number=1000)["front"])[..., 0, 0, 0]
    assert fits(read[:, 0] / 100, stats.uniform(0.495, 1.01))
    np.testing.assert_array_equal(read[:, 0], read[:, 1])
    bright = read[:, 0] > 128
    assert (read[bright, 2] == 255).all()
    made = of_images("camera_noise", **QUIET | {"gain": 0.1})
    read = np.asarray(episodes(made, frames([100, 100]), number=1000)["front"])[..., 0, 0, 0]
    assert fits(
        (read[:, 0] - 100.0 + np.random.default_rng(0).random(1000) - 0.5) / 10, stats.norm()
    )
    assert abs(np.corrcoef(read[:, 0], read[:, 1])[0, 1]) < 0.12
    made = of_images("camera_noise", **QUIET | {"white_balance": 0.2})
    read = np.asarray(episodes(made, frames([100]), number=1000)["front"])[:, 0, 0, 0]
    assert (read.min(), read.max()) == (80, 120)
    assert (read[:, 0] != read[:, 1]).mean() > 0.9


def test_blur_is_that_of_a_gaussian():
    picture = np.zeros((33, 33, 3), np.uint8)
    picture[16, 16] = 255
    made = of_images("camera_noise", **QUIET | {"blur": [0.8, 0.8]})
    read = np.asarray(episodes(made, [{"front": picture}])["front"])[0, 0, ..., 1]
    wanted = ndimage.gaussian_filter(picture[..., 1].astype(float), 0.8)
    np.testing.assert_allclose(read, wanted, atol=0.6)
    flat = episodes(made, frames([77]))["front"]
    np.testing.assert_array_equal(flat, 77)  # the borders too


def test_an_image_comes_whole_and_late():
    """Control steps of 20 ms: after 30 ms the latest that is there is two steps old."""
    for options, late in (
        ({"delay": [1, 1], "unit": "steps"}, 1),
        ({"delay": [0.03, 0.03]}, 2),
        ({"delay": [0.04, 0.04]}, 2),
    ):
        made = of_images("sensor_delay", images=["*"], **options)
        assert made.writes == {"front", "front_depth"}
        read = episodes(made, frames(range(7)))
        wanted = np.maximum(np.arange(7) - late, 0)
        np.testing.assert_array_equal(read["front"][0, :, 0, 0, 0], wanted)
        np.testing.assert_array_equal(read["front_depth"][0, :, 0, 0, 0], 300 + wanted)


def test_an_image_that_drops_out_is_held():
    made = of_images("sensor_dropout", images=["front"], probability=0.3)
    read = np.asarray(episodes(made, frames(range(40)), number=50)["front"])[..., 0, 0, 0]
    news = read == np.arange(40)
    assert stats.binomtest(int((~news[:, 1:]).sum()), 50 * 39, 0.3).pvalue > 1e-3
    assert (np.diff(read.astype(int)) >= 0).all()


def test_what_is_for_numbers_leaves_images_alone():
    for name, options in (
        ("sensor_noise", {"std": 1.0}),
        ("sensor_delay", {}),
        ("sensor_dropout", {}),
        ("sensor_quantization", {}),
    ):
        assert not of_images(name, **options).writes & {"front", "front_depth"}


@pytest.mark.parametrize(
    ("name", "options", "complaint"),
    [
        ("sensor_noise", {"std": 1, "readings": ["front"]}, "front is a group of images"),
        ("camera_noise", {"images": ["frnt"]}, "did you mean front"),
        ("camera_noise", {"images": ["front_depth"]}, "no colours"),
        ("camera_noise", QUIET, "nothing changes"),
        ("camera_noise", {"blur": [0, 50]}, "from 0 to 5"),
        ("sensor_delay", {"readings": [], "images": []}, "both empty"),
        ("sensor_delay", {"images": ["front"], "delay": [1e13, 1e13]}, "free"),
    ],
)
def test_what_is_impossible_with_images_is_refused(name, options, complaint):
    with pytest.raises(ConfigError, match=complaint):
        of_images(name, **options)


def test_without_cameras_there_are_no_images():
    with pytest.raises(ConfigError, match="no cameras"):
        build_randomizer("camera_noise", CartTask())


# In the engine.


def test_a_policy_sees_late_images_of_its_own_episode():
    """The images are those of an episode without delay, one control step later."""
    cameras = {"front": {"position": [0, -2, 1], "look_at": [0, 0, 0.3], "size": [16, 12]}}

    def seen(**randomization):
        environment = {"cameras": cameras, "renderer": "rays"}
        config = load_mapping({"environment": environment, "randomization": randomization})
        env = wrap_task(SeenCartTask(), config, 3, training=False)
        state, obs = env.reset(jax.random.key(0))
        read = [np.asarray(obs["front"])]
        for _ in range(4):
            state, step = env.step(state, jnp.ones((3, 1)))
            read.append(np.asarray(step.obs["front"]))
        return np.stack(read)

    prompt = seen()
    late = seen(sensor_delay={"images": ["front"], "delay": [1, 1], "unit": "steps"})
    assert (prompt[1] != prompt[2]).any()
    np.testing.assert_array_equal(late, prompt[[0, 0, 1, 2, 3]])


def environment(task, worlds=4, steps=30, **randomization):
    scene = task.scene()
    backend = registry.build("backend", "mujoco", scene, worlds, MujocoConfig())
    made = {n: build_randomizer(n, task, options) for n, options in randomization.items()}
    return VectorEnv(task, scene, backend, {}, EngineOptions(max_episode_steps=steps), made)


def test_the_policy_s_readings_err_and_the_critic_s_do_not():
    env = environment(Sensed(), sensor_noise={"std": 0.01, "readings": ["box_position"]})
    state, obs = env.reset(jax.random.key(0))
    for _ in range(4):
        truth = np.asarray(state.physics.view.qpos)
        np.testing.assert_allclose(obs["critic"], truth, atol=1e-6)
        error = np.asarray(obs["policy"]) - truth
        assert (np.abs(error[:, 2:5]) > 1e-5).all()
        np.testing.assert_allclose(error[:, [0, 1, 5, 6, 7, 8]], 0.0, atol=1e-6)
        state, step = env.step(state, jnp.zeros((4, 1)))
        obs = step.obs
        np.testing.assert_array_equal(step.obs["policy"], step.final_obs["policy"])


def test_memories_start_anew_with_the_episode():
    """A late reading of a new episode is never one of the old."""
    task = Sensed()
    env = environment(task, steps=5, sensor_delay={"delay": [0.06, 0.06]})
    state, _ = env.reset(jax.random.key(0))
    first = np.asarray(state.physics.view.qpos)
    for t in range(1, 12):
        state, step = env.step(state, jnp.ones((4, 1)))
        if t % 5 == 0:
            first = np.asarray(state.physics.view.qpos)
            assert not np.allclose(first, np.asarray(step.final_obs["critic"]))
            np.testing.assert_allclose(step.obs["policy"], first, atol=1e-5)
        if t % 5 in (1, 2):  # not yet 60 ms
            np.testing.assert_allclose(step.obs["policy"][:, 1:], first[:, 1:], atol=1e-5)


@pytest.mark.parametrize("delay", [0.04, 0.05])
def test_a_late_action_shifts_the_step_response_by_what_was_asked(delay):
    """The cart is pushed from 0.1 s on; when has it come to move 0.5 m/s faster?"""

    def response(env):
        state, _ = env.reset(jax.random.key(1))
        start = np.asarray(state.physics.view.qvel)[:, 0]
        speed = []
        for t in range(18):
            state, _ = env.step(state, jnp.full((4, 1), float(t >= 5)))
            speed.append(np.asarray(state.physics.view.qvel)[:, 0] - start)
        return np.stack(speed)

    usual = response(environment(CartTask(), steps=100))
    late = response(environment(CartTask(), steps=100, action_delay={"delay": [delay, delay]}))
    time = 0.02 * np.arange(1, 19)
    for world in range(4):
        at = [np.interp(0.5, rows[:, world], time) for rows in (usual, late)]
        assert at[1] - at[0] == pytest.approx(delay, abs=0.004)
