"""Every randomizer of physics keeps the contract, and refuses what it cannot do."""

import pytest

from r2s_core import registry
from r2s_core.backends.plugins import MujocoConfig
from r2s_core.errors import BackendError, ConfigError
from r2s_core.testing import build_randomizer, check_randomizer
from r2s_core.testing.tasks import CartTask

#: Options that find something to vary on the kit's cart.
OPTIONS = {
    "mass": {},
    "inertia": {},
    "center_of_mass": {},
    "friction": {},
    "contact_softness": {},
    "joint_damping": {},
    "joint_friction": {},
    "armature": {},
    "actuator_gain": {},
    "actuator_force": {},
    "gravity": {},
    "push": {"bodies": ["box"], "interval": [0.1, 0.2], "duration": 0.05},
}


def build(name, task=None, **options):
    return build_randomizer(name, task or CartTask(servo=True), {**OPTIONS[name], **options})


@pytest.mark.parametrize("name", OPTIONS)
def test_it_keeps_the_contract(name):
    task = CartTask(servo=True)
    check_randomizer(lambda context: build(name, task), task)


def test_names_that_fit_nothing_are_refused_with_those_that_there_are():
    with pytest.raises(ConfigError, match="bodies: no body is called pol; did you mean pole"):
        build("mass", bodies=["pol"])


@pytest.mark.parametrize(
    ("name", "options", "complaint"),
    [
        ("mass", {"factor": [0.0, 1.0]}, "give two factors above 0"),
        ("friction", {"slide": [1.3, 0.7]}, "lower one first"),
        ("joint_friction", {"friction": [-1.0, 1.0]}, "cannot be below 0"),
        ("push", {"interval": [0.01, 0.02]}, "would overlap"),
        ("gravity", {"tilt": -1.0}, "tilt"),
        ("mass", {"distribution": "gaussian"}, "distribution"),
        ("push", {"distribution": "log_uniform"}, "force counts from 0, which has no logarithm"),
        ("push", {"distribution": "log_uniform", "force": [0.5, 2.0]}, "force counts from 0"),
        ("center_of_mass", {"distribution": "log_uniform"}, "shift counts from 0"),
        ("joint_friction", {"distribution": "log_uniform"}, "friction counts from 0"),
    ],
)
def test_impossible_ranges_are_refused_in_the_configuration(name, options, complaint):
    with pytest.raises(ConfigError, match=complaint):
        build(name, **options)


def test_a_scene_without_gravity_has_none_to_vary():
    task = CartTask(servo=True)
    task.scene().model.opt.gravity[:] = 0.0
    with pytest.raises(ConfigError, match="no gravity to vary; leave this randomizer out"):
        build("gravity", task)


def test_a_free_body_hangs_on_no_joint():
    with pytest.raises(ConfigError, match="box matches only free joints"):
        build("joint_damping", joints=["box"])


def test_gains_are_of_servos_and_forces_of_limited_actuators():
    with pytest.raises(ConfigError, match="push is not a position servo"):
        build("actuator_gain", CartTask())
    with pytest.raises(ConfigError, match="push has no forcerange"):
        build("actuator_force", CartTask())


def test_a_range_that_changes_nothing_is_refused():
    with pytest.raises(ConfigError, match="changes nothing"):
        build("mass", factor=[1.0, 1.0])


def test_a_field_that_a_backend_cannot_vary_is_refused_by_name():
    from r2s_core.env import EngineOptions, VectorEnv

    task = CartTask(servo=True)
    scene = task.scene()
    backend = registry.build("backend", "mujoco", scene, 2, MujocoConfig())
    backend.batchable = backend.batchable - {"body_inertia", "xfrc_applied"}
    made = {name: build(name, task) for name in ("mass", "push")}
    options = EngineOptions(max_episode_steps=10)
    with pytest.raises(BackendError, match="mass varies the model field body_inertia"):
        VectorEnv(task, scene, backend, {}, options, {"mass": made["mass"]})
    with pytest.raises(BackendError, match="push pushes bodies, which the backend mujoco cannot"):
        VectorEnv(task, scene, backend, {}, options, {"push": made["push"]})


def test_a_level_of_zero_leaves_everything_nominal():
    import jax
    import jax.numpy as jnp
    import numpy as np

    from r2s_core.testing.randomizer_kit import nominal_values

    task = CartTask(servo=True)
    for name in OPTIONS:
        made = build(name, task)
        values = nominal_values(made, task, task.scene()) | {"level": jnp.float32(0.0)}
        if name == "push":
            memory = made.begin(jax.random.key(0), values)
            varied = made.step(memory, jax.random.key(1), values)[1]
        else:
            varied = made(jax.random.key(0), values)
        for field, value in varied.items():
            np.testing.assert_allclose(value, values[field], rtol=1e-6, atol=1e-6, err_msg=name)
