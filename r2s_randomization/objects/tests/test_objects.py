"""The object's mass and friction, within what it may have."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from r2s_core import registry
from r2s_core.backends.plugins import MujocoConfig
from r2s_core.config import load_mapping
from r2s_core.env import EngineOptions, VectorEnv
from r2s_core.errors import ConfigError
from r2s_core.testing import build_randomizer, check_randomizer
from r2s_core.testing.randomizer_kit import nominal_values
from r2s_core.testing.tasks import CartTask


@pytest.fixture(scope="module")
def pear_and_can():
    """Two objects, each with ranges of its own."""
    use = load_mapping({"environment": {"objects": ["sample:pear", "sample:can"]}}).environment
    return registry.build("environment", use.use, use.options)


@pytest.mark.parametrize("name", ["object_mass", "object_friction"])
def test_it_keeps_the_contract(name, pear_and_can):
    check_randomizer(lambda context: build_randomizer(name, pear_and_can), pear_and_can)
    options = {"body": "box", "range": [0.1, 0.4]}
    check_randomizer(lambda context: build_randomizer(name, CartTask(), options))


@pytest.mark.parametrize(
    ("name", "field", "index"),
    [("object_mass", "body_mass", (-1,)), ("object_friction", "geom_friction", (-1, 0))],
)
def test_what_is_drawn_fills_the_object_s_own_range(name, field, index, pear_and_can):
    scene = pear_and_can.scene()
    made = build_randomizer(name, pear_and_can)
    values = nominal_values(made, pear_and_can, scene)
    low, high = (float(x) for x in scene.properties[f"{name}_range"][0])
    assert low < high
    keys = jax.random.split(jax.random.key(0), 4000)
    drawn = jax.jit(jax.vmap(lambda key: made(key, values)[field]))(keys)[(slice(None), *index)]
    assert stats.kstest(np.asarray(drawn), stats.uniform(low, high - low).cdf).pvalue > 1e-3


def test_each_world_draws_from_its_own_object_s_range(pear_and_can):
    scene = pear_and_can.scene()
    backend = registry.build("backend", "mujoco", scene, 64, MujocoConfig())
    made = {"object_mass": build_randomizer("object_mass", pear_and_can)}
    options = EngineOptions(max_episode_steps=2)
    env = VectorEnv(pear_and_can, scene, backend, {}, options, made)
    state, _ = env.reset(jax.random.key(0))
    for _ in range(3):
        mass = np.asarray(state.physics.fields["body_mass"])[:, -1]
        ranges = scene.properties["object_mass_range"][np.asarray(state.variant)]
        assert (mass >= ranges[:, 0] * (1 - 1e-5)).all()
        assert (mass <= ranges[:, 1] * (1 + 1e-5)).all()
        assert len(np.unique(mass)) == 64
        state, _ = env.step(state, jnp.zeros((64, env.spec.action_size)))


def test_an_object_without_friction_starts_from_none_and_has_no_logarithm():
    task = CartTask()
    model = task.scene().model
    model.geom_friction[model.geom("box").id, 0] = 0.0
    options = {"body": "box", "range": [0.1, 0.4]}
    made = build_randomizer("object_friction", task, options)
    values = nominal_values(made, task, task.scene())
    for level in (0.0, 0.5, 1.0):
        given = values | {"level": jnp.float32(level)}
        drawn = float(made(jax.random.key(0), given)["geom_friction"][model.geom("box").id, 0])
        assert 0.1 * level <= drawn <= 0.4 * level
    with pytest.raises(ConfigError, match="box has no friction to start from"):
        build_randomizer("object_friction", task, {**options, "distribution": "log_uniform"})
    model.body_mass[model.body("box").id] = 0.0
    with pytest.raises(ConfigError, match="box has no mass of its own to vary"):
        build_randomizer("object_mass", task, options)


def test_a_task_that_knows_nothing_of_its_object_needs_a_range():
    with pytest.raises(ConfigError, match="give `range`"):
        build_randomizer("object_mass", CartTask(), {"body": "box"})
    with pytest.raises(ConfigError, match="no body is called object"):
        build_randomizer("object_mass", CartTask(), {"range": [0.1, 0.2]})
