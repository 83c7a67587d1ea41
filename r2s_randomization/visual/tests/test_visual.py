"""Pictures vary as they are told to, and only pictures do."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from scipy import stats

from r2s_core import registry
from r2s_core.config import load_mapping
from r2s_core.env.looks import Looks
from r2s_core.env.vector_env import looks_of
from r2s_core.errors import ConfigError
from r2s_core.rendering import render
from r2s_core.testing import build_randomizer, check_randomizer
from r2s_core.testing.randomizer_kit import nominal_values
from r2s_core.testing.tasks import CartTask

NAMES = ("visual_lights", "visual_colors", "visual_surfaces", "visual_textures", "visual_camera")


@pytest.fixture(scope="module")
def task():
    use = load_mapping({"environment": {"objects": ["sample:duck"]}}).environment
    return registry.build("environment", use.use, use.options)


@pytest.mark.parametrize("name", NAMES)
def test_it_keeps_the_contract(name, task):
    check_randomizer(lambda context: build_randomizer(name, task), task)


@pytest.mark.parametrize("name", NAMES)
def test_a_task_without_pictures_has_nothing_to_vary(name):
    with pytest.raises(ConfigError, match="no pictures to vary"):
        build_randomizer(name, CartTask())


def test_a_material_that_there_is_not_is_refused(task):
    with pytest.raises(ConfigError, match="did you mean table"):
        build_randomizer("visual_colors", task, {"materials": ["tabel"]})


def samples(name, task, number=2000, **options):
    made = build_randomizer(name, task, options)
    values = nominal_values(made, task, task.scene())
    keys = jax.random.split(jax.random.key(0), number)
    return jax.jit(jax.vmap(lambda key: dict(made(key, values))))(keys), values


def test_draws_fill_their_ranges(task):
    drawn, values = samples("visual_camera", task, field_of_view=[-4.0, 4.0], shift=0.1, tilt=5.0)
    wider = np.asarray(drawn["cam_fovy"] - values["cam_fovy"])[:, 0]
    assert stats.kstest(wider, stats.uniform(-4, 8).cdf).pvalue > 1e-3
    shift = np.asarray(drawn["cam_pos"] - values["cam_pos"])[:, 0, 1]
    assert stats.kstest(shift, stats.uniform(-0.1, 0.2).cdf).pvalue > 1e-3
    turned = np.abs(np.asarray(drawn["cam_quat"])[:, 0] @ np.asarray(values["cam_quat"])[0])
    angle = np.degrees(2 * np.arccos(np.clip(turned.astype(np.float64), 0, 1)))
    assert angle.max() < 5.2
    assert angle.mean() == pytest.approx(2.5, abs=0.2)
    drawn, values = samples("visual_lights", task, brightness=[0.5, 1.5], tint=0.0)
    factor = np.asarray(drawn["light_diffuse"] / values["light_diffuse"])[:, 0, 0]
    assert stats.kstest(factor, stats.uniform(0.5, 1.0).cdf).pvalue > 1e-3
    np.testing.assert_allclose(np.linalg.norm(drawn["light_dir"], axis=-1), 1.0, atol=1e-4)
    drawn, values = samples("visual_colors", task, amount=1.0, materials=["table"])
    colour = np.asarray(drawn["mat_rgba"])
    changed = (colour != np.asarray(values["mat_rgba"])).any(axis=(0, 2))
    assert changed.sum() == 1
    red = colour[:, changed.argmax(), 0]
    assert stats.kstest(red, stats.uniform(0, 1).cdf).pvalue > 1e-3
    assert (colour[..., 3] == np.asarray(values["mat_rgba"])[:, 3]).all()  # as transparent


def test_the_physics_does_not_know(task):
    """Episodes are the same, bit for bit, with all of it and without."""
    from r2s_core.env.build import wrap_task

    def play(randomization):
        config = load_mapping({"backend": "mujoco", "randomization": randomization})
        env = wrap_task(task, config, 2, training=False)
        state, _ = env.reset(jax.random.key(0))
        state, step = env.step(state, jnp.full((2, env.spec.action_size), 0.3))
        return np.asarray(step.obs["policy"]), env

    plain, _ = play({})
    varied, env = play({name: {} for name in NAMES})
    np.testing.assert_array_equal(plain, varied)
    assert looks_of(env)


@pytest.mark.skipif(render.probe_gl() is None, reason="no OpenGL here")
def test_each_episode_looks_its_own_way(task):
    scene = task.scene()
    assert scene.render_spec is not None
    model = scene.render_spec(0).compile()
    looks = Looks({name: build_randomizer(name, task) for name in NAMES}, scene)
    assert looks
    qpos = np.asarray(task.init(jax.random.key(0), jnp.int32(0))[1])[None]

    def draw(model: mujoco.MjModel):
        return render.render_frames(model, qpos, width=96, height=72)[0].astype(float)

    plain = draw(model)
    first, second, again = (draw(looks.of_episode(model, 0, e)) for e in (0, 1, 0))
    np.testing.assert_array_equal(first, again)
    for one, other in ((plain, first), (plain, second), (first, second)):
        assert np.abs(one - other).mean() > 4.0
    np.testing.assert_array_equal(plain, draw(model))  # the original is as it was
