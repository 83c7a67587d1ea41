"""The same draw gives the same motion on every backend, constants that follow included."""

import copy
import functools

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from r2s_core import registry
from r2s_core.backends.constants import INPUTS, derived_constants
from r2s_core.backends.plugins import MujocoConfig
from r2s_core.env import EngineOptions, VectorEnv
from r2s_core.testing import build_randomizer
from r2s_core.testing.tasks import CartTask

_WORLDS = 3
#: Of those that MJX can vary; dry friction in joints that have none is refused.
_ALL = {
    "mass": {},
    "inertia": {},
    "center_of_mass": {"bodies": ["pole"]},
    "friction": {},
    "contact_softness": {},
    "joint_damping": {},
    "armature": {},
    "actuator_gain": {},
    "actuator_force": {},
    "gravity": {},
    "push": {"bodies": ["box"], "interval": [0.1, 0.2], "duration": 0.05},
}


class Resting(CartTask):
    """The kit's cart in the middle, with the box pressed on the floor.

    At no distance at all C MuJoCo and MJX differ in whether there is a contact, and where a servo's
    force is cut off, in its derivative, by which the integrator goes.
    """

    def init(self, key, variant):
        state, qpos, qvel = super().init(key, variant)
        return state, qpos.at[0].set(0.0).at[4].set(0.0399), qvel


def play(name, chosen):
    """qpos [T, W, nq] of the kit's cart under randomizers, on a backend."""
    task = Resting(servo=True)
    scene = task.scene()
    config = registry.get("backend", name).plugin.config()
    backend = registry.build("backend", name, scene, _WORLDS, config)
    made = {name: build_randomizer(name, task, options) for name, options in chosen.items()}
    env = VectorEnv(task, scene, backend, {}, EngineOptions(max_episode_steps=6), made)
    reset, step = env.reset, env.step
    if backend.traceable:
        reset, step = jax.jit(env.reset), jax.jit(env.step)
    state, _ = reset(jax.random.key(5))
    rows = []
    for t in range(9):  # beyond two resets
        state, _ = step(state, jnp.full((_WORLDS, 1), 0.001 * t))
        rows.append(np.asarray(state.physics.view.qpos))
    return np.stack(rows)


@functools.cache
def reference(randomized):
    return play("mujoco", _ALL if randomized else {})


@pytest.mark.parametrize("backend", ["mjx", "warp"])
def test_the_same_draws_give_the_same_motion_as_on_c_mujoco(backend):
    if backend == "warp":
        pytest.importorskip("warp")
    ours, theirs = reference(True), play(backend, _ALL)
    np.testing.assert_allclose(theirs, ours, atol=2e-4)
    # The randomizers did something that could have differed.
    assert np.abs(ours - reference(False)).max() > 1e-3


def _models():
    from r2s_envs_pick_place.scene import build as scene

    yield CartTask(servo=True).scene().model
    yield scene.build_scene([scene.box_object()]).compile()


@pytest.mark.parametrize("number", [0, 1])
def test_constants_that_follow_are_those_of_mj_set_const(number):
    model = list(_models())[number]
    rng = np.random.default_rng(0)
    follow = jax.jit(derived_constants(model))
    free = model.body_simple == 0
    for _ in range(20):
        varied = copy.copy(model)
        scale = rng.uniform(0.5, 2.0, model.nbody)
        varied.body_mass[:] *= scale
        varied.body_inertia[:] *= scale[:, None]
        varied.body_ipos[free] += rng.uniform(-0.01, 0.01, (free.sum(), 3))
        varied.body_sameframe[free] = 0
        varied.dof_armature[:] *= rng.uniform(0.5, 2.0)
        given = {n: getattr(varied, n).astype(np.float32) for n in INPUTS}
        for name, value in given.items():  # both of the same numbers
            getattr(varied, name)[:] = value
        mujoco.mj_setConst(varied, mujoco.MjData(varied))
        found = follow(given)
        assert len(found) >= 5
        for name, value in found.items():
            assert value.dtype == jnp.float32
            # float32 itself is good for 6e-8.
            np.testing.assert_allclose(
                value, getattr(varied, name), rtol=2e-7, atol=1e-9, err_msg=name
            )


def test_an_inertial_frame_that_mujoco_compiled_in_cannot_move():
    from r2s_core.errors import BackendError

    task = CartTask(servo=True)
    scene = task.scene()
    backend = registry.build("backend", "mujoco", scene, 2, MujocoConfig())
    ipos = np.repeat(scene.model.body_ipos[None], 2, axis=0).astype(np.float32) + 0.01
    qpos = np.repeat(scene.model.qpos0[None], 2, axis=0)
    with pytest.raises(BackendError, match="body_ipos of the body box is varied"):
        backend.init({"body_ipos": ipos}, qpos, np.zeros((2, scene.model.nv)))
