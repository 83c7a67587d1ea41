"""The same pick on C MuJoCo and on MuJoCo Warp, which steps CPUs as well as NVIDIA GPUs."""

import jax
import jax.numpy as jnp
import numpy as np

from r2s_core.backends.mjx import make_warp
from r2s_core.backends.mujoco import MujocoBackend
from r2s_core.backends.plugins import MujocoConfig, WarpConfig
from r2s_envs_pick_place.config import PickPlaceConfig
from r2s_envs_pick_place.scene import pick_object
from r2s_envs_pick_place.task.pick_place import PickPlace

WORLDS, STEPS = 4, 35


def test_a_grasp_and_a_lift_are_the_same_on_warp():
    """Both are driven by the targets that a script chose on C MuJoCo."""
    task = PickPlace(PickPlaceConfig(), pick_object.box())
    scene = task.scene()
    reference = MujocoBackend(scene, WORLDS, MujocoConfig())
    backend = make_warp(scene, WORLDS, WarpConfig())
    state, qpos, qvel = jax.jit(jax.vmap(task.init, (0, None)))(
        jax.random.split(jax.random.key(0), WORLDS), jnp.int32(0)
    )
    qpos = qpos.at[:, 11].add(1e-3)  # in the air: at exactly 0 rounding decides what touches
    control = jax.jit(jax.vmap(task.expert_ctrl))
    step = jax.jit(lambda physics, ctrl: backend.step(physics, ctrl))
    expected, found = reference.init({}, qpos, qvel), jax.jit(backend.init)({}, qpos, qvel)
    for _ in range(STEPS):
        ctrl = control(state, expected.view)
        expected, found = reference.step(expected, ctrl), step(found, ctrl)
        for name in ("qpos", "site_xpos"):
            a, b = (np.asarray(getattr(p.view, name)) for p in (expected, found))
            np.testing.assert_allclose(a, b, atol=2e-3, err_msg=name)
    # Contact sensors too: it is the grasp that rewards are made of.
    update = jax.jit(jax.vmap(task.update))
    held, held_on_warp = (np.asarray(update(state, p.view).grasped) for p in (expected, found))
    assert held.sum() >= WORLDS - 1
    np.testing.assert_array_equal(held, held_on_warp)
    assert (np.asarray(found.view.qpos)[held, 11] > 0.05).all(), "it was lifted"
    backend.check()
