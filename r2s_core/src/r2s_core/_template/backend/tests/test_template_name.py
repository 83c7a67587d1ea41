"""`template_name` keeps the contract: it steps worlds as C MuJoCo does."""

import jax.numpy as jnp
import numpy as np
import pytest
from r2s_core.testing import check_backend
from r2s_core.testing.tasks import CartTask
from r2s_template_module.plugin import TemplateNameConfig


@pytest.fixture
def make(registry):
    """Builds the backend, as a user would get it."""
    return lambda scene, worlds: registry.build(
        "backend", "template_name", scene, worlds, TemplateNameConfig()
    )


def test_it_keeps_the_contract(make):
    check_backend(make)


def test_worlds_do_not_touch_each_other(make):
    scene = CartTask().scene()
    backend = make(scene, 2)
    qpos = jnp.tile(jnp.asarray(scene.model.qpos0, jnp.float32), (2, 1))
    physics = backend.init({}, qpos, jnp.zeros((2, scene.model.nv)))
    for _ in range(5):
        physics = backend.step(physics, jnp.array([[0.0], [5.0]]))
    still, pushed = np.asarray(physics.view.qvel)[:, 0]
    assert abs(still) < 1e-6
    assert pushed > 0.1


def test_the_scenes_own_model_stays_as_it_is(registry):
    scene = CartTask().scene()
    before = scene.model.opt.iterations
    config = TemplateNameConfig(iterations=before + 1)
    registry.build("backend", "template_name", scene, 1, config)
    assert scene.model.opt.iterations == before
